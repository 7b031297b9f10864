// SPDX-License-Identifier: GPL-2.0

// A policy that does what policies may. Its NAME and ID stand with the imports in the file that
// includes this one.

type Token = Schedulable<u64>;

struct Ok1 {
    queues: CpuMap<Lock<TreeQueue<u64>>>,
    places: CpuMap<Topology>,
}

impl Scheduler for Ok1 {
    const NAME: &'static str = NAME;
    const ID: u32 = ID;
    const VERSION: &'static str = "0.1";
    const TIMERS: u32 = 64;

    type Task = u64;

    fn new(machine: &Machine) -> Result<Self> {
        if machine.nr_cpu_ids() == 0 {
            return Err(EINVAL);
        }
        Ok(Ok1 {
            queues: CpuMap::new_with(machine, |_| new_lock!(TreeQueue::new()))?,
            places: CpuMap::new_with(machine, |cpu| Ok(machine.topology(cpu)))?,
        })
    }

    fn init_task(&self, task: &TaskInfo) -> Result<u64> {
        if task.is_kthread() {
            Err(EPERM)
        } else {
            Ok(0)
        }
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, mut task: Token) {
        *task.state_mut() += 1;
        log!(ctx, "task {} at {} ns", task.id().as_u64(), ctx.now().0);
        let key = *task.state();
        ctx.lock(&self.queues[task.cpu()]).insert(key, task);
        let delay = Ns::from_us(module_parameters::delay_us.value());
        if ctx.arm_timer(3, delay).is_err() {
            ctx.cancel_timer(3);
        }
    }

    fn task_wakeup(&self, ctx: &mut Ctx<'_>, task: Token, flags: WakeFlags) {
        let key = u64::from(flags.is_sync());
        let place = self.places[task.cpu()];
        ctx.lock(&self.queues[task.cpu()]).insert(key, task);
        ctx.resched(place.core);
    }

    fn task_preempt(&self, ctx: &mut Ctx<'_>, task: Token) {
        ctx.lock(&self.queues[task.cpu()]).insert(0, task);
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Token>,
    ) -> Option<Runnable<'c, u64>> {
        let cpu = ctx.cpu();
        let mut queue = ctx.lock(&self.queues[cpu.id()]);
        if let Some(prev) = prev {
            queue.insert(1, prev);
        }
        let (_, task) = queue.pop_first()?;
        match cpu.claim(task) {
            Ok(runnable) => Some(runnable.slice(Ns::from_us(5))),
            Err(task) => {
                queue.insert(2, task);
                None
            }
        }
    }

    fn task_tick(&self, _ctx: &mut Ctx<'_>, task: &mut Lent<'_, u64>) -> bool {
        *task.state_mut() += 1;
        true
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, u64>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.queues[cpu]).remove(&task);
        match found {
            Some(token) => match task.release(token) {
                Ok(moved) => moved,
                Err((task, _token)) => task.lost(),
            },
            None => task.lost(),
        }
    }
}

module_enoki_scheduler! {
    type: Ok1,
    name: "enoki_ok",
    authors: ["Enoki"],
    description: "A control",
    license: "GPL",
    params: {
        delay_us: u64 {
            default: 50,
            description: "When the timer fires, in µs",
        },
    },
}
