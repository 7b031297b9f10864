// SPDX-License-Identifier: GPL-2.0

//! A CPU scheduler that does everything wrong that safe Rust lets it do, one thing at a time.
//!
//! It is [`enoki_fifo`](enoki_fifo.rs) but for one mistake, which the module parameter `mode`
//! chooses. The class must survive each: whatever the mistake, all tasks go on, and the report in
//! `/sys/kernel/sched_enoki/last_exit` names the culprit. Never load it where you need the machine
//! to be quick.
//!
//! Mistakes of authors that had to look for theirs are welcome here.

use core::hint::black_box;
use enoki::prelude::*;

/// How long a task runs before it is the next one's turn.
const SLICE: Ns = Ns::from_ms(3);
/// A mistake that is made at times is made so often: once in so many calls.
const EVERY: u32 = 16;

/// The mistakes, by their numbers. The names are those of the tests.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Mistake {
    None,
    /// Picks nothing, ever.
    Never,
    /// Drops the token of a task that wakes up, at times.
    DropWoken,
    /// Drops the token of a task that was stopped, at times.
    DropStopped,
    /// Takes a token from its queue and drops it instead of returning it, at times.
    DropPicked,
    /// Drops the token of a task that has come from another CPU.
    DropMigrated,
    /// Never picks one of its tasks.
    Starve,
    /// Keeps tasks that wake up in a queue that nobody looks into.
    Bury,
    /// Keeps all tasks in the queue of one CPU, where only that CPU can pick them.
    OneQueue,
    /// Picks each task once.
    PickOnce,
    /// Puts who has run at the front of the queue.
    Lifo,
    /// Lets a task run for an hour.
    LongSlice,
    /// Puts who has yielded at the front of the queue.
    YieldToItself,
    /// Has no token when the class wants it back.
    Deaf,
    /// Gives another task's token back.
    Swap,
    /// Places tasks where they may not run.
    PlaceAnywhere,
    /// Places all tasks on one CPU.
    PlaceOnOne,
    /// Asks to be asked again whenever it can.
    Thrash,
    /// Lets tasks run for a nanosecond.
    Sliver,
    /// Wants to steal by a key that has passed.
    StealPast,
    /// Wants to steal what runs.
    StealRunning,
    /// Wants to steal what may not run here.
    StealPinned,
    /// Wants to steal from the CPU that asks.
    StealHere,
    /// Refuses new tasks, at times.
    Refuse,
    /// Takes long to answer.
    Slow,
    /// Takes long to answer, with a lock held.
    Hold,
    /// Says something in each call.
    Chatter,
    /// Has all CPUs pick again in each call.
    Kick,
    /// Has all its timers run out as soon as they can, over and over.
    Timers,
    /// Keeps tasks that wake up in a queue that nobody looks into, and does not count them.
    Miscount,
    /// Holds a lock that all CPUs want for long, at times.
    HoldAll,
    /// Keeps tasks that wake up in a queue that nobody looks into, so many of them as the parameter
    /// `times` says.
    BuryFew,
    /// Places tasks on a CPU that is offline.
    PlaceOffline,
    /// Spins for long before it picks, at times.
    Spin,
}

const MISTAKES: [Mistake; 34] = [
    Mistake::None,
    Mistake::Never,
    Mistake::DropWoken,
    Mistake::DropStopped,
    Mistake::DropPicked,
    Mistake::DropMigrated,
    Mistake::Starve,
    Mistake::Bury,
    Mistake::OneQueue,
    Mistake::PickOnce,
    Mistake::Lifo,
    Mistake::LongSlice,
    Mistake::YieldToItself,
    Mistake::Deaf,
    Mistake::Swap,
    Mistake::PlaceAnywhere,
    Mistake::PlaceOnOne,
    Mistake::Thrash,
    Mistake::Sliver,
    Mistake::StealPast,
    Mistake::StealRunning,
    Mistake::StealPinned,
    Mistake::StealHere,
    Mistake::Refuse,
    Mistake::Slow,
    Mistake::Hold,
    Mistake::Chatter,
    Mistake::Kick,
    Mistake::Timers,
    Mistake::Miscount,
    Mistake::HoldAll,
    Mistake::BuryFew,
    Mistake::PlaceOffline,
    Mistake::Spin,
];

/// What we keep for each task.
struct State {
    /// The run time at which its turn ends.
    turn_end: Ns,
    /// It has been picked.
    picked: bool,
}

