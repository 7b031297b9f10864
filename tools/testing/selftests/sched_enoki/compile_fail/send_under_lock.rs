// SPDX-License-Identifier: GPL-2.0
//@ expect: E0502
//! No message is sent while a lock is held.

use enoki::prelude::*;

pub fn op(ctx: &mut Ctx<'_>, lock: &Lock<u64>, queue: QueueId<NoHint>) {
    let guard = ctx.lock(lock);
    let _ = ctx.send(queue, &NoHint);
    drop(guard);
}
