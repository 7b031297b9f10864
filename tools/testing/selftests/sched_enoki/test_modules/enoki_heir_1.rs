// SPDX-License-Identifier: GPL-2.0

//! The first version of a policy whose later ones know more.

include!("heir_v1.rs");
include!("heir.rs");

const VERSION: &str = "1";

fn task_state() -> TaskState {
    TaskState { announced: 0 }
}

fn line() -> Line {
    Line {
        waiting: FifoQueue::new(),
        picks: 0,
    }
}

fn known(lines: CpuMap<Lock<Line>>) -> Known {
    Known { lines, versions: 1 }
}

module_enoki_scheduler! {
    type: Heir,
    name: "enoki_heir_1",
    authors: ["Enoki"],
    description: "An Enoki policy that is replaced, version 1",
    license: "GPL",
    with: [upgrade],
    params: {
        refuse_at: u32 {
            default: 0,
            description: "It refuses what so many versions have known",
        },
    },
}
