// SPDX-License-Identifier: GPL-2.0

//! The second version of it, which begins anew.

include!("relay.rs");

const NAME: &str = "fresh";
const ID: u32 = 62;
const VERSION: &str = "2";
const KEEPS: bool = false;

/// What it keeps besides, and for each task.
type Extra = u64;
type TaskExtra = [u64; 3];

module_enoki_scheduler! {
    type: Relay,
    name: "enoki_fresh_2",
    authors: ["Enoki"],
    description: "An Enoki policy that is replaced, version 2",
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
