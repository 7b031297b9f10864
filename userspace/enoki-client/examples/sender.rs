//! A client of the policy of the selftests that answers hints (enoki_echo), which does as it should
//! or what it must not; `sender.c` and `sender.py` do the same.
//!
//!   sender well             hints and their answers
//!   sender type             of another version: refused
//!   sender stranger TID     about another's thread: refused
//!   sender quota N          more than N in a second: refused
//!   sender fork             and in a child, which gets an error of what it inherits
//!   sender forever          until it is killed

mod echo;

use echo::{Answer, Call};
use enoki_client::{layout, About, Client, Forked, Hints, Messages, SendError};
use std::{error::Error, io, ops::Range};

layout! {
    /// What it does not take.
    pub struct Later("echo_call", 99) {
        /// What to do.
        pub op: u32,
        /// Whatever.
        pub tag: u32,
        /// Whatever else.
        pub value: u64,
    }
}

const NOTHING: Call = Call {
    op: 0,
    tag: 0,
    value: 0,
};

/// Fails unless it was refused with that error.
fn refused<T>(result: io::Result<T>, errno: i32) -> Result<(), Box<dyn Error>> {
    match result {
        Err(err) if err.raw_os_error() == Some(errno) => Ok(()),
        Err(err) => Err(err.into()),
        Ok(_) => Err("it was not refused".into()),
    }
}

/// Hints with those tags, and their answers.
fn answered(
    hints: &mut Hints<Call>,
    messages: &mut Messages<Answer>,
    tags: Range<u32>,
) -> Result<(), Box<dyn Error>> {
    for tag in tags {
        let call = Call {
            op: 1,
            tag,
            value: !u64::from(tag),
        };
        if tag % 10 == 0 {
            hints.send_now(About::NOBODY, &call)?;
        } else {
            hints.send(About::NOBODY, &call)?;
            hints.doorbell()?;
        }
        let answer = messages.wait(None)?.ok_or("no answer")?;
        if (answer.tag, answer.value) != (tag, call.value) {
            return Err(format!("{answer:?} to {call:?}").into());
        }
    }
    Ok(())
}

fn well(client: &Client, tags: Range<u32>) -> Result<(), Box<dyn Error>> {
    let mut hints = client.hints(64)?;
    let mut messages = client.messages(64)?;
    answered(&mut hints, &mut messages, tags)
}

/// Fails unless that did, since it was done in a child.
fn forked<T>(result: io::Result<T>) -> Result<(), Box<dyn Error>> {
    match result {
        Err(err) if err.get_ref().is_some_and(|err| err.is::<Forked>()) => Ok(()),
        Err(err) => Err(err.into()),
        Ok(_) => Err("it was done in a child".into()),
    }
}

/// What a child does with its parent's, and then with its own.
fn child(
    client: Client,
    mut hints: Hints<Call>,
    mut messages: Messages<Answer>,
) -> Result<(), Box<dyn Error>> {
    if hints.send(About::NOBODY, &NOTHING) != Err(SendError::Forked)
        || messages.receive() != Err(Forked)
    {
        return Err("a child used its parent's rings".into());
    }
    forked(hints.send_now(About::NOBODY, &NOTHING))?;
    forked(hints.doorbell())?;
    forked(messages.wait(None))?;
    forked(client.hints::<Call>(64))?;
    if (hints.room(), hints.refused(), messages.dropped()) != (0, 0, 0) {
        return Err("a child saw its parent's rings".into());
    }
    drop((client, hints, messages));
    well(&Client::open(70)?, 0..10)
}

fn fork(client: Client) -> Result<(), Box<dyn Error>> {
    let mut hints = client.hints(64)?;
    let mut messages = client.messages(64)?;
    answered(&mut hints, &mut messages, 0..10)?;
    // SAFETY: There are no other threads.
    match unsafe { libc::fork() } {
        0 => return child(client, hints, messages),
        n if n < 0 => return Err(io::Error::last_os_error().into()),
        _ => (),
    }
    let mut status = 0;
    // SAFETY: `status` is an int.
    if unsafe { libc::wait(&mut status) } < 0 || status != 0 {
        return Err(format!("the child ended with status {status:#x}").into());
    }
    answered(&mut hints, &mut messages, 10..20)
}

fn stranger(client: &Client, tid: i32) -> Result<(), Box<dyn Error>> {
    let mut hints = client.hints::<Call>(64)?;
    refused(hints.send_now(About::thread(tid), &NOTHING), libc::EPERM)?;
    hints.send(About::thread(tid), &NOTHING)?;
    hints.doorbell()?;
    match hints.refused() {
        1 => Ok(()),
        n => Err(format!("{n} were refused").into()),
    }
}

fn quota(client: &Client, n: u32) -> Result<(), Box<dyn Error>> {
    let hints = client.hints::<Call>(64)?;
    for _ in 0..n {
        hints.send_now(About::NOBODY, &NOTHING)?;
    }
    refused(hints.send_now(About::NOBODY, &NOTHING), libc::EDQUOT)
}

fn forever(client: &Client) -> Result<(), Box<dyn Error>> {
    let mut hints = client.hints::<Call>(64)?;
    println!("sending");
    loop {
        if hints.send(About::NOBODY, &NOTHING).is_err() {
            hints.doorbell()?;
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let number = args.get(1).map_or(Ok(0), |arg| arg.parse())?;
    let client = Client::open(70)?;
    match args.first().map(String::as_str) {
        Some("well") => well(&client, 0..1000),
        Some("type") => refused(client.hints::<Later>(64).map(drop), libc::EPROTO),
        Some("stranger") => stranger(&client, number),
        Some("quota") => quota(&client, number as u32),
        Some("fork") => fork(client),
        Some("forever") => forever(&client),
        _ => Err("usage: sender well|type|stranger TID|quota N|fork|forever".into()),
    }
}
