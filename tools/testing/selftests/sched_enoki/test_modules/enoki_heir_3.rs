// SPDX-License-Identifier: GPL-2.0

//! The third version of it, which keeps more for each task. It knows the first one's form only.

use core::mem;
use enoki::prelude::*;

mod v1 {
    include!("heir_v1.rs");
}

include!("heir.rs");

const VERSION: &str = "3";

transfer! {
    /// What it keeps for each task.
    struct TaskState("heir_task", 3) {
        /// How often this version met it.
        met: u64,
        announced: u64,
    }
}

transfer! {
    /// What it keeps for each CPU.
    struct Line("heir_line", 3) {
        waiting: FifoQueue<TaskState>,
        picks: u64,
    }
}

transfer! {
    /// All that it knows.
    struct Known("heir", 3) {
        lines: CpuMap<Lock<Line>>,
        versions: u64,
    }
}

// The queues stay, as their tasks are not the same.
impl Exchange<v1::Known> for Known {
    fn exchange(&mut self, older: &mut v1::Known) {
        mem::swap(&mut self.versions, &mut older.versions);
        for (ours, theirs) in self.lines.iter_mut().zip(older.lines.iter_mut()) {
            mem::swap(&mut ours.get_mut().picks, &mut theirs.get_mut().picks);
        }
    }
}

impl From<&v1::TaskState> for TaskState {
    fn from(old: &v1::TaskState) -> TaskState {
        TaskState {
            met: 1,
            announced: old.announced,
        }
    }
}

impl From<&TaskState> for v1::TaskState {
    fn from(new: &TaskState) -> v1::TaskState {
        v1::TaskState {
            announced: new.announced,
        }
    }
}

fn task_state() -> TaskState {
    TaskState {
        met: 0,
        announced: 0,
    }
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
    name: "enoki_heir_3",
    authors: ["Enoki"],
    description: "An Enoki policy that is replaced, version 3",
    license: "GPL",
    with: [upgrade],
    older: [(v1::Known, v1::TaskState)],
    params: {
        refuse_at: u32 {
            default: 0,
            description: "It refuses what so many versions have known",
        },
    },
}
