// SPDX-License-Identifier: GPL-2.0
//@ expect: E0080
//! A policy's name is letters, digits, _ and -.

use enoki::prelude::*;

const NAME: &str = "a/name";
const ID: u32 = 99;

include!("common/policy.rs");
