// SPDX-License-Identifier: GPL-2.0
//@ expect: unsafe_code
//! A policy has no unsafe impl.

use enoki::prelude::*;

pub struct Shared(pub *const u32);

unsafe impl Sync for Shared {}
