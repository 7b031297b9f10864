//! The gate that a policy is replaced behind: `kernel/sched/enoki/upgrade.c` and `call.h`.
//!
//! What must hold: nobody is in the policy while its version changes, and whoever calls it
//! afterwards calls the new one. The version is a cell that loom watches: it may be read by many,
//! or written by one, and what is written must have happened before what reads it.

use loom::cell::UnsafeCell;
use loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use loom::sync::atomic::{fence, AtomicU32, Ordering};
use loom::sync::Arc;
use loom::thread;
use std::sync::atomic::AtomicU32 as Count;

/// `enoki_sched::out`.
const IN_OFFICE: u32 = 0;
const GATE: u32 = 0x100;

/// How often a lock, the end of a call, or the gate is looked at before it is given up.
const PATIENCE: u32 = 2;

/// What the code uses, or something weaker.
#[derive(Clone, Copy)]
struct Orders {
    /// `smp_load_acquire(&es->out)` in enoki_shut().
    shut: Ordering,
    /// `smp_load_acquire(&es->gate_seq)` there, and the release that it pairs with.
    seq: Ordering,
    new_seq: Ordering,
    /// The same as `shut` in enoki_enter().
    enter: Ordering,
    /// `smp_mb()` between saying that one is there and looking at the gate, in enoki_enter() and ...
    enter_barrier: bool,
    /// ... between closing the gate and looking who is there, in enoki_close_gate().
    close_barrier: bool,
    /// `smp_store_release()` in enoki_leave(), and the load that it pairs with.
    leave: Ordering,
    awaited: Ordering,
    /// `cmpxchg_release()` in enoki_open_gate().
    open: Ordering,
    /// The acquire with which enoki_wait_at_gate() ends.
    waited: bool,
    /// The lock of each run queue is taken.
    sweep: bool,
    /// Whoever has the lock of a run queue that was swept waits.
    wait_if_swept: bool,
}

const AS_IT_IS: Orders = Orders {
    shut: Acquire,
    seq: Acquire,
    new_seq: Release,
    enter: Acquire,
    enter_barrier: true,
    close_barrier: true,
    leave: Release,
    awaited: Acquire,
    open: Release,
    waited: true,
    sweep: true,
    wait_if_swept: true,
};

/// What a version is: its calls and its data, which belong together.
struct Version {
    ops: u32,
    data: u32,
}

/// A run queue's lock, and `enoki_swept`, which it protects.
struct RunQueue {
    locked: AtomicU32,
    swept: AtomicU32,
}

impl RunQueue {
    fn new() -> RunQueue {
        RunQueue {
            locked: AtomicU32::new(0),
            swept: AtomicU32::new(0),
        }
    }

    /// Whether it could be locked.
    fn lock(&self) -> bool {
        for _ in 0..PATIENCE {
            if self.locked.compare_exchange(0, 1, Acquire, Relaxed).is_ok() {
                return true;
            }
            thread::yield_now();
        }
        false
    }

    fn unlock(&self) {
        self.locked.store(0, Release);
    }
}

struct Class {
    orders: Orders,
    out: AtomicU32,
    gate_seq: AtomicU32,
    /// `enoki_calling` of the CPU that calls without a run queue's lock.
    calling: AtomicU32,
    queues: [RunQueue; 2],
    version: UnsafeCell<Version>,
}

impl Class {
    fn new(orders: Orders) -> Arc<Class> {
        Arc::new(Class {
            orders,
            out: AtomicU32::new(IN_OFFICE),
            gate_seq: AtomicU32::new(0),
            calling: AtomicU32::new(0),
            queues: [RunQueue::new(), RunQueue::new()],
            version: UnsafeCell::new(Version { ops: 1, data: 1 }),
        })
    }

    /// A call of the policy. Returns the version that was called.
    fn call(&self) -> u32 {
        self.version.with(|version| {
            // SAFETY: That nobody writes it meanwhile is what is tested; loom watches.
            let version = unsafe { &*version };
            assert_eq!(
                version.ops, version.data,
                "one version's calls on another's data"
            );
            version.ops
        })
    }

    /// enoki_wait_at_gate(): whether it opened in time. Otherwise the policy is not called, as one
    /// that has been ejected; it would be too many orders to wait for ever.
    fn wait_at_gate(&self) -> bool {
        for _ in 0..PATIENCE {
            if self.out.load(Relaxed) != GATE {
                if self.orders.waited {
                    fence(Acquire);
                }
                return true;
            }
            thread::yield_now();
        }
        false
    }

    /// enoki_shut(): waits if the version changes, and whether that took too long.
    fn shut(&self, queue: &RunQueue) -> bool {
        self.out.load(self.orders.shut) == GATE
            && self.orders.wait_if_swept
            && queue.swept.load(Relaxed) == self.gate_seq.load(self.orders.seq)
            && !self.wait_at_gate()
    }

    /// Two calls with a run queue locked: both are of one version.
    fn calls_under_lock(&self, queue: usize) {
        let queue = &self.queues[queue];
        if !queue.lock() {
            return;
        }
        if !self.shut(queue) {
            let first = self.call();
            if !self.shut(queue) {
                assert_eq!(
                    first,
                    self.call(),
                    "two versions under one hold of the lock"
                );
            }
        }
        queue.unlock();
    }

