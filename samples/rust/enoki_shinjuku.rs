// SPDX-License-Identifier: GPL-2.0

//! A CPU scheduler for short requests among long ones: first come, first served, in turns of 10 us.
//!
//! The Shinjuku scheduler of the Enoki paper (section 4.2.2), after the operating system of that
//! name (Kaffes et al., NSDI'19): where a few requests take thousands of times as long as most, a
//! short one that waits for a long one to end is what makes the tail of the latencies. So each
//! task is stopped after some microseconds and goes to the back of the queue. A request that needs
//! less is done in its first turn, whatever runs beside it, and none has to say which kind it is.
//!
//! The one queue of the original would be a lock for all CPUs. Here it is approximated by a queue
//! for each: a task that wakes up goes where the fewest are, and a CPU without work takes the first
//! of the longest queue.
//!
//! What it is not for: tasks that compute. Each turn costs a switch, and what is in the caches.
//! Nice levels and `cpu.weight` change the length of turns only as the class does it for groups.

use enoki::prelude::*;

/// How long turns may be made, in us; see the parameter `slice_us`.
const SLICES_US: core::ops::RangeInclusive<u32> = 5..=1000;

/// There is nothing to know of a task: that is the point.
type Token = Schedulable<()>;

transfer! {
    /// A CPU's queue.
    struct Queue("shinjuku_queue", 1) {
        /// Those that wait, in the order in which they came or were stopped.
        waiting: FifoQueue<()>,
        /// The one that we picked, while it may still run.
        running: Option<TaskId>,
    }
}

impl Queue {
    /// How many tasks of ours the CPU has.
    fn len(&self) -> usize {
        let running: usize = self.running.is_some().into();
        self.waiting.len().saturating_add(running)
    }

    /// A task does not run any more.
    fn stopped(&mut self, id: TaskId) {
        self.running = self.running.filter(|&running| running != id);
    }
}

transfer! {
    /// What the next version gets; how long its turns are its own parameter says.
    struct Known("shinjuku", 1) {
        queues: CpuMap<Lock<Queue>>,
    }
}

/// The scheduler.
struct Shinjuku {
    known: Known,
    slice: Ns,
}

impl Scheduler for Shinjuku {
    const NAME: &'static str = "shinjuku";
    const ID: u32 = 3;

    type Task = ();

    fn new(machine: &Machine) -> Result<Self> {
        let slice_us = module_parameters::slice_us.value();
        if !SLICES_US.contains(&slice_us) {
            return Err(EINVAL);
        }
        let queues = CpuMap::new_with(machine, |_| {
            new_lock!(Queue {
                waiting: FifoQueue::new(),
                running: None,
            })
        })?;
        Ok(Shinjuku {
            known: Known { queues },
            slice: Ns::from_us(slice_us.into()),
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<()> {
        Ok(())
    }

    // And one that woke up, or that another class has taken the CPU from: its turn is over.
    fn task_new(&self, ctx: &mut Ctx<'_>, task: Token) {
        let mut queue = ctx.lock(&self.known.queues[task.cpu()]);
        queue.stopped(task.id());
        queue.waiting.push_back(task);
    }

    fn task_blocked(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, ()>) {
        ctx.lock(&self.known.queues[task.cpu()]).stopped(task.id());
    }

    fn task_departed(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, ()>) {
        ctx.lock(&self.known.queues[task.cpu()]).stopped(task.id());
    }

    // Where the fewest are, of equals where it was: none at all if there is such a CPU. A CPU that
    // runs other classes' tasks counts as free, for ours come first there.
    fn select_task_rq(
        &self,
        ctx: &mut Ctx<'_>,
        task: &Task<()>,
        prev: CpuId,
        _flags: WakeFlags,
    ) -> CpuId {
        let mut best = ctx.usable_cpu(task, prev);
        let mut fewest = ctx.lock(&self.known.queues[best]).len();
        for cpu in ctx.cpus() {
            if fewest == 0 {
                break;
            }
            if task.allowed_on(cpu) && ctx.cpu_active(cpu) {
                let len = ctx.lock(&self.known.queues[cpu]).len();
                if len < fewest {
                    (best, fewest) = (cpu, len);
                }
            }
        }
        best
    }

    // The turn of `prev` is over. If it is alone the class lets it run on until another one comes.
    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Token>,
    ) -> Option<Runnable<'c, ()>> {
        let cpu = ctx.cpu();
        let mut queue = ctx.lock(&self.known.queues[cpu.id()]);
        if let Some(prev) = prev {
            queue.waiting.push_back(prev);
        }
        let next = queue.waiting.pop_front();
        queue.running = next.as_ref().map(|task| task.id());
        // The task is on this CPU, so the claim does not fail.
        Some(cpu.claim(next?).ok()?.slice(self.slice))
    }

    // The first of the longest queue that may run here.
    fn balance(&self, ctx: &mut Ctx<'_>) -> Option<TaskKey> {
        let here = ctx.cpu().id();
        let (mut longest, mut found) = (0, None);
        for cpu in ctx.cpus().filter(|&cpu| cpu != here) {
            let queue = ctx.lock(&self.known.queues[cpu]);
            if queue.waiting.len() > longest {
                if let Some(task) = queue.waiting.iter().find(|task| task.allowed_on(here)) {
                    (longest, found) = (queue.waiting.len(), Some(task.key()));
                }
            }
        }
        found
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, ()>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.known.queues[cpu]).waiting.remove(&task);
        task.hand_over(found)
    }

    fn nr_queued(&self, ctx: &mut Ctx<'_>) -> Option<usize> {
        let cpu = ctx.cpu().id();
        Some(ctx.lock(&self.known.queues[cpu]).waiting.len())
    }
}

impl Upgrade for Shinjuku {
    type Transfer = Known;

    fn reregister_prep(&mut self, _ctx: &mut Ctx<'_>) -> &mut Known {
        &mut self.known
    }
}

module_enoki_scheduler! {
    type: Shinjuku,
    name: "enoki_shinjuku",
    authors: ["Enoki"],
    description: "A CPU scheduler that is first come, first served in very short turns",
    license: "GPL",
    with: [upgrade],
    params: {
        slice_us: u32 {
            default: 10,
            description: "How long a turn is, 5 to 1000 us",
        },
    },
}
