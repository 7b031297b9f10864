// SPDX-License-Identifier: GPL-2.0

//! What a policy would do with the tasks of a recording: another one, another version, or the same
//! one, to compare with.
//!
//! # The model
//!
//! Of a recording these are kept: when each task came, for how long it ran before it went to sleep
//! and for how long it slept then, its weight and when that changed, and on which CPU it was if it
//! could use one only; the number of CPUs, what they share, and how often they tick. All else is
//! decided anew by the policy, in the class in miniature of [`crate::sim`]: where tasks run, in
//! which order, for how long at a time, who interrupts whom and who is stolen.
//!
//! Nothing costs any time, and a task's work takes as long on any CPU and beside any other task.
//! A task that waits for another one sleeps as long as it did, even if the other one is slower
//! now. There are no hints. So what is recorded and what comes out of the model differ even for
//! the policy that was recorded; compare two policies in the model.

use crate::{
    hint::Ops,
    latency,
    records::{event, Call, Record, Tapes},
    sched::Scheduler,
    sim::{Place, Sim},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    fmt,
    io::{self, Read},
};

/// How often CPUs tick if the recording does not show it, ns.
const TICK_NS: u64 = 4_000_000;
/// Tasks have masks of so many CPUs in the class in miniature.
const MAX_CPUS: usize = 64;

/// What a task does: it runs, and then it sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Step {
    run_ns: u64,
    sleep_ns: u64,
}

/// A task, as the recording has it.
#[derive(Clone, Debug, Default)]
struct Life {
    id: u64,
    nice: i32,
    weight: u32,
    /// The CPU on which it was first, and whether it could be on others.
    cpu: u32,
    pinned: bool,
    /// When it was ready for the first time.
    begins_ns: Option<u64>,
    steps: Vec<Step>,
    /// It has gone in the end, and does not just sleep.
    ends: bool,
    /// From when on it had another nice level and weight.
    changes: Vec<(u64, i32, u32)>,
}

/// The nice level and the weight in the argument of [`event::INFO`].
fn unpack(packed: u64) -> (i32, u32) {
    let nice = i32::from((packed >> 48) as u8) - 20;
    (nice.clamp(-20, 19), (packed as u32).max(1))
}

/// A task, as it is measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Its number.
    pub id: u64,
    /// Its weight.
    pub weight: u32,
    /// How long it ran, ns.
    pub ran_ns: u64,
    /// How long it was ready and did not run, ns.
    pub waited_ns: u64,
    /// For how long it would have run if CPUs could be shared out by weight at each moment, ns.
    pub fair_ns: f64,
    /// How long it took from each wake-up until it ran, ns, in no order.
    pub latencies_ns: Vec<u64>,
    /// How often it ran on another CPU than before.
    pub migrations: u64,
    on: Option<u32>,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Asleep,
    /// Since then, and whether it woke up then.
    Ready(u64, bool),
    Running,
}

impl Measured {
    /// A part of the latencies is at most so long, ns; of 1000.
    pub fn latency_ns(&mut self, per_mille: usize) -> u64 {
        self.latencies_ns.sort_unstable();
        latency::part(&self.latencies_ns, per_mille)
    }
}

/// Measures tasks as things happen to them, in the order of time.
struct Meter {
    now_ns: u64,
    nr_cpus: usize,
    tasks: Vec<Measured>,
    /// Those that are not asleep, the heaviest first, by weight and place in `tasks`.
    awake: BTreeSet<(Reverse<u32>, usize)>,
}

impl Meter {
    fn new(nr_cpus: usize, lives: &[Life]) -> Meter {
        let measured = |life: &Life| Measured {
            id: life.id,
            weight: life.weight,
            ..Measured::default()
        };
        Meter {
            now_ns: 0,
            nr_cpus,
            tasks: lives.iter().map(measured).collect(),
            awake: BTreeSet::new(),
        }
    }

