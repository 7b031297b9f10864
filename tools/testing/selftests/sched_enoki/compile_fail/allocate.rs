// SPDX-License-Identifier: GPL-2.0
//@ expect: E0433
//! There is no heap to allocate from.

use enoki::prelude::*;

pub fn op() -> Box<u32> {
    Box::new(1)
}
