// SPDX-License-Identifier: GPL-2.0
//@ expect: E0277
//! Not all bytes are a bool, and a program can write any.

use enoki::prelude::*;

hint! {
    /// Yes or no, or neither.
    pub struct Answer("answer", 1) {
        /// Which?
        pub yes: bool,
    }
}
