// SPDX-License-Identifier: GPL-2.0

//! Tests of libEnoki on the host. `ci/host-tests` runs them.

use crate::{prelude::*, sim::Sim, sys::RawTask, token::Task};
use std::{
    collections::{BTreeMap, VecDeque},
    ptr::NonNull,
    sync::{
        atomic::{AtomicUsize, Ordering},
        Arc,
    },
};

/// A small generator of pseudo-random numbers.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }
}

/// The class's side of some tasks: their memory, and which of them the policy has.
struct Tasks<T> {
    raw: Vec<*mut RawTask>,
    _state: std::marker::PhantomData<T>,
}

impl<T> Tasks<T> {
    fn new(n: u64, mut state: impl FnMut(u64) -> T) -> Tasks<T> {
        let raw = (0..n)
            .map(|i| {
                let raw: *mut RawTask = Box::into_raw(Box::new(Task::new(state(i)))).cast();
                // SAFETY: It was just made.
                unsafe { (*raw).info.id = i };
                raw
            })
            .collect();
        Tasks {
            raw,
            _state: std::marker::PhantomData,
        }
    }

    fn grant(&self, i: u64) -> Schedulable<T> {
        // SAFETY: The tests grant a task only when they have it.
        unsafe { Schedulable::grant(self.raw[i as usize]) }
    }

    fn take(&self, token: Schedulable<T>) -> u64 {
        let raw: NonNull<RawTask> = token.into_raw();
        // SAFETY: It is ours again.
        unsafe { raw.as_ref() }.info.id
    }

    fn name(&self, i: u64) -> TaskName<'_, T> {
        // SAFETY: The tasks live as long as `self`.
        unsafe { TaskName::from_raw(self.raw[i as usize], None) }
    }
}

impl<T> Drop for Tasks<T> {
    fn drop(&mut self) {
        for &raw in &self.raw {
            // SAFETY: `new()` made them, and the tests give all tokens back.
            drop(unsafe { Box::from_raw(raw.cast::<Task<T>>()) });
        }
    }
}

const N: u64 = 60;

#[test]
fn fifo_is_a_queue() {
    for seed in 1..40 {
        let mut rng = Rng(seed * 7919);
        let tasks = Tasks::new(N, |_| ());
        let mut queues = [FifoQueue::new(), FifoQueue::new()];
        let mut models = [VecDeque::new(), VecDeque::new()];
        let mut free: Vec<u64> = (0..N).collect();
        for _ in 0..2000 {
            let q = rng.below(2) as usize;
            match rng.below(5) {
                0 | 1 if !free.is_empty() => {
                    let i = free.swap_remove(rng.below(free.len() as u64) as usize);
                    if rng.below(3) == 0 {
                        queues[q].push_front(tasks.grant(i));
                        models[q].push_front(i);
                    } else {
                        queues[q].push_back(tasks.grant(i));
                        models[q].push_back(i);
                    }
                }
                2 => {
                    let popped = queues[q].pop_front().map(|token| tasks.take(token));
                    assert_eq!(popped, models[q].pop_front());
                    free.extend(popped);
                }
                3 => {
                    let i = rng.below(N);
                    let removed = queues[q]
                        .remove(&tasks.name(i))
                        .map(|token| tasks.take(token));
                    let at = models[q].iter().position(|&x| x == i);
                    assert_eq!(removed, at.and_then(|at| models[q].remove(at)));
                    free.extend(removed);
                }
                _ => {
                    let ids: Vec<u64> = queues[q].iter().map(|task| task.id().as_u64()).collect();
                    assert_eq!(ids, Vec::from(models[q].clone()));
                    assert_eq!(queues[q].len(), ids.len());
                    assert_eq!(queues[q].is_empty(), ids.is_empty());
                    let front = queues[q].front().map(|task| task.id().as_u64());
                    assert_eq!(front, ids.first().copied());
                }
            }
        }
        for queue in &mut queues {
            while let Some(token) = queue.pop_front() {
                tasks.take(token);
            }
        }
    }
}

