// SPDX-License-Identifier: GPL-2.0
//@ expect: E0624
//! Maps are made when the policy is: only then is there a machine.

use enoki::prelude::*;

pub fn op() -> Result<CpuMap<u32>> {
    CpuMap::new_with(&Machine::new(), |_| Ok(0))
}
