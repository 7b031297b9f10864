// SPDX-License-Identifier: GPL-2.0
//@ expect: E0624
//! Only the class grants tokens.

use enoki::prelude::*;

pub fn op(token: Schedulable<()>) {
    let raw = token.into_raw();
    let _ = raw;
}
