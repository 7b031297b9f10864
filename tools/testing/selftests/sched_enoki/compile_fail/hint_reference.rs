// SPDX-License-Identifier: GPL-2.0
//@ expect: E0277
//! An address means nothing to the other side.

use enoki::prelude::*;

type Address = &'static u64;

hint! {
    /// Where something is here.
    pub struct There("there", 1) {
        /// Here.
        pub at: Address,
    }
}
