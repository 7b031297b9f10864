// SPDX-License-Identifier: GPL-2.0

// A policy that is replaced, and does nothing that it must not, but for what taken_over() or the
// conversions from its first version and to it do, which stand in the file that includes this one.

mod v1 {
    use enoki::prelude::*;

    transfer! {
        /// All that it had.
        pub(super) struct Policy("gate", 1) {
            pub(super) queues: CpuMap<Lock<FifoQueue<()>>>,
        }
    }
}

transfer! {
    /// All that it has.
    struct Policy("gate", 2) {
        queues: CpuMap<Lock<FifoQueue<()>>>,
        spare: Option<Lock<u64>>,
    }
}

impl Scheduler for Policy {
    const NAME: &'static str = "gate";
    const ID: u32 = 90;

    type Task = ();

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Policy {
            queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
            spare: Some(new_lock!(0)?),
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

impl Upgrade for Policy {
    type Transfer = Policy;

    fn reregister_prep(&mut self, _ctx: &mut Ctx<'_>) -> &mut Policy {
        self
    }

    fn reregister_init(&mut self, _ctx: &mut Ctx<'_>) -> Result<()> {
        taken_over(self);
        Ok(())
    }
}

module_enoki_scheduler! {
    type: Policy,
    name: "gate",
    authors: ["Enoki"],
    description: "A policy to test the gate with",
    license: "GPL",
    with: [upgrade],
    older: [(v1::Policy)],
}
