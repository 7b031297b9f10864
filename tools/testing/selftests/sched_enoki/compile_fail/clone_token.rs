// SPDX-License-Identifier: GPL-2.0
//@ expect: E0599
//! A token cannot be cloned.

use enoki::prelude::*;

pub fn op(token: Schedulable<()>) -> (Schedulable<()>, Schedulable<()>) {
    (token.clone(), token)
}
