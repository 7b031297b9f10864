// SPDX-License-Identifier: GPL-2.0

//! Recordings that are made up, run again.

use crate::{
    hint::Ops,
    prelude::*,
    records::{self, event, Record},
    replay::{Error, Replay, Report, Stop},
    sys::code,
    what_if::{Measured, Outcome},
};
use std::io::{Cursor, Read};

/// Two locks, that a tick takes in the order that the CPU says.
struct Crossing {
    queue: Lock<FifoQueue<()>>,
    locks: CpuMap<Lock<u64>>,
}

impl Scheduler for Crossing {
    const NAME: &'static str = "crossing";
    const ID: u32 = 50;

    type Task = ();

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Crossing {
            queue: new_lock!(FifoQueue::new())?,
            locks: CpuMap::new_with(machine, |_| new_lock!(0))?,
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<()> {
        Ok(())
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, task: Schedulable<()>) {
        ctx.lock(&self.queue).push_back(task);
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Schedulable<()>>,
    ) -> Option<Runnable<'c, ()>> {
        let cpu = ctx.cpu();
        let task = match prev {
            Some(prev) => prev,
            None => ctx.lock(&self.queue).pop_front()?,
        };
        cpu.claim(task).ok()
    }

    // Adds up what the two locks have; and the answer shows who was first.
    fn task_tick(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, ()>) -> bool {
        let here = task.cpu();
        let other = ctx.cpus().find(|&cpu| cpu != here).unwrap_or(here);
        let mut sum = 0;
        for cpu in [here, other] {
            let mut lock = ctx.lock(&self.locks[cpu]);
            *lock += 1;
            sum += *lock;
        }
        sum == 3
    }

    fn task_blocked(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, ()>) {
        if ctx.cpu_active(task.cpu()) {
            ctx.resched(task.cpu());
        }
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, ()>) -> Moved<'m> {
        let found = ctx.lock(&self.queue).remove(&task);
        task.hand_over(found)
    }
}

transfer! {
    /// Counts its ticks, and hands that over; it takes over 2 at the most.
    struct Counting("counting", 1) {
        queue: Lock<FifoQueue<()>>,
        ticks: Lock<u64>,
    }
}

impl Scheduler for Counting {
    const NAME: &'static str = "counting";
    const ID: u32 = 50;

    type Task = ();

    fn new(_machine: &Machine) -> Result<Self> {
        Ok(Counting {
            queue: new_lock!(FifoQueue::new())?,
            ticks: new_lock!(0)?,
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<()> {
        Ok(())
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, task: Schedulable<()>) {
        ctx.lock(&self.queue).push_back(task);
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        _prev: Option<Schedulable<()>>,
    ) -> Option<Runnable<'c, ()>> {
        let cpu = ctx.cpu();
        let task = ctx.lock(&self.queue).pop_front()?;
        cpu.claim(task).ok()
    }

    // The third one picks again.
    fn task_tick(&self, ctx: &mut Ctx<'_>, _task: &mut Lent<'_, ()>) -> bool {
        let mut ticks = ctx.lock(&self.ticks);
        *ticks += 1;
        *ticks == 3
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, ()>) -> Moved<'m> {
        let found = ctx.lock(&self.queue).remove(&task);
        task.hand_over(found)
    }
}

impl Upgrade for Counting {
    type Transfer = Counting;

    fn reregister_prep(&mut self, _ctx: &mut Ctx<'_>) -> &mut Counting {
        self
    }

