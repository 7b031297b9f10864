// SPDX-License-Identifier: GPL-2.0
//
// What the first version of the policy in heir.rs keeps, for it and for those that know both forms.

use enoki::prelude::*;

transfer! {
    /// What it keeps for each task.
    pub(crate) struct TaskState("heir_task", 1) {
        /// How often the task was announced by `task_new`, to whatever version.
        pub(crate) announced: u64,
    }
}

transfer! {
    /// What it keeps for each CPU.
    pub(crate) struct Line("heir_line", 1) {
        pub(crate) waiting: FifoQueue<TaskState>,
        /// How many tasks were picked here.
        pub(crate) picks: u64,
    }
}

transfer! {
    /// All that it knows.
    pub(crate) struct Known("heir", 1) {
        pub(crate) lines: CpuMap<Lock<Line>>,
        /// How many versions have known it.
        pub(crate) versions: u64,
    }
}
