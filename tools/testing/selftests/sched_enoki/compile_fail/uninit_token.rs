// SPDX-License-Identifier: GPL-2.0
//@ expect: clippy::disallowed_types
//! A token is not put where nobody drops it.

use enoki::prelude::*;

pub fn op(token: Schedulable<()>) {
    let _ = core::mem::MaybeUninit::new(token);
}
