// SPDX-License-Identifier: GPL-2.0
//@ expect: E0599
//! There is no default token.

use enoki::prelude::*;

pub fn op() -> Schedulable<()> {
    Schedulable::<()>::default()
}
