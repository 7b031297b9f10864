//! The kernel's half of both rings, for loom only: what `kernel/sched/enoki/queue.c` does with them,
//! load for load and store for store, in the same order and with the same orderings.
//!
//! Functions are called as in C, less `enoki_`. READ_ONCE(), WRITE_ONCE() and what C reads and writes
//! plainly are relaxed here: then a lock or a release that is missing there shows as a number that
//! is too old. The words of entries are more strictly looked after by [`Owned`].

use super::tests::{Owned, DATA_WORDS};
use super::{Memory, HEAD_WORDS};
use loom::sync::atomic::{
    fence, AtomicBool, AtomicU32,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

/// The data of an entry.
pub(super) type Data = [u64; DATA_WORDS];

/// `ENOKI_HINTS_A_CALL` and `ENOKI_HINTS_AN_IRQ`, in small.
const HINTS_A_CALL: u32 = 2;
const HINTS_AN_IRQ: u32 = 1;

/// The end of a ring that is the other side's.
#[derive(Clone, Copy)]
enum End {
    Tail,
    Head,
}

/// `struct enoki_half`.
struct Half {
    /// `ring` is not NULL. What it points to is `memory`, and the next two.
    ring: AtomicBool,
    memory: Arc<Owned>,
    dropped: AtomicU32,
    torn: AtomicU32,
    nr_entries: AtomicU32,
    at: AtomicU32,
}

impl Half {
    fn new(memory: Arc<Owned>) -> Half {
        Half {
            ring: AtomicBool::new(false),
            memory,
            dropped: AtomicU32::new(0),
            torn: AtomicU32::new(0),
            nr_entries: AtomicU32::new(0),
            at: AtomicU32::new(0),
        }
    }

    /// The last part of `enoki_client_publish()`.
    fn publish(&self) {
        self.nr_entries.store(self.memory.nr_entries(), Relaxed);
        self.ring.store(true, Release);
    }

    /// `enoki_half_ring()`.
    fn ring(&self) -> bool {
        self.ring.load(Acquire)
    }

    /// `enoki_ring_used()`.
    fn used(&self, other: End) -> u32 {
        match other {
            End::Tail => {
                let theirs = self.memory.tail().load(Acquire);
                theirs.wrapping_sub(self.at.load(Relaxed))
            }
            End::Head => {
                let theirs = self.memory.head().load(Acquire);
                self.at.load(Relaxed).wrapping_sub(theirs)
            }
        }
    }

    /// `enoki_ring_waits()`.
    fn waits(&self) -> bool {
        self.ring() && self.memory.tail().load(Relaxed) != self.memory.head().load(Relaxed)
    }

    /// `enoki_ring_entry()`.
    fn entry(&self) -> u32 {
        let nr_entries = self.nr_entries.load(Relaxed);
        assert_ne!(nr_entries, 0, "a ring is seen before its size is");
        self.at.load(Relaxed) & (nr_entries - 1)
    }

    /// `enoki_entry_copy()`.
    fn entry_copy(&self) -> (u64, Data) {
        let entry = self.entry();
        let head_word = self.memory.read(entry, 0);
        let mut data = [0; DATA_WORDS];
        for (i, word) in data.iter_mut().enumerate() {
            *word = self.memory.read(entry, HEAD_WORDS + i);
        }
        (head_word, data)
    }

    /// Moves our end, and lets the other side see it: the two lines after each entry.
    fn go_on(&self, end: &AtomicU32, by: u32) {
        let at = self.at.load(Relaxed).wrapping_add(by);
        self.at.store(at, Relaxed);
        end.store(at, Release);
    }
}

fn count(counter: &AtomicU32) {
    counter.store(counter.load(Relaxed) + 1, Relaxed);
}

/// `struct wait_queue_head`, with one who may wait.
struct WaitQueue {
    /// There is somebody in the list.
    active: AtomicBool,
    /// It is to look again; under the lock of the list.
    triggered: Mutex<bool>,
    sleep: Condvar,
}

/// Why a message was not sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SendError {
    /// ENOENT: there is no ring.
    Gone,
    /// ENOSPC: it is full.
    Full,
}

/// `struct enoki_ops`: what a policy does with a hint, which was copied.
pub(super) trait Policy: Sized {
    fn parse_hint(&self, client: &Client<Self>, head_word: u64, data: Data);
}

/// `struct enoki_client`.
pub(super) struct Client<P> {
    pub(super) policy: P,
    /// ENOKI_CLIENT_READS.
    reads: AtomicBool,
    hints: Half,
    messages: Half,
    nr_hints: AtomicU32,
    /// `lock`, with `nr_dropped` and `nr_messages`.
    lock: Mutex<(u32, u32)>,
    wait: WaitQueue,
}