    fn reregister_init(&mut self, _ctx: &mut Ctx<'_>) -> Result<()> {
        match *self.ticks.get_mut() {
            0..=2 => Ok(()),
            _ => Err(code::EBUSY),
        }
    }
}

fn record(on: u16, event: u8, task: u64, arg: u64, nth: u16) -> Record {
    Record {
        time_ns: 1000,
        task,
        arg,
        cpu: on,
        on,
        event,
        policy: 50,
        nth,
    }
}

fn lock(on: u16, number: u64, nth: u64, event: u8) -> Record {
    record(on, event::LOCK, number, nth, event.into())
}

/// A task that becomes ready on a CPU and is picked there.
fn running(on: u16, task: u64, taken: u64) -> Vec<Record> {
    vec![
        record(on, event::OFFICE, 7, 0, 0),
        record(on, event::INIT_TASK, task, 1024 | 2 << 32 | 20 << 48, 0),
        record(on, event::RUNTIME, task, 0, 0),
        record(on, event::TASK_NEW, task, 0, 0),
        lock(on, 100, taken, event::TASK_NEW),
        lock(on, 100, taken + 1, event::PICK_NEXT_TASK),
        record(on, event::PICK_NEXT_TASK, task, 0, 1),
    ]
}

/// One on each CPU, and then a tick: who takes which lock as which one, and what is answered.
fn ticks(first: [(u64, u64); 2], answers: [bool; 2]) -> [Vec<Record>; 2] {
    let mut tapes = [running(0, 1, 0), running(1, 2, 2)];
    for (cpu, tape) in tapes.iter_mut().enumerate() {
        let (here, other) = (200 + cpu as u64, 201 - cpu as u64);
        let (own, others) = first[cpu];
        tape.push(lock(cpu as u16, here, own, event::TASK_TICK));
        tape.push(lock(cpu as u16, other, others, event::TASK_TICK));
        tape.push(record(
            cpu as u16,
            event::TASK_TICK,
            1 + cpu as u64,
            answers[cpu].into(),
            2,
        ));
    }
    tapes
}

/// The bytes of a stream with these tapes, on which the machine comes first.
fn stream(tapes: &[Vec<Record>]) -> Vec<u8> {
    let machine = (0..tapes.len() as u64).map(|cpu| Record {
        task: cpu | cpu << 32,
        arg: cpu,
        event: event::TOPOLOGY,
        ..Record::default()
    });
    let mut bytes = records::MAGIC.to_vec();
    for number in [records::VERSION, tapes.len() as u32, 50] {
        bytes.extend(number.to_ne_bytes());
    }
    let mut piece = |cpu: usize, records: &[Record]| {
        bytes.extend((cpu as u32).to_ne_bytes());
        bytes.extend((records.len() as u32).to_ne_bytes());
        for record in records {
            bytes.extend(record.to_bytes());
        }
    };
    piece(0, &machine.collect::<Vec<_>>());
    for (cpu, tape) in tapes.iter().enumerate() {
        piece(cpu, tape);
    }
    bytes
}

/// With a thread for each CPU.
fn with_threads<S: Scheduler>(ops: Ops<S>, bytes: &[u8]) -> std::result::Result<Report, Error> {
    let from: Box<dyn Read + Send> = Box::new(Cursor::new(bytes.to_vec()));
    let (report, ended) = Replay::new(ops, from)?.run_threads();
    ended.map(|()| report)
}

/// In both ways, which must agree.
fn both_ways<S: Scheduler>(
    ops: fn() -> Ops<S>,
    bytes: &[u8],
) -> std::result::Result<Report, Error> {
    let alone = Replay::new(ops(), bytes)?.run().copied();
    let threads = with_threads(ops(), bytes);
    match (&alone, threads) {
        (Ok(alone), Ok(threads)) => assert_eq!(Report { split: 0, ..*alone }, threads),
        (Err(_), Err(_)) => {}
        (alone, threads) => panic!("alone {alone:?}, with threads {threads:?}"),
    }
    alone
}

fn run(bytes: &[u8]) -> std::result::Result<Report, Error> {
    both_ways(Ops::<Crossing>::new, bytes)
}

fn problem(bytes: &[u8]) -> String {
    run(bytes).expect_err("it should not go").to_string()
}

#[test]
fn whole_calls() {
    // CPU 0 is first with both.
    let report = run(&stream(&ticks([(0, 0), (1, 1)], [false, false]))).expect("it goes");
    assert_eq!((report.calls, report.tasks, report.split), (6, 2, 0));
    assert_eq!(report.locks, 8);
}

#[test]
fn no_order_of_whole_calls() {
    // Each is first with its own.
    let report = run(&stream(&ticks([(0, 1), (0, 1)], [true, true]))).expect("it goes");
    assert_eq!((report.calls, report.split), (6, 1));
    // In another order the answers would be others.
    assert!(problem(&stream(&ticks([(0, 1), (0, 1)], [true, false]))).contains("pick again"));
}

#[test]
fn asked_before_office() {
    // As a select_task_rq without a lock has it, on a CPU that had no call before.
    let tape = running(0, 1, 0);
    let asked = record(1, event::ANSWERS, 0, 0b11, event::SELECT_TASK_RQ.into());
    let first = vec![
        asked,
        record(1, event::OFFICE, 7, 0, 0),
        record(1, event::SELECT_TASK_RQ, 1, 0, 2),
    ];
    run(&stream(&[tape, first])).expect("it goes");
}

#[test]
fn another_answer() {
    let said = problem(&stream(&ticks([(0, 0), (1, 1)], [true, false])));
    assert!(said.contains("record 11 of CPU 0"), "{said}");
    assert!(
        said.contains("the policy answers pick again 0; then it was 1"),
        "{said}"
    );
    assert!(
        said.contains("task_new"),
        "the latest calls are shown: {said}"
    );
}

#[test]
fn another_lock() {
    let mut tapes = ticks([(0, 0), (1, 1)], [false, false]);
    for record in tapes.iter_mut().flatten() {
        // Then it took one lock twice where now it takes another.
        if record.event == event::LOCK && record.task == 201 && record.on == 0 {
            (record.task, record.arg) = (200, 1);
        }
    }
    assert!(problem(&stream(&tapes)).contains("takes another lock"));
}

#[test]
fn other_questions() {
    let blocked = |more: &[(u8, u64)]| {
        let mut tape = running(0, 1, 0);
        tape.push(record(0, event::TASK_BLOCKED, 1, 0, 2));
        for &(event, arg) in more {
            tape.push(record(0, event, 0, arg, event::TASK_BLOCKED.into()));
        }
        stream(&[tape, Vec::new()])
    };
    run(&blocked(&[(event::RESCHED, 0), (event::ANSWERS, 0b11)])).expect("it goes");
    run(&blocked(&[(event::ANSWERS, 0b10)])).expect("it goes");
    assert!(problem(&blocked(&[])).contains("asks for answers; then it asked for nothing more"));
    assert!(problem(&blocked(&[(event::ANSWERS, 0b11)])).contains("asks for resched"));
    let more = problem(&blocked(&[(event::RESCHED, 0), (event::ANSWERS, 0b111)]));
    assert!(more.contains("asked 1 more questions"), "{more}");
    let other = problem(&blocked(&[(event::RESCHED, 1), (event::ANSWERS, 0b11)]));
    assert!(other.contains("then it was of 0, 1"), "{other}");
}

#[test]
fn records_are_missing() {
    let mut tapes = ticks([(0, 0), (1, 1)], [false, false]);
    // A lock was taken of which there is no record.
    tapes[0].truncate(7);
    let said = problem(&stream(&tapes));
    assert!(said.contains("records are missing"), "{said}");
    assert!(said.contains("CPU 1"), "{said}");

    let mut tapes = ticks([(0, 0), (1, 1)], [false, false]);
    tapes[0].insert(7, record(0, event::LOST, 0, 12, 0));
    assert!(problem(&stream(&tapes)).contains("12 records were lost on CPU 0"));
}

#[test]
fn other_streams() {
    let whole = stream(&ticks([(0, 0), (1, 1)], [false, false]));
    assert!(problem(b"").contains("cannot be read"));
    assert!(problem(b"ENOKI, but not what this program can read").contains("no records of Enoki"));
    let mut other = whole.clone();
    other[8] = 99;
    assert!(problem(&other).contains("version 99"));
    // However it is cut off it ends with an error or with what is there.
    for end in 0..whole.len() {
        let _ = run(&whole[..end]);
    }
    // Whatever there is instead of a byte.
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            let replay = Replay::new(Ops::<Crossing>::new(), &damaged[..]);
            let alone = replay.and_then(|mut replay| replay.run().map(|_| ()));
            // Those that do not go leave threads behind, so not all of them.
            if alone.is_ok() || at % 16 == 3 {
                let _ = with_threads(Ops::<Crossing>::new(), &damaged);
            }
        }
    }
}

