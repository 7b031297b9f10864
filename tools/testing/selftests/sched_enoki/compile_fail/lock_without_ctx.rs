// SPDX-License-Identifier: GPL-2.0
//@ expect: E0599
//! A lock is taken by the context only, which sleepable calls do not have.

use enoki::prelude::*;

pub fn init_task(lock: &Lock<u32>) -> u32 {
    *lock.lock()
}
