// SPDX-License-Identifier: GPL-2.0

//! Weighted fair queuing, after section 4.2.1 of the Enoki paper (EuroSys 2024).
//!
//! Each CPU has a queue, ordered by the tasks' *virtual run time*: the time they ran, slower for
//! those of more weight (by nice level). The task that is furthest behind runs, for its share of
//! a period of 6 ms. So over any few periods each task gets time in proportion to its weight.
//!
//! - A task that wakes up is at most half a period behind, however long it slept; it runs at once
//!   if it is far enough behind the task that runs. No task is ahead by much more than a turn.
//! - A task is placed where it last ran if that CPU is idle, else on an idle CPU of the same
//!   cache, else where the least are waiting.
//! - A CPU that runs out of tasks takes one from the longest queue.
//!
//! Virtual times of different CPUs have nothing to do with each other: when a task changes its
//! CPU, it keeps its distance to the queue's minimum.

use enoki::prelude::*;

/// The time in which each waiting task should have had its turn.
const LATENCY: Ns = Ns::from_ms(6);
/// But no turn is shorter than this, however many are waiting.
const MIN_SLICE: Ns = Ns::from_us(750);
/// The most that a task can be behind when it comes to wait.
const SLEEPER_CREDIT: Ns = Ns::from_ms(3);
/// The most that a task can be ahead, in time that it ran: a clock that has gone on while a
/// hypervisor stopped this CPU says of one that it ran for long, for which it would wait
/// as long for each of the others.
const MOST_AHEAD: Ns = Ns::from_ms(8);
/// How far a task must be behind the one that runs, to interrupt it.
const WAKEUP_MARGIN: Ns = Ns::from_ms(1);
/// The weight of nice level 0, at which virtual time passes like real time.
const NICE_0_WEIGHT: u64 = 1024;

transfer! {
    /// What we keep for each task.
    struct Entity("wfq_task", 1) {
        /// Virtual run time, on the clock of CPU `home`.
        vruntime: u64,
        /// The CPU on whose clock `vruntime` is.
        home: CpuId,
        /// The part of the task's run time that is in `vruntime`.
        charged: Ns,
        /// The weight with which it is in its queue's sum.
        weight: u64,
        /// The run time at which its turn ends.
        turn_end: Ns,
    }
}

impl Entity {
    /// Adds the time that the task has run since the last time.
    fn charge(&mut self, runtime: Ns, weight: u32) {
        let ran = runtime - self.charged;
        self.charged = runtime;
        self.vruntime = self.vruntime.wrapping_add(virtual_time(ran, weight));
    }
}

/// How much virtual time passes for a task of that weight while it runs for `ran`.
fn virtual_time(ran: Ns, weight: u32) -> u64 {
    let weight = u64::from(weight);
    if weight == NICE_0_WEIGHT {
        return ran.0;
    }
    // Weights are at least 1; and 2^54 ns, half a year, do not run at once.
    ran.0.wrapping_mul(NICE_0_WEIGHT) / weight.max(1)
}

transfer! {
    /// The task that a CPU runs, as its queue knows it.
    struct Current("wfq_current", 1) {
        /// Its virtual run time when it was picked, and when that was.
        vruntime: u64,
        since: Ns,
        weight: u32,
    }
}

transfer! {
    /// A CPU's queue.
    struct Queue("wfq_queue", 1) {
        /// The tasks that wait, by virtual run time.
        waiting: TreeQueue<Entity>,
        /// The virtual run time that none that wait here is much behind; it only grows.
        min_vruntime: u64,
        /// The sum of the weights of those that wait.
        weight: u64,
        /// What runs, if we picked it.
        current: Option<Current>,
    }
}

impl Queue {
    fn new() -> Queue {
        Queue {
            waiting: TreeQueue::new(),
            min_vruntime: 0,
            weight: 0,
            current: None,
        }
    }

    /// Brings `min_vruntime` up to now: the task that runs has run on since it was picked.
    fn advance(&mut self, now: Ns) {
        if let Some(current) = &self.current {
            let ran = virtual_time(now - current.since, current.weight);
            let vruntime = current.vruntime.wrapping_add(ran);
            let floor = self
                .waiting
                .first_key()
                .map_or(vruntime, |first| first.min(vruntime));
            self.min_vruntime = self.min_vruntime.max(floor);
        }
    }

    fn push(&mut self, mut task: Token) {
        let weight = task.info().weight();
        let least = self.min_vruntime.saturating_sub(SLEEPER_CREDIT.0);
        let most = virtual_time(MOST_AHEAD, weight).saturating_add(self.min_vruntime);
        let weight = u64::from(weight);
        let entity = task.state_mut();
        entity.weight = weight;
        entity.vruntime = entity.vruntime.max(least).min(most);
        let vruntime = entity.vruntime;
        self.weight = self.weight.wrapping_add(weight);
        self.waiting.insert(vruntime, task);
    }

