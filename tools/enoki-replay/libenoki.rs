// SPDX-License-Identifier: GPL-2.0

//! libEnoki for user space: the twin of `rust/enoki/lib.rs`.
//!
//! It has the same files but for `sys`, so that a policy's source builds against it unchanged. Here
//! policies are tested.

#[cfg(test)]
extern crate self as enoki;

#[path = "../../rust/enoki/adapter.rs"]
mod adapter;
#[path = "../../rust/enoki/cpu.rs"]
pub mod cpu;
#[path = "../../rust/enoki/ctx.rs"]
pub mod ctx;
#[path = "../../rust/enoki/fifo.rs"]
pub mod fifo;
#[path = "../../rust/enoki/hint.rs"]
pub mod hint;
pub mod latency;
#[path = "../../rust/enoki/params.rs"]
mod params;
#[path = "../../rust/enoki/prelude.rs"]
pub mod prelude;
#[path = "../../rust/enoki/queue.rs"]
mod queue;
pub mod records;
pub mod replay;
#[path = "../../rust/enoki/sched.rs"]
pub mod sched;
pub mod sim;
mod sys;
#[path = "../../rust/enoki/time.rs"]
pub mod time;
#[path = "../../rust/enoki/token.rs"]
pub mod token;
#[path = "../../rust/enoki/tree.rs"]
pub mod tree;
#[path = "../../rust/enoki/upgrade.rs"]
pub mod upgrade;
pub mod what_if;

#[doc(hidden)]
pub use hint::Ops as __Ops;
#[doc(hidden)]
pub use params::Parameters as __Parameters;
#[doc(hidden)]
pub use sys::Param as __Param;
#[doc(hidden)]
pub use zerocopy_derive as __zerocopy_derive;

#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod tests;
