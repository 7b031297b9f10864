// SPDX-License-Identifier: GPL-2.0

//! Records of a recording, as they come from its reader, and put together to calls.
//!
//! The format is that of `include/uapi/linux/enoki.h`, in a stream: [`MAGIC`], the version, the
//! number of CPUs, the number of the policy; then pieces of tapes, each the CPU's number, how many
//! records it has, and these.

use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read},
};

/// What a stream begins with.
pub const MAGIC: [u8; 8] = *b"ENOKISTR";
/// `ENOKI_RECORD_VERSION`.
pub const VERSION: u32 = 2;
/// More CPUs than any machine has.
const MAX_CPUS: u32 = 1 << 16;
/// So many records are read at once.
const STEP: usize = 4096;

macro_rules! events {
    ($($number:literal $name:ident $text:literal,)*) => {
        /// `enum enoki_record_event`.
        #[allow(missing_docs)]
        pub mod event {
            $(pub const $name: u8 = $number;)*
        }

        /// The name of a kind of record.
        pub fn name(event: u8) -> &'static str {
            match event {
                $($number => $text,)*
                _ => "?",
            }
        }
    };
}

events! {
    0 TASK_NEW "task_new",
    1 TASK_WAKEUP "task_wakeup",
    2 TASK_PREEMPT "task_preempt",
    3 TASK_YIELD "task_yield",
    4 TASK_MIGRATED "task_migrated",
    5 TASK_BLOCKED "task_blocked",
    6 TASK_DEAD "task_dead",
    7 TASK_DEPARTED "task_departed",
    8 SELECT_TASK_RQ "select_task_rq",
    9 PICK_NEXT_TASK "pick_next_task",
    10 PNT_ERR "pnt_err",
    11 TASK_TICK "task_tick",
    12 WAKEUP_PREEMPT "wakeup_preempt",
    13 BALANCE "balance",
    14 BALANCE_ERR "balance_err",
    15 MIGRATE_TASK_RQ "migrate_task_rq",
    16 TASK_RESCUED "task_rescued",
    17 TASK_PRIO_CHANGED "task_prio_changed",
    18 TASK_AFFINITY_CHANGED "task_affinity_changed",
    19 CPU_ONLINE "cpu_online",
    20 CPU_OFFLINE "cpu_offline",
    21 TIMER_FIRED "timer_fired",
    22 NR_QUEUED "nr_queued",
    23 REGISTER_QUEUE "register_queue",
    24 UNREGISTER_QUEUE "unregister_queue",
    25 ENTER_QUEUE "enter_queue",
    26 PARSE_HINT "parse_hint",
    27 REREGISTER_PREP "reregister_prep",
    28 REREGISTER_INIT "reregister_init",
    64 OFFICE "office",
    65 INIT_TASK "init_task",
    66 FREE_TASK "free_task",
    67 INFO "info",
    68 RUNTIME "runtime",
    69 WITH "with",
    70 DATA "data",
    71 LOCK "lock",
    72 ANSWERS "answers",
    73 TOPOLOGY "topology",
    74 RESCHED "resched",
    75 TIMER_ARM "timer_arm",
    76 TIMER_CANCEL "timer_cancel",
    77 SEND "send",
    78 LOG "log",
    79 DROP "drop",
    80 RETURNED "returned",
    81 LOST "lost",
}

/// `struct enoki_record`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// When, ns.
    pub time_ns: u64,
    /// The task's number.
    pub task: u64,
    /// What else there is to say.
    pub arg: u64,
    /// The CPU that it is about.
    pub cpu: u16,
    /// The CPU that wrote it.
    pub on: u16,
    /// What it is.
    pub event: u8,
    /// Whose it is.
    pub policy: u8,
    /// Which call about the task, or in which call.
    pub nth: u16,
}

impl Record {
    /// Bytes of one.
    pub const SIZE: usize = 32;

