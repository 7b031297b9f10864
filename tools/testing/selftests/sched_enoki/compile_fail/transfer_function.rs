// SPDX-License-Identifier: GPL-2.0
//@ expect: E0277
//! A function's code goes with its module.

use enoki::prelude::*;

transfer! {
    /// What is to be called.
    pub struct Known("known", 1) {
        /// In this module.
        pub call: fn(u64) -> u64,
    }
}
