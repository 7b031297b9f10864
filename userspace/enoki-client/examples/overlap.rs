//! One of several senders to the policy of the selftests that answers hints (enoki_echo), both ends
//! of whose rings are in use at the same time: `overlap SENDER COUNT`.
//!
//! One thread sends that many hints, while another one receives the answers. The first of them are
//! left to the ticks of the policy's tasks, of which there must be some; the others both threads
//! ring the doorbell for. There are never more under way than the ring of messages has room for, so
//! each must be answered.
//!
//! It says "ready" and waits for a line before it begins, and for the end of its input before it
//! goes, so that the kernel's counts of it can be looked at. It fails, in words, if anything is lost,
//! torn or out of order.

mod echo;

use echo::{Answer, Call};
use enoki_client::{About, Client, Hints, Messages};
use std::{
    error::Error,
    io::{self, Read},
    sync::{
        atomic::{AtomicBool, AtomicU32, Ordering},
        Barrier,
    },
    thread,
};

/// The number of the policy.
const ECHO: u32 = 70;
/// How many hints, and how many messages there is room for: few, so that rings are often full.
const HINTS: u32 = 256;
const MESSAGES: u32 = 1024;
/// How many hints are left to ticks.
const BY_TICKS: u32 = 1000;
/// What it is asked for: the same again.
const OP_ECHO: u32 = 1;

/// What a sender's numbers are told apart by: both, and what is made of both.
fn value(sender: u32, number: u32) -> u64 {
    let both = (u64::from(sender) << 32) | u64::from(number);
    let sum = both.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (u64::from(sender) << 32) | sum
}

fn call(sender: u32, number: u32) -> Call {
    Call {
        op: OP_ECHO,
        tag: number,
        value: value(sender, number),
    }
}

/// Fails unless it is the answer to that number.
fn check(message: &Answer, sender: u32, number: u32) -> Result<(), String> {
    let whose = (message.value >> 32) as u32;
    let got = message.tag;
    if message.about != 0 || message.value != value(whose, got) {
        return Err(format!("instead of number {number} got torn {message:?}"));
    }
    if whose != sender {
        return Err(format!(
            "instead of number {number} got number {got} of sender {whose}"
        ));
    }
    if got > number {
        return Err(format!("lacks numbers {number} to {}", got - 1));
    }
    if got < number {
        return Err(format!("number {got} came after number {}", number - 1));
    }
    Ok(())
}

/// How far both threads are.
struct Progress {
    begin: Barrier,
    sent: AtomicU32,
    received: AtomicU32,
    failed: AtomicBool,
}

impl Progress {
    /// Whatever comes of it, the other thread does not wait for this one for ever.
    fn told<T>(&self, result: Result<T, String>) -> Result<T, String> {
        if result.is_err() {
            self.failed.store(true, Ordering::Relaxed);
        }
        result
    }

    fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// May the doorbell be rung, or are the ticks to be waited for?
    fn doorbell(&self, client: &Client) -> Result<u32, String> {
        if self.received.load(Ordering::Relaxed) < BY_TICKS {
            thread::yield_now();
            return Ok(0);
        }
        client
            .doorbell()
            .map_err(|err| format!("cannot ring the doorbell: {err}"))
    }
}

/// Sends all, as long as there is room.
fn send(
    client: &Client,
    hints: &mut Hints<Call>,
    progress: &Progress,
    sender: u32,
    count: u32,
) -> Result<(), String> {
    for number in 0..count {
        // Pairs with the release of who received: there is room again for the answer.
        while number.saturating_sub(progress.received.load(Ordering::Acquire)) >= MESSAGES {
            if progress.failed() {
                return Ok(());
            }
            thread::yield_now();
        }
        while hints.send(About::NOBODY, &call(sender, number)).is_err() {
            if progress.failed() {
                return Ok(());
            }
            progress.doorbell(client)?;
        }
        progress.sent.store(number + 1, Ordering::Release);
    }
    Ok(())
}

/// Receives all.
fn receive(
    client: &Client,
    messages: &mut Messages<Answer>,
    progress: &Progress,
    sender: u32,
    count: u32,
) -> Result<(), String> {
    let mut number = 0;
    while number < count && !progress.failed() {
        let sent = progress.sent.load(Ordering::Acquire);
        let may_ring = number >= BY_TICKS;
        let took = progress.doorbell(client)?;
        let before = number;
        while let Some(message) = messages.receive().map_err(|e| e.to_string())? {
            check(&message, sender, number)?;
            number += 1;
            progress.received.store(number, Ordering::Release);
        }
        // What was sent before a doorbell that found nothing had been answered by then.
        if may_ring && took == 0 && number < sent {
            return Err(format!(
                "lacks numbers {number} to {}: there are no more hints and no more messages",
                sent - 1
            ));
        }
        if number == before {
            thread::yield_now();
        }
    }
    Ok(())
}

fn run(sender: u32, count: u32) -> Result<(), Box<dyn Error>> {
    let client = Client::open(ECHO)?;
    let mut hints = client.hints::<Call>(HINTS)?;
    let mut messages = client.messages::<Answer>(MESSAGES)?;
    let progress = Progress {
        begin: Barrier::new(2),
        sent: AtomicU32::new(0),
        received: AtomicU32::new(0),
        failed: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            progress.begin.wait();
            progress.told(receive(&client, &mut messages, &progress, sender, count))
        });
        println!("ready");
        let begun = io::stdin().read_line(&mut String::new());
        progress.begin.wait();
        let sent = progress.told(send(&client, &mut hints, &progress, sender, count));
        let received = receiver.join().map_err(|_| "the receiver panicked")?;
        begun?;
        sent?;
        received?;
        Ok::<(), Box<dyn Error>>(())
    })?;
    if messages.receive()?.is_some() {
        return Err("got more messages than it sent hints".into());
    }
    let (refused, dropped) = (hints.refused(), messages.dropped());
    if (refused, dropped) != (0, 0) {
        return Err(format!("{refused} hints refused, {dropped} messages dropped").into());
    }
    println!("sender {sender}: {count} hints sent, {count} messages received");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = std::env::args().skip(1).map(|arg| arg.parse());
    let args: Vec<u32> = args.collect::<Result<_, _>>()?;
    let &[sender, count] = args.as_slice() else {
        return Err("usage: overlap SENDER COUNT".into());
    };
    if count <= BY_TICKS {
        return Err(format!("COUNT must be more than {BY_TICKS}, which are left to ticks").into());
    }
    run(sender, count).map_err(|err| format!("sender {sender}: {err}").into())
}
