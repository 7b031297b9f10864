// SPDX-License-Identifier: GPL-2.0
//@ expect: "lifetime may not live long enough"
//! One migration's answer is none for another.

use enoki::prelude::*;

pub fn migrate<'a, 'b>(_this: Migration<'a, ()>, that: Migration<'b, ()>) -> Moved<'a> {
    that.lost()
}
