// SPDX-License-Identifier: GPL-2.0
//@ expect: "private fields"
//! The proof of a migration cannot be made up.

use enoki::prelude::*;

pub fn migrate<'m>() -> Moved<'m> {
    Moved { task: None }
}
