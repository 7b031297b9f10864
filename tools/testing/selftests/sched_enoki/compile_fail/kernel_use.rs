// SPDX-License-Identifier: GPL-2.0
//@ expect: E0433
//! The kernel crate is out of reach of use, too.

use enoki::prelude::*;

use kernel::sync::Mutex;

pub type M = Mutex<u32>;