type Token = Schedulable<State>;

/// What the mistakes have to remember.
struct Memory {
    /// Counts calls, for what is done at times.
    calls: u32,
    /// Who was buried, by the lowest bits of the number: nobody is twice.
    buried: u64,
    /// The mistake has been made before.
    admitted: bool,
    /// Whom to starve.
    victim: Option<TaskId>,
    /// A task as it was called once.
    past: Option<TaskKey>,
    /// The task that was picked last, as it was called then.
    running: Option<TaskKey>,
}

/// The scheduler.
struct Bad {
    mistake: Mistake,
    times: u32,
    queues: CpuMap<Lock<FifoQueue<State>>>,
    grave: Lock<FifoQueue<State>>,
    memory: Lock<Memory>,
}

impl Bad {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == mistake
    }

    /// Is it time to make the mistake?
    fn errs(&self, ctx: &mut Ctx<'_>, mistake: Mistake) -> bool {
        if !self.makes(mistake) {
            return false;
        }
        let mut memory = ctx.lock(&self.memory);
        memory.calls = memory.calls.wrapping_add(1);
        memory.calls % EVERY == 0
    }

    /// Says once that the mistake is made, where nothing else shows it.
    fn admit(&self, ctx: &mut Ctx<'_>) {
        let mut memory = ctx.lock(&self.memory);
        let admitted = core::mem::replace(&mut memory.admitted, true);
        drop(memory);
        if !admitted {
            log!(ctx, "the mistake is made");
        }
    }

    /// Is this one of the tasks that are buried?
    fn buries(&self, ctx: &mut Ctx<'_>, id: TaskId) -> bool {
        if self.makes(Mistake::BuryFew) {
            let mut memory = ctx.lock(&self.memory);
            let mark = 1_u64.wrapping_shl((id.as_u64() % 64) as u32);
            let buried = memory.buried & mark == 0 && memory.buried.count_ones() < self.times;
            memory.buried |= if buried { mark } else { 0 };
            return buried;
        }
        self.errs(ctx, Mistake::Bury) || self.errs(ctx, Mistake::Miscount)
    }

    /// Makes the mistakes that can be made in any call.
    fn chat(&self, ctx: &mut Ctx<'_>, what: &str) {
        match self.mistake {
            Mistake::Chatter => {
                self.admit(ctx);
                log!(ctx, "{what} on CPU {}", ctx.cpu().id().as_u32());
            }
            Mistake::Kick => {
                self.admit(ctx);
                ctx.cpus().for_each(|cpu| ctx.resched(cpu));
            }
            _ => (),
        }
    }

    /// Has a timer fire again at once.
    fn rearm(&self, ctx: &mut Ctx<'_>, timer: u32) {
        // It is one of ours, so this does not fail.
        let _ = ctx.arm_timer(timer, Ns(1));
    }

    /// Computes something of no use for some time.
    fn dawdle(&self) {
        for i in 0..20_000_u32 {
            black_box(i);
        }
    }

    /// The queue in which a task of that CPU goes.
    fn home(&self, cpu: CpuId) -> CpuId {
        if self.makes(Mistake::OneQueue) {
            CpuId::FIRST
        } else {
            cpu
        }
    }

    /// Computes for long.
    fn dawdle_long(&self) {
        for _ in 0..100 {
            self.dawdle();
        }
    }

    /// The same, while the other CPUs wait.
    fn dawdle_alone(&self, ctx: &mut Ctx<'_>) {
        let _memory = ctx.lock(&self.memory);
        self.dawdle_long();
    }

    /// A CPU that is offline, if there is one.
    fn offline(&self, ctx: &mut Ctx<'_>) -> Option<CpuId> {
        let cpu = ctx.cpus().find(|&cpu| !ctx.cpu_active(cpu));
        if cpu.is_some() {
            self.admit(ctx);
        }
        cpu
    }

    fn enqueue(&self, ctx: &mut Ctx<'_>, task: Token) {
        if self.errs(ctx, Mistake::HoldAll) {
            self.dawdle_alone(ctx);
        }
        if self.makes(Mistake::StealPast) {
            let mut memory = ctx.lock(&self.memory);
            if memory.past.is_none() {
                memory.past = Some(task.key());
            }
        }
        if self.makes(Mistake::Hold) {
            self.admit(ctx);
        }
        let mut queue = ctx.lock(&self.queues[self.home(task.cpu())]);
        if self.makes(Mistake::Hold) {
            self.dawdle();
        }
        queue.push_back(task);
    }

    /// Puts a task that ran back: in the front of its queue if that is the mistake.
    fn put_back(&self, ctx: &mut Ctx<'_>, task: Token) {
        match self.mistake {
            Mistake::Lifo | Mistake::LongSlice | Mistake::YieldToItself => {
                ctx.lock(&self.queues[task.cpu()]).push_front(task);
            }
            _ => self.enqueue(ctx, task),
        }
    }

    /// The next task of a queue, if the mistake allows it.
    fn next(&self, queue: &mut FifoQueue<State>, victim: Option<TaskId>) -> Option<Token> {
        for _ in 0..queue.len() {
            let task = queue.pop_front()?;
            let skipped = match self.mistake {
                Mistake::Starve => victim == Some(task.id()),
                Mistake::PickOnce => task.state().picked,
                _ => false,
            };
            if !skipped {
                return Some(task);
            }
            queue.push_back(task);
        }
        None
    }

    /// A task queued on another CPU that may run here, or one that may not.
    fn find(&self, ctx: &mut Ctx<'_>, here: CpuId) -> Option<TaskKey> {
        let pinned = self.makes(Mistake::StealPinned);
        for cpu in ctx.cpus().filter(|&cpu| cpu != here) {
            let queue = ctx.lock(&self.queues[cpu]);
            let found = queue.iter().find(|task| task.allowed_on(here) != pinned);
            if let Some(task) = found {
                return Some(task.key());
            }
        }
        None
    }
}

