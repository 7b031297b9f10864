// SPDX-License-Identifier: GPL-2.0
//@ expect: unsafe_code
//! A policy has no unsafe block.

use enoki::prelude::*;

pub fn op(p: *const u32) -> u32 {
    unsafe { *p }
}
