// SPDX-License-Identifier: GPL-2.0

//! Runs a policy again, by what a recording has of it.
//!
//! Each call that was recorded is made again, with what it was made with then; each question that
//! the policy asks has the answer that it had then; and what the policy answers, and asks for, is
//! compared. So it does exactly what it did, or the first thing that it does differently is found.
//!
//! # The order of calls
//!
//! The tapes say in which order the calls of one CPU were made. Between those of different CPUs
//! there are two ties: calls about one task are numbered, and so is each time that one of the
//! policy's locks was taken. A call is made when it is its turn by both; nothing else leads from
//! one call to another, so that any such order is as good as the one that there was.
//!
//! When a policy is replaced nobody calls it. Here that is when no call of the version before can
//! be made any more; the version that follows is the same program.
//!
//! Two calls may each have taken a lock before the other one did. Then there is no order of whole
//! calls: one of them is begun on a thread of its own, and waits there for its next lock.

use crate::{
    cpu::{CpuId, Topology},
    hint::Ops,
    records::{self, event, Call, Record, Tapes},
    sched::Scheduler,
    sys::{self, c_void, code, RawCtx, RawInfo, RawKey, RawOps, RawTask},
};
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    io::{self, Read},
    mem::{self, MaybeUninit},
    ptr,
    sync::{
        mpsc::{self, Receiver, Sender},
        Arc, Mutex, PoisonError,
    },
    thread,
};

mod job;
mod program;
mod threads;

use job::{Answer, Job};
use program::enoki_break;
pub use program::{main, Stop};

/// So many records are read before a call is begun that cannot be made as a whole.
const READ_AHEAD: usize = 1 << 20;
/// So many of the latest calls are shown when something is wrong.
const LATEST: usize = 20;

/// Spreads numbers that count up.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("only numbers are hashed")
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

type Numbers<T> = HashMap<u64, T, BuildHasherDefault<NumberHasher>>;

/// What all calls have in common, on whichever thread they are made.
#[derive(Default)]
struct Shared {
    /// The CPUs that there may be, each with what [`event::TOPOLOGY`] has of it.
    machine: Vec<Option<(u64, u64)>>,
    /// The numbers of locks in the recording, by those here.
    locks: Numbers<u64>,
    /// And the other way round, with how often each was taken.
    taken: Numbers<(u64, u64)>,
    /// Those that are taken by calls beside each other.
    held: Numbers<()>,
    nr_timers: u32,
    /// Lines of the policy's log.
    lines: Vec<String>,
    /// Slots of tokens that the policy let go of.
    dropped: Vec<u32>,
}

impl Shared {
    /// Takes a lock beside others, if it is free and its turn. Returns whether it did.
    fn take_if_free(&mut self, lock: u64, nth: u64) -> bool {
        if self.taken(lock) != nth || self.held.contains_key(&lock) {
            return false;
        }
        self.held.insert(lock, ());
        if let Some((_, taken)) = self.taken.get_mut(&lock) {
            *taken += 1;
        }
        true
    }

    /// How often a lock was taken.
    fn taken(&self, lock: u64) -> u64 {
        self.taken.get(&lock).map_or(0, |(_, taken)| *taken)
    }
}

/// What the policy meets in the call that it is in.
#[derive(Default)]
struct InCall {
    /// There is a call.
    active: bool,
    /// What it asked for then, and how far that has been met.
    asked: Vec<Record>,
    at: usize,
    /// Likewise of [`event::ANSWERS`], which come later than what was asked after them.
    answers_at: usize,
    /// Answers that are left of the last of those.
    answers: u64,
    nr_answers: u32,
    /// The first thing that was different.
    wrong: Option<String>,
}

impl InCall {
    /// Something is different; only the first one counts.
    #[cold]
    fn differs(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    /// The next thing that it asked for but for answers; or the next answers.
    fn left(&mut self, answers: bool) -> Option<Record> {
        let at = if answers {
            &mut self.answers_at
        } else {
            &mut self.at
        };
        let is_next = |record: &Record| (record.event == event::ANSWERS) == answers;
        let found = self.asked[*at..].iter().position(is_next);
        *at = found.map_or(self.asked.len(), |found| *at + found + 1);
        found.map(|_| self.asked[*at - 1])
    }

    /// The next thing that it asked for, which should be that.
    fn expect(&mut self, event: u8) -> Option<Record> {
        match self.left(event == event::ANSWERS) {
            Some(record) if record.event == event => Some(record),
            other => {
                let then = other.map_or("nothing more".to_owned(), |record| record.to_string());
                let now = records::name(event);
                self.differs(format!(
                    "the policy asks for {now}; then it asked for {then}"
                ));
                None
            }
        }
    }

    fn answer(&mut self) -> bool {
        if self.nr_answers == 0 {
            let Some(record) = self.expect(event::ANSWERS) else {
                return false;
            };
            self.nr_answers = 63 - record.arg.max(1).leading_zeros();
            self.answers = record.arg;
        }
        self.nr_answers = self.nr_answers.saturating_sub(1);
        self.answers >> self.nr_answers & 1 != 0
    }

    /// The call is over: did it ask for all that it asked for then?
    fn finish(&mut self) -> Option<String> {
        if self.wrong.is_none() {
            let left = self.left(false).or_else(|| self.left(true));
            if let Some(left) = left {
                self.differs(format!("then the policy also asked for {left}"));
            } else if self.nr_answers != 0 {
                let left = self.nr_answers;
                self.differs(format!("then the policy asked {left} more questions"));
            }
        }
        let wrong = self.wrong.take();
        let asked = mem::take(&mut self.asked);
        *self = InCall {
            asked,
            ..InCall::default()
        };
        wrong
    }
}

/// How a thread runs a recording again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Not at all: it simulates.
    None,
    /// All that calls have in common is its own.
    Alone,
    /// In a call, beside others that go on.
    Beside,
}

