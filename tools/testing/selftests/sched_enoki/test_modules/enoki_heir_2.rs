// SPDX-License-Identifier: GPL-2.0

//! The second version of it, which has something more for all tasks together.

use enoki::prelude::*;

mod v1 {
    include!("heir_v1.rs");
}

use v1::{Line, TaskState};

include!("heir.rs");

const VERSION: &str = "2";

transfer! {
    /// All that it knows.
    struct Known("heir", 2) {
        lines: CpuMap<Lock<Line>>,
        versions: u64,
        /// Which version was the first one to know it in this form.
        first: u64,
    }
}

impl From<v1::Known> for Known {
    fn from(old: v1::Known) -> Known {
        Known {
            lines: old.lines,
            versions: old.versions,
            first: old.versions,
        }
    }
}

impl From<Known> for v1::Known {
    fn from(new: Known) -> v1::Known {
        v1::Known {
            lines: new.lines,
            versions: new.versions,
        }
    }
}

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
    Known {
        lines,
        versions: 1,
        first: 1,
    }
}

module_enoki_scheduler! {
    type: Heir,
    name: "enoki_heir_2",
    authors: ["Enoki"],
    description: "An Enoki policy that is replaced, version 2",
    license: "GPL",
    with: [upgrade],
    older: [(v1::Known)],
    params: {
        refuse_at: u32 {
            default: 0,
            description: "It refuses what so many versions have known",
        },
    },
}
