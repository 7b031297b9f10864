// SPDX-License-Identifier: GPL-2.0
//@ expect: E0080
//! A policy has a name of at most 31 bytes.

use enoki::prelude::*;

const NAME: &str = "thirty-two-bytes-make-it-too-long";
const ID: u32 = 99;

include!("common/policy.rs");
