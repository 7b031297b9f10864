//! Both halves of both rings together, in all orders that the memory model has: the program's as it
//! is, the kernel's as `kernel.rs` says.

use super::kernel::{Client, Data, Policy, SendError};
use super::tests::{Owned, DATA_WORDS};
use super::{Full, Memory, Reader, Writer};
use loom::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
};
use loom::sync::Arc;
use loom::thread;
use zerocopy::IntoBytes;

/// What number `n` of a sender is like.
fn data(sender: u64, n: u32) -> Data {
    let name = (sender << 32) | u64::from(n);
    [name, !name]
}

/// How often a CPU is taken from a thread that could go on, at most, where all the ways to do that
/// would be too many.
const PREEMPTIONS: usize = 3;

fn most_orders(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

/// A program that has its halves of two rings.
struct Program {
    hints: Writer<Arc<Owned>>,
    messages: Reader<Arc<Owned>>,
}

/// Sends number `n`, if there is room.
fn push(hints: &mut Writer<Arc<Owned>>, n: u32) -> Result<(), Full> {
    hints.push(u64::from(n), data(0, n).as_bytes())
}

/// Receives a message, which must be whole: its sender and its number.
fn pop(messages: &mut Reader<Arc<Owned>>) -> Option<(u64, u32)> {
    let mut got = [0; DATA_WORDS];
    let head_word = messages.pop(got.as_mut_bytes())?;
    let (sender, n) = (got[0] >> 32, got[0] as u32);
    assert_eq!((head_word, got), (0, data(sender, n)), "torn");
    Some((sender, n))
}

/// Wants each hint to be whole and the next one.
struct Counts {
    next: AtomicU32,
}

impl Policy for Counts {
    fn parse_hint(&self, _client: &Client<Counts>, head_word: u64, hint: Data) {
        let next = self.next.load(Relaxed);
        assert_eq!((head_word, hint), (u64::from(next), data(0, next)));
        self.next.store(next + 1, Relaxed);
    }
}

/// Answers each hint, for which there must be room.
struct Answers;

impl Policy for Answers {
    fn parse_hint(&self, client: &Client<Answers>, _head_word: u64, hint: Data) {
        assert_eq!(client.send(hint), Ok(()));
    }
}

/// Rings of so many entries, and both their ends.
fn rings<P: Policy>(nr_hints: u32, nr_messages: u32, policy: P) -> (Arc<Client<P>>, Program) {
    let (hints, messages) = (Owned::new(nr_hints), Owned::new(nr_messages));
    let program = Program {
        hints: Writer::new(hints.clone()),
        messages: Reader::new(messages.clone()),
    };
    (Arc::new(Client::new(hints, messages, policy)), program)
}

/// A program sets up its rings and sends hints, while interrupts on another CPU look for some. When
/// there is no room it rings the doorbell.
fn hints(nr_entries: u32, count: u32, interrupts: u32) {
    let next = AtomicU32::new(0);
    let (kernel, mut program) = rings(nr_entries, 1, Counts { next });
    let other_cpu = thread::spawn({
        let kernel = kernel.clone();
        move || {
            for _ in 0..interrupts {
                kernel.look_at_hints();
            }
        }
    });
    kernel.publish();
    for n in 0..count {
        while push(&mut program.hints, n).is_err() {
            kernel.doorbell();
        }
    }
    // Whatever an interrupt leaves is taken before this says that there is nothing.
    while kernel.doorbell() != 0 {}
    assert_eq!(program.hints.room(), nr_entries);
    other_cpu.join().unwrap();
    assert_eq!(kernel.hint_counts(), (count, 0));
    assert_eq!(kernel.policy.next.load(Relaxed), count);
}

#[test]
fn hints_and_interrupts() {
    most_orders(|| hints(1, 2, 2));
    most_orders(|| hints(2, 3, 1));
}

/// A program sends hints, while another thread of it rings the doorbell for them.
fn doorbell(nr_entries: u32, count: u32) {
    let next = AtomicU32::new(0);
    let (kernel, mut program) = rings(nr_entries, 1, Counts { next });
    kernel.publish();
    let other_cpu = thread::spawn({
        let kernel = kernel.clone();
        move || {
            let mut took = 0;
            while took < count {
                match kernel.doorbell() {
                    0 => thread::yield_now(),
                    nr => took += nr,
                }
            }
        }
    });
    for n in 0..count {
        while push(&mut program.hints, n).is_err() {
            thread::yield_now();
        }
    }
    other_cpu.join().unwrap();
    assert_eq!(kernel.hint_counts(), (count, 0));
}

#[test]
fn hints_and_doorbell() {
    loom::model(|| doorbell(1, 2));
    most_orders(|| doorbell(2, 3));
}

/// A policy sends messages from one or two CPUs, while the program receives them. Those that find
/// room get there, whole and in their order; the others are counted.
fn messages(nr_entries: u32, senders: u64, count: u32) {
    let next = AtomicU32::new(0);
    let (kernel, mut program) = rings(1, nr_entries, Counts { next });
    kernel.publish();
    let cpus: Vec<_> = (0..senders)
        .map(|sender| {
            let kernel = kernel.clone();
            thread::spawn(move || {
                (0..count)
                    .filter(|&n| kernel.send(data(sender, n)) == Err(SendError::Full))
                    .count()
            })
        })
        .collect();
    let mut got: Vec<_> = (0..count)
        .filter_map(|_| pop(&mut program.messages))
        .collect();
    let refused: usize = cpus.into_iter().map(|cpu| cpu.join().unwrap()).sum();
    got.extend(std::iter::from_fn(|| pop(&mut program.messages)));
    for sender in 0..senders {
        let numbers = got.iter().filter(|it| it.0 == sender).map(|it| it.1);
        assert!(numbers.is_sorted_by(|one, next| one < next), "{got:?}");
    }
    assert_eq!(got.len() + refused, senders as usize * count as usize);
    assert_eq!(kernel.message_counts(), (refused as u32, got.len() as u32));
}

#[test]
fn messages_of_one_cpu() {
    loom::model(|| messages(1, 1, 3));
    loom::model(|| messages(2, 1, 3));
}

#[test]
fn messages_of_two_cpus() {
    most_orders(|| messages(1, 2, 1));
    most_orders(|| messages(2, 2, 1));
}

/// A policy sends a message while the program sets up its rings: there is none yet, or one that has
/// room.
#[test]
fn messages_from_the_first() {
    loom::model(|| {
        let next = AtomicU32::new(0);
        let (kernel, mut program) = rings(1, 1, Counts { next });
        let other_cpu = thread::spawn({
            let kernel = kernel.clone();
            move || kernel.send(data(0, 0))
        });
        kernel.publish();
        match other_cpu.join().unwrap() {
            Ok(()) => assert_eq!(pop(&mut program.messages), Some((0, 0))),
            result => assert_eq!(result, Err(SendError::Gone)),
        }
    });
}

/// A program sleeps until there is a message: it is never left asleep beside one.
fn woken(count: u32) {
    let next = AtomicU32::new(0);
    let (kernel, mut program) = rings(1, 2, Counts { next });
    kernel.publish();
    let other_cpu = thread::spawn({
        let kernel = kernel.clone();
        move || {
            for n in 0..count {
                kernel.send(data(0, n)).unwrap();
            }
        }
    });
    for n in 0..count {
        // As Messages::wait() does.
        let message = pop(&mut program.messages).or_else(|| {
            kernel.poll();
            pop(&mut program.messages)
        });
        assert_eq!(message, Some((0, n)));
    }
    other_cpu.join().unwrap();
}

#[test]
fn messages_wake() {
    most_orders(|| woken(1));
    most_orders(|| woken(2));
}

/// Who has no more hints under way than the ring of messages has room gets an answer to each,
/// whoever looks at its hints: one thread sends and rings the doorbell if there is no room, another
/// one rings it and receives.
fn answers(nr_hints: u32, nr_messages: u32, count: u32) {
    let (kernel, program) = rings(nr_hints, nr_messages, Answers);
    let Program {
        mut hints,
        mut messages,
    } = program;
    let received = Arc::new(AtomicU32::new(0));
    kernel.publish();
    let other_cpu = thread::spawn({
        let (kernel, received) = (kernel.clone(), received.clone());
        move || {
            let mut n = 0;
            while n < count {
                kernel.doorbell();
                while let Some(message) = pop(&mut messages) {
                    assert_eq!(message, (0, n));
                    n += 1;
                    received.store(n, Release);
                }
                thread::yield_now();
            }
        }
    });
    for n in 0..count {
        while n - received.load(Acquire) >= nr_messages {
            thread::yield_now();
        }
        while push(&mut hints, n).is_err() {
            kernel.doorbell();
        }
    }
    other_cpu.join().unwrap();
    assert_eq!(kernel.message_counts(), (0, count));
}

#[test]
fn answers_to_all() {
    most_orders(|| answers(1, 1, 2));
    most_orders(|| answers(1, 2, 3));
}

/// A program that has lost count of its hints loses those, and no others.
#[test]
fn hints_after_nonsense() {
    const NONSENSE: u32 = 4;
    most_orders(|| {
        let next = AtomicU32::new(0);
        let (kernel, mut program) = rings(2, 1, Counts { next });
        kernel.publish();
        let other_cpu = thread::spawn({
            let kernel = kernel.clone();
            move || kernel.look_at_hints()
        });
        program.hints.memory.tail().store(NONSENSE, Release);
        while program.hints.memory.head().load(Acquire) != NONSENSE {
            kernel.doorbell();
        }
        program.hints.tail = NONSENSE;
        for n in 0..2 {
            assert_eq!(push(&mut program.hints, n), Ok(()));
        }
        while kernel.doorbell() != 0 {}
        other_cpu.join().unwrap();
        assert_eq!(kernel.hint_counts(), (2, 1));
    });
}
