// SPDX-License-Identifier: GPL-2.0
//@ expect: task_wakeup by a panic
//! Indexes an array by what it is told.

use enoki::prelude::*;

fn wake(policy: &Policy, ctx: &mut Ctx<'_>, task: &Schedulable<u64>) {
    let i = task.info().weight() as usize;
    ctx.resched(task.cpu());
    log!(ctx, "{}", policy.table[i]);
}

include!("common/policy.rs");