    /// The one of these bytes.
    ///
    /// # Panics
    ///
    /// If they are fewer than [`Record::SIZE`].
    pub fn from_bytes(bytes: &[u8]) -> Record {
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_ne_bytes(word)
        };
        let half = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Record {
            time_ns: word(0),
            task: word(8),
            arg: word(16),
            cpu: half(24),
            on: half(26),
            event: bytes[28],
            policy: bytes[29],
            nth: half(30),
        }
    }

    /// Its bytes.
    pub fn to_bytes(self) -> [u8; Record::SIZE] {
        let mut bytes = [0; Record::SIZE];
        bytes[..8].copy_from_slice(&self.time_ns.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.task.to_ne_bytes());
        bytes[16..24].copy_from_slice(&self.arg.to_ne_bytes());
        bytes[24..26].copy_from_slice(&self.cpu.to_ne_bytes());
        bytes[26..28].copy_from_slice(&self.on.to_ne_bytes());
        bytes[28..30].copy_from_slice(&[self.event, self.policy]);
        bytes[30..].copy_from_slice(&self.nth.to_ne_bytes());
        bytes
    }

    /// Whether it is of something that the policy did in call `event`.
    fn is_in(&self, event: u8) -> bool {
        matches!(self.event, event::LOCK..=event::DROP) && self.nth == u16::from(event)
    }
}

/// `enum enoki_err`, in the words of the file `rejected`.
const REFUSALS: [&str; 6] = ["stale", "cpu", "state", "affinity", "race", "offline"];
/// `enum enoki_leave`.
const LEAVES: [&str; 5] = ["migrate", "boost", "detach", "override", "rescue"];

/// The word of a number that counts from 1.
fn one_of(words: &[&'static str], number: u64) -> &'static str {
    let at = (number as usize).checked_sub(1);
    at.and_then(|at| words.get(at).copied()).unwrap_or("?")
}

/// A record in words, but for when and where it was.
pub struct Words<'r>(pub &'r Record);

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.time_ns as f64 / 1e9;
        write!(f, "{seconds:14.6} CPU {:<3} {}", self.cpu, Words(self))
    }
}

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let &Record {
            event, task, arg, ..
        } = self.0;
        f.write_str(name(event))?;
        let about = match event {
            event::OFFICE => format!(" instance {task}"),
            event::LOCK => format!(" {task}, taken {arg} times before"),
            event::TIMER_ARM | event::TIMER_CANCEL => format!(" {task}"),
            event::SEND => format!(" to queue {task}"),
            event::TOPOLOGY => format!(" of CPU {}", arg as u32),
            event::DATA => format!(" {task:016x} {arg:016x}"),
            event::RESCHED | event::CPU_ONLINE | event::CPU_OFFLINE => format!(" CPU {arg}"),
            event::ANSWERS | event::LOG | event::LOST => String::new(),
            event::WITH => format!(" {task}, {arg}"),
            _ if task == 0 => String::new(),
            _ => format!(" task {task}"),
        };
        f.write_str(&about)?;
        match event {
            event::TASK_WAKEUP if arg != 0 => write!(f, ", flags {arg:#x}"),
            _ if has_runtime(event) && arg != 0 => write!(f, ", has run {arg} ns"),
            event::TASK_MIGRATED => write!(f, " from CPU {arg}"),
            event::SELECT_TASK_RQ => {
                write!(f, ": CPU {}, was on CPU {}", arg as i32, (arg >> 32) as u16)
            }
            event::PICK_NEXT_TASK | event::BALANCE if task == 0 => f.write_str(": none"),
            event::PICK_NEXT_TASK if arg != 0 => write!(f, " for {arg} ns"),
            event::BALANCE => write!(f, " from CPU {arg}"),
            event::PNT_ERR | event::BALANCE_ERR => write!(f, ": {}", one_of(&REFUSALS, arg)),
            event::TASK_TICK => f.write_str(if arg != 0 { ": pick again" } else { ": go on" }),
            event::WAKEUP_PREEMPT => {
                let answer = if arg & 1 != 0 { "pick again" } else { "go on" };
                write!(f, ", task {} woke up: {answer}", arg >> 1)
            }
            event::MIGRATE_TASK_RQ => {
                let answer = if arg & 0x100 != 0 { "here" } else { "no" };
                write!(f, ", to {}: {answer}", one_of(&LEAVES, arg & 0xff))
            }
            event::TASK_RESCUED => write!(f, ", had waited {arg} ns"),
            event::TIMER_ARM => write!(f, " in {arg} ns"),
            event::INFO | event::INIT_TASK => write!(
                f,
                ": weight {}, nice {}, {} CPUs",
                arg as u32,
                (arg >> 48) as u8 as i32 - 20,
                (arg >> 32) as u16
            ),
            event::RUNTIME => write!(f, ": has run {arg} ns"),
            event::ANSWERS => {
                let nr = 63 - arg.max(1).leading_zeros();
                f.write_str(":")?;
                (0..nr)
                    .rev()
                    .try_for_each(|bit| f.write_str([" no", " yes"][((arg >> bit) & 1) as usize]))
            }
            event::LOST => write!(f, " {arg} records"),
            event::LOG => write!(f, " {arg} bytes"),
            event::RETURNED | event::SEND => write!(f, ": {}", arg as i32),
            event::NR_QUEUED | event::ENTER_QUEUE => write!(f, ": {}", arg as i64),
            event::TIMER_FIRED | event::REGISTER_QUEUE => write!(f, " {arg}"),
            event::UNREGISTER_QUEUE | event::PARSE_HINT => write!(f, " queue {arg}"),
            _ => Ok(()),
        }
    }
}

