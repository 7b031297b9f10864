// SPDX-License-Identifier: GPL-2.0

//! A scheduling class in miniature, to drive a policy without a kernel.
//!
//! It keeps the contract of `include/linux/sched/enoki.h` on a made-up machine, in one thread, and
//! calls the policy through the same ops table as the kernel does. [`Sim::step()`] does something
//! random that can happen to a scheduler; every answer is checked.

use crate::{
    cpu::Machine,
    hint::Ops,
    sched::Scheduler,
    sys::{self, c_void, code, RawCtx, RawInfo, RawKey, RawOps, RawTask},
};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    ptr,
};

/// The made-up machine has so many CPUs.
pub const NR_CPUS: u32 = 8;

/// What a task is doing, as the class knows it. The number is the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Asleep; the class owns it.
    Blocked,
    /// Ready to run; the policy owns it.
    Queued(u32),
    /// Running; the class owns it.
    Running(u32),
    /// Ready to run, but the policy dropped its token; the class owns it.
    Dropped(u32),
    /// Gone.
    Dead,
}

struct TaskState {
    raw: *mut RawTask,
    state: State,
    allowed: u64,
    info: RawInfo,
    gen: u64,
    queued_at: u64,
}

/// What a CPU shares with others: the first CPU of its core and of those that share its last cache,
/// and its node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) core: u32,
    pub(crate) llc: u32,
    pub(crate) node: i32,
}

/// What the policy can see and ask for by the services of the class.
pub(crate) struct World {
    machine: Vec<Place>,
    now: u64,
    since: Vec<u64>,
    running: Vec<Option<usize>>,
    /// How often each CPU picked, and the last slice, ns.
    picked: Vec<(u64, u64)>,
    offline: BTreeSet<u32>,
    resched: BTreeSet<u32>,
    tasks: Vec<TaskState>,
    /// How many tasks of each CPU are queued.
    nr_queued: Vec<usize>,
    timers: Vec<Option<u64>>,
    lines: Vec<String>,
    clients: BTreeMap<u64, Vec<u8>>,
    drops: u64,
    retiring: bool,
    max_wait: u64,
}

impl Default for World {
    /// Two threads a core, four CPUs a cache, one node.
    fn default() -> World {
        World::new((0..NR_CPUS).map(|cpu| Place {
            core: cpu / 2 * 2,
            llc: cpu / 4 * 4,
            node: 0,
        }))
    }
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

/// Lends the world of this thread, never while the policy is called.
pub(crate) fn with<R>(f: impl FnOnce(&mut World) -> R) -> R {
    WORLD.with_borrow_mut(f)
}

impl World {
    fn new(machine: impl IntoIterator<Item = Place>) -> World {
        let machine: Vec<Place> = machine.into_iter().collect();
        World {
            now: 0,
            since: vec![0; machine.len()],
            running: vec![None; machine.len()],
            picked: vec![(0, 0); machine.len()],
            nr_queued: vec![0; machine.len()],
            offline: BTreeSet::new(),
            resched: BTreeSet::new(),
            tasks: Vec::new(),
            timers: Vec::new(),
            lines: Vec::new(),
            clients: BTreeMap::new(),
            drops: 0,
            retiring: false,
            max_wait: 0,
            machine,
        }
    }

    pub(crate) fn nr_cpus(&self) -> u32 {
        self.machine.len() as u32
    }

    pub(crate) fn place(&self, cpu: u32) -> Place {
        self.machine[cpu as usize]
    }

    pub(crate) fn active(&self, cpu: u32) -> bool {
        !self.offline.contains(&cpu)
    }

    pub(crate) fn idle(&self, cpu: u32) -> bool {
        self.active(cpu) && self.running[cpu as usize].is_none() && !self.has_queued(cpu)
    }

    pub(crate) fn resched(&mut self, cpu: u32) {
        self.resched.insert(cpu);
    }

    pub(crate) fn allowed(&self, slot: u32, cpu: u32) -> bool {
        self.tasks[slot as usize].allowed & (1 << cpu) != 0
    }

    pub(crate) fn dropped(&mut self, slot: u32) {
        if self.retiring {
            return;
        }
        let task = &mut self.tasks[slot as usize];
        self.drops += 1;
        task.gen += 1;
        if let State::Queued(cpu) = task.state {
            self.set(slot as usize, State::Dropped(cpu));
        }
    }

