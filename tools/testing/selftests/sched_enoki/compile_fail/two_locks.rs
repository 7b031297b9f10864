// SPDX-License-Identifier: GPL-2.0
//@ expect: E0499
//! No two locks at a time.

use enoki::prelude::*;

pub fn op(ctx: &mut Ctx<'_>, a: &Lock<u32>, b: &Lock<u32>) {
    let mut a = ctx.lock(a);
    let b = ctx.lock(b);
    *a += *b;
}
