// SPDX-License-Identifier: GPL-2.0
//@ expect: nothing
//! Does nothing that it must not.

use enoki::prelude::*;

fn wake(_policy: &Policy, ctx: &mut Ctx<'_>, task: &Schedulable<u64>) {
    ctx.resched(task.cpu());
}

include!("common/policy.rs");
