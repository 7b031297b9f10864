// SPDX-License-Identifier: GPL-2.0

//! The first version of a policy that hands over what it knows.

include!("relay.rs");

const NAME: &str = "relay";
const ID: u32 = 61;
const VERSION: &str = "1";
const KEEPS: bool = true;

/// What it keeps besides, and for each task.
type Extra = u64;
type TaskExtra = u64;

module_enoki_scheduler! {
    type: Relay,
    name: "enoki_relay_1",
    authors: ["Enoki"],
    description: "An Enoki policy that is replaced, version 1",
    license: "GPL",
    with: [upgrade],
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
