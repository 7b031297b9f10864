// SPDX-License-Identifier: GPL-2.0

//! The program that a policy's source becomes: what it is asked for, and by which status it ends.

use super::{Error, Replay};
use crate::{
    hint::Ops,
    records::{self, event, Call, Record},
    sched::Scheduler,
    sys::SetParam,
    what_if::Outcome,
};
use std::{
    fs::File,
    io::{self, BufReader, Read},
};

/// Which calls a debugger is to stop before: those that are all of what is not `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stop {
    cpu: Option<u16>,
    number: Option<u64>,
    task: Option<u64>,
    event: Option<u8>,
}

impl Stop {
    /// Of words like "0:1234", "task=5", "cpu=1", "call=pick_next_task", with commas in between;
    /// "all" stops before every call.
    pub fn parse(text: &str) -> Option<Stop> {
        let mut stop = Stop::default();
        for word in text.split(',').filter(|&word| word != "all") {
            match word.split_once('=') {
                Some(("task", task)) => stop.task = Some(task.parse().ok()?),
                Some(("cpu", cpu)) => stop.cpu = Some(cpu.parse().ok()?),
                Some(("call", name)) => {
                    let known = |&event: &u8| records::name(event) == name;
                    stop.event = Some((0..event::OFFICE).find(known)?);
                }
                Some(_) => return None,
                None => {
                    let (cpu, number) = word.split_once(':')?;
                    stop.cpu = Some(cpu.parse().ok()?);
                    stop.number = Some(number.parse().ok()?);
                }
            }
        }
        Some(stop)
    }

    pub(super) fn is_before(&self, call: &Call) -> bool {
        let Record {
            on, task, event, ..
        } = call.record;
        self.cpu.is_none_or(|cpu| cpu == on)
            && self.number.is_none_or(|number| number == call.number)
            && self.task.is_none_or(|wanted| wanted == task)
            && self.event.is_none_or(|wanted| wanted == event)
    }
}

/// Debuggers have a breakpoint here: the next function of the policy that is called is the one of
/// the call which is to be stopped before.
#[no_mangle]
#[inline(never)]
pub(super) extern "C" fn enoki_break(cpu: u16, number: u64) {
    std::hint::black_box((cpu, number));
}

/// What the program is asked to run again.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    /// The stream; "-" is what comes by standard input.
    path: String,
    /// The version of the policy that was recorded, if that is known.
    version: Option<String>,
    stop: Option<Stop>,
    /// With a thread for each CPU.
    threads: bool,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Options> {
        let mut options = Options::default();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--version" => options.version = Some(args.next()?),
                "--threads" => options.threads = true,
                "--break" => options.stop = Some(Stop::parse(&args.next()?)?),
                _ if options.path.is_empty() => options.path = arg,
                _ => return None,
            }
        }
        (!options.path.is_empty()).then_some(options)
    }
}

fn replay<S: Scheduler>(ops: Ops<S>, options: &Options) -> Result<(), Error> {
    if let Some(version) = options.version.as_ref().filter(|then| *then != S::VERSION) {
        return Err(Error::Version(format!(
            "policy {} was recorded in version {version}, this is version {}",
            S::NAME,
            S::VERSION
        )));
    }
    let from = open(&options.path)?;
    let mut replay = Replay::new(ops, from)?;
    replay.stop = options.stop;
    let started = std::time::Instant::now();
    let (report, ended) = if options.threads {
        replay.run_threads()
    } else {
        let ended = replay.run().map(|_| ());
        (replay.report, ended)
    };
    println!(
        "{} {}: {} calls as recorded ({} in parts), {} locks, {} tasks, in {:.2} s",
        S::NAME,
        S::VERSION,
        report.calls,
        report.split,
        report.locks,
        report.tasks,
        started.elapsed().as_secs_f64()
    );
    ended
}

/// Where a stream comes from; "-" is standard input.
fn open(path: &str) -> io::Result<Box<dyn Read + Send>> {
    let from: Box<dyn Read + Send> = match path {
        "-" => Box::new(io::stdin()),
        path => Box::new(File::open(path)?),
    };
    Ok(Box::new(BufReader::with_capacity(1 << 20, from)))
}

fn what_if<S: Scheduler>(ops: Ops<S>, path: &str) {
    match open(path).and_then(|from| Outcome::new(ops, from)) {
        Ok(outcome) => print!("{outcome}"),
        Err(error) => {
            eprintln!("the recording cannot be read: {error}");
            std::process::exit(2);
        }
    }
}

/// Gives parameters the values that arguments say, and returns the other arguments.
fn without_parameters(
    mut args: impl Iterator<Item = String>,
    set: SetParam,
) -> Result<Vec<String>, String> {
    let (mut others, mut were) = (Vec::new(), Vec::new());
    while let Some(arg) = args.next() {
        if arg != "--set" && arg != "--was" {
            others.push(arg);
            continue;
        }
        let text = args.next().unwrap_or_default();
        let (name, value) = text
            .split_once('=')
            .ok_or_else(|| format!("{arg} takes NAME=VALUE, not \"{text}\""))?;
        if arg == "--was" {
            were.push((name.to_owned(), value.to_owned()));
            continue;
        }
        match set(name, value) {
            Some(true) => {}
            Some(false) => return Err(format!("parameter {name} cannot be \"{value}\"")),
            None => return Err(format!("it has no parameter {name}")),
        }
    }
    for (name, value) in were {
        set(&name, &value);
    }
    Ok(others)
}

/// What `module_enoki_scheduler!` makes a program of: `NAME [SEED [EVENTS]]` simulates,
/// `NAME replay STREAM` runs a recording again, `NAME what-if STREAM` says what it would do in a
/// model, see [`crate::what_if`]. It ends with status 1 if the policy does something else than it
/// did, 3 if the recording lacks something to go on, 2 if nothing can be done.
///
/// `--set NAME=VALUE` gives a parameter of its module another value than its default;
/// `--was NAME=VALUE` does so only if there is one of that name and no other value for it.
pub fn main<S: Scheduler>(ops: Ops<S>, set: SetParam) {
    let args = match without_parameters(std::env::args().skip(1), set) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("policy {}: {error}", S::NAME);
            std::process::exit(2);
        }
    };
    let mut args = args.into_iter().peekable();
    if args.next_if(|first| first == "what-if").is_some() {
        return what_if(ops, &args.next().unwrap_or("-".to_owned()));
    }
    if args.next_if(|first| first == "replay").is_none() {
        return crate::sim::main(ops, args);
    }
    let Some(options) = Options::parse(args) else {
        eprintln!(
            "usage: {} replay STREAM [--version VERSION] [--break WHERE] [--threads]",
            S::NAME
        );
        std::process::exit(2);
    };
    if let Err(error) = replay(ops, &options) {
        eprintln!("{error}");
        std::process::exit(match error {
            Error::Differs { .. } => 1,
            Error::Stuck(_) => 3,
            Error::Read(_) | Error::New(_) | Error::Version(_) => 2,
        });
    }
}
