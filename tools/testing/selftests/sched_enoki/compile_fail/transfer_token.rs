// SPDX-License-Identifier: GPL-2.0
//@ expect: E0277
//! A token of which the state of its task is nothing that can be handed over.

use enoki::prelude::*;

/// It may be anything.
pub struct State(u64);

transfer! {
    /// What is queued.
    pub struct Known("known", 1) {
        /// The queue.
        pub queue: Lock<FifoQueue<State>>,
    }
}
