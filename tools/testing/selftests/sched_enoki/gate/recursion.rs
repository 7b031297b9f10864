// SPDX-License-Identifier: GPL-2.0
//@ expect: task_wakeup by a function that calls itself
//! Goes as deep as a task is heavy.

use enoki::prelude::*;

#[inline(never)]
fn depth(task: &TaskInfo, left: u32) -> u64 {
    let here = core::hint::black_box([left; 4]);
    if left == 0 {
        return 0;
    }
    let below = depth(task, left.wrapping_sub(1));
    below
        ^ core::hint::black_box(&here)
            .iter()
            .fold(0, |sum, &x| sum ^ u64::from(x))
}

fn wake(_policy: &Policy, ctx: &mut Ctx<'_>, task: &Schedulable<u64>) {
    if depth(task.info(), task.info().weight()) > 1 {
        ctx.resched(task.cpu());
    }
}

include!("common/policy.rs");