    pub(crate) fn arm(&mut self, timer: u32, delay: u64) -> sys::Result<()> {
        let now = self.now;
        let timer = self.timers.get_mut(timer as usize).ok_or(code::EINVAL)?;
        *timer = Some(now.saturating_add(delay));
        Ok(())
    }

    pub(crate) fn cancel(&mut self, timer: u32) {
        if let Some(timer) = self.timers.get_mut(timer as usize) {
            *timer = None;
        }
    }

    pub(crate) fn log(&mut self, line: &str) {
        self.lines.push(line.to_owned());
    }

    /// A message to a client, which sees the latest one only.
    pub(crate) fn send(&mut self, queue: u64, message: &[u8]) -> sys::Result<()> {
        let client = self.clients.get_mut(&queue).ok_or(code::ENOENT)?;
        *client = message.to_vec();
        Ok(())
    }

    fn has_queued(&self, cpu: u32) -> bool {
        self.nr_queued[cpu as usize] != 0
    }

    fn set(&mut self, slot: usize, state: State) {
        if let State::Queued(cpu) = std::mem::replace(&mut self.tasks[slot].state, state) {
            self.nr_queued[cpu as usize] -= 1;
        }
        if let State::Queued(cpu) = state {
            self.nr_queued[cpu as usize] += 1;
        }
    }

    /// The task's head as the class gives it to the policy.
    fn fill(&mut self, slot: usize, cpu: u32, grant: bool) -> *mut RawTask {
        if grant {
            self.set(slot, State::Queued(cpu));
            self.tasks[slot].gen += 1;
            self.tasks[slot].queued_at = self.now;
        }
        let task = &self.tasks[slot];
        // SAFETY: The class owns the task.
        let raw = unsafe { &mut *task.raw };
        raw.info = task.info;
        raw.gen = task.gen;
        raw.slot = slot as u32;
        raw.cpu = cpu as i32;
        task.raw
    }

    /// Adds up the run time of the task that runs on a CPU.
    fn account(&mut self, cpu: u32) {
        if let Some(slot) = self.running[cpu as usize] {
            self.tasks[slot].info.runtime_ns += self.now - self.since[cpu as usize];
        }
        self.since[cpu as usize] = self.now;
    }
}

/// The weights of the nice levels -20 to 19 (`sched_prio_to_weight`).
const WEIGHTS: [u32; 40] = [
    88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916, 9548, 7620, 6100, 4904,
    3906, 3121, 2501, 1991, 1586, 1277, 1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87,
    70, 56, 45, 36, 29, 23, 18, 15,
];

/// How a run went.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many times a task was picked.
    pub picks: u64,
    /// How many tasks were stolen.
    pub steals: u64,
    /// How many tokens the policy dropped.
    pub drops: u64,
    /// The longest time that a task waited to run, ns.
    pub max_wait: u64,
}

/// The class with one policy.
pub struct Sim<S: Scheduler> {
    sched: *mut S,
    ops: RawOps,
    rng: u64,
    /// Nothing happens by chance.
    exact: bool,
    picks: u64,
    steals: u64,
}

macro_rules! call {
    ($self:ident, $op:ident $(, $arg:expr)* $(,)?) => {
        // SAFETY: The simulator keeps the contract of the ops table.
        unsafe { $self.ops.$op.unwrap()($self.sched_ptr() $(, $arg)*) }
    };
}

impl<S: Scheduler> Sim<S> {
    /// Loads the policy on a new machine.
    ///
    /// # Errors
    ///
    /// What the policy's `new()` fails with.
    pub fn new(seed: u64) -> sys::Result<Self> {
        Self::with_ops(Ops::new(), seed)
    }

    /// Likewise, a policy that is more than a [`Scheduler`].
    ///
    /// # Errors
    ///
    /// What the policy's `new()` fails with.
    pub fn with_ops(ops: Ops<S>, seed: u64) -> sys::Result<Self> {
        Self::in_world(World::default(), ops, seed)
    }

