// SPDX-License-Identifier: GPL-2.0

//! A CPU scheduler that hands out whole cores: the arbiter of user-level threading runtimes.
//!
//! The Arachne core arbiter of the Enoki paper (section 4.2.4), after the runtime of that name (Qin
//! et al., OSDI'18). Runtimes schedule their own threads on *core threads*, one for each core that
//! they have, and know best how many cores they need. A runtime asks for cores by a hint, and is
//! told by messages which ones it has got and which to give back:
//!
//! ```text
//! runtime                                policy
//!   REQUEST 3, about a thread      -->
//!                                  <--   GRANTED core 2
//!   ENTER 2, about a core thread   -->   it runs on that core, and nobody else does
//!                                  <--   RECLAIM core 2
//!   LEAVE 2, about the core thread -->   within the grace period, or the core is taken
//! ```
//!
//! A REQUEST is about any thread of the runtime that is attached to the policy; one about nobody is
//! refused. So anybody may be a client, but who has no thread here takes no core from those who
//! have. What a runtime has got stays its own, whatever becomes of the thread that asked, until it
//! asks for fewer about another one, or closes its client.
//!
//! A core thread goes to its core when it wakes up, or when another task wants the CPU that it
//! is on. The first core is nobody's: all other tasks of the policy run there, first in, first
//! out. A runtime gets what it asks for as long as there are cores; if they are too few, as many
//! as the others.
//!
//! What it is not for: programs that do not ask, which share the first core; and cores beyond the
//! 64th, which it does not hand out.

use enoki::prelude::*;

/// How long a turn on a shared core is.
const SLICE: Ns = Ns::from_ms(3);
/// How long a core thread runs before one that has to leave its core gets a turn there.
const OWNERS_SLICE: Ns = Ns::from_ms(100);
/// How many runtimes there may be.
const RUNTIMES: usize = 16;

hint! {
    /// What a runtime wants.
    pub struct Ask("arachne_ask", 1) {
        /// See [`op`].
        pub op: u32,
        /// How many cores, or which one.
        pub value: u32,
    }
}

/// `Ask::op`.
mod op {
    /// So many cores, from now on, for the runtime that the thread that this is about is one of.
    pub(crate) const REQUEST: u32 = 1;
    /// The thread that this is about runs on that core, which was granted.
    pub(crate) const ENTER: u32 = 2;
    /// The core is given back; the thread that this is about, if any, is on it no more.
    pub(crate) const LEAVE: u32 = 3;
}

hint! {
    /// What a runtime is told.
    pub struct Tell("arachne_tell", 1) {
        /// [`GRANTED`] or [`RECLAIM`].
        pub what: u32,
        /// Which core.
        pub core: u32,
    }
}

/// The core is the runtime's.
const GRANTED: u32 = 1;
/// It is to be given back.
const RECLAIM: u32 = 2;

type Queue = QueueId<Tell>;

/// Leave to run on a core: good as long as the core has not been granted to anybody since.
#[derive(Clone, Copy)]
struct Grant {
    core: CpuId,
    number: u64,
}

/// What we keep for each task.
type State = Option<Grant>;
type Token = Schedulable<State>;

/// What is to run on a core.
struct Core {
    /// Those whose core it is.
    owners: FifoQueue<State>,
    /// All others: what shares the first core; elsewhere those that have to go.
    others: FifoQueue<State>,
    /// The number of the grant of it, 0 if it is nobody's.
    number: u64,
    /// The next turn is one of the others'.
    others_turn: bool,
    /// One that belongs here waits elsewhere.
    called: bool,
    /// It has been looked for since the last turn began.
    looked: bool,
}

impl Core {
    fn push(&mut self, task: Token, owner: bool) {
        if owner {
            self.owners.push_back(task);
        } else {
            self.others.push_back(task);
        }
    }

    /// The next one, and how long its turn is.
    fn pop(&mut self) -> Option<(Token, Ns)> {
        let others_turn = self.others_turn || self.owners.is_empty();
        self.others_turn = !others_turn;
        let other = if others_turn {
            self.others.pop_front()
        } else {
            None
        };
        match other {
            Some(task) => Some((task, SLICE)),
            None => Some((self.owners.pop_front()?, OWNERS_SLICE)),
        }
    }

    fn remove(&mut self, name: &TaskName<'_, State>) -> Option<Token> {
        self.owners
            .remove(name)
            .or_else(|| self.others.remove(name))
    }

