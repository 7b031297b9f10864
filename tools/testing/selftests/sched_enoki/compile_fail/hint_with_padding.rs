// SPDX-License-Identifier: GPL-2.0
//@ expect: "total byte(s) of padding"
//! A hint has no gaps: what is in them would be anybody's.

use enoki::prelude::*;

hint! {
    /// Seven bytes of nothing.
    pub struct Gap("gap", 1) {
        /// One byte.
        pub small: u8,
        /// Eight of them.
        pub large: u64,
    }
}