    /// On that machine, where nothing happens by chance.
    pub(crate) fn of_machine(ops: Ops<S>, machine: Vec<Place>) -> sys::Result<Self> {
        let mut sim = Self::in_world(World::new(machine), ops, 1)?;
        sim.exact = true;
        Ok(sim)
    }

    fn in_world(mut world: World, ops: Ops<S>, seed: u64) -> sys::Result<Self> {
        world.timers = vec![None; S::TIMERS as usize];
        with(|there| *there = world);
        Ok(Sim {
            exact: false,
            sched: Box::into_raw(Box::new(S::new(&Machine::new())?)),
            ops: ops.into_raw(),
            rng: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            picks: 0,
            steals: 0,
        })
    }

    /// The policy.
    pub fn policy(&self) -> &S {
        // SAFETY: The policy lives until `self` is dropped, and is not changed.
        unsafe { &*self.sched }
    }

    fn sched_ptr(&self) -> *mut c_void {
        self.sched.cast()
    }

    fn random(&mut self, below: u64) -> u64 {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        (self.rng >> 11) % below
    }

    /// Something that happens now and then, one of so many times.
    fn chance(&mut self, of: u64) -> bool {
        !self.exact && self.random(of) == 0
    }

    fn nr_cpus(&self) -> u32 {
        with(|world| world.nr_cpus())
    }

    fn cx(&self, cpu: u32) -> RawCtx {
        RawCtx {
            now_ns: with(|world| world.now),
            cpu: cpu as i32,
            flags: 0,
            es: ptr::null_mut(),
        }
    }

    /// Lets time pass.
    pub fn advance(&mut self, ns: u64) {
        with(|world| world.now += ns);
    }

    /// Attaches a task that may run on the CPUs of the mask, and makes it ready to run on the
    /// first of them. Returns its slot.
    pub fn spawn(&mut self, allowed: u64, nice: i32) -> usize {
        let id = with(|world| world.tasks.len()) as u64 + 1000;
        let slot = self.attach(id, allowed, nice, WEIGHTS[(nice + 20) as usize]);
        self.begin(slot, allowed.trailing_zeros());
        slot
    }

    /// Attaches a task, which sleeps. Returns its slot.
    pub(crate) fn attach(&mut self, id: u64, allowed: u64, nice: i32, weight: u32) -> usize {
        let slot = with(|world| world.tasks.len());
        let info = RawInfo {
            id,
            runtime_ns: 0,
            weight,
            nice,
            nr_cpus_allowed: allowed.count_ones(),
            flags: 0,
        };
        let mut raw = ptr::null_mut();
        assert_eq!(
            call!(self, init_task, &info, &mut raw),
            0,
            "the policy refused a task"
        );
        with(|world| {
            world.tasks.push(TaskState {
                raw,
                state: State::Blocked,
                allowed,
                info,
                gen: 0,
                queued_at: 0,
            })
        });
        slot
    }

    /// Makes a new task ready to run; `prev` is its parent's CPU.
    pub(crate) fn begin(&mut self, slot: usize, prev: u32) {
        self.place(slot, prev, sys::WAKE_FORK);
    }

    /// Ends a task.
    pub(crate) fn end(&mut self, slot: usize) {
        self.leave(slot, true);
    }

    /// How often a CPU picked, and for how long what it picked last may run, ns; 0 is for ever.
    pub(crate) fn picked(&self, cpu: u32) -> (u64, u64) {
        with(|world| world.picked[cpu as usize])
    }

    /// Whether a task is ready to run, and does not.
    pub(crate) fn is_waiting(&self, slot: usize) -> bool {
        with(|world| {
            matches!(
                world.tasks[slot].state,
                State::Queued(_) | State::Dropped(_)
            )
        })
    }

    /// Whether any task is.
    pub(crate) fn is_anyone_waiting(&self) -> bool {
        with(|world| world.nr_queued.iter().any(|&nr| nr != 0))
    }

    /// The CPUs that the policy wants to pick again.
    pub(crate) fn to_pick(&mut self) -> BTreeSet<u32> {
        with(|world| std::mem::take(&mut world.resched))
    }

    /// When the next timer runs out.
    pub(crate) fn next_timer(&self) -> Option<u64> {
        with(|world| world.timers.iter().flatten().copied().min())
    }