    /// Time passes. No task can be given more than one whole CPU; what is left is the others'.
    fn advance(&mut self, now_ns: u64) {
        let passed = now_ns.saturating_sub(self.now_ns);
        if passed == 0 {
            return;
        }
        self.now_ns = now_ns;
        let mut weight: f64 = self.awake.iter().map(|(own, _)| f64::from(own.0)).sum();
        let mut cpus = self.nr_cpus as f64;
        for &(Reverse(own), at) in &self.awake {
            let task = &mut self.tasks[at];
            match task.state {
                State::Running => task.ran_ns += passed,
                State::Ready(..) | State::Asleep => task.waited_ns += passed,
            }
            let own = f64::from(own);
            let share = (cpus * own / weight).min(1.0);
            task.fair_ns += share * passed as f64;
            cpus -= share;
            weight -= own;
        }
    }

    fn set(&mut self, at: usize, state: State) {
        let task = &mut self.tasks[at];
        let key = (Reverse(task.weight), at);
        if state == State::Asleep {
            self.awake.remove(&key);
        } else if task.state == State::Asleep {
            self.awake.insert(key);
        }
        task.state = state;
    }

    fn weigh(&mut self, at: usize, weight: u32) {
        let task = &mut self.tasks[at];
        if self.awake.remove(&(Reverse(task.weight), at)) {
            self.awake.insert((Reverse(weight), at));
        }
        task.weight = weight;
    }

    fn ready(&mut self, at: usize, woke: bool) {
        if !matches!(self.tasks[at].state, State::Ready(..)) {
            self.set(at, State::Ready(self.now_ns, woke));
        }
    }

    fn runs(&mut self, at: usize, cpu: u32) {
        if let State::Ready(since, true) = self.tasks[at].state {
            self.tasks[at].latencies_ns.push(self.now_ns - since);
        }
        self.set(at, State::Running);
        let before = self.tasks[at].on.replace(cpu);
        self.tasks[at].migrations += u64::from(before.is_some_and(|before| before != cpu));
    }

    fn sleeps(&mut self, at: usize) {
        self.set(at, State::Asleep);
    }
}

/// A task while its calls are read: how long it had run when it began to, and has now; and when it
/// went to sleep.
#[derive(Default)]
struct Now {
    at: usize,
    base_ns: u64,
    runtime_ns: u64,
    slept_at: Option<u64>,
}

impl Now {
    /// It has run since it began to.
    fn step(&mut self) -> Step {
        let run_ns = self.runtime_ns.saturating_sub(self.base_ns);
        self.base_ns = self.runtime_ns;
        Step {
            run_ns,
            sleep_ns: 0,
        }
    }
}

/// What was recorded.
struct Recorded {
    lives: Vec<Life>,
    machine: Vec<Place>,
    tick_ns: u64,
    measured: Vec<Measured>,
}

