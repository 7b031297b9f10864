// SPDX-License-Identifier: GPL-2.0
//@ expect: E0308
//! A task that is lent cannot be queued.

use enoki::prelude::*;

pub fn tick(queue: &mut FifoQueue<()>, task: &mut Lent<'_, ()>) {
    queue.push_back(task);
}
