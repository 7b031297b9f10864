// SPDX-License-Identifier: GPL-2.0
//@ expect: clippy::disallowed_types
//! A lock does not stay locked when the operation ends.

use enoki::prelude::*;

pub fn op(ctx: &mut Ctx<'_>, lock: &Lock<u64>) {
    let _ = core::mem::ManuallyDrop::new(ctx.lock(lock));
}