    fn pop(&mut self) -> Option<Token> {
        let (vruntime, task) = self.waiting.pop_first()?;
        self.weight = self.weight.wrapping_sub(task.state().weight);
        self.min_vruntime = self.min_vruntime.max(vruntime);
        Some(task)
    }

    fn remove(&mut self, name: &TaskName<'_, Entity>) -> Option<Token> {
        let task = self.waiting.remove(name)?;
        self.weight = self.weight.wrapping_sub(task.state().weight);
        Some(task)
    }

    /// How long the task of that weight, which was just taken out, runs before the next one.
    fn slice(&self, weight: u64) -> Ns {
        let total = self.weight.wrapping_add(weight).max(1);
        Ns(LATENCY.0.wrapping_mul(weight) / total).max(MIN_SLICE)
    }
}

type Token = Schedulable<Entity>;

transfer! {
    /// The scheduler, all of which is handed over to the next version.
    struct Wfq("wfq", 1) {
        queues: CpuMap<Lock<Queue>>,
    }
}

impl Wfq {
    /// Puts a task that slept, ran, or came from elsewhere into the queue of its CPU.
    fn enqueue(&self, ctx: &mut Ctx<'_>, mut task: Token) {
        self.settle(ctx, &mut task);
        let now = ctx.now();
        let mut queue = ctx.lock(&self.queues[task.cpu()]);
        queue.advance(now);
        queue.push(task);
    }

    /// Charges a task for what it ran, and brings it to the clock of the CPU that it is on.
    fn settle(&self, ctx: &mut Ctx<'_>, task: &mut Token) {
        let (cpu, runtime, weight) = (task.cpu(), task.info().runtime(), task.info().weight());
        let entity = task.state_mut();
        entity.charge(runtime, weight);
        if entity.home != cpu {
            let there = ctx.lock(&self.queues[entity.home]).min_vruntime;
            let here = ctx.lock(&self.queues[cpu]).min_vruntime;
            // It may be ahead or behind; the sum wraps around as the difference did.
            entity.vruntime = here.wrapping_add(entity.vruntime.wrapping_sub(there));
            if entity.vruntime > u64::MAX / 2 {
                // Behind the zero of the clock here.
                entity.vruntime = here;
            }
            entity.home = cpu;
        }
    }

    /// The CPU of the same cache as `prev` on which the fewest tasks wait; an idle one if possible.
    fn least_loaded(&self, ctx: &mut Ctx<'_>, task: &Task<Entity>, prev: CpuId) -> CpuId {
        let llc = ctx.topology(prev).llc;
        let (mut best, mut fewest) = (ctx.usable_cpu(task, prev), usize::MAX);
        for cpu in ctx.cpus() {
            let usable = task.allowed_on(cpu) && ctx.cpu_active(cpu);
            if !usable || ctx.topology(cpu).llc != llc {
                continue;
            }
            if ctx.cpu_idle(cpu) {
                return cpu;
            }
            let waiting = ctx.lock(&self.queues[cpu]).waiting.len();
            if waiting < fewest || (waiting == fewest && cpu == prev) {
                (best, fewest) = (cpu, waiting);
            }
        }
        best
    }
}

impl Scheduler for Wfq {
    const NAME: &'static str = "wfq";
    const ID: u32 = 2;
    const WEIGHTED: bool = true;

