// SPDX-License-Identifier: GPL-2.0
//@ expect: E0382
//! A token that was queued is gone.

use enoki::prelude::*;

pub fn op(cpu: Cpu<'_>, queue: &mut FifoQueue<()>, token: Schedulable<()>) {
    queue.push_back(token);
    let _ = cpu.claim(token);
}
