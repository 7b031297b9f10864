// SPDX-License-Identifier: GPL-2.0

//! A policy that does everything by the clock: round robin whose turns end by short slices, or by
//! a timer that has all CPUs pick again. `../timing.c` says what must come of it.

use enoki::prelude::*;

type Queue = Lock<FifoQueue<()>>;

struct Clockwork {
    queues: CpuMap<Queue>,
    slice: Ns,
    kick: Ns,
}

impl Clockwork {
    fn enqueue(&self, ctx: &mut Ctx<'_>, task: Schedulable<()>) {
        ctx.lock(&self.queues[task.cpu()]).push_back(task);
    }

    fn wind(&self, ctx: &mut Ctx<'_>, timer: u32) {
        if self.kick > Ns::ZERO {
            // Refused when the policy is being removed.
            let _ = ctx.arm_timer(timer, self.kick);
        }
    }
}

impl Scheduler for Clockwork {
    const NAME: &'static str = "clockwork";
    const ID: u32 = 67;
    const TIMERS: u32 = 2;

    type Task = ();

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Clockwork {
            queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
            slice: Ns::from_us(module_parameters::slice_us.value().into()),
            kick: Ns::from_us(module_parameters::kick_us.value().into()),
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<()> {
        Ok(())
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, task: Schedulable<()>) {
        self.wind(ctx, 0);
        self.enqueue(ctx, task);
    }

    fn task_wakeup(&self, ctx: &mut Ctx<'_>, task: Schedulable<()>, _flags: WakeFlags) {
        self.enqueue(ctx, task);
    }

    fn task_preempt(&self, ctx: &mut Ctx<'_>, task: Schedulable<()>) {
        self.enqueue(ctx, task);
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Schedulable<()>>,
    ) -> Option<Runnable<'c, ()>> {
        let cpu = ctx.cpu();
        let mut queue = ctx.lock(&self.queues[cpu.id()]);
        if let Some(prev) = prev {
            queue.push_back(prev);
        }
        let task = queue.pop_front()?;
        Some(cpu.claim(task).ok()?.slice(self.slice))
    }

    // Each one winds the other up, for ever.
    fn timer_fired(&self, ctx: &mut Ctx<'_>, timer: u32) {
        self.wind(ctx, 1 - timer.min(1));
        for cpu in ctx.cpus() {
            ctx.resched(cpu);
        }
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, ()>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.queues[cpu]).remove(&task);
        task.hand_over(found)
    }
}

module_enoki_scheduler! {
    type: Clockwork,
    name: "enoki_clockwork",
    authors: ["Enoki"],
    description: "An Enoki policy that does everything by the clock",
    license: "GPL",
    params: {
        slice_us: u32 {
            default: 0,
            description: "Slice of each turn in µs, 0 for none",
        },
        kick_us: u32 {
            default: 0,
            description: "Time between kicks of all CPUs in µs, 0 for none",
        },
    },
}
