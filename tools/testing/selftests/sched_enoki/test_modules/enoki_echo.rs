// SPDX-License-Identifier: GPL-2.0

//! A policy that answers hints.

include!("echo.rs");

const VERSION: &str = "1";

impl Upgrade for Echo {
    type Transfer = Known;

    fn reregister_prep(&mut self, _ctx: &mut Ctx<'_>) -> &mut Known {
        &mut self.known
    }
}

module_enoki_scheduler! {
    type: Echo,
    name: "enoki_echo",
    authors: ["Enoki"],
    description: "An Enoki policy that answers hints",
    license: "GPL",
    with: [hints, upgrade],
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
