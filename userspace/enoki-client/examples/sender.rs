//! A client of the policy of the selftests that answers hints (enoki_echo), which does as it should
//! or what it must not; `sender.c` and `sender.py` do the same.
//!
//!   sender well             hints and their answers
//!   sender type             of another version: refused
//!   sender stranger TID     about another's thread: refused
//!   sender quota N          more than N in a second: refused
//!   sender forever          until it is killed

mod echo;

use echo::{Answer, Call};
use enoki_client::{layout, About, Client};
use std::{error::Error, io};

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

fn well(client: &Client) -> Result<(), Box<dyn Error>> {
    let mut hints = client.hints::<Call>(64)?;
    let mut messages = client.messages::<Answer>(64)?;
    for tag in 0..1000 {
        let call = Call {
            op: 1,
            tag,
            value: !u64::from(tag),
        };
        if tag % 10 == 0 {
            hints.send_now(About::NOBODY, &call)?;
        } else {
            hints.send(About::NOBODY, &call).map_err(|_| "no room")?;
            hints.doorbell()?;
        }
        let answer = messages.wait(None)?.ok_or("no answer")?;
        if (answer.tag, answer.value) != (tag, call.value) {
            return Err(format!("{answer:?} to {call:?}").into());
        }
    }
    Ok(())
}

fn stranger(client: &Client, tid: i32) -> Result<(), Box<dyn Error>> {
    let mut hints = client.hints::<Call>(64)?;
    refused(hints.send_now(About::thread(tid), &NOTHING), libc::EPERM)?;
    hints
        .send(About::thread(tid), &NOTHING)
        .map_err(|_| "no room")?;
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
        Some("well") => well(&client),
        Some("type") => refused(client.hints::<Later>(64).map(drop), libc::EPROTO),
        Some("stranger") => stranger(&client, number),
        Some("quota") => quota(&client, number as u32),
        Some("forever") => forever(&client),
        _ => Err("usage: sender well|type|stranger TID|quota N|forever".into()),
    }
}
