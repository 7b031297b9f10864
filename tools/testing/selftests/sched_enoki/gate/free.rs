// SPDX-License-Identifier: GPL-2.0
//@ expect: task_wakeup by an allocation or a free
//! Drops a lock in an operation.

use enoki::prelude::*;

fn wake(policy: &Policy, ctx: &mut Ctx<'_>, _task: &Schedulable<u64>) {
    drop(ctx.lock(&policy.spare).take());
}

include!("common/policy.rs");
