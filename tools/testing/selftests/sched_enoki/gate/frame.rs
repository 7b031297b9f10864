// SPDX-License-Identifier: GPL-2.0
//@ expect: task_wakeup by too much stack
//! Has an array on the stack that is larger than half of it.

use enoki::prelude::*;

fn wake(_policy: &Policy, ctx: &mut Ctx<'_>, task: &Schedulable<u64>) {
    let mut seen = core::hint::black_box([0u64; 1024]);
    if let Some(first) = seen.get_mut(task.info().weight() as usize % 2) {
        *first = task.id().as_u64();
    }
    if core::hint::black_box(&seen).iter().any(|&id| id == 1) {
        ctx.resched(task.cpu());
    }
}

include!("common/policy.rs");
