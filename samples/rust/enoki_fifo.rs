// SPDX-License-Identifier: GPL-2.0

//! A first-in, first-out CPU scheduler, the smallest useful Enoki policy.
//!
//! Each CPU has a queue. A task runs for a slice of 3 ms, then goes to the end of its queue. A CPU
//! with an empty queue takes a task from the longest one.

use enoki::prelude::*;

/// How long a task runs before it is the next one's turn.
const SLICE: Ns = Ns::from_ms(3);

/// What we keep for each task: the run time at which its turn ends.
type State = Ns;
/// The right to run a task, once. Whoever has it can neither copy nor make one.
type Token = Schedulable<State>;

/// The scheduler: a queue for each CPU, behind a lock.
struct Fifo {
    queues: CpuMap<Lock<FifoQueue<State>>>,
}

impl Fifo {
    /// Puts a task at the end of the queue of the CPU that it is on.
    fn enqueue(&self, ctx: &mut Ctx<'_>, task: Token) {
        ctx.lock(&self.queues[task.cpu()]).push_back(task);
    }
}

impl Scheduler for Fifo {
    const NAME: &'static str = "fifo";
    const ID: u32 = 1;

    type Task = State;

    // Called when the module is loaded. Here memory can be allocated.
    fn new(machine: &Machine) -> Result<Self> {
        Ok(Fifo {
            queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
        })
    }

    // A task is about to join us. We could refuse it.
    fn init_task(&self, _task: &TaskInfo) -> Result<State> {
        Ok(Ns::ZERO)
    }

    // We get a task's token whenever it is ready to run: because it is new, ...
    fn task_new(&self, ctx: &mut Ctx<'_>, task: Token) {
        self.enqueue(ctx, task);
    }

    // ... because it woke up, ...
    fn task_wakeup(&self, ctx: &mut Ctx<'_>, task: Token, _flags: WakeFlags) {
        self.enqueue(ctx, task);
    }

    // ... or because it ran and was stopped.
    fn task_preempt(&self, ctx: &mut Ctx<'_>, task: Token) {
        self.enqueue(ctx, task);
    }

    // What should this CPU run now? `prev` ran there until now, if it still could run on.
    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Token>,
    ) -> Option<Runnable<'c, State>> {
        let cpu = ctx.cpu();
        let mut queue = ctx.lock(&self.queues[cpu.id()]);
        if let Some(prev) = prev {
            queue.push_back(prev);
        }
        let mut task = queue.pop_front()?;
        // Alone, it need not be interrupted.
        let slice = if queue.is_empty() { Ns::ZERO } else { SLICE };
        *task.state_mut() = task.info().runtime() + SLICE;
        // The task is on this CPU, so the claim does not fail.
        Some(cpu.claim(task).ok()?.slice(slice))
    }

    // The timer interrupt: should the CPU pick again? Yes, if the turn is over and others wait.
    fn task_tick(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, State>) -> bool {
        task.info().runtime() >= *task.state() && !ctx.lock(&self.queues[task.cpu()]).is_empty()
    }

    // This CPU has nothing to run. Name a task from the longest queue that may run here.
    fn balance(&self, ctx: &mut Ctx<'_>) -> Option<TaskKey> {
        let here = ctx.cpu().id();
        let (mut longest, mut found) = (0, None);
        for cpu in ctx.cpus().filter(|&cpu| cpu != here) {
            let queue = ctx.lock(&self.queues[cpu]);
            if queue.len() > longest {
                if let Some(task) = queue.iter().find(|task| task.allowed_on(here)) {
                    (longest, found) = (queue.len(), Some(task.key()));
                }
            }
        }
        found
    }

    // The kernel wants a token back that is in our queue, for instance because it moves the task.
    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, State>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.queues[cpu]).remove(&task);
        task.hand_over(found)
    }

    // The kernel compares this with what it has given us: have we forgotten anybody?
    fn nr_queued(&self, ctx: &mut Ctx<'_>) -> Option<usize> {
        let cpu = ctx.cpu().id();
        Some(ctx.lock(&self.queues[cpu]).len())
    }
}

module_enoki_scheduler! {
    type: Fifo,
    name: "enoki_fifo",
    authors: ["Enoki"],
    description: "A first-in, first-out CPU scheduler",
    license: "GPL",
}