    fn len(&self) -> usize {
        self.owners.len().saturating_add(self.others.len())
    }
}

/// Whose a core is.
#[derive(Default)]
struct Seat {
    /// Can it be handed out?
    usable: bool,
    owner: Option<Queue>,
    /// The owner is to give it back.
    reclaimed: bool,
    /// The number of the grant.
    number: u64,
}

/// A runtime.
#[derive(Clone, Copy)]
struct Runtime {
    queue: Queue,
    /// How many cores it wants.
    wants: u32,
    /// How many it has, without those that it is to give back.
    has: u32,
}

/// Who has what, and who wants more.
struct Arbiter {
    seats: CpuMap<Seat>,
    runtimes: [Option<Runtime>; RUNTIMES],
    /// How many grants there have been.
    grants: u64,
}

impl Arbiter {
    fn runtime(&mut self, queue: Queue) -> Option<&mut Runtime> {
        let mut runtimes = self.runtimes.iter_mut().flatten();
        runtimes.find(|runtime| runtime.queue == queue)
    }

    /// Hands out a core, or asks for one, if there is need to: which runtime is to be told what, of
    /// which core.
    fn step(&mut self, cpus: Cpus) -> Option<(Queue, u32, CpuId)> {
        let all = self.runtimes.iter().flatten();
        let poorest = all
            .clone()
            .filter(|r| r.has < r.wants)
            .min_by_key(|r| r.has)
            .copied();
        let seats = &self.seats;
        let free = cpus
            .clone()
            .find(|&cpu| seats[cpu].usable && seats[cpu].owner.is_none());
        if let (Some(runtime), Some(core)) = (poorest, free) {
            self.grants = self.grants.wrapping_add(1);
            self.runtime(runtime.queue)?.has = runtime.has.wrapping_add(1);
            let seat = &mut self.seats[core];
            (seat.owner, seat.number) = (Some(runtime.queue), self.grants);
            return Some((runtime.queue, GRANTED, core));
        }
        // From one that has more than it wants, or else from the richest to a poorer one; then one
        // at a time, for what is given back may be enough.
        let asked = cpus.clone().any(|cpu| seats[cpu].reclaimed);
        let surplus = all.clone().find(|r| r.has > r.wants);
        let richer = poorest.filter(|_| !asked).and_then(|poor| {
            all.filter(|r| r.has > poor.has.wrapping_add(1))
                .max_by_key(|r| r.has)
        });
        let from = surplus.or(richer)?.queue;
        let mut seats = cpus.filter(|&cpu| seats[cpu].owner == Some(from));
        let core = seats.find(|&cpu| !self.seats[cpu].reclaimed)?;
        self.seats[core].reclaimed = true;
        let runtime = self.runtime(from)?;
        runtime.has = runtime.has.wrapping_sub(1);
        Some((from, RECLAIM, core))
    }

    /// A core is nobody's any more.
    fn free(&mut self, core: CpuId) {
        let seat = &mut self.seats[core];
        let (owner, counts) = (seat.owner.take(), !seat.reclaimed);
        (seat.reclaimed, seat.number) = (false, 0);
        if let Some(runtime) = owner.and_then(|queue| self.runtime(queue)) {
            runtime.has = runtime.has.saturating_sub(counts.into());
        }
    }
}

/// The scheduler.
struct Arachne {
    cores: CpuMap<Lock<Core>>,
    arbiter: Lock<Arbiter>,
    grace: Ns,
}

impl Arachne {
    /// Where a task is to run: on a core that is its own, or else on the first one.
    fn home(&self, ctx: &mut Ctx<'_>, task: &Task<State>) -> CpuId {
        match *task.state() {
            Some(grant) if ctx.lock(&self.cores[grant.core]).number == grant.number => grant.core,
            _ => CpuId::FIRST,
        }
    }

    /// A task is ready to run on the core that it is on. If it belongs elsewhere it is fetched.
    fn push(&self, ctx: &mut Ctx<'_>, task: Token) {
        let (core, home) = (task.cpu(), self.home(ctx, &task));
        let fetched = home != core && task.allowed_on(home) && ctx.cpu_active(home);
        let owner = home == core && core != CpuId::FIRST;
        ctx.lock(&self.cores[core]).push(task, owner);
        if fetched {
            ctx.lock(&self.cores[home]).called = true;
            ctx.resched(home);
        }
    }

    /// Those that are on a core now are to go, unless that is the number of their grant.
    fn set_number(&self, ctx: &mut Ctx<'_>, core: CpuId, number: u64) {
        ctx.lock(&self.cores[core]).number = number;
        ctx.resched(core);
    }

