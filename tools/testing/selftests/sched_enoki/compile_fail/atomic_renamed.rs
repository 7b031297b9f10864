// SPDX-License-Identifier: GPL-2.0
//@ expect: clippy::disallowed_types
//! By no other name either.

use enoki::prelude::*;

use core::sync as s;

pub struct Policy {
    pub picks: s::atomic::AtomicUsize,
}
