// SPDX-License-Identifier: GPL-2.0
//@ expect: ok
//! The control: what is safe builds.

use enoki::prelude::*;

const NAME: &str = "ok";
const ID: u32 = 99;

include!("common/policy.rs");
