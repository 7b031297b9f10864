// SPDX-License-Identifier: GPL-2.0
//
// Two versions of one policy, to be replaced by each other: included by modules that say what
// their `NAME`, `ID` and `VERSION` are, whether it is handed over what they know, `KEEPS`, and what
// else they keep, `Extra`, also for each task, `TaskExtra`. `../upgrade.c` says what must come of
// it.

use enoki::prelude::*;

/// What the version that takes over does, by the module parameter `mode`.
mod mode {
    /// It refuses.
    pub(crate) const REFUSE: u32 = 1;
    /// It drops what one CPU has queued.
    pub(crate) const LOSE: u32 = 2;
    /// It takes as many ms as the parameter `slow_ms` says.
    pub(crate) const SLOW: u32 = 3;
    /// It refuses to be made.
    pub(crate) const UNMADE: u32 = 4;
    /// It refuses each task.
    pub(crate) const NO_TASKS: u32 = 5;
}

transfer! {
    /// What it keeps for each task.
    struct TaskState("relay_task", 1) {
        /// How often it was picked, by whatever version.
        picks: u64,
        /// By which version this was made.
        made_by: u64,
        extra: TaskExtra,
    }
}

/// The version, as tasks know it.
const MADE_BY: u64 = VERSION.as_bytes()[0] as u64;

type Token = Schedulable<TaskState>;

transfer! {
    /// What all versions know.
    struct Known("relay", 1) {
        queues: CpuMap<Lock<FifoQueue<TaskState>>>,
        /// How many versions have known it.
        versions: u64,
        extra: Extra,
    }
}

struct Relay {
    known: Known,
    mode: u32,
    slow_ms: u32,
}

impl Relay {
    fn enqueue(&self, ctx: &mut Ctx<'_>, task: Token) {
        ctx.lock(&self.known.queues[task.cpu()]).push_back(task);
    }
}

impl Scheduler for Relay {
    const NAME: &'static str = NAME;
    const ID: u32 = ID;
    const VERSION: &'static str = VERSION;

    type Task = TaskState;

    fn new(machine: &Machine) -> Result<Self> {
        let mode = module_parameters::mode.value();
        if mode == mode::UNMADE {
            return Err(ENODEV);
        }
        Ok(Relay {
            known: Known {
                queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
                versions: 1,
                extra: Extra::default(),
            },
            mode,
            slow_ms: module_parameters::slow_ms.value(),
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<TaskState> {
        if self.mode == mode::NO_TASKS {
            return Err(EPERM);
        }
        Ok(TaskState {
            picks: 0,
            made_by: MADE_BY,
            extra: TaskExtra::default(),
        })
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, task: Token) {
        self.enqueue(ctx, task);
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Token>,
    ) -> Option<Runnable<'c, TaskState>> {
        let cpu = ctx.cpu();
        let mut queue = ctx.lock(&self.known.queues[cpu.id()]);
        if let Some(prev) = prev {
            queue.push_back(prev);
        }
        let mut task = queue.pop_front()?;
        let state = task.state_mut();
        assert!(
            KEEPS || state.made_by == MADE_BY,
            "a token of another version"
        );
        state.picks = state.picks.wrapping_add(1);
        Some(cpu.claim(task).ok()?.slice(Ns::from_ms(2)))
    }

    fn balance(&self, ctx: &mut Ctx<'_>) -> Option<TaskKey> {
        let here = ctx.cpu().id();
        for cpu in ctx.cpus().filter(|&cpu| cpu != here) {
            let queue = ctx.lock(&self.known.queues[cpu]);
            if let Some(task) = queue.iter().find(|task| task.allowed_on(here)) {
                return Some(task.key());
            }
        }
        None
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, TaskState>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.known.queues[cpu]).remove(&task);
        task.hand_over(found)
    }

    fn nr_queued(&self, ctx: &mut Ctx<'_>) -> Option<usize> {
        let cpu = ctx.cpu().id();
        Some(ctx.lock(&self.known.queues[cpu]).len())
    }
}

impl Upgrade for Relay {
    type Transfer = Known;

    fn reregister_prep(&mut self, _ctx: &mut Ctx<'_>) -> &mut Known {
        &mut self.known
    }

    fn reregister_init(&mut self, ctx: &mut Ctx<'_>) -> Result<()> {
        self.known.versions = self.known.versions.wrapping_add(1);
        match self.mode {
            mode::REFUSE => return Err(EPERM),
            mode::LOSE => {
                for cpu in ctx.cpus() {
                    if let Some(task) = ctx.lock(&self.known.queues[cpu]).pop_front() {
                        drop(task);
                        break;
                    }
                }
            }
            mode::SLOW => {
                // There is no clock here that goes on within a call; so many turns take long.
                for turn in 0..u64::from(self.slow_ms) * 1_000_000 {
                    core::hint::black_box(turn);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