    /// A call without a run queue's lock: enoki_enter() to enoki_leave().
    fn call_without_lock(&self) {
        loop {
            self.calling.store(1, Relaxed);
            if self.orders.enter_barrier {
                fence(SeqCst);
            }
            if self.out.load(self.orders.enter) == IN_OFFICE {
                break;
            }
            self.calling.store(0, Relaxed);
            if !self.wait_at_gate() {
                return;
            }
        }
        self.call();
        self.calling.store(0, self.orders.leave);
    }

    /// enoki_sweep()
    fn sweep(&self, queue: &RunQueue, seq: u32) -> bool {
        if !queue.lock() {
            return false;
        }
        queue.swept.store(seq, Relaxed);
        queue.unlock();
        true
    }

    /// enoki_await_call()
    fn await_call(&self) -> bool {
        for _ in 0..PATIENCE {
            if self.calling.load(self.orders.awaited) == 0 {
                return true;
            }
            thread::yield_now();
        }
        false
    }

    /// enoki_close_gate()
    fn close(&self) -> bool {
        let seq = self.gate_seq.load(Relaxed) + 1;
        self.gate_seq.store(seq, self.orders.new_seq);
        let closed = if self.orders.close_barrier {
            AcqRel
        } else {
            Release
        };
        self.out
            .compare_exchange(IN_OFFICE, GATE, closed, Relaxed)
            .unwrap();
        if self.orders.close_barrier {
            fence(SeqCst);
        }
        (!self.orders.sweep || self.queues.iter().all(|queue| self.sweep(queue, seq)))
            && self.await_call()
    }

    /// enoki_try_swap(): one try to replace version `new - 1`. Returns whether it was possible.
    fn upgrade(&self, new: u32) -> bool {
        let quiet = self.close();
        if quiet {
            self.version.with_mut(|version| {
                // SAFETY: That nobody reads it meanwhile is what is tested; loom watches.
                let version = unsafe { &mut *version };
                version.ops = new;
                version.data = new;
            });
        }
        self.out
            .compare_exchange(GATE, IN_OFFICE, self.orders.open, Relaxed)
            .unwrap();
        quiet
    }
}

/// Explores what may happen while a policy is replaced, and once more, with what other CPUs do.
/// Returns in how many orders it was.
fn explore(orders: Orders, preemptions: usize, other_cpus: &'static [fn(&Class)]) -> u32 {
    let done = std::sync::Arc::new(Count::new(0));
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    let counted = done.clone();
    builder.check(move || {
        let class = Class::new(orders);
        let others: Vec<_> = other_cpus
            .iter()
            .map(|other| {
                let class = class.clone();
                thread::spawn(move || other(&class))
            })
            .collect();
        if class.upgrade(2) {
            counted.fetch_add(1, SeqCst);
            class.upgrade(3);
        }
        for other in others {
            other.join().unwrap();
        }
    });
    done.load(SeqCst)
}

const UNDER_LOCK: &[fn(&Class)] = &[
    |class| class.calls_under_lock(0),
    |class| class.calls_under_lock(1),
];
const TWICE: &[fn(&Class)] = &[|class| {
    class.calls_under_lock(0);
    class.calls_under_lock(1);
}];
const WITHOUT_LOCK: &[fn(&Class)] = &[|class| {
    class.call_without_lock();
    class.call_without_lock();
}];
const BOTH: &[fn(&Class)] = &[
    |class| class.calls_under_lock(0),
    |class| class.call_without_lock(),
];

#[test]
fn calls_under_lock() {
    assert!(explore(AS_IT_IS, 2, UNDER_LOCK) > 0, "never replaced");
    explore(AS_IT_IS, 4, TWICE);
}

#[test]
fn calls_without_lock() {
    explore(AS_IT_IS, 4, WITHOUT_LOCK);
}

#[test]
fn both() {
    explore(AS_IT_IS, 2, BOTH);
}

/// Why loom has found fault with a model; that it was too large is no fault of it.
fn fault_of(orders: Orders, others: &'static [fn(&Class)]) -> String {
    let found =
        std::panic::catch_unwind(|| explore(orders, if others.len() > 1 { 2 } else { 4 }, others))
            .expect_err("nothing was found");
    let said = match found.downcast::<String>() {
        Ok(said) => *said,
        Err(found) => (*found.downcast::<&str>().expect("words")).to_owned(),
    };
    assert!(!said.contains("number of branches"), "{said}");
    said
}

/// Each of the orderings is needed.
macro_rules! needed {
    ($($name:ident: $field:ident = $weaker:expr, $others:ident;)*) => {$(
        #[test]
        fn $name() {
            println!("{}", fault_of(Orders { $field: $weaker, ..AS_IT_IS }, $others));
        }
    )*};
}

needed! {
    needs_acquire_in_shut: shut = Relaxed, TWICE;
    needs_acquire_of_seq: seq = Relaxed, UNDER_LOCK;
    needs_release_of_seq: new_seq = Relaxed, UNDER_LOCK;
    needs_acquire_in_enter: enter = Relaxed, WITHOUT_LOCK;
    needs_barrier_in_enter: enter_barrier = false, WITHOUT_LOCK;
    needs_barrier_in_close: close_barrier = false, WITHOUT_LOCK;
    needs_release_in_leave: leave = Relaxed, WITHOUT_LOCK;
    needs_acquire_of_leave: awaited = Relaxed, WITHOUT_LOCK;
    needs_release_in_open: open = Relaxed, TWICE;
    needs_acquire_at_gate: waited = false, TWICE;
    needs_sweep: sweep = false, UNDER_LOCK;
    needs_wait: wait_if_swept = false, UNDER_LOCK;
}