thread_local! {
    static MODE: Cell<Mode> = const { Cell::new(Mode::None) };
    static SHARED: RefCell<Shared> = RefCell::default();
    static IN_CALL: RefCell<InCall> = RefCell::default();
    static BESIDE: RefCell<Option<Beside>> = const { RefCell::new(None) };
}

/// What is left of replays that ended while a call was suspended: its thread is in the policy.
static LEFT: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// Lends what the policy meets, if it is run again; never while the policy is called.
#[inline]
fn with<R>(f: impl FnOnce(&mut InCall, &mut Shared) -> R) -> Option<R> {
    match MODE.get() {
        Mode::None => None,
        Mode::Alone => {
            Some(IN_CALL.with_borrow_mut(|now| SHARED.with_borrow_mut(|shared| f(now, shared))))
        }
        Mode::Beside => Some(threads::with(f)),
    }
}

pub(crate) fn nr_cpus() -> Option<u32> {
    with(|_, shared| shared.machine.len() as u32)
}

pub(crate) fn cpu_possible(cpu: u32) -> Option<bool> {
    with(|_, shared| {
        shared
            .machine
            .get(cpu as usize)
            .is_some_and(Option::is_some)
    })
}

pub(crate) fn topology(cpu: CpuId) -> Option<Topology> {
    let (task, arg) = with(|now, shared| {
        if now.active {
            now.expect(event::TOPOLOGY)
                .map_or((0, 0), |record| (record.task, record.arg))
        } else {
            shared.machine[cpu.as_u32() as usize].unwrap_or_default()
        }
    })?;
    let id = |raw: u64| CpuId::new(raw as u32).unwrap_or(CpuId::FIRST);
    Some(Topology {
        core: id(task),
        llc: id(task >> 32),
        node: (arg >> 32) as i32,
    })
}

#[inline]
pub(crate) fn answer() -> Option<bool> {
    with(|now, _| now.answer())
}

/// A lock is to be taken: waits for its turn, if other calls are made beside this one.
#[inline]
pub(crate) fn take_lock(number: u64) {
    let waits = with(|now, shared| {
        let record = now.expect(event::LOCK)?;
        let then = record.task;
        let lock = *shared.locks.entry(number).or_insert(then);
        let (here, taken) = shared.taken.entry(then).or_insert((number, 0));
        if lock != then || *here != number {
            now.differs(format!(
                "the policy takes another lock than then, when it took {then}"
            ));
            return None;
        }
        if MODE.get() == Mode::Alone && *taken == record.arg {
            *taken += 1;
            return None;
        }
        Some((then, record.arg))
    });
    if let Some((lock, nth)) = waits.flatten() {
        wait_for_lock(lock, nth);
    }
}

/// A lock is free again.
#[inline]
pub(crate) fn unlock(number: u64) {
    if MODE.get() != Mode::Beside {
        return;
    }
    if let Some(lock) = with(|_, shared| shared.locks.get(&number).copied()).flatten() {
        threads::unlocked(lock);
    }
}

#[cold]
fn wait_for_lock(lock: u64, nth: u64) {
    if MODE.get() == Mode::Beside {
        return threads::wait_for_lock(lock, nth);
    }
    let beside = BESIDE.with_borrow(|beside| {
        beside
            .as_ref()
            .inspect(|beside| beside.wait(lock, nth))
            .is_some()
    });
    with(|now, shared| match shared.taken.get_mut(&lock) {
        Some((_, taken)) if beside => *taken += 1,
        _ => now.differs(format!(
            "the policy takes lock {lock}, whose turn it is not"
        )),
    });
}

/// Compares what the policy asks for. Returns what there was to say of it then.
pub(crate) fn asked(event: u8, task: u64, arg: u64) -> Option<u64> {
    with(|now, _| {
        // When it goes it may let go of tokens.
        if !now.active {
            return 0;
        }
        let Some(record) = now.expect(event) else {
            return 0;
        };
        if record.task != task || (event != event::SEND && record.arg != arg) {
            let name = records::name(event);
            now.differs(format!(
                "the policy asks for {name} of {task}, {arg}; then it was of {}, {}",
                record.task, record.arg
            ));
        }
        record.arg
    })
}

/// The policy lets go of a token.
pub(crate) fn drop_token(slot: u32, task: u64) -> Option<u64> {
    with(|_, shared| shared.dropped.push(slot));
    asked(event::DROP, task, 0)
}

pub(crate) fn arm_timer(timer: u32, delay_ns: u64) -> Option<sys::Result<()>> {
    let nr_timers = with(|_, shared| shared.nr_timers)?;
    if timer >= nr_timers {
        return Some(Err(code::EINVAL));
    }
    asked(event::TIMER_ARM, timer.into(), delay_ns).map(|_| Ok(()))
}

pub(crate) fn log(line: &str) -> Option<()> {
    asked(event::LOG, 0, line.len() as u64)?;
    with(|_, shared| shared.lines.push(line.to_owned()))
}

/// What a thread beside says: it waits for a lock, or its call is over.
enum Said {
    Waits(u64, u64),
    Done(Answer, Option<String>),
}

/// A thread's end of what leads to it. What all calls have in common goes with each word.
struct Beside {
    says: Sender<(Said, Shared)>,
    hears: Receiver<Shared>,
}

impl Beside {
    /// Lets others go on until it is the lock's turn.
    fn wait(&self, lock: u64, nth: u64) {
        // If nobody is there any more the replay is over, and the call must not go on.
        let _ = self.says.send((Said::Waits(lock, nth), SHARED.take()));
        match self.hears.recv() {
            Ok(shared) => SHARED.set(shared),
            Err(_) => loop {
                thread::park();
            },
        }
    }
}

/// A call that is made beside others, on a thread of its own, because it is not the turn of all of
/// its locks. Only one thread runs at a time.
struct Suspended {
    call: Call,
    lock: (u64, u64),
    says: Sender<Shared>,
    hears: Receiver<(Said, Shared)>,
}

