// SPDX-License-Identifier: GPL-2.0
//@ expect: E0453
//! Nor can a policy allow itself unsafe code.

use enoki::prelude::*;

#[allow(unsafe_code)]
pub fn op(p: *const u32) -> u32 {
    unsafe { *p }
}