/// Something that happened to a task.
#[derive(Clone, Copy)]
struct Seen {
    time_ns: u64,
    record: Record,
    /// The task that ran before, in a pick.
    prev: u64,
    /// How long the task has run, if that is said.
    runtime_ns: Option<u64>,
    /// What the policy sees of the task, if that has changed.
    info: Option<u64>,
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Reads all calls, in the order of time.
fn read<R: Read>(tapes: &mut Tapes<R>) -> io::Result<Vec<Seen>> {
    let mut seen = Vec::new();
    let mut call = Call::default();
    let mut latest = vec![0; tapes.nr_cpus()];
    loop {
        for (cpu, latest) in latest.iter_mut().enumerate() {
            while tapes.next(cpu).is_some() {
                tapes.take(cpu, &mut call);
                let record = call.record;
                // Some have no time, and are of the time of what was before.
                *latest = record.time_ns.max(*latest);
                let of = |event: u8, task: u64| {
                    let mut before = call.before.iter();
                    before.rfind(|more| more.event == event && (task == 0 || more.task == task))
                };
                seen.push(Seen {
                    time_ns: *latest,
                    record,
                    prev: of(event::WITH, 0).map_or(0, |with| with.task),
                    runtime_ns: of(event::RUNTIME, record.task).map(|more| more.arg),
                    info: of(event::INFO, record.task)
                        .filter(|_| record.task != 0)
                        .map(|more| more.arg),
                });
            }
        }
        if !tapes.more()? {
            break;
        }
    }
    seen.sort_by_key(|seen| seen.time_ns);
    Ok(seen)
}

/// The time between two ticks of a CPU that comes most often.
fn tick_ns(seen: &[Seen]) -> u64 {
    let (mut before, mut counts) = (BTreeMap::new(), BTreeMap::new());
    for tick in seen
        .iter()
        .filter(|seen| seen.record.event == event::TASK_TICK)
    {
        if let Some(before) = before.insert(tick.record.on, tick.time_ns) {
            // Clocks are not exact.
            let rounded = (tick.time_ns - before + 50_000) / 100_000 * 100_000;
            *counts.entry(rounded).or_insert(0_u64) += 1;
        }
    }
    let often = counts.into_iter().filter(|&(ns, _)| ns != 0);
    often
        .max_by_key(|&(_, count)| count)
        .map_or(TICK_NS, |(ns, _)| ns)
}

impl Recorded {
    fn new<R: Read>(from: R) -> io::Result<Recorded> {
        let mut tapes = Tapes::new(from)?;
        let known = tapes.machine.iter().map_while(|cpu| *cpu);
        let machine: Vec<Place> = known.map(|(task, arg)| place(task, arg)).collect();
        if machine.is_empty() || machine.len() > MAX_CPUS {
            return Err(wrong(
                "the model has 1 to 64 CPUs, without gaps between them",
            ));
        }
        let seen = read(&mut tapes)?;
        let mut recorded = Recorded {
            lives: Vec::new(),
            machine,
            tick_ns: tick_ns(&seen),
            measured: Vec::new(),
        };
        recorded.live(&seen);
        recorded.measure(&seen);
        Ok(recorded)
    }

    /// What each task did.
    fn live(&mut self, seen: &[Seen]) {
        let mut tasks: BTreeMap<u64, Now> = BTreeMap::new();
        let last_cpu = self.machine.len() as u32 - 1;
        for seen in seen {
            let Record {
                task, arg, event, ..
            } = seen.record;
            if event == event::INIT_TASK && !tasks.contains_key(&task) {
                let runtime_ns = seen.runtime_ns.unwrap_or(0);
                let now = Now {
                    at: self.lives.len(),
                    base_ns: runtime_ns,
                    runtime_ns,
                    slept_at: None,
                };
                tasks.insert(task, now);
                let (nice, weight) = unpack(arg);
                self.lives.push(Life {
                    id: task,
                    nice,
                    weight,
                    pinned: (arg >> 32) as u16 == 1,
                    ..Life::default()
                });
                continue;
            }
            let Some(now) = tasks.get_mut(&task) else {
                continue;
            };
            now.runtime_ns = seen.runtime_ns.unwrap_or(now.runtime_ns);
            let life = &mut self.lives[now.at];
            if let Some((nice, weight)) = seen.info.map(unpack) {
                match life.begins_ns {
                    None => (life.nice, life.weight) = (nice, weight),
                    Some(_) => life.changes.push((seen.time_ns, nice, weight)),
                }
            }
            match event {
                event::TASK_NEW | event::TASK_WAKEUP => {
                    if life.begins_ns.is_none() {
                        life.begins_ns = Some(seen.time_ns);
                        life.cpu = u32::from(seen.record.cpu).min(last_cpu);
                    } else if let (Some(at), Some(step)) = (now.slept_at, life.steps.last_mut()) {
                        step.sleep_ns = seen.time_ns - at;
                    }
                    now.slept_at = None;
                }
                event::TASK_BLOCKED | event::TASK_DEAD | event::TASK_DEPARTED => {
                    if now.slept_at.is_none() && life.begins_ns.is_some() {
                        life.steps.push(now.step());
                        now.slept_at = Some(seen.time_ns);
                    }
                    if event != event::TASK_BLOCKED {
                        life.ends = true;
                        tasks.remove(&task);
                    }
                }
                _ => {}
            }
        }
        for now in tasks.values_mut().filter(|now| now.slept_at.is_none()) {
            let step = now.step();
            self.lives[now.at].steps.push(step);
        }
    }

