// SPDX-License-Identifier: GPL-2.0
//@ expect: task_wakeup by a panic
//! Divides by what may be zero.

use enoki::prelude::*;

fn wake(_policy: &Policy, ctx: &mut Ctx<'_>, task: &Schedulable<u64>) {
    let share = 1000 / *task.state();
    log!(ctx, "{share}");
}

include!("common/policy.rs");
