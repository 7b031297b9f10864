// SPDX-License-Identifier: GPL-2.0
//@ expect: E0433
//! No lock that sleeps.

use enoki::prelude::*;

pub struct Policy {
    pub lock: std::sync::Mutex<u32>,
}