    /// A core is nobody's any more.
    fn free(&self, ctx: &mut Ctx<'_>, core: CpuId) {
        ctx.lock(&self.arbiter).free(core);
        self.set_number(ctx, core, 0);
        ctx.cancel_timer(core.as_u32());
    }

    /// Hands out cores and asks for some until there is no need to.
    fn settle(&self, ctx: &mut Ctx<'_>) {
        for core in ctx.cpus() {
            let ours = core != CpuId::FIRST && core.as_u32() < Self::TIMERS;
            let usable = ours && ctx.cpu_active(core);
            ctx.lock(&self.arbiter).seats[core].usable = usable;
        }
        loop {
            let cpus = ctx.cpus();
            let mut arbiter = ctx.lock(&self.arbiter);
            let Some((queue, what, core)) = arbiter.step(cpus) else {
                return;
            };
            let number = arbiter.seats[core].number;
            drop(arbiter);
            if what == GRANTED {
                self.set_number(ctx, core, number);
            } else if ctx.arm_timer(core.as_u32(), self.grace).is_err() {
                self.free(ctx, core);
            }
            let core = core.as_u32();
            // Who does not read what it is told loses its cores after the grace period.
            let _ = ctx.send(queue, &Tell { what, core });
        }
    }

    /// Notes with a task where it may run.
    fn note(&self, ctx: &mut Ctx<'_>, about: About<'_, State>, state: State) -> Result<()> {
        match about {
            About::Nobody => return Err(EINVAL),
            About::Lent(mut task) => *task.state_mut() = state,
            About::Queued(name) => {
                let core = ctx.cpu().id();
                let mut task = ctx.lock(&self.cores[core]).remove(&name).ok_or(ESRCH)?;
                *task.state_mut() = state;
                self.push(ctx, task);
            }
        }
        Ok(())
    }

    /// The core of that number, if a client has it.
    fn seat(&self, ctx: &mut Ctx<'_>, queue: Queue, core: u32) -> Result<Grant> {
        let core = CpuId::new(core).ok_or(EINVAL)?;
        let seat = &ctx.lock(&self.arbiter).seats[core];
        match seat.owner {
            Some(owner) if owner == queue => Ok(Grant {
                core,
                number: seat.number,
            }),
            _ => Err(EPERM),
        }
    }
}

impl Scheduler for Arachne {
    const NAME: &'static str = "arachne";
    const ID: u32 = 5;
    const TIMERS: u32 = 64;

    type Task = State;

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Arachne {
            cores: CpuMap::new_with(machine, |_| {
                new_lock!(Core {
                    owners: FifoQueue::new(),
                    others: FifoQueue::new(),
                    number: 0,
                    others_turn: false,
                    called: false,
                    looked: false,
                })
            })?,
            arbiter: new_lock!(Arbiter {
                seats: CpuMap::new_with(machine, |_| Ok(Seat::default()))?,
                runtimes: [None; RUNTIMES],
                grants: 0,
            })?,
            grace: Ns::from_us(module_parameters::grace_us.value().into()),
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<State> {
        Ok(None)
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, task: Token) {
        self.push(ctx, task);
    }

    fn select_task_rq(
        &self,
        ctx: &mut Ctx<'_>,
        task: &Task<State>,
        prev: CpuId,
        _flags: WakeFlags,
    ) -> CpuId {
        let home = self.home(ctx, task);
        if task.allowed_on(home) && ctx.cpu_active(home) {
            return home;
        }
        ctx.usable_cpu(task, prev)
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Token>,
    ) -> Option<Runnable<'c, State>> {
        let cpu = ctx.cpu();
        if let Some(prev) = prev {
            self.push(ctx, prev);
        }
        let mut core = ctx.lock(&self.cores[cpu.id()]);
        let looked = core::mem::take(&mut core.looked);
        if !looked && core::mem::take(&mut core.called) {
            drop(core);
            // None, so that the class calls `balance` and then asks again; if it does not, later.
            ctx.resched(cpu.id());
            return None;
        }
        let (task, slice) = core.pop()?;
        Some(cpu.claim(task).ok()?.slice(slice))
    }

