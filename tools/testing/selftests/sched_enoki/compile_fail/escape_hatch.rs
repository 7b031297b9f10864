// SPDX-License-Identifier: GPL-2.0
//@ expect: E0433
//! What the module macro needs of the kernel crate is out of reach, too.

use enoki::prelude::*;

pub fn op() -> Result<u64> {
    Ok(enoki::__kernel::time::Instant::now())
}
