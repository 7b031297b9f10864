// SPDX-License-Identifier: GPL-2.0
//@ expect: clippy::disallowed_methods
//! A token is not forgotten: it would be lost for ever.

use enoki::prelude::*;

pub fn op(token: Schedulable<()>) {
    core::mem::forget(token);
}
