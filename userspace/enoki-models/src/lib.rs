//! Protocols of the kernel's Enoki class, as models.
//!
//! A model is what the C code does to the words that its CPUs share, function by function, and
//! nothing else. loom runs its threads in all orders that the memory model of C11 has, with what
//! each CPU may see late; so a barrier that is missing is missed, which a model of interleavings
//! alone would not see. Each test is repeated with one ordering weakened, and must then fail.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p enoki-models --release`; `ci/userspace` does it. Keep the
//! models and the code alike.

#[cfg(all(loom, test))]
mod gate;
