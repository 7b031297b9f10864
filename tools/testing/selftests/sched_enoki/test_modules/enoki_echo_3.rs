// SPDX-License-Identifier: GPL-2.0

//! A version of it that begins anew.

include!("echo.rs");

const VERSION: &str = "3";

module_enoki_scheduler! {
    type: Echo,
    name: "enoki_echo_3",
    authors: ["Enoki"],
    description: "An Enoki policy that answers hints, version 3",
    license: "GPL",
    with: [hints],
    params: {
        refuse: u32 {
            default: 0,
            description: "1 to take no queues",
        },
        batch: u32 {
            default: 1000000,
            description: "How many hints to take at once",
        },
    },
}