    /// The run time of a task, ns.
    pub fn runtime(&self, slot: usize) -> u64 {
        with(|world| {
            (0..world.nr_cpus()).for_each(|cpu| world.account(cpu));
            world.tasks[slot].info.runtime_ns
        })
    }

    /// The lines that the policy has logged.
    pub fn logged(&self) -> Vec<String> {
        with(|world| world.lines.clone())
    }

    #[cfg(test)]
    pub(crate) fn log_from_cpu(&mut self, cpu: u32, text: &str) {
        let cx = self.cx(cpu);
        // SAFETY: It outlives the context.
        let ctx = unsafe { crate::ctx::Ctx::from_raw(&cx) };
        crate::log!(ctx, "{text}");
    }

    /// The task that runs on a CPU.
    pub fn running(&self, cpu: u32) -> Option<usize> {
        with(|world| world.running[cpu as usize])
    }

    /// Wakes a task, or places a new one.
    fn place(&mut self, slot: usize, prev: u32, flags: u32) {
        let task = with(|world| world.fill(slot, prev, false));
        let waker = if self.exact {
            prev
        } else {
            self.random(u64::from(self.nr_cpus())) as u32
        };
        let cx = self.cx(waker);
        let answer = call!(self, select_task_rq, &cx, task, prev as i32, flags);
        assert!(
            (0..self.nr_cpus() as i32).contains(&answer),
            "select_task_rq: no CPU {answer}"
        );
        let cpu = with(|world| {
            let usable = |cpu: u32| world.active(cpu) && world.allowed(slot as u32, cpu);
            if usable(answer as u32) {
                Some(answer as u32)
            } else {
                (0..world.nr_cpus()).find(|&cpu| usable(cpu))
            }
        });
        let Some(cpu) = cpu else { return };
        assert!(
            with(|world| world.allowed(slot as u32, answer as u32)),
            "select_task_rq: CPU {answer} is forbidden"
        );
        let (task, id) = with(|world| (world.fill(slot, cpu, true), world.tasks[slot].info.id));
        let cx = self.cx(cpu);
        if flags & sys::WAKE_FORK != 0 {
            call!(self, task_new, &cx, task);
        } else {
            let migrated = if cpu == prev { 0 } else { sys::WAKE_MIGRATED };
            call!(self, task_wakeup, &cx, task, migrated);
        }
        match self.lend_running(cpu) {
            Some(curr) => {
                if call!(self, wakeup_preempt, &cx, curr, id) {
                    self.pick(cpu);
                }
            }
            None => drop(self.pick(cpu)),
        }
    }

    fn lend_running(&mut self, cpu: u32) -> Option<*mut RawTask> {
        with(|world| {
            world.account(cpu);
            world.running[cpu as usize].map(|slot| world.fill(slot, cpu, false))
        })
    }

    /// Lets a CPU pick what it runs. Returns how long, ns; 0 is for ever.
    pub fn pick(&mut self, cpu: u32) -> u64 {
        if !with(|world| world.active(cpu)) {
            return 0;
        }
        let prev = with(|world| {
            world.account(cpu);
            world.picked[cpu as usize].0 += 1;
            world.running[cpu as usize]
                .take()
                .map_or(ptr::null_mut(), |slot| world.fill(slot, cpu, true))
        });
        let cx = self.cx(cpu);
        let queued = || with(|world| world.has_queued(cpu));
        let (mut task, mut slice) = (ptr::null_mut(), 0);
        if !prev.is_null() || queued() {
            task = call!(self, pick_next_task, &cx, prev, &mut slice);
        }
        // The class asks once more after it had the policy look for a task elsewhere.
        if task.is_null() {
            self.balance(cpu);
            if queued() {
                task = call!(self, pick_next_task, &cx, ptr::null_mut(), &mut slice);
            }
        }
        if task.is_null() {
            assert!(
                !with(|world| world.has_queued(cpu)),
                "pick_next_task: CPU {cpu} idles while a task is ready"
            );
            return 0;
        }
        // SAFETY: The policy gave it back, so the class owns it.
        let (slot, gen) = unsafe { ((*task).slot as usize, (*task).gen) };
        with(|world| {
            let task = &world.tasks[slot];
            assert_eq!(
                task.state,
                State::Queued(cpu),
                "pick_next_task: a task not queued here"
            );
            assert_eq!(task.gen, gen, "pick_next_task: a stale token");
        });
        if self.chance(64) {
            let task = with(|world| world.fill(slot, cpu, true));
            call!(self, pnt_err, &cx, task, sys::ERR_RACE);
            return self.pick(cpu);
        }
        self.picks += 1;
        with(|world| {
            let waited = world.now - world.tasks[slot].queued_at;
            world.max_wait = world.max_wait.max(waited);
            world.tasks[slot].gen += 1;
            world.set(slot, State::Running(cpu));
            world.running[cpu as usize] = Some(slot);
            world.since[cpu as usize] = world.now;
            world.picked[cpu as usize].1 = slice;
        });
        slice
    }

