// SPDX-License-Identifier: GPL-2.0
//@ expect: a_pointer by an allocation or a free
//! Drops a lock when it takes over, while all CPUs wait. (Like hint.rs, for calls that not every
//! policy has.)

use core::mem;
use enoki::prelude::*;

fn taken_over(policy: &mut Policy) {
    policy.spare = None;
}

impl Exchange<v1::Policy> for Policy {
    fn exchange(&mut self, older: &mut v1::Policy) {
        mem::swap(&mut self.queues, &mut older.queues);
    }
}

include!("common/handed_over.rs");
