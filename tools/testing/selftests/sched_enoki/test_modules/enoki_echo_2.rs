// SPDX-License-Identifier: GPL-2.0

//! The next version of it, which goes on where the first one stopped.

include!("echo.rs");

const VERSION: &str = "2";

impl Upgrade for Echo {
    type Transfer = Known;

    fn reregister_prep(&mut self, _ctx: &mut Ctx<'_>) -> &mut Known {
        &mut self.known
    }
}

module_enoki_scheduler! {
    type: Echo,
    name: "enoki_echo_2",
    authors: ["Enoki"],
    description: "An Enoki policy that answers hints, version 2",
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