    /// An idle CPU looks for work.
    fn balance(&mut self, cpu: u32) {
        let cx = self.cx(cpu);
        let mut key = RawKey::default();
        if !call!(self, balance, &cx, &mut key) {
            return;
        }
        let slot = key.slot as usize;
        let from = with(|world| {
            let task = &world.tasks[slot];
            assert_eq!(task.gen, key.gen, "balance: a stale token");
            assert!(world.allowed(key.slot, cpu), "balance: affinity");
            match task.state {
                State::Queued(from) if from != cpu => from,
                state => panic!("balance: the task is {state:?}"),
            }
        });
        if self.chance(4) {
            call!(self, balance_err, &cx, &key, sys::ERR_RACE);
        } else {
            self.migrate(slot, from, cpu, sys::LEAVE_MIGRATE);
            self.steals += 1;
        }
    }

    /// Takes the token of a queued task back.
    fn take(&mut self, slot: usize, cpu: u32, why: u32) {
        let cx = self.cx(cpu);
        let task = with(|world| world.tasks[slot].raw);
        let answer = call!(self, migrate_task_rq, &cx, task, why);
        assert_eq!(answer, task, "migrate_task_rq: the policy has lost a task");
        with(|world| world.tasks[slot].gen += 1);
    }

    fn migrate(&mut self, slot: usize, from: u32, to: u32, why: u32) {
        self.take(slot, from, why);
        let task = with(|world| world.fill(slot, to, true));
        let cx = self.cx(to);
        call!(self, task_migrated, &cx, task, from as i32);
    }

    /// Takes a task that has waited too long from the policy and gives it a turn.
    fn rescue(&mut self, slot: usize) {
        let (state, id, waited) = with(|world| {
            let task = &world.tasks[slot];
            (task.state, task.info.id, world.now - task.queued_at)
        });
        let State::Queued(cpu) = state else { return };
        let cx = self.cx(cpu);
        call!(self, task_rescued, &cx, id, waited);
        self.take(slot, cpu, sys::LEAVE_RESCUE);
        let task = with(|world| world.fill(slot, cpu, true));
        call!(self, task_preempt, &cx, task);
    }

    /// Whether the policy has the tokens that it was given for a CPU.
    ///
    /// # Panics
    ///
    /// If it says that it has more or fewer.
    fn count(&mut self, cpu: u32) {
        let cx = self.cx(cpu);
        let said = call!(self, nr_queued, &cx);
        let queued = |task: &&TaskState| task.state == State::Queued(cpu);
        let have = with(|world| world.tasks.iter().filter(queued).count());
        assert!(
            said == -1 || said == have as i64,
            "nr_queued: {said} on CPU {cpu}, where {have} are"
        );
    }

    /// The timer interrupt of a CPU.
    pub fn tick(&mut self, cpu: u32) -> Option<u64> {
        self.count(cpu);
        let curr = self.lend_running(cpu)?;
        let cx = self.cx(cpu);
        call!(self, task_tick, &cx, curr).then(|| self.pick(cpu))
    }

    /// Stops what runs on a CPU; the policy gets it back.
    fn stop(&mut self, cpu: u32, yields: bool) {
        with(|world| world.account(cpu));
        let Some(slot) = with(|world| world.running[cpu as usize].take()) else {
            return;
        };
        let task = with(|world| world.fill(slot, cpu, true));
        let cx = self.cx(cpu);
        if yields {
            call!(self, task_yield, &cx, task);
        } else {
            call!(self, task_preempt, &cx, task);
        }
    }

