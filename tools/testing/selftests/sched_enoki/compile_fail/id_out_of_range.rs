// SPDX-License-Identifier: GPL-2.0
//@ expect: E0080
//! A policy has a number from 1 to 99.

use enoki::prelude::*;

const NAME: &str = "ok";
const ID: u32 = 100;

include!("common/policy.rs");
