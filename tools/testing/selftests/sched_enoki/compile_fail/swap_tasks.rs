// SPDX-License-Identifier: GPL-2.0
//@ expect: E0596
//! Tasks cannot be swapped behind their tokens.

use enoki::prelude::*;

pub fn op(a: &mut Schedulable<u64>, b: &mut Schedulable<u64>) {
    core::mem::swap(&mut **a, &mut **b);
}