    /// Puts what runs on a CPU to sleep. Returns its slot.
    pub fn block(&mut self, cpu: u32) -> Option<usize> {
        let curr = self.lend_running(cpu)?;
        let cx = self.cx(cpu);
        call!(self, task_blocked, &cx, curr);
        with(|world| {
            let slot = world.running[cpu as usize].take()?;
            world.set(slot, State::Blocked);
            Some(slot)
        })
    }

    /// Wakes a task that sleeps.
    pub fn wake(&mut self, slot: usize) {
        // SAFETY: The task is asleep, so the class owns it.
        let prev = with(|world| unsafe { (*world.tasks[slot].raw).cpu }) as u32;
        let sync = if self.chance(2) { sys::WAKE_SYNC } else { 0 };
        self.place(slot, prev, sync);
    }

    /// Makes a task leave, by death or detachment.
    fn leave(&mut self, slot: usize, dead: bool) {
        let (task, cpu) = match with(|world| world.tasks[slot].state) {
            State::Queued(cpu) => {
                self.take(slot, cpu, sys::LEAVE_DETACH);
                (with(|world| world.fill(slot, cpu, false)), cpu)
            }
            State::Running(cpu) => {
                self.block(cpu);
                (with(|world| world.fill(slot, cpu, false)), cpu)
            }
            _ => (with(|world| world.fill(slot, 0, false)), 0),
        };
        let cx = self.cx(cpu);
        if dead {
            call!(self, task_dead, &cx, task);
        } else {
            call!(self, task_departed, &cx, task);
        }
        with(|world| world.set(slot, State::Dead));
        // SAFETY: The simulator keeps the contract of the ops table.
        unsafe { self.ops.free_task.unwrap()(task) };
        self.pick(cpu);
    }

    /// Changes a task's nice level.
    fn renice(&mut self, slot: usize, nice: i32) {
        self.reweigh(slot, nice, WEIGHTS[(nice + 20) as usize]);
    }

    /// Changes a task's nice level, and its weight.
    pub(crate) fn reweigh(&mut self, slot: usize, nice: i32, weight: u32) {
        let (cpu, task, info) = with(|world| {
            let task = &mut world.tasks[slot];
            task.info.nice = nice;
            task.info.weight = weight;
            let cpu = match task.state {
                State::Queued(cpu) | State::Running(cpu) | State::Dropped(cpu) => cpu,
                _ => 0,
            };
            (cpu, task.raw, task.info)
        });
        let cx = self.cx(cpu);
        call!(self, task_prio_changed, &cx, task, &info);
    }

    /// Changes the CPUs that a task may use.
    fn set_affinity(&mut self, slot: usize, allowed: u64) {
        let (state, task, info) = with(|world| {
            let task = &mut world.tasks[slot];
            task.allowed = allowed;
            task.info.nr_cpus_allowed = allowed.count_ones();
            (task.state, task.raw, task.info)
        });
        let cpu = match state {
            State::Queued(cpu) | State::Running(cpu) | State::Dropped(cpu) => cpu,
            _ => 0,
        };
        let cx = self.cx(cpu);
        call!(self, task_affinity_changed, &cx, task, &info);
        self.evict(slot);
    }

    /// Moves a task off a CPU that it may not use any more.
    fn evict(&mut self, slot: usize) {
        let (state, to) = with(|world| {
            let to = (0..world.nr_cpus())
                .find(|&cpu| world.active(cpu) && world.allowed(slot as u32, cpu));
            (world.tasks[slot].state, to)
        });
        let ok = |cpu| with(|world| world.active(cpu) && world.allowed(slot as u32, cpu));
        match (state, to) {
            (State::Running(cpu), Some(to)) if !ok(cpu) => {
                self.stop(cpu, false);
                self.migrate(slot, cpu, to, sys::LEAVE_MIGRATE);
                self.pick(cpu);
                self.pick(to);
            }
            (State::Queued(cpu), Some(to)) if !ok(cpu) => {
                self.migrate(slot, cpu, to, sys::LEAVE_MIGRATE);
                self.pick(to);
            }
            _ => {}
        }
    }

