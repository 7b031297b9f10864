// SPDX-License-Identifier: GPL-2.0
//@ expect: E0423
//! CPU numbers are checked.

use enoki::prelude::*;

pub fn op(map: &CpuMap<u32>) -> u32 {
    map[CpuId(1_000_000)]
}
