// SPDX-License-Identifier: GPL-2.0

//! A policy that does not do the same twice: how long a slice is follows from an address.
//!
//! Nothing keeps a policy from looking at one, and no recording has them. To be found out when a
//! recording is run again.

use enoki::prelude::*;

struct Fickle {
    queues: CpuMap<Lock<FifoQueue<()>>>,
}

impl Scheduler for Fickle {
    const NAME: &'static str = "fickle";
    const ID: u32 = 69;

    type Task = ();

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Fickle {
            queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
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
        let mut queue = ctx.lock(&self.queues[cpu.id()]);
        if let Some(prev) = prev {
            queue.push_back(prev);
        }
        let task = queue.pop_front()?;
        let address = (&raw const *self) as usize as u64;
        Some(
            cpu.claim(task)
                .ok()?
                .slice(Ns(1_000_000 + address % (1 << 40))),
        )
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, ()>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.queues[cpu]).remove(&task);
        task.hand_over(found)
    }
}

module_enoki_scheduler! {
    type: Fickle,
    name: "enoki_fickle",
    authors: ["Enoki"],
    description: "An Enoki policy that does not do the same twice",
    license: "GPL",
}