    /// How the tasks fared.
    fn measure(&mut self, seen: &[Seen]) {
        let at: BTreeMap<u64, usize> = (0..)
            .zip(&self.lives)
            .map(|(at, life)| (life.id, at))
            .collect();
        let mut meter = Meter::new(self.machine.len(), &self.lives);
        for seen in seen {
            meter.advance(seen.time_ns);
            let prev = at.get(&seen.prev).copied();
            let task = at.get(&seen.record.task).copied();
            if let (event::PICK_NEXT_TASK, Some(prev)) = (seen.record.event, prev) {
                if Some(prev) != task {
                    meter.ready(prev, false);
                }
            }
            let Some(task) = task else { continue };
            if let Some((_, weight)) = seen.info.map(unpack) {
                meter.weigh(task, weight);
            }
            match seen.record.event {
                event::TASK_NEW | event::TASK_WAKEUP => meter.ready(task, true),
                event::TASK_PREEMPT | event::TASK_YIELD => meter.ready(task, false),
                event::PICK_NEXT_TASK => meter.runs(task, seen.record.cpu.into()),
                event::TASK_BLOCKED | event::TASK_DEAD | event::TASK_DEPARTED => meter.sleeps(task),
                _ => {}
            }
        }
        self.measured = meter.tasks;
    }
}

fn place(task: u64, arg: u64) -> Place {
    Place {
        core: task as u32,
        llc: (task >> 32) as u32,
        node: (arg >> 32) as i32,
    }
}

/// What is to come in the model.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The task at that place begins, or wakes up.
    Wake(usize),
    /// What runs on a CPU goes to sleep, if nothing else was picked since.
    Sleep(u32, u64),
    /// The end of a slice; likewise.
    Slice(u32, u64),
    /// The task at that place has that one of its changes.
    Change(usize, usize),
    Tick(u32),
    Timers,
}

/// A task in the model.
#[derive(Clone, Default)]
struct Task {
    slot: Option<usize>,
    /// The next of its steps, and how long it had run when that began.
    step: usize,
    base_ns: u64,
    nice: i32,
    weight: u32,
}

struct Model<'r, S: Scheduler> {
    sim: Sim<S>,
    recorded: &'r Recorded,
    meter: Meter,
    tasks: Vec<Task>,
    /// Tasks by their slots.
    by_slot: BTreeMap<usize, usize>,
    /// Which pick of each CPU was seen last, and the task that ran since.
    seen: Vec<(u64, Option<usize>)>,
    coming: BinaryHeap<Reverse<(u64, u64, Event)>>,
    /// How many have come, for those of one time to keep their order.
    nr: u64,
    /// How many tasks are to wake up, or are there.
    left: usize,
}

