// SPDX-License-Identifier: GPL-2.0

//! The first version of a policy that hands over nothing.

include!("relay.rs");

const NAME: &str = "fresh";
const ID: u32 = 62;
const VERSION: &str = "1";
const KEEPS: bool = false;

/// What it keeps besides, and for each task.
type Extra = u64;
type TaskExtra = u64;

module_enoki_scheduler! {
    type: Relay,
    name: "enoki_fresh_1",
    authors: ["Enoki"],
    description: "An Enoki policy that is replaced, version 1",
    license: "GPL",
    params: {
        mode: u32 {
            default: 0,
            description: "What it does when it takes over, see relay.rs",
        },
        slow_ms: u32 {
            default: 0,
            description: "How long that takes, in some ms",
        },
    },
}