/// A tick on CPU 0, which takes a lock for that time, and its answer.
fn tick(number: u64, taken: u64, nth: u16, answer: bool) -> Vec<Record> {
    vec![
        lock(0, number, taken, event::TASK_TICK),
        record(0, event::TASK_TICK, 1, answer.into(), nth),
    ]
}

/// CPU 1 has a task whose call must come before that on CPU 0, although it is read later; then
/// other instances come.
fn upgraded(further: &[Record]) -> [Vec<Record>; 2] {
    let mut tapes = [running(0, 1, 0), running(1, 2, 2)];
    tapes[0].extend(further);
    tapes
}

fn counting(tapes: &[Vec<Record>]) -> Result<Report, Error> {
    both_ways(|| Ops::<Counting>::new().upgrade(), &stream(tapes))
}

#[test]
fn handed_over() {
    let mut further = [tick(300, 0, 2, false), tick(300, 1, 3, false)].concat();
    further.push(record(0, event::REREGISTER_PREP, 0, 0, 0));
    further.push(record(0, event::REREGISTER_INIT, 0, 0, 0));
    further.push(record(0, event::OFFICE, 8, 1, 0));
    // The third one in all, and by the lock that there was.
    further.extend(tick(300, 2, 4, true));
    // Which is one too many.
    further.push(record(0, event::REREGISTER_PREP, 0, 0, 0));
    let refused = code::EBUSY.to_errno() as u64;
    further.push(record(0, event::REREGISTER_INIT, 0, refused, 0));
    further.extend(tick(300, 3, 5, false));
    let report = counting(&upgraded(&further)).unwrap();
    assert_eq!((report.calls, report.tasks), (2 * 2 + 4 + 2, 2));

    // It was not refused then.
    let refusal = further
        .iter_mut()
        .rfind(|one| one.event == event::REREGISTER_INIT);
    refusal.unwrap().arg = 0;
    let error = counting(&upgraded(&further)).unwrap_err().to_string();
    assert!(
        error.contains("the policy answers result -16; then it was 0"),
        "{error}"
    );
}

