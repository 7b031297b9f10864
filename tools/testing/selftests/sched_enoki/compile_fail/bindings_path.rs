// SPDX-License-Identifier: GPL-2.0
//@ expect: E0433
//! The bindings are out of reach.

use enoki::prelude::*;

pub fn op() -> u64 {
    bindings::sched_clock()
}