impl Suspended {
    /// Begins such a call. Returns when it waits for the first time, or is over.
    fn begin(job: Job, call: Call) -> Result<Suspended, (Call, Answer, Option<String>)> {
        let (says, beside_hears) = mpsc::channel();
        let (beside_says, hears) = mpsc::channel();
        let asked = call.asked.clone();
        thread::spawn(move || {
            let beside = Beside {
                says: beside_says.clone(),
                hears: beside_hears,
            };
            let Ok(shared) = beside.hears.recv() else {
                return;
            };
            SHARED.set(shared);
            BESIDE.set(Some(beside));
            MODE.set(Mode::Alone);
            let (answer, wrong) = make_here(&job, asked);
            // Nobody may be there any more.
            let _ = beside_says.send((Said::Done(answer, wrong), SHARED.take()));
        });
        let suspended = Suspended {
            call,
            lock: (0, 0),
            says,
            hears,
        };
        suspended.go_on()
    }

    /// It is the lock's turn.
    fn go_on(mut self) -> Result<Suspended, (Call, Answer, Option<String>)> {
        let gone = "the policy has panicked";
        if self.says.send(SHARED.take()).is_err() {
            return Err((self.call, Answer::default(), Some(gone.to_owned())));
        }
        match self.hears.recv() {
            Ok((said, shared)) => {
                SHARED.set(shared);
                match said {
                    Said::Waits(lock, nth) => {
                        self.lock = (lock, nth);
                        Ok(self)
                    }
                    Said::Done(answer, wrong) => Err((self.call, answer, wrong)),
                }
            }
            Err(_) => Err((self.call, Answer::default(), Some(gone.to_owned()))),
        }
    }
}

/// Makes a call on this thread. Returns what is different but for the answer.
fn make_here(job: &Job, asked: Vec<Record>) -> (Answer, Option<String>) {
    IN_CALL.with_borrow_mut(|now| {
        now.active = true;
        now.asked = asked;
    });
    let answer = job.run();
    (answer, IN_CALL.with_borrow_mut(InCall::finish))
}

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Nothing.
    Due,
    /// It has not been read.
    Read,
    /// The policy is not in office yet.
    Office,
    /// That nobody calls the version before.
    Upgrade,
    /// The task's memory.
    New(u64),
    /// That there were so many calls about the task, of which there were so many.
    Task(u64, u16, u16),
    /// That the lock was taken so often, which was so often.
    Lock(u64, u64, u64),
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Turn::Due => f.write_str("is due"),
            Turn::Read => f.write_str("has not been read"),
            Turn::Office => f.write_str("waits for the policy"),
            Turn::Upgrade => f.write_str("waits until nobody calls the version before"),
            Turn::New(task) => write!(f, "waits for task {task}"),
            Turn::Task(task, nth, now) => {
                write!(
                    f,
                    "is call {nth} about task {task}, of which there were {now}"
                )
            }
            Turn::Lock(lock, nth, now) => {
                write!(
                    f,
                    "takes lock {lock} after {nth} times, of which there were {now}"
                )
            }
        }
    }
}

/// A token that the policy made the memory of.
struct Token {
    raw: *mut RawTask,
    task: u64,
    gen: u64,
    /// How many calls about it there were.
    calls: u16,
    /// The policy has it, not the class.
    granted: bool,
    /// The class will not call about it any more.
    gone: bool,
    /// Its memory was freed then.
    freed: bool,
    /// How many calls beside each other are about it.
    used: u32,
    /// One of them has it on loan.
    lent: bool,
}

/// Why a recording cannot be run again, or not any further.
#[derive(Debug)]
pub enum Error {
    /// The recording cannot be read.
    Read(io::Error),
    /// It is of another version of the policy.
    Version(String),
    /// The policy cannot be made.
    New(i32),
    /// It does something else than it did then.
    Differs {
        /// In which call, of its CPU's tape.
        number: u64,
        /// The call.
        call: Record,
        /// What is different.
        what: String,
        /// The latest calls on that CPU, and about that task.
        latest: Vec<Record>,
    },
    /// Records are missing, or not in any order.
    Stuck(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Read(error) => write!(f, "the recording cannot be read: {error}"),
            Error::New(error) => write!(f, "the policy cannot be made: error {error}"),
            Error::Differs {
                number,
                call,
                what,
                latest,
            } => {
                writeln!(f, "record {number} of CPU {}: {what}", call.on)?;
                writeln!(f, "  in {call}")?;
                writeln!(f, "the latest calls on this CPU and about this task:")?;
                latest
                    .iter()
                    .try_for_each(|record| writeln!(f, "  {record}"))
            }
            Error::Version(what) | Error::Stuck(what) => f.write_str(what),
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Read(error)
    }
}

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many calls were made again.
    pub calls: u64,
    /// How often a lock was taken.
    pub locks: u64,
    /// How many tasks there were.
    pub tasks: u64,
    /// How many calls could not be made as a whole.
    pub split: u64,
}

/// A policy that is run again.
pub struct Replay<R: Read> {
    tapes: Tapes<R>,
    ops: Arc<RawOps>,
    sched: *mut c_void,
    instance: u64,
    /// What the one before knew has been handed over, to one that is about to be in office.
    handed_over: bool,
    /// By their slots.
    tokens: Vec<Token>,
    free: Vec<u32>,
    /// Slots by the tasks' numbers.
    tasks: Numbers<u32>,
    /// What balance answered last on each CPU.
    keys: Vec<RawKey>,
    /// Calls that have begun on each CPU.
    suspended: Vec<Option<Suspended>>,
    /// The latest calls.
    latest: Vec<Record>,
    /// To be filled.
    spare: Call,
    /// Where a debugger is to stop.
    stop: Option<Stop>,
    report: Report,
}