    // One that belongs here and waits where it does not.
    fn balance(&self, ctx: &mut Ctx<'_>) -> Option<TaskKey> {
        let here = ctx.cpu().id();
        let mut core = ctx.lock(&self.cores[here]);
        (core.called, core.looked) = (false, true);
        let number = core.number;
        drop(core);
        for cpu in ctx.cpus().filter(|&cpu| cpu != here) {
            let core = ctx.lock(&self.cores[cpu]);
            let belongs = |task: &&Task<State>| match *task.state() {
                Some(grant) if grant.core == here => grant.number == number,
                // One whose grant is over has not left its core yet.
                Some(grant) => here == CpuId::FIRST && grant.core == cpu,
                None => here == CpuId::FIRST,
            };
            let mut tasks = core.others.iter().filter(belongs);
            if let Some(task) = tasks.find(|task| task.allowed_on(here)) {
                return Some(task.key());
            }
        }
        None
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, State>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.cores[cpu]).remove(&task);
        task.hand_over(found)
    }

    fn nr_queued(&self, ctx: &mut Ctx<'_>) -> Option<usize> {
        let cpu = ctx.cpu().id();
        Some(ctx.lock(&self.cores[cpu]).len())
    }

    fn cpu_online(&self, ctx: &mut Ctx<'_>, _cpu: CpuId) {
        self.settle(ctx);
    }

    // Whoever has it loses it.
    fn cpu_offline(&self, ctx: &mut Ctx<'_>, cpu: CpuId) {
        let owner = ctx.lock(&self.arbiter).seats[cpu].owner;
        if let Some(queue) = owner {
            let (what, core) = (RECLAIM, cpu.as_u32());
            let _ = ctx.send(queue, &Tell { what, core });
            self.free(ctx, cpu);
        }
        self.settle(ctx);
    }

    // The grace period of a core is over.
    fn timer_fired(&self, ctx: &mut Ctx<'_>, timer: u32) {
        if let Some(core) = CpuId::new(timer) {
            let reclaimed = ctx.lock(&self.arbiter).seats[core].reclaimed;
            if reclaimed {
                self.free(ctx, core);
                self.settle(ctx);
            }
        }
    }
}

impl Hinted for Arachne {
    type UserHint = Ask;
    type RevHint = Tell;

    // A runtime is a client that listens.
    fn register_queue(&self, ctx: &mut Ctx<'_>, queue: Queue, kind: QueueKind) -> Result<()> {
        if kind == QueueKind::Messages {
            let mut arbiter = ctx.lock(&self.arbiter);
            let mut places = arbiter.runtimes.iter_mut();
            let place = places.find(|place| place.is_none()).ok_or(EBUSY)?;
            let (wants, has) = (0, 0);
            *place = Some(Runtime { queue, wants, has });
        }
        Ok(())
    }

    fn unregister_queue(&self, ctx: &mut Ctx<'_>, queue: Queue) {
        // First of all, so that nobody grants it what it has just lost.
        let mut arbiter = ctx.lock(&self.arbiter);
        for place in &mut arbiter.runtimes {
            *place = place.filter(|runtime| runtime.queue != queue);
        }
        drop(arbiter);
        for core in ctx.cpus() {
            if ctx.lock(&self.arbiter).seats[core].owner == Some(queue) {
                self.free(ctx, core);
            }
        }
        self.settle(ctx);
    }

    fn parse_hint(
        &self,
        ctx: &mut Ctx<'_>,
        queue: Queue,
        hint: &Ask,
        about: About<'_, State>,
    ) -> Result<()> {
        match hint.op {
            // The class has found that the task is attached, and that the client may speak for it.
            op::REQUEST if !matches!(about, About::Nobody) => {
                let mut arbiter = ctx.lock(&self.arbiter);
                arbiter.runtime(queue).ok_or(EINVAL)?.wants = hint.value;
                drop(arbiter);
                self.settle(ctx);
            }
            op::ENTER => {
                let grant = self.seat(ctx, queue, hint.value)?;
                self.note(ctx, about, Some(grant))?;
            }
            op::LEAVE => {
                let grant = self.seat(ctx, queue, hint.value)?;
                if !matches!(about, About::Nobody) {
                    self.note(ctx, about, None)?;
                }
                self.free(ctx, grant.core);
                self.settle(ctx);
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }
}

module_enoki_scheduler! {
    type: Arachne,
    name: "enoki_arachne",
    authors: ["Enoki"],
    description: "A CPU scheduler that hands out whole cores to those that ask for them",
    license: "GPL",
    with: [hints],
    params: {
        grace_us: u32 {
            default: 10000,
            description: "How long a core may be kept that is to be given back, in us",
        },
    },
}
