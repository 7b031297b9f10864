// SPDX-License-Identifier: GPL-2.0
//@ expect: E0621
//! Whom a hint is about is lent for the length of the call.

use enoki::prelude::*;

pub fn op<'a>(about: About<'_, u64>) -> About<'a, u64> {
    about
}