impl<S: Scheduler> Model<'_, S> {
    fn at(&mut self, time_ns: u64, event: Event) {
        self.nr += 1;
        self.coming.push(Reverse((time_ns, self.nr, event)));
    }

    fn nr_cpus(&self) -> u32 {
        self.recorded.machine.len() as u32
    }

    /// A task begins, or wakes up.
    fn wake(&mut self, task: usize) {
        let recorded = self.recorded;
        let life = &recorded.lives[task];
        self.meter.ready(task, true);
        if let Some(slot) = self.tasks[task].slot {
            self.tasks[task].base_ns = self.sim.runtime(slot);
            return self.sim.wake(slot);
        }
        let all = u64::MAX >> (MAX_CPUS as u32 - self.nr_cpus());
        let allowed = if life.pinned { 1 << life.cpu } else { all };
        let Task { nice, weight, .. } = self.tasks[task];
        let slot = self.sim.attach(life.id, allowed, nice, weight);
        self.tasks[task].slot = Some(slot);
        self.by_slot.insert(slot, task);
        self.sim.begin(slot, life.cpu);
    }

    /// What runs on a CPU has run for as long as it does.
    fn sleep(&mut self, cpu: u32) {
        let running = self
            .sim
            .running(cpu)
            .and_then(|slot| self.by_slot.get(&slot));
        let Some(&task) = running else { return };
        let recorded = self.recorded;
        let life = &recorded.lives[task];
        let now = &mut self.tasks[task];
        let step = life.steps[now.step];
        now.step += 1;
        self.meter.sleeps(task);
        if now.step < life.steps.len() {
            let wakes_ns = self.meter.now_ns.saturating_add(step.sleep_ns);
            self.sim.block(cpu);
            self.sim.pick(cpu);
            self.at(wakes_ns, Event::Wake(task));
        } else {
            self.left -= 1;
            if let (true, Some(slot)) = (life.ends, now.slot) {
                self.sim.end(slot);
                self.tasks[task].slot = None;
            } else {
                self.sim.block(cpu);
                self.sim.pick(cpu);
            }
        }
    }

    /// A task has another weight.
    fn change(&mut self, task: usize, change: usize) {
        let (_, nice, weight) = self.recorded.lives[task].changes[change];
        self.meter.weigh(task, weight);
        let now = &mut self.tasks[task];
        (now.nice, now.weight) = (nice, weight);
        if let Some(slot) = now.slot {
            self.sim.reweigh(slot, nice, weight);
        }
    }

    /// Idle CPUs look for what waits elsewhere, as the class has them do.
    fn balance(&mut self) {
        for cpu in 0..self.nr_cpus() {
            if self.sim.running(cpu).is_none() && self.sim.is_anyone_waiting() {
                self.sim.pick(cpu);
            }
        }
    }

    /// What was picked meanwhile runs from now on.
    fn look(&mut self) {
        for cpu in self.sim.to_pick() {
            self.sim.pick(cpu);
        }
        for cpu in 0..self.nr_cpus() {
            let (nr, slice_ns) = self.sim.picked(cpu);
            let (seen, before) = self.seen[cpu as usize];
            if nr == seen {
                continue;
            }
            let running = self.sim.running(cpu);
            let task = running.and_then(|slot| self.by_slot.get(&slot).copied());
            self.seen[cpu as usize] = (nr, task);
            if let Some(before) = before.filter(|before| Some(*before) != task) {
                // It may run elsewhere, or be asleep.
                let waits = |slot| self.sim.is_waiting(slot);
                if self.tasks[before].slot.is_some_and(waits) {
                    self.meter.ready(before, false);
                }
            }
            let (Some(task), Some(slot)) = (task, running) else {
                continue;
            };
            self.meter.runs(task, cpu);
            let (now_ns, now) = (self.meter.now_ns, &self.tasks[task]);
            let ran_ns = self.sim.runtime(slot) - now.base_ns;
            let run_ns = self.recorded.lives[task].steps[now.step].run_ns;
            self.at(
                now_ns + run_ns.saturating_sub(ran_ns),
                Event::Sleep(cpu, nr),
            );
            if slice_ns != 0 {
                self.at(now_ns.saturating_add(slice_ns), Event::Slice(cpu, nr));
            }
        }
        if let Some(time_ns) = self.sim.next_timer() {
            self.at(time_ns.max(self.meter.now_ns), Event::Timers);
        }
    }

    fn run(mut self) -> Vec<Measured> {
        let recorded = self.recorded;
        for (task, life) in recorded.lives.iter().enumerate() {
            if let (Some(begins_ns), false) = (life.begins_ns, life.steps.is_empty()) {
                self.left += 1;
                self.at(begins_ns, Event::Wake(task));
                for (change, &(time_ns, ..)) in life.changes.iter().enumerate() {
                    self.at(time_ns, Event::Change(task, change));
                }
            }
        }
        let first_ns = self
            .coming
            .peek()
            .map_or(0, |Reverse((time_ns, ..))| *time_ns);
        for cpu in 0..self.nr_cpus() {
            self.at(first_ns, Event::Tick(cpu));
        }
        self.meter.now_ns = first_ns;
        self.sim.advance(first_ns);
        while self.left != 0 {
            let Some(Reverse((time_ns, _, event))) = self.coming.pop() else {
                break;
            };
            self.sim.advance(time_ns - self.meter.now_ns);
            self.meter.advance(time_ns);
            match event {
                Event::Wake(task) => self.wake(task),
                Event::Sleep(cpu, nr) if self.sim.picked(cpu).0 == nr => self.sleep(cpu),
                Event::Slice(cpu, nr) if self.sim.picked(cpu).0 == nr => {
                    self.sim.pick(cpu);
                }
                Event::Sleep(..) | Event::Slice(..) => continue,
                Event::Change(task, change) => self.change(task, change),
                Event::Tick(cpu) => {
                    self.sim.tick(cpu);
                    self.at(time_ns + self.recorded.tick_ns, Event::Tick(cpu));
                }
                Event::Timers => self.sim.fire(0),
            }
            self.balance();
            self.look();
        }
        self.meter.tasks
    }
}

