// SPDX-License-Identifier: GPL-2.0
//@ expect: E0433
//! The kernel crate is out of reach.

use enoki::prelude::*;

pub fn op() -> u64 {
    kernel::time::Instant::now()
}