#[test]
fn begun_anew() {
    let mut further = tick(300, 0, 2, false);
    further.push(record(0, event::OFFICE, 8, 0, 0));
    further.push(record(0, event::INIT_TASK, 1, 1024 | 2 << 32 | 20 << 48, 0));
    further.push(record(0, event::RUNTIME, 1, 5, 0));
    // Of the token before.
    further.push(record(0, event::FREE_TASK, 1, 0, 0));
    further.push(record(0, event::TASK_NEW, 1, 0, 0));
    further.push(lock(0, 400, 0, event::TASK_NEW));
    further.push(lock(0, 400, 1, event::PICK_NEXT_TASK));
    further.push(record(0, event::PICK_NEXT_TASK, 1, 0, 1));
    further.extend(tick(500, 0, 2, false));
    let mut tapes = upgraded(&further);
    let report = counting(&tapes).unwrap();
    assert_eq!((report.calls, report.tasks), (2 * 2 + 1 + 3, 3));

    // A call of the version before, of which nothing says that it was before.
    tapes[1].push(record(1, event::TASK_BLOCKED, 2, 0, 2));
    let report = counting(&tapes).unwrap();
    assert_eq!(report.calls, 2 * 2 + 1 + 3 + 1);

    // It takes over what is not known.
    let office = tapes[0].iter_mut().rfind(|one| one.event == event::OFFICE);
    office.unwrap().arg = 1;
    let error = counting(&tapes).unwrap_err().to_string();
    assert!(
        error.contains("office instance 8 waits for the policy"),
        "{error}"
    );
}

