// SPDX-License-Identifier: GPL-2.0
//@ expect: E0277
//! A reference may lead into the module that is removed afterwards.

use enoki::prelude::*;

transfer! {
    /// Where something is in this module.
    pub struct Known("known", 1) {
        /// Here.
        pub at: &'static u64,
    }
}