impl Scheduler for Bad {
    const NAME: &'static str = "bad";
    const ID: u32 = 13;
    const TIMERS: u32 = 64;

    type Task = State;

    fn new(machine: &Machine) -> Result<Self> {
        let mode = module_parameters::mode.value() as usize;
        Ok(Bad {
            mistake: *MISTAKES.get(mode).ok_or(EINVAL)?,
            times: module_parameters::times.value(),
            queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
            grave: new_lock!(FifoQueue::new())?,
            memory: new_lock!(Memory {
                calls: 0,
                buried: 0,
                admitted: false,
                victim: None,
                past: None,
                running: None,
            })?,
        })
    }

    fn init_task(&self, task: &TaskInfo) -> Result<State> {
        if self.makes(Mistake::Refuse) && task.id().as_u64() % u64::from(EVERY) == 0 {
            return Err(ENOMEM);
        }
        Ok(State {
            turn_end: Ns::ZERO,
            picked: false,
        })
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, task: Token) {
        self.chat(ctx, "a new task");
        if self.makes(Mistake::Timers) {
            for timer in 0..Self::TIMERS {
                self.rearm(ctx, timer);
            }
        }
        if self.makes(Mistake::Starve) {
            let mut memory = ctx.lock(&self.memory);
            if memory.victim.is_none() {
                memory.victim = Some(task.id());
            }
        }
        self.enqueue(ctx, task);
    }

    fn task_wakeup(&self, ctx: &mut Ctx<'_>, task: Token, _flags: WakeFlags) {
        self.chat(ctx, "a task woke up");
        if self.errs(ctx, Mistake::DropWoken) {
            drop(task);
        } else if self.buries(ctx, task.id()) {
            ctx.lock(&self.grave).push_back(task);
        } else {
            self.enqueue(ctx, task);
        }
    }

    fn task_preempt(&self, ctx: &mut Ctx<'_>, task: Token) {
        self.chat(ctx, "a task was stopped");
        if self.errs(ctx, Mistake::DropStopped) {
            drop(task);
        } else {
            self.put_back(ctx, task);
        }
    }

    fn task_migrated(&self, ctx: &mut Ctx<'_>, task: Token, _from: CpuId) {
        if self.makes(Mistake::DropMigrated) {
            drop(task);
        } else {
            self.enqueue(ctx, task);
        }
    }

    fn task_yield(&self, ctx: &mut Ctx<'_>, task: Token) {
        if self.makes(Mistake::YieldToItself) {
            self.put_back(ctx, task);
        } else {
            self.enqueue(ctx, task);
        }
    }