/// How the tasks fared, and how they fare with a policy.
pub struct Outcome {
    /// What is recorded.
    pub recorded: Vec<Measured>,
    /// What came out of the model.
    pub model: Vec<Measured>,
}

impl Outcome {
    /// Reads a recording of any policy, and runs this one in the model.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or the policy cannot be made.
    pub fn new<S: Scheduler>(ops: Ops<S>, from: impl Read) -> io::Result<Outcome> {
        let mut recorded = Recorded::new(from)?;
        let sim = Sim::of_machine(ops, recorded.machine.clone())
            .map_err(|error| wrong(&format!("the policy cannot be made: {error:?}")))?;
        let measured = std::mem::take(&mut recorded.measured);
        let as_recorded = |life: &Life| Task {
            nice: life.nice,
            weight: life.weight,
            ..Task::default()
        };
        let model = Model {
            sim,
            meter: Meter::new(recorded.machine.len(), &recorded.lives),
            tasks: recorded.lives.iter().map(as_recorded).collect(),
            by_slot: BTreeMap::new(),
            seen: vec![(0, None); recorded.machine.len()],
            coming: BinaryHeap::new(),
            nr: 0,
            left: 0,
            recorded: &recorded,
        };
        Ok(Outcome {
            model: model.run(),
            recorded: measured,
        })
    }
}

/// A line for each task on each side, with tabs in between: which side, its number, weight, run
/// time, time that it waited, time that would have been fair, wake-ups, wake-up latency of which a
/// half, 99 of 100 and all are at most, and how often it ran elsewhere than before. All times are
/// in ns. The first line of each side is of all tasks together, number 0. Then comes a line with
/// how many latencies there were of less than 1 µs, less than 2 µs, 4 µs and so on; the last number
/// is of all that are longer.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (side, tasks) in [("recorded", &self.recorded), ("model", &self.model)] {
            let mut all = Measured::default();
            for task in tasks {
                all.weight = all.weight.saturating_add(task.weight);
                all.ran_ns += task.ran_ns;
                all.waited_ns += task.waited_ns;
                all.fair_ns += task.fair_ns;
                all.latencies_ns.extend(&task.latencies_ns);
                all.migrations += task.migrations;
            }
            let mut buckets = [0_u64; latency::BUCKETS];
            for &ns in &all.latencies_ns {
                buckets[latency::bucket(ns)] += 1;
            }
            for mut task in [all].into_iter().chain(tasks.iter().cloned()) {
                let longest = [500, 990, 1000].map(|part| task.latency_ns(part));
                writeln!(
                    f,
                    "{side} task\t{}\t{}\t{}\t{}\t{:.0}\t{}\t{}\t{}\t{}\t{}",
                    task.id,
                    task.weight,
                    task.ran_ns,
                    task.waited_ns,
                    task.fair_ns,
                    task.latencies_ns.len(),
                    longest[0],
                    longest[1],
                    longest[2],
                    task.migrations
                )?;
            }
            write!(f, "{side} latencies")?;
            buckets.iter().try_for_each(|nr| write!(f, "\t{nr}"))?;
            writeln!(f)?;
        }
        Ok(())
    }
}
