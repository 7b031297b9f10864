// SPDX-License-Identifier: GPL-2.0

//! A CPU scheduler for threads that share data: those of one place run on one CPU.
//!
//! The locality-aware scheduler of the Enoki paper (section 4.2.3). A program says by a hint which
//! place each of its threads belongs to, a number of its own choice that means nothing to other
//! programs. Threads of one place run on one CPU, where they find each other's data in the caches
//! and wake each other up without an interrupt; those of other places run on other CPUs, as long as
//! there are enough. If too many wait on the CPU of a place, the next one goes where it would
//! without a hint: to a CPU that has nothing to do, or else where it was; first in, first out on
//! each.
//!
//! What it is not for: programs that say nothing, which [`enoki_wfq`](enoki_wfq.rs) serves better;
//! and places whose threads have more work than one CPU can do.

use enoki::prelude::*;

/// How long a task runs before it is the next one's turn.
const SLICE: Ns = Ns::from_ms(3);

hint! {
    /// Where a thread belongs.
    pub struct Place("locality_place", 1) {
        /// The place; 0 for none.
        pub place: u64,
    }
}

/// What we keep for each task: the CPU of its place, if it has one.
type State = Option<CpuId>;
/// A place of a client's; another one may use the same number for a place of its own.
type Name = (QueueId<NoHint>, u64);

/// Whose a CPU is.
#[derive(Default)]
struct Home {
    place: Option<Name>,
    /// How many tasks of it there are.
    tasks: usize,
}

/// The scheduler.
struct Locality {
    queues: CpuMap<Lock<FifoQueue<State>>>,
    homes: Lock<CpuMap<Home>>,
    most: usize,
}

impl Locality {
    /// A task leaves its place, if it has one, for another one or for none.
    fn settle(&self, ctx: &mut Ctx<'_>, state: &mut State, place: Option<Name>) {
        if let Some(cpu) = state.take() {
            let home = &mut ctx.lock(&self.homes)[cpu];
            home.tasks = home.tasks.saturating_sub(1);
            // The last one leaves it to others.
            home.place = home.place.filter(|_| home.tasks != 0);
        }
        let Some(place) = place else { return };
        // The CPU of the place, or else one that is nobody's.
        let free = ctx
            .cpus()
            .find(|&cpu| ctx.cpu_active(cpu) && ctx.lock(&self.homes)[cpu].place.is_none());
        let mut cpus = ctx.cpus();
        let mut homes = ctx.lock(&self.homes);
        let found = cpus.find(|&cpu| homes[cpu].place == Some(place));
        *state = found.or(free.filter(|&cpu| homes[cpu].place.is_none()));
        if let Some(cpu) = *state {
            homes[cpu].place = Some(place);
            homes[cpu].tasks = homes[cpu].tasks.saturating_add(1);
        }
    }
}

impl Scheduler for Locality {
    const NAME: &'static str = "locality";
    const ID: u32 = 4;

    type Task = State;

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Locality {
            queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
            homes: new_lock!(CpuMap::new_with(machine, |_| Ok(Home::default()))?)?,
            most: module_parameters::most.value() as usize,
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<State> {
        Ok(None)
    }

    // And whenever else it is ready to run.
    fn task_new(&self, ctx: &mut Ctx<'_>, task: Schedulable<State>) {
        ctx.lock(&self.queues[task.cpu()]).push_back(task);
    }

    // And when it leaves the policy.
    fn task_dead(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, State>) {
        self.settle(ctx, task.state_mut(), None);
    }

    // To the CPU of its place, even if it has to wait there and others are idle.
    fn select_task_rq(
        &self,
        ctx: &mut Ctx<'_>,
        task: &Task<State>,
        prev: CpuId,
        _flags: WakeFlags,
    ) -> CpuId {
        let usable = |&home: &CpuId| task.allowed_on(home) && ctx.cpu_active(home);
        match task.state().filter(usable) {
            Some(home) if ctx.lock(&self.queues[home]).len() < self.most => home,
            _ => ctx.idle_cpu(task, prev),
        }
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Schedulable<State>>,
    ) -> Option<Runnable<'c, State>> {
        let cpu = ctx.cpu();
        let mut queue = ctx.lock(&self.queues[cpu.id()]);
        if let Some(prev) = prev {
            queue.push_back(prev);
        }
        Some(cpu.claim(queue.pop_front()?).ok()?.slice(SLICE))
    }

    // Who belongs here waits for nobody's slice: what it is told is in the caches now.
    fn wakeup_preempt(&self, ctx: &mut Ctx<'_>, _: &mut Lent<'_, State>, woken: TaskId) -> bool {
        let here = ctx.cpu().id();
        let belongs = |task: &Task<State>| task.id() == woken && *task.state() == Some(here);
        ctx.lock(&self.queues[here]).iter().any(belongs)
    }

    // One without a place, or from where too many wait.
    fn balance(&self, ctx: &mut Ctx<'_>) -> Option<TaskKey> {
        let here = ctx.cpu().id();
        for cpu in ctx.cpus().filter(|&cpu| cpu != here) {
            let queue = ctx.lock(&self.queues[cpu]);
            let crowded = queue.len() > self.most;
            let goes = |task: &&Task<State>| crowded || task.state().is_none();
            if let Some(task) = queue.iter().filter(goes).find(|task| task.allowed_on(here)) {
                return Some(task.key());
            }
        }
        None
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, State>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.queues[cpu]).remove(&task);
        task.hand_over(found)
    }

    fn nr_queued(&self, ctx: &mut Ctx<'_>) -> Option<usize> {
        let cpu = ctx.cpu().id();
        Some(ctx.lock(&self.queues[cpu]).len())
    }
}

impl Hinted for Locality {
    type UserHint = Place;
    type RevHint = NoHint;

    // A task that runs or waits goes to its place when it wakes up the next time.
    fn parse_hint(
        &self,
        ctx: &mut Ctx<'_>,
        queue: QueueId<NoHint>,
        hint: &Place,
        about: About<'_, State>,
    ) -> Result<()> {
        let place = (hint.place != 0).then_some((queue, hint.place));
        match about {
            About::Nobody => return Err(EINVAL),
            About::Lent(mut task) => self.settle(ctx, task.state_mut(), place),
            About::Queued(name) => {
                let cpu = ctx.cpu().id();
                let mut task = ctx.lock(&self.queues[cpu]).remove(&name).ok_or(ESRCH)?;
                self.settle(ctx, task.state_mut(), place);
                self.task_new(ctx, task);
            }
        }
        Ok(())
    }
}

module_enoki_scheduler! {
    type: Locality,
    name: "enoki_locality",
    authors: ["Enoki"],
    description: "A CPU scheduler that keeps threads together that belong together",
    license: "GPL",
    with: [hints],
    params: {
        most: u32 {
            default: 8,
            description: "How many tasks may wait on the CPU of their place",
        },
    },
}
