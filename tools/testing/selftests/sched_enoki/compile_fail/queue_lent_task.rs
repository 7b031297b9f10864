// SPDX-License-Identifier: GPL-2.0
//@ expect: E0308
//! Nor can what the loan leads to.

use enoki::prelude::*;

pub fn tick(queue: &mut FifoQueue<()>, task: &mut Lent<'_, ()>) {
    queue.push_back(**task);
}