impl<R: Read> Replay<R> {
    /// Reads what a recording begins with.
    ///
    /// # Errors
    ///
    /// If it is none.
    pub fn new<S: Scheduler>(ops: Ops<S>, from: R) -> Result<Replay<R>, Error> {
        let tapes = Tapes::new(from)?;
        let ops = Arc::new(ops.into_raw());
        IN_CALL.set(InCall::default());
        SHARED.set(Shared {
            machine: tapes.machine.clone(),
            nr_timers: ops.nr_timers,
            ..Shared::default()
        });
        MODE.set(Mode::Alone);
        let nr_cpus = tapes.nr_cpus();
        Ok(Replay {
            tapes,
            ops,
            sched: ptr::null_mut(),
            instance: 0,
            handed_over: false,
            tokens: Vec::new(),
            free: Vec::new(),
            tasks: Numbers::default(),
            keys: vec![RawKey::default(); nr_cpus],
            suspended: (0..nr_cpus).map(|_| None).collect(),
            latest: Vec::with_capacity(1 << 16),
            spare: Call::default(),
            stop: None,
            report: Report::default(),
        })
    }

    /// Makes all calls.
    ///
    /// # Errors
    ///
    /// At the first thing that is different, or if it does not go on.
    pub fn run(&mut self) -> Result<&Report, Error> {
        loop {
            let mut went_on = false;
            for cpu in 0..self.tapes.nr_cpus() {
                went_on |= self.go_on(cpu)?;
            }
            // One that has not been read may be due; it is not looked for without end.
            let few = self.tapes.nr_read() < READ_AHEAD;
            if !went_on
                && !(few && self.tapes.more()?)
                && !self.begin_one()?
                && !self.upgrade()?
                && !self.tapes.more()?
            {
                break;
            }
        }
        self.at_the_end().map(|()| &self.report)
    }