/// Whether a call's record comes after what the policy does in it, because it has the answer.
pub fn is_asked(event: u8) -> bool {
    matches!(
        event,
        event::SELECT_TASK_RQ
            | event::PICK_NEXT_TASK
            | event::TASK_TICK
            | event::WAKEUP_PREEMPT
            | event::BALANCE
            | event::MIGRATE_TASK_RQ
            | event::NR_QUEUED
            | event::ENTER_QUEUE
    )
}

/// Whether a call's argument is the task's run time, if that has changed. [`Tapes`] has that as an
/// [`event::RUNTIME`] of its own.
pub fn has_runtime(event: u8) -> bool {
    matches!(
        event,
        event::TASK_NEW
            | event::TASK_PREEMPT
            | event::TASK_YIELD
            | event::TASK_BLOCKED
            | event::TASK_DEAD
            | event::TASK_DEPARTED
    )
}

/// A call of the policy, with all that belongs to it; or one record that is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// The call, or the other record.
    pub record: Record,
    /// How many records came before it on its CPU, of all policies.
    pub number: u64,
    /// What it was told before: what the policy may see of tasks, and further arguments.
    pub before: Vec<Record>,
    /// What the policy asked for, and what it was answered.
    pub asked: Vec<Record>,
    /// What it returned, where the record does not say so.
    pub returned: Option<i32>,
}

impl Call {
    fn clear(&mut self) {
        self.before.clear();
        self.asked.clear();
        self.returned = None;
    }
}

/// The tape of one CPU, as far as it has been read.
#[derive(Default)]
struct Tape {
    records: VecDeque<Record>,
    /// How many records are gone.
    taken: u64,
    call: Call,
    /// There is a call in `call`.
    whole: bool,
    /// The call in it was told, and what the policy did in it may follow.
    open: bool,
}

impl Tape {
    /// Puts the next call together. `ended`: no more records come.
    fn fill(&mut self, policy: u8, ended: bool) {
        if self.whole {
            return;
        }
        while let Some(&record) = self.records.front() {
            let other = record.policy != policy && record.event != event::LOST;
            if self.open && !other {
                let call = self.call.record.event;
                let of_call = match record.event {
                    event::RUNTIME => call == event::INIT_TASK && self.call.before.is_empty(),
                    event::RETURNED => returns(call),
                    _ => record.is_in(call),
                };
                if !of_call {
                    self.open = false;
                    self.whole = true;
                    return;
                }
            }
            self.records.pop_front();
            self.taken += 1;
            if other {
                continue;
            }
            match record.event {
                event::INFO | event::RUNTIME | event::WITH | event::DATA => {
                    self.call.before.push(record)
                }
                event::RETURNED => self.call.returned = Some(record.arg as i32),
                event::LOCK..=event::DROP => self.call.asked.push(record),
                // Its locks are with those of what follows, [`event::REREGISTER_INIT`].
                event::REREGISTER_PREP => {}
                _ => {
                    self.call.record = record;
                    self.call.number = self.taken - 1;
                    if has_runtime(record.event) && record.arg != 0 {
                        self.call.record.arg = 0;
                        self.call.before.push(Record {
                            event: event::RUNTIME,
                            ..record
                        });
                    }
                    // A version that refuses what it is given has the old one take it back.
                    let taken_back = record.event == event::REREGISTER_INIT && record.arg != 0;
                    if record.event == event::INIT_TASK || is_told(record.event) || taken_back {
                        self.open = true;
                    } else {
                        self.whole = true;
                        return;
                    }
                }
            }
        }
        if ended && self.open {
            self.open = false;
            self.whole = true;
        }
    }
}

/// Whether a call's record comes before what the policy does in it.
fn is_told(event: u8) -> bool {
    event < event::REREGISTER_PREP && !is_asked(event)
}

/// Whether a call of that kind answers by a record of its own.
fn returns(event: u8) -> bool {
    matches!(event, event::REGISTER_QUEUE | event::PARSE_HINT)
}

