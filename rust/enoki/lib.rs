// SPDX-License-Identifier: GPL-2.0

//! libEnoki: CPU schedulers as loadable modules in safe Rust.
//!
//! A policy is a type that implements [`Scheduler`](sched::Scheduler), and a line that makes a
//! module of it, [`module_enoki_scheduler!`]. It uses nothing but [`prelude`], and no `unsafe`.
//! The scheduling class in `kernel/sched/enoki.c` calls it, and checks what it answers.
//!
//! The design follows Miller et al., "Enoki: High Velocity Linux Kernel Scheduler Development"
//! (EuroSys 2024), "the paper" in these pages.
//!
//! # Two crates of one name
//!
//! The files of this directory make two crates, so that a policy's source builds unchanged for the
//! kernel and for user space, where it is tested. `lib.rs` and `sys.rs` are those of
//! the kernel; `tools/enoki-replay/libenoki.rs` has the others. The rest is shared, and uses
//! `core` and `crate::sys` only.
//!
//! C header: [`include/linux/sched/enoki.h`](srctree/include/linux/sched/enoki.h)

#![no_std]
// Stable since Rust 1.87.0: static keys are `asm!` that jumps.
#![feature(asm_goto)]
// To be determined; see the list in `rust/kernel/lib.rs`. `#[kunit_tests]` expands to it.
#![cfg_attr(CONFIG_SCHED_ENOKI_KUNIT_TEST, feature(used_with_arg))]

mod adapter;
pub mod cpu;
pub mod ctx;
pub mod fifo;
pub mod hint;
#[cfg(CONFIG_SCHED_ENOKI_KUNIT_TEST)]
mod kunit;
mod params;
pub mod prelude;
mod queue;
pub mod sched;
mod sys;
pub mod time;
pub mod token;
pub mod tree;
pub mod upgrade;

#[doc(hidden)]
pub use hint::Ops as __Ops;
#[doc(hidden)]
pub use kernel as __kernel;
#[doc(hidden)]
pub use params::Parameters as __Parameters;
pub use sys::Registration;
#[doc(hidden)]
pub use zerocopy_derive as __zerocopy_derive;

/// Prefix to appear before log messages printed from within this crate.
const __LOG_PREFIX: &[u8] = b"enoki\0";
