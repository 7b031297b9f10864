// SPDX-License-Identifier: GPL-2.0
//@ expect: a_pointer by an allocation or a free
//! Drops a lock when it goes back to a form that does not have it, while all CPUs wait.

use enoki::prelude::*;

fn taken_over(_policy: &mut Policy) {}

impl From<v1::Policy> for Policy {
    fn from(old: v1::Policy) -> Policy {
        Policy {
            queues: old.queues,
            spare: None,
        }
    }
}

impl From<Policy> for v1::Policy {
    fn from(new: Policy) -> v1::Policy {
        v1::Policy { queues: new.queues }
    }
}

include!("common/handed_over.rs");