    fn hotplug(&mut self, cpu: u32) {
        let cx = self.cx(cpu);
        if with(|world| world.offline.remove(&cpu)) {
            call!(self, cpu_online, &cx, cpu as i32);
            return;
        }
        with(|world| world.offline.insert(cpu));
        call!(self, cpu_offline, &cx, cpu as i32);
        for slot in 0..with(|world| world.tasks.len()) {
            // A task whose last CPU goes may use all.
            with(|world| {
                let online = (0..world.nr_cpus())
                    .any(|cpu| world.active(cpu) && world.allowed(slot as u32, cpu));
                if !online {
                    world.tasks[slot].allowed = u64::MAX;
                }
            });
            self.evict(slot);
        }
    }

    /// Something that happens on some CPU or to some task.
    pub fn step(&mut self) {
        let ns = self.random(400_000);
        self.advance(ns);
        let cpu = self.random(u64::from(NR_CPUS)) as u32;
        let alive: Vec<usize> = with(|world| {
            (0..world.tasks.len())
                .filter(|&slot| world.tasks[slot].state != State::Dead)
                .collect()
        });
        let victim = match alive.len() {
            0 => None,
            n => Some(alive[self.random(n as u64) as usize]),
        };
        match self.random(100) {
            0..=5 if alive.len() < 40 => {
                let allowed = self.random_mask();
                let nice = self.random(40) as i32 - 20;
                self.spawn(allowed, nice);
            }
            6..=25 => drop(self.tick(cpu)),
            26..=45 => {
                if let Some(slot) = victim {
                    if with(|world| world.tasks[slot].state) == State::Blocked {
                        self.wake(slot);
                    }
                }
            }
            46..=60 => {
                self.block(cpu);
                self.pick(cpu);
            }
            61..=70 => drop(self.pick(cpu)),
            71..=75 => {
                self.stop(cpu, true);
                self.pick(cpu);
            }
            76..=80 => self.stop(cpu, false),
            81..=85 => {
                let allowed = self.random_mask();
                victim
                    .into_iter()
                    .for_each(|slot| self.set_affinity(slot, allowed));
            }
            86..=90 => {
                let nice = self.random(40) as i32 - 20;
                victim.into_iter().for_each(|slot| self.renice(slot, nice));
            }
            91..=93 => {
                let dead = self.random(2) == 0;
                victim.into_iter().for_each(|slot| self.leave(slot, dead));
            }
            94 if cpu != 0 => self.hotplug(cpu),
            96 if self.ops.parse_hint.is_some() => self.client(cpu),
            97..=98 if self.ops.parse_hint.is_some() => self.hint(cpu, victim),
            99 if self.random(8) == 0 => self.upgrade(),
            95 => victim.into_iter().for_each(|slot| self.rescue(slot)),
            _ => self.fire(cpu),
        }
        for cpu in with(|world| std::mem::take(&mut world.resched)) {
            self.pick(cpu);
        }
    }

    /// A client comes or goes.
    fn client(&mut self, cpu: u32) {
        let queue = self.random(4) + 1;
        let cx = self.cx(cpu);
        if with(|world| world.clients.remove(&queue)).is_some() {
            call!(self, unregister_queue, &cx, queue);
            return;
        }
        if call!(self, register_queue, &cx, queue, sys::QUEUE_HINTS) == 0 {
            with(|world| world.clients.insert(queue, Vec::new()));
            // It may well do without messages.
            call!(self, register_queue, &cx, queue, sys::QUEUE_MESSAGES);
        }
    }

    /// A client says something, about a task or about none; it may be anything.
    fn hint(&mut self, cpu: u32, victim: Option<usize>) {
        let which = self.random(4) as usize;
        let Some(queue) = with(|world| world.clients.keys().cycle().nth(which).copied()) else {
            return;
        };
        let mut words = [0u64; sys::MAX_HINT_SIZE as usize / 8];
        // Small numbers, whether they are taken for one or for two.
        words.fill_with(|| self.random(8) | self.random(8) << 32);
        let hint = words.as_ptr().cast::<c_void>();
        let none: *const RawInfo = ptr::null();

        let cx = self.cx(cpu);
        let wanted = call!(self, enter_queue, &cx, queue, 3);
        assert!(wanted <= u32::MAX / 2, "the policy wants {wanted} hints");
        let Some(slot) = victim.filter(|_| self.random(4) != 0) else {
            call!(self, parse_hint, &cx, queue, ptr::null_mut(), none, hint);
            return;
        };
        let (state, task, info) = with(|world| {
            let task = &world.tasks[slot];
            (task.state, task.raw, task.info)
        });
        match state {
            State::Queued(cpu) => {
                let cx = self.cx(cpu);
                call!(self, parse_hint, &cx, queue, task, &raw const info, hint);
            }
            State::Running(cpu) => {
                let task = with(|world| world.fill(slot, cpu, false));
                let cx = self.cx(cpu);
                call!(self, parse_hint, &cx, queue, task, none, hint);
            }
            State::Blocked => {
                let task = with(|world| world.fill(slot, 0, false));
                call!(self, parse_hint, &self.cx(0), queue, task, none, hint);
            }
            State::Dropped(_) | State::Dead => {}
        }
    }