impl<P: Policy> Client<P> {
    pub(super) fn new(hints: Arc<Owned>, messages: Arc<Owned>, policy: P) -> Client<P> {
        Client {
            policy,
            reads: AtomicBool::new(false),
            hints: Half::new(hints),
            messages: Half::new(messages),
            nr_hints: AtomicU32::new(0),
            lock: Mutex::new((0, 0)),
            wait: WaitQueue {
                active: AtomicBool::new(false),
                triggered: Mutex::new(false),
                sleep: Condvar::new(),
            },
        }
    }

    /// `enoki_client_queue()` for both rings.
    pub(super) fn publish(&self) {
        self.hints.publish();
        self.messages.publish();
    }

    /// `enoki_begin_to_read()`.
    fn begin_to_read(&self) {
        while self.reads.fetch_or(true, Acquire) {
            thread::yield_now();
        }
    }

    /// `enoki_try_to_read()`.
    fn try_to_read(&self) -> bool {
        !self.reads.fetch_or(true, Acquire)
    }

    /// `enoki_end_to_read()`.
    fn end_to_read(&self) {
        self.reads.fetch_and(false, Release);
    }

    /// `enoki_read_hints()`, of one that is trusted.
    fn read_hints(&self, max: u32) -> u32 {
        let half = &self.hints;
        if !half.ring() {
            return 0;
        }
        let waiting = half.used(End::Tail);
        if waiting > half.nr_entries.load(Relaxed) {
            count(&half.torn);
            half.go_on(half.memory.head(), waiting);
            return 0;
        }
        let nr = waiting.min(max);
        for _ in 0..nr {
            let (head_word, data) = half.entry_copy();
            count(&self.nr_hints);
            self.policy.parse_hint(self, head_word, data);
            half.go_on(half.memory.head(), 1);
        }
        nr
    }

    /// `enoki_client_doorbell()`.
    pub(super) fn doorbell(&self) -> u32 {
        self.begin_to_read();
        let nr = self.read_hints(HINTS_A_CALL);
        self.end_to_read();
        nr
    }

    /// `enoki_hints_wait()`, and the interrupt of `enoki_hints_kick()` if they do.
    pub(super) fn look_at_hints(&self) {
        let half = &self.hints;
        let wait = half.ring() && half.memory.tail().load(Relaxed) != half.at.load(Relaxed);
        if wait && self.try_to_read() {
            self.read_hints(HINTS_AN_IRQ);
            self.end_to_read();
        }
    }

    /// `enoki_queue_send()`, and the interrupt of `enoki_client_wake()` if it starts one.
    pub(super) fn send(&self, data: Data) -> Result<(), SendError> {
        let mut counts = self.lock.lock().unwrap();
        let half = &self.messages;
        if !half.ring() {
            return Err(SendError::Gone);
        }
        let used = half.used(End::Head);
        let nr_entries = half.nr_entries.load(Relaxed);
        if used >= nr_entries {
            if used > nr_entries {
                count(&half.torn);
            }
            counts.0 += 1;
            half.dropped.store(counts.0, Relaxed);
            return Err(SendError::Full);
        }

        let entry = half.entry();
        half.memory.write(entry, 0, 0);
        for (i, word) in data.into_iter().enumerate() {
            half.memory.write(entry, HEAD_WORDS + i, word);
        }
        half.go_on(half.memory.tail(), 1);
        counts.1 += 1;
        let sleeper = self.has_sleeper();
        drop(counts);
        if sleeper {
            self.wake();
        }
        Ok(())
    }

    /// `wq_has_sleeper()`.
    fn has_sleeper(&self) -> bool {
        fence(SeqCst);
        self.wait.active.load(Relaxed)
    }

    /// `wake_up_all()`.
    fn wake(&self) {
        let mut triggered = self.wait.triggered.lock().unwrap();
        if self.wait.active.load(Relaxed) {
            *triggered = true;
            self.wait.sleep.notify_all();
        }
    }

    /// poll(2) for messages, for as long as it takes: `poll_wait()`, and then `enoki_ring_waits()`
    /// each time before it sleeps.
    pub(super) fn poll(&self) {
        {
            let _list = self.wait.triggered.lock().unwrap();
            self.wait.active.store(true, Relaxed);
        }
        fence(SeqCst);
        while !self.messages.waits() {
            let mut triggered = self.wait.triggered.lock().unwrap();
            while !*triggered {
                triggered = self.wait.sleep.wait(triggered).unwrap();
            }
            *triggered = false;
        }
        let _list = self.wait.triggered.lock().unwrap();
        self.wait.active.store(false, Relaxed);
    }

    /// How many hints were read, and how often the ring of hints was nonsense.
    pub(super) fn hint_counts(&self) -> (u32, u32) {
        (self.nr_hints.load(Relaxed), self.hints.torn.load(Relaxed))
    }

    /// How many messages found no room, by what the program is told, too, and how many were sent.
    pub(super) fn message_counts(&self) -> (u32, u32) {
        let counts = *self.lock.lock().unwrap();
        assert_eq!(self.messages.dropped.load(Relaxed), counts.0);
        assert_eq!(self.messages.torn.load(Relaxed), 0);
        counts
    }
}
