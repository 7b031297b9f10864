// SPDX-License-Identifier: GPL-2.0
//@ expect: E0502
//! Nothing is asked of the class with a lock held.

use enoki::prelude::*;

pub fn op(ctx: &mut Ctx<'_>, lock: &Lock<u32>) {
    let mut guard = ctx.lock(lock);
    ctx.resched(ctx.cpu().id());
    *guard += 1;
}
