// SPDX-License-Identifier: GPL-2.0
//@ expect: E0423
//! The number of a queue cannot be made up.

use enoki::prelude::*;

pub fn op() -> QueueId<NoHint> {
    QueueId(3)
}
