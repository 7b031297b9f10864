// SPDX-License-Identifier: GPL-2.0

// A policy that does nothing that it must not, but for what wake() does, which stands with
// the imports in the file that includes this one.

struct Policy {
    queues: CpuMap<Lock<FifoQueue<u64>>>,
    table: [u64; 4],
    spare: Lock<Option<Lock<u64>>>,
}

impl Scheduler for Policy {
    const NAME: &'static str = "gate";
    const ID: u32 = 90;

    type Task = u64;

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Policy {
            queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
            table: [1, 2, 3, 4],
            spare: new_lock!(Some(new_lock!(0)?))?,
        })
    }

    fn init_task(&self, task: &TaskInfo) -> Result<u64> {
        Ok(task.weight().into())
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, task: Schedulable<u64>) {
        log!(ctx, "task {} of {:?}", task.id().as_u64(), task.cpu());
        ctx.lock(&self.queues[task.cpu()]).push_back(task);
    }

    fn task_wakeup(&self, ctx: &mut Ctx<'_>, task: Schedulable<u64>, flags: WakeFlags) {
        let _ = (&self.table, &self.spare, flags);
        wake(self, ctx, &task);
        ctx.lock(&self.queues[task.cpu()]).push_back(task);
    }

    fn task_preempt(&self, ctx: &mut Ctx<'_>, task: Schedulable<u64>) {
        ctx.lock(&self.queues[task.cpu()]).push_back(task);
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Schedulable<u64>>,
    ) -> Option<Runnable<'c, u64>> {
        let cpu = ctx.cpu();
        let mut queue = ctx.lock(&self.queues[cpu.id()]);
        prev.into_iter().for_each(|task| queue.push_back(task));
        cpu.claim(queue.pop_front()?).ok()
    }

    fn task_tick(&self, _ctx: &mut Ctx<'_>, _task: &mut Lent<'_, u64>) -> bool {
        true
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, u64>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.queues[cpu]).remove(&task);
        task.hand_over(found)
    }
}

module_enoki_scheduler! {
    type: Policy,
    name: "gate",
    authors: ["Enoki"],
    description: "A policy to test the gate with",
    license: "GPL",
}
