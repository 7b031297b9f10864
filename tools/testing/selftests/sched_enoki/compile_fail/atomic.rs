// SPDX-License-Identifier: GPL-2.0
//@ expect: clippy::disallowed_types
//! No shared state but behind locks: replay could not order it.

use enoki::prelude::*;

pub static PICKS: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);