#[test]
fn where_to_stop() {
    assert_eq!(Stop::parse("all"), Some(Stop::default()));
    let other = Stop::parse("call=pick_next_task,task=5");
    assert!(other.is_some() && other != Stop::parse("call=pick_next_task,task=6"));
    for wrong in [
        "",
        "5",
        "0:",
        "call=nobody_knows",
        "task=x",
        "cpu=70000",
        "what=1",
    ] {
        assert_eq!(Stop::parse(wrong), None, "{wrong}");
    }
}

/// Two tasks on one CPU that take turns of 5 ms; the first one sleeps for 10 ms and comes back.
fn turns() -> Vec<u8> {
    let at = |ms: u64, event: u8, task: u64, arg: u64| Record {
        time_ns: ms * 1_000_000,
        ..record(0, event, task, arg, 0)
    };
    let ran = |task: u64, ms: u64| at(0, event::RUNTIME, task, ms * 1_000_000);
    let made = |task: u64| at(0, event::INIT_TASK, task, 1024 | 1 << 32 | 20 << 48);
    let tape = vec![
        at(0, event::OFFICE, 7, 0),
        made(1),
        ran(1, 0),
        made(2),
        ran(2, 0),
        at(1, event::TASK_NEW, 1, 0),
        at(1, event::PICK_NEXT_TASK, 1, 0),
        at(2, event::TASK_NEW, 2, 0),
        ran(1, 5),
        at(6, event::WITH, 1, 0),
        at(6, event::PICK_NEXT_TASK, 2, 0),
        ran(2, 5),
        at(11, event::WITH, 2, 0),
        at(11, event::PICK_NEXT_TASK, 1, 0),
        at(16, event::TASK_BLOCKED, 1, 10_000_000),
        at(16, event::PICK_NEXT_TASK, 2, 0),
        ran(2, 10),
        at(21, event::TASK_DEAD, 2, 0),
        at(26, event::TASK_WAKEUP, 1, 0),
        at(26, event::PICK_NEXT_TASK, 1, 0),
        ran(1, 15),
        at(31, event::TASK_BLOCKED, 1, 0),
    ];
    stream(&[tape])
}

#[test]
fn what_if() {
    // A task runs for as long as it wants to.
    let outcome = Outcome::new(Ops::<Crossing>::new(), &turns()[..]).unwrap();
    let ms = |tasks: &[Measured]| {
        let of = |task: &Measured| {
            let latencies = task.latencies_ns.iter().map(|ns| ns / 1_000_000);
            let (ran, waited) = (task.ran_ns / 1_000_000, task.waited_ns / 1_000_000);
            let fair = (task.fair_ns / 1e6) as u64;
            (task.id, ran, waited, fair, latencies.collect::<Vec<_>>())
        };
        tasks.iter().map(of).collect::<Vec<_>>()
    };
    let recorded = [(1, 15, 5, 13, vec![0, 0]), (2, 10, 9, 12, vec![4])];
    assert_eq!(ms(&outcome.recorded), recorded);
    // The first one until 11 ms, the second one until 21 ms, and the first one again.
    let model = [(1, 15, 0, 10, vec![0, 0]), (2, 10, 9, 14, vec![9])];
    assert_eq!(ms(&outcome.model), model);

    let text = outcome.to_string();
    let of = |words: usize| {
        let of_words = |line: &&str| line.split('\t').count() == words;
        text.lines().filter(of_words).count()
    };
    assert_eq!((of(11), of(26), text.lines().count()), (6, 2, 8), "{text}");
    assert!(Outcome::new(Ops::<Crossing>::new(), &b"ENOKI"[..]).is_err());
}
