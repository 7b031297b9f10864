// SPDX-License-Identifier: GPL-2.0
//@ expect: E0451
//! A claim cannot be made up.

use enoki::prelude::*;

pub fn pick<'c>(old: Runnable<'c, ()>, token: Schedulable<()>) -> Runnable<'c, ()> {
    Runnable { token, ..old }
}
