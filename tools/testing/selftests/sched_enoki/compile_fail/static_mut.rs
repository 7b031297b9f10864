// SPDX-License-Identifier: GPL-2.0
//@ expect: unsafe_code
//! A policy has no mutable statics.

use enoki::prelude::*;

static mut PICKS: u64 = 0;

pub fn op() {
    unsafe { PICKS += 1 };
}
