// SPDX-License-Identifier: GPL-2.0
//@ expect: E0621
//! A loan ends with the call.

use enoki::prelude::*;

pub fn tick<'a>(kept: &mut Option<Lent<'a, ()>>, task: Lent<'_, ()>) {
    *kept = Some(task);
}