    /// All has been read, and nothing goes on: is anything left?
    fn at_the_end(&mut self) -> Result<(), Error> {
        let mut left = String::new();
        for cpu in 0..self.tapes.nr_cpus() {
            let turn = self.turn(cpu)?;
            let call = match &self.suspended[cpu] {
                Some(suspended) => Some(&suspended.call),
                None => self.tapes.next(cpu),
            };
            if let Some(call) = call {
                left += &format!("\n  CPU {cpu}: {} {turn}", call.record);
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        Err(Error::Stuck(format!(
            "it cannot be run again any further, records are missing:{left}"
        )))
    }

    /// Makes calls of a CPU for as long as it is their turn. Returns whether there were any.
    fn go_on(&mut self, cpu: usize) -> Result<bool, Error> {
        let mut went_on = false;
        while self.is_due(cpu)? {
            went_on = true;
            if let Some(suspended) = self.suspended[cpu].take() {
                let done = suspended.go_on();
                self.beside(cpu, done)?;
                continue;
            }
            let mut call = mem::take(&mut self.spare);
            self.tapes.take(cpu, &mut call);
            self.make(&mut call)?;
            self.spare = call;
        }
        Ok(went_on)
    }

    /// Begins a call before it is the turn of all of its locks: there is no order of whole calls.
    fn begin_one(&mut self) -> Result<bool, Error> {
        for cpu in 0..self.tapes.nr_cpus() {
            if self.suspended[cpu].is_some() || !matches!(self.turn(cpu)?, Turn::Lock(..)) {
                continue;
            }
            let mut call = Call::default();
            self.tapes.take(cpu, &mut call);
            self.note(&call);
            self.report.split += 1;
            let job = self
                .prepare(&call)
                .map_err(|what| self.differs(&call, what))?;
            let begun = Suspended::begin(job, call);
            self.beside(cpu, begun)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Replaces the policy, if one of the CPUs has come to that: nothing else is left to do.
    fn upgrade(&mut self) -> Result<bool, Error> {
        for cpu in 0..self.tapes.nr_cpus() {
            if self.suspended.iter().any(Option::is_some) || self.turn(cpu)? != Turn::Upgrade {
                continue;
            }
            let mut call = mem::take(&mut self.spare);
            self.tapes.take(cpu, &mut call);
            self.make(&mut call)?;
            self.spare = call;
            return Ok(true);
        }
        Ok(false)
    }

    /// A call beside waits, or is over.
    fn beside(
        &mut self,
        cpu: usize,
        done: Result<Suspended, (Call, Answer, Option<String>)>,
    ) -> Result<(), Error> {
        match done {
            Ok(suspended) => {
                self.suspended[cpu] = Some(suspended);
                Ok(())
            }
            Err((call, answer, wrong)) => self.check(&call, &answer, wrong),
        }
    }

    /// Is it the turn of the next call on that CPU?
    fn is_due(&mut self, cpu: usize) -> Result<bool, Error> {
        Ok(self.turn(cpu)? == Turn::Due)
    }

    /// What does the next call on that CPU wait for?
    fn turn(&mut self, cpu: usize) -> Result<Turn, Error> {
        if let Some(suspended) = &self.suspended[cpu] {
            let (lock, nth) = suspended.lock;
            let taken = SHARED.with_borrow(|shared| shared.taken(lock));
            return Ok(if taken == nth {
                Turn::Due
            } else {
                Turn::Lock(lock, nth, taken)
            });
        }
        let Some(call) = self.tapes.next(cpu) else {
            return Ok(Turn::Read);
        };
        let record = call.record;
        match record.event {
            event::OFFICE if self.sched.is_null() || record.task == self.instance => {
                return Ok(Turn::Due)
            }
            // It took over what the one before knew, as REREGISTER_INIT says.
            event::OFFICE if record.arg != 0 => {
                return Ok(if self.handed_over {
                    Turn::Due
                } else {
                    Turn::Office
                })
            }
            event::OFFICE | event::REREGISTER_INIT => return Ok(Turn::Upgrade),
            event::FREE_TASK => return Ok(Turn::Due),
            event::INIT_TASK if self.sched.is_null() => return Ok(Turn::Office),
            event::INIT_TASK => return Ok(Turn::Due),
            event::LOST => {
                return Err(Error::Stuck(format!(
                    "{} records were lost on CPU {}: it cannot be run again any further",
                    record.arg, record.on
                )))
            }
            _ => {}
        }
        if has_turn(record.event) && record.task != 0 {
            let Some(token) = self
                .tasks
                .get(&record.task)
                .map(|&slot| &self.tokens[slot as usize])
            else {
                return Ok(Turn::New(record.task));
            };
            // The token of which the call before it is about the same task: see pick_next_task.
            let before = call.before.iter().find(|more| is_prev(record.event, more));
            let mut due = token.calls;
            if let Some(prev) = before.filter(|prev| prev.task == record.task) {
                if prev.nth != due {
                    return Ok(Turn::Task(record.task, prev.nth, due));
                }
                due = due.wrapping_add(1);
            }
            if record.nth != due {
                return Ok(Turn::Task(record.task, record.nth, due));
            }
        }
        for more in &call.before {
            let Some(&slot) = self.tasks.get(&more.task) else {
                if is_prev(record.event, more) {
                    return Ok(Turn::New(more.task));
                }
                continue;
            };
            let calls = self.tokens[slot as usize].calls;
            if is_prev(record.event, more) && calls != more.nth {
                return Ok(Turn::Task(more.task, more.nth, calls));
            }
        }
        let asked = &call.asked;
        Ok(SHARED.with_borrow(|shared| {
            for (at, lock) in asked.iter().enumerate() {
                if lock.event != event::LOCK {
                    continue;
                }
                let again = |other: &&Record| other.event == event::LOCK && other.task == lock.task;
                let before = asked[..at].iter().filter(again).count() as u64;
                let taken = shared.taken(lock.task) + before;
                if taken != lock.arg {
                    return Turn::Lock(lock.task, lock.arg, taken);
                }
            }
            Turn::Due
        }))
    }

    /// Remembers a call, to show it if something is wrong later. Who debugs may look at it first.
    fn note(&mut self, call: &Call) {
        if self.latest.len() == self.latest.capacity() {
            self.latest.drain(..self.latest.len() / 2);
        }
        self.latest.push(call.record);
        if self.stop.is_some_and(|stop| stop.is_before(call)) {
            enoki_break(call.record.on, call.number);
        }
    }

    /// Makes a call again, or does what another record says.
    fn make(&mut self, call: &mut Call) -> Result<(), Error> {
        self.note(call);
        match call.record.event {
            event::OFFICE => return self.office(&call.record),
            event::INIT_TASK => return self.init_task(call),
            event::REREGISTER_INIT => return self.hand_over(call),
            event::FREE_TASK => {
                if let Some(slot) = self.tasks.get(&call.record.task).copied() {
                    self.tokens[slot as usize].freed = true;
                    self.free_if_gone(slot);
                }
                return Ok(());
            }
            _ => {}
        }
        let job = self
            .prepare(call)
            .map_err(|what| self.differs(call, what))?;
        let (answer, wrong) = make_here(&job, mem::take(&mut call.asked));
        IN_CALL.with_borrow_mut(|now| call.asked = mem::take(&mut now.asked));
        self.check(call, &answer, wrong)
    }

    /// A call is over.
    fn check(&mut self, call: &Call, answer: &Answer, wrong: Option<String>) -> Result<(), Error> {
        self.report.calls += 1;
        let locks = call.asked.iter().filter(|one| one.event == event::LOCK);
        self.report.locks += locks.count() as u64;
        SHARED.with_borrow_mut(|shared| {
            for line in shared.lines.drain(..) {
                println!("{line}");
            }
            for slot in shared.dropped.drain(..) {
                self.tokens[slot as usize].granted = false;
            }
        });
        match wrong.or_else(|| self.compare(call, answer)) {
            None => Ok(()),
            Some(what) => Err(self.differs(call, what)),
        }
    }

    #[cold]
    fn differs(&self, call: &Call, what: String) -> Error {
        let about = |record: &&Record| {
            record.on == call.record.on || (record.task != 0 && record.task == call.record.task)
        };
        let mut latest: Vec<_> = self
            .latest
            .iter()
            .rev()
            .filter(about)
            .take(LATEST)
            .copied()
            .collect();
        latest.reverse();
        Error::Differs {
            number: call.number,
            call: call.record,
            what,
            latest,
        }
    }

    /// Another instance is in office, which may be one of which that is known already.
    fn office(&mut self, record: &Record) -> Result<(), Error> {
        if record.task == self.instance {
            return Ok(());
        }
        if !self.handed_over {
            self.retire();
            self.sched = self.new_sched()?;
        }
        self.handed_over = false;
        self.instance = record.task;
        Ok(())
    }

    fn new_sched(&self) -> Result<*mut c_void, Error> {
        let mut sched = ptr::null_mut();
        // SAFETY: It is valid for the call.
        match unsafe { self.ops.new_sched.unwrap()(&mut sched) } {
            0 => Ok(sched),
            error => Err(Error::New(error)),
        }
    }

    /// The policy and the tokens that it made go: the one after it begins with nothing.
    fn retire(&mut self) {
        if self.sched.is_null() {
            return;
        }
        let sched = mem::replace(&mut self.sched, ptr::null_mut());
        // SAFETY: Nobody calls it any more.
        unsafe { self.ops.free_sched.unwrap()(sched) };
        SHARED.with_borrow_mut(|shared| shared.dropped.clear());
        for (slot, token) in self.tokens.iter_mut().enumerate() {
            let raw = mem::replace(&mut token.raw, ptr::null_mut());
            if !raw.is_null() {
                // SAFETY: The policy is gone.
                unsafe { self.ops.free_task.unwrap()(raw) };
                self.free.push(slot as u32);
            }
        }
        self.tasks.clear();
    }

    /// The policy hands over what it knows to one that follows, as the class has them do it.
    fn hand_over(&mut self, call: &mut Call) -> Result<(), Error> {
        let (Some(prep), Some(init)) = (self.ops.reregister_prep, self.ops.reregister_init) else {
            let what = "the policy hands nothing over; then it did";
            return Err(self.differs(call, what.to_owned()));
        };
        if self.sched.is_null() {
            return Err(self.differs(call, "the policy is not in office".to_owned()));
        }
        let here = self.cpu(call.record.cpu.into());
        let cpu = here.map_err(|what| self.differs(call, what))?;
        let new = self.new_sched()?;
        let cx = RawCtx {
            now_ns: call.record.time_ns,
            cpu,
            flags: 0,
            es: ptr::null_mut(),
        };
        IN_CALL.with_borrow_mut(|now| {
            now.active = true;
            now.asked = mem::take(&mut call.asked);
        });
        let words = self.ops.state.size as usize / mem::size_of::<u64>();
        // SAFETY: The contract of the ops table is kept: what prep returns has so many words, and
        // may be exchanged.
        let answer = unsafe {
            let old_state = prep(self.sched, &cx).cast::<MaybeUninit<u64>>();
            let new_state = prep(new, &cx).cast();
            ptr::swap_nonoverlapping(old_state, new_state, words);
            let answer = init(new, &cx);
            if answer != 0 {
                ptr::swap_nonoverlapping(old_state, new_state, words);
                init(self.sched, &cx);
            }
            answer
        };
        let gone = if answer == 0 {
            self.handed_over = true;
            mem::replace(&mut self.sched, new)
        } else {
            new
        };
        // SAFETY: Nobody uses it any more.
        unsafe { self.ops.free_sched.unwrap()(gone) };
        self.report.calls += 1;
        let wrong = IN_CALL.with_borrow_mut(InCall::finish);
        match wrong.or_else(|| differ(answer, call.record.arg as i32, "result")) {
            None => Ok(()),
            Some(what) => Err(self.differs(call, what)),
        }
    }

    fn init_task(&mut self, call: &Call) -> Result<(), Error> {
        let mut info = RawInfo {
            id: call.record.task,
            ..RawInfo::default()
        };
        unpack(&mut info, call.record.arg).map_err(|what| self.differs(call, what))?;
        for more in &call.before {
            if more.event == event::RUNTIME {
                info.runtime_ns = more.arg;
            }
        }
        let mut raw = ptr::null_mut();
        // SAFETY: The policy lives, and the arguments are valid for the call.
        let made = unsafe { self.ops.init_task.unwrap()(self.sched, &info, &mut raw) };
        if made != 0 {
            return Err(self.differs(call, format!("the policy refuses the task: error {made}")));
        }
        let slot = self.free.pop().unwrap_or(self.tokens.len() as u32);
        // SAFETY: The policy has just made it.
        unsafe {
            (*raw).info = info;
            (*raw).slot = slot;
        }
        let token = Token {
            raw,
            task: info.id,
            gen: 0,
            calls: 0,
            granted: false,
            gone: false,
            freed: false,
            used: 0,
            lent: false,
        };
        match self.tokens.get_mut(slot as usize) {
            // Its keys are still about.
            Some(old) => {
                *old = Token {
                    gen: old.gen,
                    ..token
                }
            }
            None => self.tokens.push(token),
        }
        self.tasks.insert(info.id, slot);
        self.report.tasks += 1;
        Ok(())
    }

    fn free_if_gone(&mut self, slot: u32) {
        let token = &mut self.tokens[slot as usize];
        let unused = token.gone && token.freed && !token.granted && token.used == 0;
        if !unused || token.raw.is_null() {
            return;
        }
        // SAFETY: The class freed it then, and the policy has done as it did then.
        unsafe { self.ops.free_task.unwrap()(token.raw) };
        token.raw = ptr::null_mut();
        if self.tasks.get(&token.task) == Some(&slot) {
            self.tasks.remove(&token.task);
        }
        self.free.push(slot);
    }

    /// A call is about to be made beside others. Returns the slot of the token that it is about.
    fn use_token(&mut self, job: &Job) -> Option<u32> {
        // SAFETY: It was found just now.
        let slot = unsafe { job.task.as_ref() }?.slot;
        let token = &mut self.tokens[slot as usize];
        token.used += 1;
        token.lent = is_lent(job.event) && !token.granted;
        Some(slot)
    }

    /// Whether the next call on a CPU would change a token that another call has on loan: the class
    /// had it to itself until that was over.
    fn waits_for_loan(&mut self, cpu: usize) -> bool {
        let Some(call) = self.tapes.next(cpu) else {
            return false;
        };
        // What the class writes into tokens before the call, and the token that it passes.
        let event = call.record.event;
        let changes = |more: &&Record| {
            matches!(more.event, event::INFO | event::RUNTIME) || is_prev(event, more)
        };
        let about = call.before.iter().filter(changes).map(|more| more.task);
        let passed = is_passed(event).then_some(call.record.task);
        about.chain(passed).any(|task| {
            let slot = self.tasks.get(&task);
            slot.is_some_and(|&slot| self.tokens[slot as usize].lent)
        })
    }

    /// It is over; `lent`: it was on loan.
    fn free_after_use(&mut self, slot: u32, lent: bool) {
        let token = &mut self.tokens[slot as usize];
        token.used -= 1;
        token.lent &= !lent;
        self.free_if_gone(slot);
    }

    /// A token that the class has.
    fn own(&mut self, task: u64) -> Result<&mut Token, String> {
        let slot = self
            .tasks
            .get(&task)
            .ok_or_else(|| format!("there is no task {task}"))?;
        let token = &mut self.tokens[*slot as usize];
        if token.granted {
            return Err(format!("the policy has the token of task {task} already"));
        }
        Ok(token)
    }

    /// The task's head as the class gives it to the policy, or lends it.
    fn fill(&mut self, task: u64, cpu: i32, grant: bool) -> Result<*mut RawTask, String> {
        let token = self.own(task)?;
        token.granted = grant;
        token.gen += u64::from(grant);
        token.calls = token.calls.wrapping_add(1);
        // SAFETY: It is the class's, as it was then.
        unsafe {
            (*token.raw).gen = token.gen;
            (*token.raw).cpu = cpu;
        }
        Ok(token.raw)
    }

    /// The task by its name only.
    fn name(&mut self, task: u64) -> Result<*mut RawTask, String> {
        let slot = self
            .tasks
            .get(&task)
            .ok_or_else(|| format!("there is no task {task}"))?;
        let token = &mut self.tokens[*slot as usize];
        token.calls = token.calls.wrapping_add(1);
        Ok(token.raw)
    }

    /// What the class wrote into tokens before the call; or is to say of one that the policy has.
    /// What that has otherwise libEnoki wrote, and does again.
    fn refresh(&mut self, call: &Call, named: bool) -> Result<RawInfo, String> {
        let mut info = RawInfo::default();
        for more in &call.before {
            if !matches!(more.event, event::INFO | event::RUNTIME) {
                continue;
            }
            let to = if named && more.task == call.record.task {
                info.id = more.task;
                &mut info
            } else if let Ok(token) = self.own(more.task) {
                // SAFETY: It was the class's then.
                unsafe { &mut (*token.raw).info }
            } else {
                continue;
            };
            match more.event {
                event::INFO => unpack(to, more.arg)?,
                _ => to.runtime_ns = more.arg,
            }
        }
        Ok(info)
    }

    /// A CPU that there may be: policies are given no others.
    fn cpu(&self, cpu: u64) -> Result<i32, String> {
        match self.tapes.machine.get(cpu as usize) {
            Some(Some(_)) => Ok(cpu as i32),
            _ => Err(format!("there is no CPU {cpu}")),
        }
    }

    /// Gets a call ready: its arguments, and what the class writes into the tokens. Fails if the
    /// class would not make such a call.
    fn prepare(&mut self, call: &Call) -> Result<Job, String> {
        let Record {
            task,
            arg,
            cpu,
            event,
            ..
        } = call.record;
        if self.sched.is_null() {
            return Err("the policy is not in office".to_owned());
        }
        let here = self.cpu(cpu.into())?;
        let with = call
            .before
            .iter()
            .find(|more| more.event == event::WITH)
            .copied();
        let with = with.unwrap_or_default();
        let named = match event {
            event::TASK_PRIO_CHANGED | event::TASK_AFFINITY_CHANGED => true,
            event::PARSE_HINT => task != 0 && with.task == task,
            _ => false,
        };
        let info = self.refresh(call, named)?;
        let mut job = Job {
            ops: Arc::clone(&self.ops),
            sched: self.sched,
            cx: RawCtx {
                now_ns: call.record.time_ns,
                cpu: here,
                flags: 0,
                es: ptr::null_mut(),
            },
            event,
            task: ptr::null_mut(),
            info: named.then_some(info),
            args: (arg, 0),
            key: self.keys[here as usize],
            hint: Vec::new(),
        };
        match event {
            event::TASK_NEW | event::TASK_WAKEUP | event::TASK_PREEMPT | event::TASK_YIELD => {
                job.task = self.fill(task, here, true)?;
            }
            event::TASK_MIGRATED => {
                self.cpu(arg)?;
                job.task = self.fill(task, here, true)?;
            }
            event::TASK_BLOCKED | event::TASK_DEAD | event::TASK_DEPARTED | event::TASK_TICK => {
                job.task = self.fill(task, here, false)?;
            }
            event::WAKEUP_PREEMPT => {
                job.task = self.fill(task, here, false)?;
                job.args.0 = arg >> 1;
            }
            event::SELECT_TASK_RQ => {
                let prev = self.cpu((arg >> 32) as u16 as u64)?;
                job.task = self.fill(task, prev, false)?;
                job.args = (prev as u64, arg >> 48);
            }
            event::PICK_NEXT_TASK if with.task != 0 => {
                job.task = self.fill(with.task, here, true)?;
            }
            event::PICK_NEXT_TASK | event::BALANCE | event::NR_QUEUED => {}
            event::BALANCE_ERR if job.key.gen == 0 => {
                return Err("the policy has named no task to steal".to_owned());
            }
            event::BALANCE_ERR => {}
            event::MIGRATE_TASK_RQ => {
                job.task = self.name(task)?;
                job.args.0 = arg & 0xff;
            }
            event::PNT_ERR => {
                self.own(task)?.granted = true;
                job.task = self.name(task)?;
            }
            event::TASK_PRIO_CHANGED | event::TASK_AFFINITY_CHANGED => {
                if info.weight == 0 {
                    return Err("it is not recorded what has changed".to_owned());
                }
                job.task = self.name(task)?;
            }
            event::TASK_RESCUED => job.args = (task, arg),
            event::CPU_ONLINE | event::CPU_OFFLINE => {
                self.cpu(arg)?;
            }
            event::TIMER_FIRED if arg >= u64::from(self.ops.nr_timers) => {
                return Err(format!("the policy has no timer {arg}"));
            }
            event::TIMER_FIRED => {}
            event::REGISTER_QUEUE if self.ops.register_queue.is_some() => {
                job.args = (arg, with.task);
            }
            event::UNREGISTER_QUEUE if self.ops.unregister_queue.is_some() => {}
            event::ENTER_QUEUE if self.ops.enter_queue.is_some() => {
                job.args = (with.task, with.arg);
            }
            event::PARSE_HINT if self.ops.parse_hint.is_some() => {
                if named {
                    job.task = self.name(task)?;
                } else if task != 0 {
                    job.task = self.fill(task, here, false)?;
                }
                let data = call.before.iter().filter(|more| more.event == event::DATA);
                job.hint = data.flat_map(|more| [more.task, more.arg]).collect();
                let size = self.ops.hint.size as usize;
                if job.hint.len() != size.div_ceil(16) * 2 {
                    return Err(format!("hints have {size} bytes, not what is recorded"));
                }
            }
            _ => return Err("the policy has no such call".to_owned()),
        }
        Ok(job)
    }

    /// What is different about the answer; and what the class does with it.
    fn compare(&mut self, call: &Call, answer: &Answer) -> Option<String> {
        let Record {
            task,
            arg,
            cpu,
            event,
            ..
        } = call.record;
        match event {
            event::TASK_DEAD | event::TASK_DEPARTED => {
                if let Some(&slot) = self.tasks.get(&task) {
                    self.tokens[slot as usize].gone = true;
                    self.free_if_gone(slot);
                }
                None
            }
            event::SELECT_TASK_RQ => differ(answer.number as i32, arg as i32, "CPU"),
            event::PICK_NEXT_TASK => {
                let picked = self.of(answer.token);
                self.taken_back(answer.token, picked == task);
                differ(picked, task, "task").or(differ(answer.slice_ns, arg, "slice"))
            }
            event::TASK_TICK => differ(answer.number, (arg != 0).into(), "pick again"),
            event::WAKEUP_PREEMPT => differ(answer.number, (arg & 1) as i64, "pick again"),
            event::BALANCE => {
                let key = (answer.number != 0).then_some(answer.key);
                self.keys[usize::from(cpu)] = answer.key;
                self.check_key(key, task, arg)
            }
            event::MIGRATE_TASK_RQ => {
                let slot = *self.tasks.get(&task)?;
                let token = &mut self.tokens[slot as usize];
                token.gen += 1;
                let came = answer.token == token.raw as usize;
                self.taken_back(answer.token, false);
                differ(came, arg & 0x100 != 0, "given back")
            }
            event::NR_QUEUED => differ(answer.number, arg as i64, "tokens"),
            event::ENTER_QUEUE => differ(answer.number as u32, arg as u32, "hints"),
            event::REGISTER_QUEUE | event::PARSE_HINT => {
                differ(answer.number as i32, call.returned.unwrap_or(0), "result")
            }
            _ => None,
        }
    }

    /// The policy has given a token back; if it is `counted`, that was a call about its task.
    fn taken_back(&mut self, raw: usize, counted: bool) {
        // SAFETY: As in `of()`.
        let Some(raw) = (unsafe { (raw as *const RawTask).as_ref() }) else {
            return;
        };
        let token = &mut self.tokens[raw.slot as usize];
        token.granted = false;
        token.calls = token.calls.wrapping_add(u16::from(counted));
    }

    /// The number of the task whose token that is, 0 for none.
    fn of(&self, raw: usize) -> u64 {
        // SAFETY: It comes from the policy, which has no others, and which the replay does not free
        // meanwhile.
        unsafe { (raw as *const RawTask).as_ref() }.map_or(0, |raw| raw.info.id)
    }

    /// What balance names: the class says whose slot it is, if the key has not passed.
    fn check_key(&self, key: Option<RawKey>, task: u64, from: u64) -> Option<String> {
        let Some(key) = key else {
            return differ(0, task, "task");
        };
        let token = self.tokens.get(key.slot as usize)?;
        if token.gen != key.gen || token.raw.is_null() {
            return None;
        }
        differ(token.task, task, "task").or(differ(key.cpu as u64, from, "from CPU"))
    }
}

impl<R: Read> Drop for Replay<R> {
    fn drop(&mut self) {
        // A call that has begun is in the policy, for ever.
        if self.suspended.iter().any(Option::is_some) {
            let mut left: Vec<_> = self.tokens.iter().map(|token| token.raw as usize).collect();
            left.push(self.sched as usize);
            LEFT.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(left);
            MODE.set(Mode::None);
            return;
        }
        self.retire();
        MODE.set(Mode::None);
    }
}

/// Whether a call's record has its number among those about the task.
fn has_turn(event: u8) -> bool {
    event < event::REREGISTER_PREP
        && !matches!(
            event,
            event::BALANCE | event::BALANCE_ERR | event::TASK_RESCUED
        )
}

/// Whether the token of a call's task is passed with it; others name their task, or answer it.
fn is_passed(event: u8) -> bool {
    is_lent(event)
        || matches!(
            event,
            event::TASK_NEW
                | event::TASK_WAKEUP
                | event::TASK_PREEMPT
                | event::TASK_YIELD
                | event::TASK_MIGRATED
                | event::PNT_ERR
        )
}

/// Whether the policy is called for such a record.
fn is_call(event: u8) -> bool {
    event < event::REREGISTER_PREP
}

/// Whether a call has a token only until it is over.
fn is_lent(event: u8) -> bool {
    matches!(
        event,
        event::TASK_BLOCKED
            | event::TASK_DEAD
            | event::TASK_DEPARTED
            | event::SELECT_TASK_RQ
            | event::TASK_TICK
            | event::WAKEUP_PREEMPT
            | event::PARSE_HINT
    )
}

/// Whether that is the token that pick_next_task is given.
fn is_prev(event: u8, more: &Record) -> bool {
    event == event::PICK_NEXT_TASK && more.event == event::WITH
}

fn unpack(info: &mut RawInfo, packed: u64) -> Result<(), String> {
    info.weight = packed as u32;
    info.nr_cpus_allowed = (packed >> 32) as u16 as u32;
    info.nice = ((packed >> 48) as u8) as i32 - 20;
    info.flags = (packed >> 56) as u32;
    if info.weight == 0 || info.nr_cpus_allowed == 0 || info.nice > 19 {
        return Err("no task is like that".to_owned());
    }
    Ok(())
}

#[inline]
fn differ<T: PartialEq + fmt::Debug>(now: T, then: T, what: &str) -> Option<String> {
    if now == then {
        return None;
    }
    Some(format!(
        "the policy answers {what} {now:?}; then it was {then:?}"
    ))
}
