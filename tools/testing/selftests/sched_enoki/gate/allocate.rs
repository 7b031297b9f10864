// SPDX-License-Identifier: GPL-2.0
//@ expect: task_wakeup by an allocation or a free
//! Makes a lock in an operation.

use enoki::prelude::*;

fn wake(_policy: &Policy, ctx: &mut Ctx<'_>, task: &Schedulable<u64>) {
    if let Ok(lock) = new_lock!(*task.state()) {
        *ctx.lock(&lock) += 1;
    }
}

include!("common/policy.rs");
