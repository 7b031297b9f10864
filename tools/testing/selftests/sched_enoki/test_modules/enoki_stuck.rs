// SPDX-License-Identifier: GPL-2.0

//! A policy that does not leave a call: on one CPU, and once, it hangs for some time or panics.
//! The types cannot forbid the one, and what forbids the other is the look at the object code that
//! the sample policies get and this one does not. `../stuck.c` and `../panics.c` see what becomes
//! of the rest of the machine.

use enoki::prelude::*;
use kernel::debugfs::{Dir, File};
use kernel::init::InPlaceInit;
use kernel::prelude::{KBox, Pin, GFP_KERNEL};
use kernel::sync::atomic::{Atomic, Relaxed};
use kernel::time::{Delta, Instant, Monotonic};

/// How long a turn is.
const SLICE: Ns = Ns::from_ms(1);

struct Stuck {
    queues: CpuMap<Lock<FifoQueue<()>>>,
    /// Where it happens, until it has.
    trap: Lock<Option<u32>>,
    /// For how long at most; to panic takes none.
    hang_ms: u32,
    /// Whoever looks on has seen enough once this is not 0.
    seen: Pin<KBox<File<Atomic<u32>>>>,
}

impl Stuck {
    /// Is it to happen now?
    fn springs(&self, ctx: &mut Ctx<'_>) -> bool {
        let cpu = ctx.cpu().id().as_u32();
        let mut trap = ctx.lock(&self.trap);
        let springs = *trap == Some(cpu);
        *trap = trap.filter(|_| !springs);
        springs
    }

    fn hang(&self) {
        let begin = Instant::<Monotonic>::now();
        if self.hang_ms == 0 {
            panic!("this policy was asked to");
        }
        let limit = Delta::from_millis(self.hang_ms.into());
        while self.seen.load(Relaxed) == 0 && begin.elapsed() < limit {
            core::hint::spin_loop();
        }
    }
}

impl Scheduler for Stuck {
    const NAME: &'static str = "stuck";
    const ID: u32 = 71;

    type Task = ();

    fn new(machine: &Machine) -> Result<Self> {
        // The file keeps its directory.
        let dir = Dir::new(c"enoki_stuck");
        let seen = KBox::pin_init(dir.read_write_file(c"seen", Atomic::new(0)), GFP_KERNEL)?;
        Ok(Stuck {
            queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
            trap: new_lock!(Some(module_parameters::trap_cpu.value()))?,
            hang_ms: module_parameters::hang_ms.value(),
            seen,
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<()> {
        Ok(())
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, task: Schedulable<()>) {
        ctx.lock(&self.queues[task.cpu()]).push_back(task);
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Schedulable<()>>,
    ) -> Option<Runnable<'c, ()>> {
        let cpu = ctx.cpu();
        if let Some(prev) = prev {
            let mut queue = ctx.lock(&self.queues[cpu.id()]);
            let waits = !queue.is_empty();
            queue.push_back(prev);
            drop(queue);
            // Not in the idle task, without which there is no CPU, and not before both of two
            // tasks are there: nothing can be put on the CPU any more.
            if waits && self.springs(ctx) {
                self.hang();
            }
        }
        let task = ctx.lock(&self.queues[cpu.id()]).pop_front()?;
        Some(cpu.claim(task).ok()?.slice(SLICE))
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, ()>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.queues[cpu]).remove(&task);
        task.hand_over(found)
    }
}

module_enoki_scheduler! {
    type: Stuck,
    name: "enoki_stuck",
    authors: ["Enoki"],
    description: "An Enoki policy that does not leave a call",
    license: "GPL",
    params: {
        trap_cpu: u32 {
            default: 0,
            description: "On which CPU it gets stuck",
        },
        hang_ms: u32 {
            default: 0,
            description: "For how long at most, if nobody writes seen; 0 to panic",
        },
    },
}
