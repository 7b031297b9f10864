// SPDX-License-Identifier: GPL-2.0
//@ expect: task_wakeup by a panic
//! Unwraps what may be nothing.

use enoki::prelude::*;

fn wake(_policy: &Policy, ctx: &mut Ctx<'_>, task: &Schedulable<u64>) {
    let cpu = CpuId::new(task.info().weight()).unwrap();
    ctx.resched(cpu);
}

include!("common/policy.rs");
