//! Sends hints to the policy of the selftests that answers them (enoki_echo), as many as it is told
//! to, and counts what comes back: `flood [COUNT]`.
//!
//! It fails if anything is lost, torn or out of order. It also prints how long a hint takes that is
//! sent without a system call; under QEMU's icount that is in instructions.

mod echo;

use echo::{Answer, Call};
use enoki_client::{About, Client, Entry, Hints, Messages};
use std::{error::Error, time::Instant};

/// The number of the policy.
const ECHO: u32 = 70;
/// How many hints there is room for.
const ROOM: u32 = 4096;
/// What it is asked for: the same again.
const OP_ECHO: u32 = 1;

/// What a count is told apart by: nothing that is torn looks like this.
fn call(count: u64) -> Call {
    Call {
        op: OP_ECHO,
        tag: count as u32,
        value: !count,
    }
}

fn answer(count: u64) -> Answer {
    Answer {
        tag: count as u32,
        about: 0,
        value: !count,
    }
}

/// Sends until there is no room, from `sent` on, and says how far it came.
fn send(hints: &mut Hints<Call>, mut sent: u64, count: u64) -> u64 {
    while sent < count && hints.send(About::NOBODY, &call(sent)).is_ok() {
        sent += 1;
    }
    sent
}

/// Receives what there is, likewise.
fn receive(messages: &mut Messages<Answer>, mut got: u64) -> Result<u64, Box<dyn Error>> {
    while let Some(message) = messages.receive()? {
        if message != answer(got) {
            return Err(format!("{message:?} is not number {got}").into());
        }
        got += 1;
    }
    Ok(got)
}

fn main() -> Result<(), Box<dyn Error>> {
    let count = std::env::args()
        .nth(1)
        .map_or(Ok(100_000), |arg| arg.parse())?;
    let client = Client::open(ECHO)?;
    let mut hints = client.hints::<Call>(ROOM)?;
    let mut messages = client.messages::<Answer>(ROOM)?;

    // Twice, so that all is in its place the second time.
    let (mut sent, mut got, mut took) = (0, 0, 0);
    for _ in 0..2 {
        let began = Instant::now();
        sent = send(&mut hints, sent, sent + u64::from(ROOM));
        took = began.elapsed().as_nanos();
        while got < sent {
            hints.doorbell()?;
            got = receive(&mut messages, got)?;
        }
    }
    println!(
        "flood: {} ns for a hint of {} bytes",
        took / u128::from(ROOM),
        Call::FORMAT.size
    );

    while got < count {
        sent = send(&mut hints, sent, count);
        hints.doorbell()?;
        got = receive(&mut messages, got)?;
    }
    if hints.refused() != 0 || messages.dropped() != 0 {
        return Err(format!(
            "{} refused, {} dropped",
            hints.refused(),
            messages.dropped()
        )
        .into());
    }
    println!("flood: {sent} hints sent, {got} messages received");
    Ok(())
}
