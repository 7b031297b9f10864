// SPDX-License-Identifier: GPL-2.0
//@ expect: E0451
//! A token cannot be made up.

use enoki::prelude::*;

pub fn op(task: core::ptr::NonNull<Task<()>>) -> Schedulable<()> {
    Schedulable { task }
}