    type Task = Entity;

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Wfq {
            queues: CpuMap::new_with(machine, |_| new_lock!(Queue::new()))?,
        })
    }

    fn init_task(&self, task: &TaskInfo) -> Result<Entity> {
        Ok(Entity {
            vruntime: 0,
            home: CpuId::FIRST,
            charged: task.runtime(),
            weight: 0,
            turn_end: Ns::ZERO,
        })
    }

    // A new task starts where the queue is. What it ran before it attached does not count.
    fn task_new(&self, ctx: &mut Ctx<'_>, mut task: Token) {
        let (cpu, runtime) = (task.cpu(), task.info().runtime());
        let now = ctx.now();
        let mut queue = ctx.lock(&self.queues[cpu]);
        queue.advance(now);
        let entity = task.state_mut();
        entity.charged = runtime;
        entity.home = cpu;
        entity.vruntime = queue.min_vruntime;
        queue.push(task);
    }

    fn task_wakeup(&self, ctx: &mut Ctx<'_>, task: Token, _flags: WakeFlags) {
        self.enqueue(ctx, task);
    }

    fn task_preempt(&self, ctx: &mut Ctx<'_>, task: Token) {
        self.enqueue(ctx, task);
    }

    // Gives up what is left of a turn, and at least the shortest one.
    fn task_yield(&self, ctx: &mut Ctx<'_>, mut task: Token) {
        let skipped = virtual_time(MIN_SLICE, task.info().weight());
        let entity = task.state_mut();
        entity.vruntime = entity.vruntime.wrapping_add(skipped);
        self.enqueue(ctx, task);
    }

    fn task_blocked(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, Entity>) {
        let (runtime, weight) = (task.info().runtime(), task.info().weight());
        task.state_mut().charge(runtime, weight);
        // If nobody follows, the clock stands still until somebody comes.
        let now = ctx.now();
        let mut queue = ctx.lock(&self.queues[task.cpu()]);
        queue.advance(now);
        queue.current = None;
    }

    fn select_task_rq(
        &self,
        ctx: &mut Ctx<'_>,
        task: &Task<Entity>,
        prev: CpuId,
        flags: WakeFlags,
    ) -> CpuId {
        if !flags.is_fork() && ctx.cpu_idle(prev) && task.allowed_on(prev) {
            return prev;
        }
        self.least_loaded(ctx, task, prev)
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Token>,
    ) -> Option<Runnable<'c, Entity>> {
        let cpu = ctx.cpu();
        let prev = prev.map(|mut prev| {
            self.settle(ctx, &mut prev);
            prev
        });
        let mut queue = ctx.lock(&self.queues[cpu.id()]);
        queue.current = None;
        if let Some(prev) = prev {
            queue.push(prev);
        }
        let mut task = queue.pop()?;
        queue.current = Some(Current {
            vruntime: task.state().vruntime,
            since: cpu.now(),
            weight: task.info().weight(),
        });
        let slice = queue.slice(task.state().weight);
        // Alone, it need not be interrupted; `wakeup_preempt` and `task_tick` see who comes.
        let alone = queue.waiting.is_empty();
        drop(queue);

        let turn_end = task.info().runtime() + slice;
        task.state_mut().turn_end = turn_end;
        // The task is on this CPU, so the claim does not fail.
        let next = cpu.claim(task).ok()?;
        Some(next.slice(if alone { Ns::ZERO } else { slice }))
    }

    // The turn is over if somebody waits. (One that got a slice when it was picked is interrupted
    // on time; this is for one that was alone.)
    fn task_tick(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, Entity>) -> bool {
        task.info().runtime() >= task.state().turn_end
            && !ctx.lock(&self.queues[task.cpu()]).waiting.is_empty()
    }

    fn wakeup_preempt(
        &self,
        ctx: &mut Ctx<'_>,
        curr: &mut Lent<'_, Entity>,
        _woken: TaskId,
    ) -> bool {
        let (cpu, runtime, weight) = (curr.cpu(), curr.info().runtime(), curr.info().weight());
        let entity = curr.state_mut();
        entity.charge(runtime, weight);
        let limit = entity.vruntime.saturating_sub(WAKEUP_MARGIN.0);
        let queue = ctx.lock(&self.queues[cpu]);
        queue.waiting.first_key().is_some_and(|first| first < limit)
    }

    // Names a task from the longest queue that may run here: the one that is to run there next.
    fn balance(&self, ctx: &mut Ctx<'_>) -> Option<TaskKey> {
        let here = ctx.cpu().id();
        let (mut longest, mut found) = (0, None);
        for cpu in ctx.cpus().filter(|&cpu| cpu != here) {
            let queue = ctx.lock(&self.queues[cpu]);
            if queue.waiting.len() > longest {
                let mut allowed = queue
                    .waiting
                    .iter()
                    .filter(|(_, task)| task.allowed_on(here));
                if let Some((_, task)) = allowed.next() {
                    (longest, found) = (queue.waiting.len(), Some(task.key()));
                }
            }
        }
        found
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, Entity>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.queues[cpu]).remove(&task);
        task.hand_over(found)
    }

    fn nr_queued(&self, ctx: &mut Ctx<'_>) -> Option<usize> {
        let cpu = ctx.cpu().id();
        Some(ctx.lock(&self.queues[cpu]).waiting.len())
    }

    // A task that waits goes back with its new weight. One that runs or sleeps comes with it.
    fn task_prio_changed(&self, ctx: &mut Ctx<'_>, task: &TaskName<'_, Entity>, _info: &TaskInfo) {
        let cpu = ctx.cpu().id();
        let mut queue = ctx.lock(&self.queues[cpu]);
        if let Some(task) = queue.remove(task) {
            queue.push(task);
        }
    }
}

impl Upgrade for Wfq {
    type Transfer = Wfq;

    fn reregister_prep(&mut self, _ctx: &mut Ctx<'_>) -> &mut Wfq {
        self
    }
}

module_enoki_scheduler! {
    type: Wfq,
    name: "enoki_wfq",
    authors: ["Enoki"],
    description: "A weighted fair queuing CPU scheduler",
    license: "GPL",
    with: [upgrade],
}
