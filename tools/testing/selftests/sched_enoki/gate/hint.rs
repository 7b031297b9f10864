// SPDX-License-Identifier: GPL-2.0
//@ expect: a_pointer by a panic
//! Indexes an array by what a hint says. (The gate knows calls that not every policy has as
//! functions that data points to.)

use enoki::prelude::*;

hint! {
    /// A place in a table.
    struct Spot("gate_spot", 1) {
        at: u64,
    }
}

struct Policy {
    queues: CpuMap<Lock<FifoQueue<()>>>,
    table: Lock<[u64; 4]>,
}

impl Scheduler for Policy {
    const NAME: &'static str = "gate";
    const ID: u32 = 90;

    type Task = ();

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Policy {
            queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
            table: new_lock!([0; 4])?,
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
        prev.into_iter().for_each(|task| queue.push_back(task));
        cpu.claim(queue.pop_front()?).ok()
    }

    fn task_tick(&self, _ctx: &mut Ctx<'_>, _task: &mut Lent<'_, ()>) -> bool {
        true
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, ()>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.queues[cpu]).remove(&task);
        task.hand_over(found)
    }
}

impl Hinted for Policy {
    type UserHint = Spot;
    type RevHint = Spot;

    fn parse_hint(
        &self,
        ctx: &mut Ctx<'_>,
        queue: QueueId<Spot>,
        hint: &Spot,
        _about: About<'_, ()>,
    ) -> Result<()> {
        let at = ctx.lock(&self.table)[hint.at as usize];
        ctx.send(queue, &Spot { at }).map_err(|_| ENOSPC)
    }
}

module_enoki_scheduler! {
    type: Policy,
    name: "gate",
    authors: ["Enoki"],
    description: "A policy to test the gate with",
    license: "GPL",
    with: [hints],
}
