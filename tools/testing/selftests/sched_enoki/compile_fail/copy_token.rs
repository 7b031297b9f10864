// SPDX-License-Identifier: GPL-2.0
//@ expect: E0382
//! A token cannot be copied.

use enoki::prelude::*;

pub fn op(token: Schedulable<()>) -> (Schedulable<()>, Schedulable<()>) {
    (token, token)
}