    fn select_task_rq(
        &self,
        ctx: &mut Ctx<'_>,
        task: &Task<State>,
        prev: CpuId,
        _flags: WakeFlags,
    ) -> CpuId {
        match self.mistake {
            Mistake::PlaceAnywhere => ctx
                .cpus()
                .find(|&cpu| !task.allowed_on(cpu))
                .unwrap_or(prev),
            Mistake::PlaceOnOne => {
                self.admit(ctx);
                CpuId::FIRST
            }
            Mistake::PlaceOffline => self.offline(ctx).unwrap_or(prev),
            _ => ctx.usable_cpu(task, prev),
        }
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Token>,
    ) -> Option<Runnable<'c, State>> {
        self.chat(ctx, "a pick");
        if self.makes(Mistake::Slow) {
            self.admit(ctx);
            self.dawdle();
        }
        if self.errs(ctx, Mistake::Spin) {
            self.admit(ctx);
            self.dawdle_long();
        }
        if self.makes(Mistake::Sliver) {
            self.admit(ctx);
        }
        let cpu = ctx.cpu();
        let drops = self.errs(ctx, Mistake::DropPicked);
        let victim = ctx.lock(&self.memory).victim;
        if let Some(prev) = prev {
            self.put_back(ctx, prev);
        }
        if self.makes(Mistake::Never) {
            return None;
        }
        let mut queue = ctx.lock(&self.queues[cpu.id()]);
        let mut task = self.next(&mut queue, victim)?;
        drop(queue);
        if drops {
            drop(task);
            return None;
        }
        if self.makes(Mistake::StealRunning) || self.makes(Mistake::StealHere) {
            ctx.lock(&self.memory).running = Some(task.key());
        }
        let turn_end = task.info().runtime() + SLICE;
        let state = task.state_mut();
        state.turn_end = turn_end;
        state.picked = true;
        let slice = match self.mistake {
            Mistake::LongSlice => Ns::from_ms(3_600_000),
            Mistake::Sliver => Ns(1),
            _ => SLICE,
        };
        match cpu.claim(task) {
            Ok(next) => Some(next.slice(slice)),
            Err(task) => {
                self.enqueue(ctx, task);
                None
            }
        }
    }

    fn task_tick(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, State>) -> bool {
        match self.mistake {
            Mistake::Thrash => {
                self.admit(ctx);
                true
            }
            Mistake::LongSlice => false,
            _ => task.info().runtime() >= task.state().turn_end,
        }
    }

    fn wakeup_preempt(
        &self,
        _ctx: &mut Ctx<'_>,
        _curr: &mut Lent<'_, State>,
        _woken: TaskId,
    ) -> bool {
        self.makes(Mistake::Thrash)
    }

    fn balance(&self, ctx: &mut Ctx<'_>) -> Option<TaskKey> {
        let here = ctx.cpu().id();
        match self.mistake {
            Mistake::StealPast => {
                let mut memory = ctx.lock(&self.memory);
                // From here nothing can be stolen, past or not: remember another one.
                memory.past = memory.past.filter(|task| task.cpu() != here);
                memory.past
            }
            Mistake::StealRunning => ctx.lock(&self.memory).running,
            Mistake::StealHere => {
                let last = ctx.lock(&self.memory).running;
                last.filter(|task| task.cpu() == here)
            }
            // By stealing from each other the CPUs would make up for it.
            Mistake::OneQueue => None,
            _ => self.find(ctx, here),
        }
    }

    fn timer_fired(&self, ctx: &mut Ctx<'_>, timer: u32) {
        self.admit(ctx);
        self.rearm(ctx, timer);
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, State>) -> Moved<'m> {
        let cpu = self.home(ctx.cpu().id());
        let mut queue = ctx.lock(&self.queues[cpu]);
        let found = match self.mistake {
            Mistake::Deaf => None,
            Mistake::Swap => queue.pop_front(),
            _ => queue.remove(&task),
        };
        drop(queue);
        task.hand_over(found)
    }

    fn nr_queued(&self, ctx: &mut Ctx<'_>) -> Option<usize> {
        let cpu = ctx.cpu().id();
        let queued = ctx.lock(&self.queues[cpu]).len();
        self.makes(Mistake::Miscount).then_some(queued)
    }
}

module_enoki_scheduler! {
    type: Bad,
    name: "enoki_bad",
    authors: ["Enoki"],
    description: "A CPU scheduler that errs as its parameter says",
    license: "GPL",
    params: {
        mode: u32 {
            default: 0,
            description: "Which mistake to make, 0 for none",
        },
        times: u32 {
            default: 1,
            description: "How often it is made, where that can be chosen",
        },
    },
}