/// The tapes of a recording, read as they are needed.
pub struct Tapes<R> {
    from: R,
    tapes: Vec<Tape>,
    policy: u8,
    ended: bool,
    buffer: Vec<u8>,
    /// The CPUs that there may be, each with task and argument of [`event::TOPOLOGY`].
    pub machine: Vec<Option<(u64, u64)>>,
}

fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

impl<R: Read> Tapes<R> {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// If it is no stream of records, or of another version.
    pub fn new(mut from: R) -> io::Result<Tapes<R>> {
        let mut head = [0; 20];
        from.read_exact(&mut head)?;
        let number = |at: usize| {
            let mut number = [0; 4];
            number.copy_from_slice(&head[at..at + 4]);
            u32::from_ne_bytes(number)
        };
        if head[..8] != MAGIC {
            return Err(wrong("these are no records of Enoki"));
        }
        if number(8) != VERSION {
            return Err(wrong(format!(
                "the records have version {}, this program knows {VERSION}",
                number(8)
            )));
        }
        let (cpus, policy) = (number(12), number(16));
        if cpus == 0 || cpus > MAX_CPUS || policy > 255 {
            return Err(wrong("the stream's header is damaged"));
        }
        let mut tapes = Tapes {
            from,
            tapes: Vec::new(),
            policy: policy as u8,
            ended: false,
            buffer: Vec::new(),
            machine: vec![None; cpus as usize],
        };
        tapes.tapes.resize_with(cpus as usize, Tape::default);
        while tapes.tapes.iter().all(|tape| tape.records.is_empty()) && tapes.more()? {}
        tapes.read_machine();
        Ok(tapes)
    }

    /// What the recording says of the machine at its beginning.
    fn read_machine(&mut self) {
        for tape in &mut self.tapes {
            while let Some(record) = tape.records.front().copied() {
                if record.event != event::TOPOLOGY || record.policy != 0 {
                    break;
                }
                if let Some(cpu) = self.machine.get_mut(record.arg as u32 as usize) {
                    *cpu = Some((record.task, record.arg));
                }
                tape.records.pop_front();
                tape.taken += 1;
            }
        }
    }

    /// How many CPUs there are.
    pub fn nr_cpus(&self) -> usize {
        self.tapes.len()
    }

    /// How many records have been read, and are left.
    pub fn nr_read(&self) -> usize {
        self.tapes.iter().map(|tape| tape.records.len()).sum()
    }

    /// Reads one more piece. Returns whether there was one, or it is known since now that there
    /// are no more, which may be the end of a call.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is damaged.
    pub fn more(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let mut head = [0; 8];
        match self.from.read(&mut head[..1])? {
            0 => {
                self.ended = true;
                return Ok(true);
            }
            _ => self.from.read_exact(&mut head[1..])?,
        }
        let cpu = u32::from_ne_bytes([head[0], head[1], head[2], head[3]]);
        let nr = u32::from_ne_bytes([head[4], head[5], head[6], head[7]]);
        let Some(tape) = self.tapes.get_mut(cpu as usize) else {
            return Err(wrong(format!("records of CPU {cpu}, which there is not")));
        };
        // Whatever the number is, no more memory is taken than there are records.
        let mut left = nr as usize * Record::SIZE;
        while left != 0 {
            let step = left.min(STEP * Record::SIZE);
            self.buffer.resize(step, 0);
            self.from.read_exact(&mut self.buffer)?;
            let records = self.buffer.chunks_exact(Record::SIZE);
            tape.records.extend(records.map(Record::from_bytes));
            left -= step;
        }
        Ok(true)
    }

    /// The next call on a CPU, if it has been read.
    pub fn next(&mut self, cpu: usize) -> Option<&Call> {
        let tape = &mut self.tapes[cpu];
        tape.fill(self.policy, self.ended);
        tape.whole.then_some(&tape.call)
    }

    /// Is done with it, and takes it in exchange for one to fill.
    pub fn take(&mut self, cpu: usize, call: &mut Call) {
        let tape = &mut self.tapes[cpu];
        std::mem::swap(&mut tape.call, call);
        tape.call.clear();
        // What the policy asked for in the first call of an instance may come before it is said
        // that it is in office.
        if call.record.event == event::OFFICE {
            std::mem::swap(&mut tape.call.before, &mut call.before);
            std::mem::swap(&mut tape.call.asked, &mut call.asked);
        }
        tape.whole = false;
    }
}