#[test]
fn tree_is_an_ordered_map() {
    for seed in 1..60 {
        let mut rng = Rng(seed * 104_729);
        let tasks = Tasks::new(N, |_| 0);
        let mut queue = TreeQueue::new();
        // By key, and by arrival among equals.
        let mut model = BTreeMap::new();
        let mut free: Vec<u64> = (0..N).collect();
        let keys = [3, 1000, u64::MAX][seed as usize % 3];
        for arrival in 0..3000_u64 {
            match rng.below(6) {
                0..=2 if !free.is_empty() => {
                    let i = free.swap_remove(rng.below(free.len() as u64) as usize);
                    // Every third seed: ascending keys, the worst case of a plain tree.
                    let key = if seed % 4 == 0 {
                        arrival
                    } else {
                        rng.below(keys)
                    };
                    queue.insert(key, tasks.grant(i));
                    model.insert((key, arrival), i);
                }
                3 => {
                    let popped = queue
                        .pop_first()
                        .map(|(key, token)| (key, tasks.take(token)));
                    let expected = model.pop_first().map(|((key, _), i)| (key, i));
                    assert_eq!(popped, expected);
                    free.extend(popped.map(|(_, i)| i));
                }
                4 => {
                    let i = rng.below(N);
                    let removed = queue.remove(&tasks.name(i)).map(|token| tasks.take(token));
                    let at = model.iter().find(|(_, &x)| x == i).map(|(&at, _)| at);
                    assert_eq!(removed, at.and_then(|at| model.remove(&at)));
                    free.extend(removed);
                }
                _ => {
                    let found: Vec<(u64, u64)> = queue
                        .iter()
                        .map(|(key, task)| (key, task.id().as_u64()))
                        .collect();
                    let expected: Vec<(u64, u64)> =
                        model.iter().map(|(&(key, _), &i)| (key, i)).collect();
                    assert_eq!(found, expected);
                    assert_eq!(queue.len(), found.len());
                    assert_eq!(queue.is_empty(), found.is_empty());
                    assert_eq!(queue.first_key(), found.first().map(|&(key, _)| key));
                    let first = queue.first().map(|task| task.id().as_u64());
                    assert_eq!(first, found.first().map(|&(_, i)| i));
                }
            }
        }
        while let Some((_, token)) = queue.pop_first() {
            tasks.take(token);
        }
    }
}

