// SPDX-License-Identifier: GPL-2.0
//@ expect: "lifetime may not live long enough"
//! What was claimed cannot be kept for a later call.

use enoki::prelude::*;

pub fn pick<'c>(ctx: &mut Ctx<'c>, token: Schedulable<()>) -> Option<Runnable<'static, ()>> {
    ctx.cpu().claim(token).ok()
}