    /// Timers that have run out.
    pub(crate) fn fire(&mut self, cpu: u32) {
        let due: Vec<usize> = with(|world| {
            let now = world.now;
            let due = |timer: &Option<u64>| timer.is_some_and(|at| at <= now);
            (0..world.timers.len())
                .filter(|&i| due(&world.timers[i]))
                .collect()
        });
        let cx = self.cx(cpu);
        for timer in due {
            with(|world| world.timers[timer] = None);
            call!(self, timer_fired, &cx, timer as u32);
        }
    }

    fn random_mask(&mut self) -> u64 {
        match self.random(3) {
            0 => 1 << self.random(u64::from(NR_CPUS)),
            1 => (1 << NR_CPUS) - 1,
            _ => 1 + self.random((1 << NR_CPUS) - 1),
        }
    }

    /// Runs what is ready on one CPU for a time, with a timer interrupt every 4 ms.
    pub fn run_cpu(&mut self, cpu: u32, ns: u64) {
        const TICK: u64 = 4_000_000;
        let end = with(|world| world.now) + ns;
        let mut slice = self.pick(cpu);
        let mut slice_end = with(|world| world.now) + slice;
        loop {
            let now = with(|world| world.now);
            if now >= end {
                return;
            }
            let tick = (now / TICK + 1) * TICK;
            let next = if slice == 0 {
                tick
            } else {
                tick.min(slice_end)
            };
            self.advance(next - now);
            let picked = if slice != 0 && next == slice_end {
                Some(self.pick(cpu))
            } else {
                self.tick(cpu)
            };
            if let Some(picked) = picked {
                slice = picked;
                slice_end = next.saturating_add(slice);
            }
        }
    }

    /// Ends all tasks and unloads the policy.
    pub fn finish(mut self) -> Report {
        for slot in 0..with(|world| world.tasks.len()) {
            if with(|world| world.tasks[slot].state) != State::Dead {
                self.leave(slot, slot % 2 == 0);
            }
        }
        let (picks, steals) = (self.picks, self.steals);
        drop(self);
        with(|world| Report {
            picks,
            steals,
            drops: world.drops,
            max_wait: world.max_wait,
        })
    }
}

impl<S: Scheduler> Drop for Sim<S> {
    fn drop(&mut self) {
        call!(self, free_sched,);
        // What is left: the tokens that it dropped, and the tasks of a test that did not finish.
        with(|world| {
            for task in &mut world.tasks {
                if task.state != State::Dead {
                    // SAFETY: The policy is gone.
                    unsafe { self.ops.free_task.unwrap()(task.raw) };
                    task.state = State::Dead;
                }
            }
        });
    }
}

#[path = "sim_upgrade.rs"]
mod upgrade;

/// What `module_enoki_scheduler!` makes a program of.
pub fn main<S: Scheduler>(ops: Ops<S>, args: impl Iterator<Item = String>) {
    let mut args = args.map(|arg| arg.parse().expect("a number"));
    let (seed, events) = (args.next().unwrap_or(1), args.next().unwrap_or(100_000));
    let mut sim = Sim::with_ops(ops, seed).expect("the policy does not load");
    for _ in 0..events {
        sim.step();
    }
    let report = sim.finish();
    println!("{} {}: {report:?}", S::NAME, S::VERSION);
    if report.drops != 0 {
        eprintln!("the policy drops tokens");
        std::process::exit(1);
    }
}