#[test]
fn tree_stays_balanced() {
    // Ascending keys; a degenerate tree would take minutes.
    const MANY: u64 = 200_000;
    let tasks = Tasks::new(MANY, |_| ());
    let mut queue = TreeQueue::new();
    let start = std::time::Instant::now();
    for i in 0..MANY {
        queue.insert(i, tasks.grant(i));
    }
    for i in 0..MANY {
        let (key, token) = queue.pop_first().unwrap();
        assert_eq!((key, tasks.take(token)), (i, i));
    }
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn a_name_brings_the_token_up_to_date() {
    let tasks = Tasks::new(2, |_| ());
    let mut queue = FifoQueue::new();
    queue.push_back(tasks.grant(0));
    let raw = crate::sys::RawInfo {
        id: 0,
        weight: 88_761,
        nice: -20,
        ..Default::default()
    };
    // SAFETY: It outlives the name, and the task lives as long as `tasks`.
    let name = unsafe {
        let info = TaskInfo::from_raw(&raw);
        TaskName::from_raw(tasks.raw[0], Some(info))
    };
    let token = queue.remove(&name).unwrap();
    assert_eq!((token.info().weight(), token.info().nice()), (88_761, -20));
    tasks.take(token);
}

#[test]
fn a_migration_wants_the_very_token() {
    let tasks = Tasks::new(2, |_| ());
    let migration = || Migration::new(tasks.name(0), Leave::Migrate);
    let (migration_back, token) = migration().release(tasks.grant(1)).err().unwrap();
    tasks.take(token);
    assert_eq!(
        migration_back
            .release(tasks.grant(0))
            .ok()
            .unwrap()
            .into_raw(),
        tasks.raw[0]
    );
    assert!(migration().lost().into_raw().is_null());
    assert!(migration().hand_over(None).into_raw().is_null());
    assert_eq!(
        migration().hand_over(Some(tasks.grant(0))).into_raw(),
        tasks.raw[0]
    );
}

#[test]
fn states_are_dropped_with_their_task() {
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let tasks = Tasks::new(3, |_| Counted(count.clone()));
    let mut queue = FifoQueue::new();
    queue.push_back(tasks.grant(0));
    tasks.take(queue.pop_front().unwrap());
    assert_eq!(count.load(Ordering::Relaxed), 0);
    drop(tasks);
    assert_eq!(count.load(Ordering::Relaxed), 3);
}

#[test]
fn a_token_is_a_pointer() {
    assert_eq!(size_of::<Schedulable<[u64; 9]>>(), 8);
    assert_eq!(size_of::<Option<Schedulable<[u64; 9]>>>(), 8);
}

#[test]
fn time_saturates() {
    assert_eq!(Ns(3) - Ns(4), Ns::ZERO);
    assert_eq!(Ns(u64::MAX) + Ns(1), Ns(u64::MAX));
    assert_eq!(Ns::from_ms(u64::MAX), Ns(u64::MAX));
}

// The policies, as they are.
#[path = "../../samples/rust/enoki_fifo.rs"]
mod fifo;
#[path = "../../samples/rust/enoki_wfq.rs"]
mod wfq;

const ALL: u64 = u64::MAX;
const SECOND: u64 = 1_000_000_000;

pub(crate) fn random_events<S: Scheduler>() {
    for seed in 1..30 {
        let mut sim = Sim::<S>::new(seed).unwrap();
        for _ in 0..4000 {
            sim.step();
        }
        let report = sim.finish();
        assert_eq!(report.drops, 0, "seed {seed}: {report:?}");
        assert!(report.picks > 500, "seed {seed}: {report:?}");
        assert!(report.steals > 20, "seed {seed}: {report:?}");
    }
}

/// Run times of hogs of these nice levels on one CPU, in thousandths of the total.
fn shares<S: Scheduler>(nice: &[i32], ns: u64) -> Vec<u64> {
    let mut sim = Sim::<S>::new(1).unwrap();
    let slots: Vec<usize> = nice.iter().map(|&nice| sim.spawn(1, nice)).collect();
    sim.run_cpu(0, ns);
    let times: Vec<u64> = slots.iter().map(|&slot| sim.runtime(slot)).collect();
    sim.finish();
    let total: u64 = times.iter().sum();
    assert!(total > ns - ns / 1000, "the CPU was idle: {times:?}");
    times.iter().map(|&time| time * 1000 / total).collect()
}

fn is_close(found: &[u64], expected: &[u64], by: u64) {
    let close = found
        .iter()
        .zip(expected)
        .all(|(a, b)| a.abs_diff(*b) <= by);
    assert!(close, "{found:?} and not {expected:?}");
}

pub(crate) fn hogs_share<S: Scheduler>() {
    is_close(&shares::<S>(&[0; 5], 10 * SECOND), &[200; 5], 2);
    if S::NAME == "wfq" {
        // Weights of 1024, 335 and 15.
        is_close(&shares::<S>(&[0, 5, 19], 60 * SECOND), &[745, 243, 10], 5);
    }
}

pub(crate) fn what_a_sleeper_gets_is_bounded<S: Scheduler>() {
    let mut sim = Sim::<S>::new(1).unwrap();
    let sleeper = sim.spawn(1, 0);
    sim.run_cpu(0, SECOND / 100);
    assert_eq!(sim.block(0), Some(sleeper));
    let hog = sim.spawn(1, 0);
    sim.run_cpu(0, 5 * SECOND);
    sim.wake(sleeper);
    let before = (sim.runtime(sleeper), sim.runtime(hog));
    sim.run_cpu(0, SECOND);
    let gained = sim.runtime(sleeper) - before.0;
    let lost = sim.runtime(hog) - before.1;
    // Half each, but for the credit and a slice.
    assert!(
        gained.abs_diff(lost) < 10_000_000,
        "{gained} against {lost}"
    );
    sim.finish();
}

pub(crate) fn nobody_is_owed_for_running_alone<S: Scheduler>() {
    let mut sim = Sim::<S>::new(1).unwrap();
    let first = sim.spawn(1, 0);
    sim.run_cpu(0, 5 * SECOND);
    let before = sim.runtime(first);
    let second = sim.spawn(1, 0);
    sim.run_cpu(0, SECOND / 10);
    let (first, second) = (sim.runtime(first) - before, sim.runtime(second));
    assert!(
        first.abs_diff(second) < 10_000_000,
        "{first} against {second}"
    );
    sim.finish();
}

pub(crate) fn a_stopped_machine_is_nobodys_fault<S: Scheduler>() {
    for nice in [0, 19] {
        let mut sim = Sim::<S>::new(1).unwrap();
        let victim = sim.spawn(1, nice);
        for _ in 0..9 {
            sim.spawn(1, 0);
        }
        while sim.running(0) != Some(victim) {
            sim.run_cpu(0, SECOND / 1000);
        }
        // The clock goes on, and says that it ran.
        sim.advance(2 * SECOND);
        sim.pick(0);
        let before = sim.runtime(victim);
        sim.run_cpu(0, 10 * SECOND);
        // Not after each of the others had as much.
        let gained = sim.runtime(victim) - before;
        assert!(gained > SECOND / 1000, "{nice}: {gained}");
        sim.finish();
    }
}

pub(crate) fn idle_cpus_steal<S: Scheduler>() {
    let mut sim = Sim::<S>::new(1).unwrap();
    for _ in 0..4 {
        sim.spawn(ALL, 0);
    }
    // A steal is refused at random now and then.
    for cpu in (0..8).chain(0..8) {
        if sim.running(cpu).is_none() {
            sim.pick(cpu);
        }
    }
    assert!((0..8).filter(|&cpu| sim.running(cpu).is_some()).count() == 4);
    sim.finish();
}

/// A policy that drops what it gets.
struct Careless;

impl Scheduler for Careless {
    const NAME: &'static str = "careless";
    const ID: u32 = 9;
    const TIMERS: u32 = 2;

    type Task = Vec<u8>;

    fn new(_machine: &Machine) -> Result<Self> {
        Ok(Careless)
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<Vec<u8>> {
        Ok(vec![0; 10])
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, mut task: Schedulable<Vec<u8>>) {
        task.state_mut().push(1);
        log!(ctx, "task {} dropped", task.id().as_u64());
        assert_eq!(ctx.arm_timer(1, Ns(5)), Ok(()));
        assert_eq!(ctx.arm_timer(2, Ns(5)), Err(EINVAL));
        ctx.cancel_timer(0);
    }

    fn task_wakeup(&self, _ctx: &mut Ctx<'_>, _task: Schedulable<Vec<u8>>, _flags: WakeFlags) {}

    fn task_preempt(&self, _ctx: &mut Ctx<'_>, _task: Schedulable<Vec<u8>>) {}

    fn pick_next_task<'c>(
        &self,
        _ctx: &mut Ctx<'c>,
        _prev: Option<Schedulable<Vec<u8>>>,
    ) -> Option<Runnable<'c, Vec<u8>>> {
        None
    }

    fn task_tick(&self, _ctx: &mut Ctx<'_>, _task: &mut Lent<'_, Vec<u8>>) -> bool {
        true
    }

    fn migrate_task_rq<'m>(&self, _ctx: &mut Ctx<'_>, task: Migration<'m, Vec<u8>>) -> Moved<'m> {
        task.lost()
    }
}

#[test]
fn dropped_tokens_go_back() {
    let mut sim = Sim::<Careless>::new(1).unwrap();
    for _ in 0..5 {
        sim.spawn(ALL, 0);
    }
    assert_eq!(
        sim.logged().first().map(String::as_str),
        Some("task 1000 dropped")
    );
    let report = sim.finish();
    assert_eq!((report.drops, report.picks), (5, 0));
}

#[test]
fn long_lines_are_cut_off() {
    let mut sim = Sim::<Careless>::new(1).unwrap();
    sim.log_from_cpu(0, &"ä".repeat(200));
    assert_eq!(
        sim.logged().last().map(|line| line.chars().count()),
        Some(60)
    );
    sim.finish();
}

mod forms {
    use crate::prelude::*;
    use std::mem;

    mod v1 {
        use crate::prelude::*;

        transfer! {
            pub(super) struct Known("known", 1) {
                pub(super) picks: u64,
                pub(super) lines: CpuMap<Lock<u64>>,
            }
        }
    }

    transfer! {
        struct Known("known", 2) {
            lines: CpuMap<Lock<u64>>,
            picks: u64,
            late: u64,
        }
    }

    impl From<v1::Known> for Known {
        fn from(old: v1::Known) -> Known {
            Known {
                lines: old.lines,
                picks: old.picks,
                late: old.picks / 2,
            }
        }
    }

    impl From<Known> for v1::Known {
        fn from(new: Known) -> v1::Known {
            v1::Known {
                lines: new.lines,
                picks: new.picks,
            }
        }
    }

    transfer! {
        struct Wider("wider", 1) {
            lines: CpuMap<Lock<[u64; 2]>>,
        }
    }

    impl Exchange<v1::Known> for Wider {
        fn exchange(&mut self, older: &mut v1::Known) {
            for (ours, theirs) in self.lines.iter_mut().zip(older.lines.iter_mut()) {
                mem::swap(&mut ours.get_mut()[0], theirs.get_mut());
            }
        }
    }

    fn old(first: u64) -> v1::Known {
        let machine = Machine::new();
        v1::Known {
            picks: 8,
            lines: CpuMap::new_with(&machine, |cpu| new_lock!(first + u64::from(cpu.as_u32())))
                .unwrap(),
        }
    }

    #[test]
    fn by_from_there_and_back() {
        let machine = Machine::new();
        let mut new = Known {
            lines: CpuMap::new_with(&machine, |_| new_lock!(0)).unwrap(),
            picks: 0,
            late: 0,
        };
        let mut old = old(5);
        new.exchange(&mut old);
        assert_eq!((new.picks, new.late, old.picks), (8, 4, 0));
        assert_eq!(*new.lines[CpuId::FIRST].get_mut(), 5);
        new.exchange(&mut old);
        assert_eq!((new.picks, old.picks), (0, 8));
        assert_eq!(*old.lines[CpuId::FIRST].get_mut(), 5);
    }

    #[test]
    fn cpu_by_cpu() {
        let machine = Machine::new();
        let lines = CpuMap::new_with(&machine, |_| new_lock!([0, 9])).unwrap();
        let (mut new, mut old) = (Wider { lines }, old(5));
        new.exchange(&mut old);
        assert_eq!(*new.lines[CpuId::FIRST].get_mut(), [5, 9]);
        assert_eq!(*old.lines[CpuId::FIRST].get_mut(), 0);
        let last = new.lines.iter_mut().last().unwrap();
        assert!(last.get_mut()[0] > 5);
    }
}
