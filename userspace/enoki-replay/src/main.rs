//! `enoki-replay`: runs a recording of a policy again, in user space, and shows what is in it.

mod debug;
mod info;
mod look;
mod merged;
mod print;
mod program;
mod run;
mod what_if;

use anyhow::{bail, Context, Result};
use clap::Parser;
use enoki_trace::{Policy, Recording};
use std::{fs::File, io::BufReader, path::PathBuf, process::ExitCode};

/// A recording in a file.
pub(crate) type Opened = Recording<BufReader<File>>;

/// Runs a recording of an Enoki CPU scheduler again, with the policy's own source, and compares
/// every answer with the recorded one.
///
/// Ends with status 0 if all was as recorded, 1 if something was not, 3 if it was as far as the
/// recording goes but that is not complete, and 2 if nothing could be done.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// The recording, which `enokictl record` has made
    file: PathBuf,
    /// The policy, if the recording has several
    #[arg(long, value_name = "POLICY")]
    of: Option<String>,
    /// The policy's source; without it, that of the policy of this name which Enoki comes with
    #[arg(long, value_name = "FILE")]
    source: Option<PathBuf>,
    /// Say what the recording is of, and whether it is complete
    #[arg(long, group = "what")]
    info: bool,
    /// Print the records, in the order of time
    #[arg(long, groups = ["what", "shown"])]
    print: bool,
    /// Write a page for a browser that shows what each CPU did, who waited and what was rejected;
    /// with --policy, how the policies compare as well
    #[arg(
        long,
        value_name = "FILE",
        group = "shown",
        conflicts_with_all = ["info", "print", "stream", "debugged", "perfetto", "threads"]
    )]
    html: Option<PathBuf>,
    /// Write a trace that Perfetto's viewer opens
    #[arg(long, value_name = "FILE", groups = ["what", "shown"])]
    perfetto: Option<PathBuf>,
    /// Write the records as the policy's program reads them ("PROGRAM replay FILE"), and no more
    #[arg(long, value_name = "FILE", group = "what")]
    stream: Option<PathBuf>,
    /// Say how the tasks would fare under another policy, or under another version, in a model of
    /// the machine; its source, or the name of one that Enoki comes with
    #[arg(long, value_name = "FILE|NAME", group = "what")]
    policy: Option<PathBuf>,
    /// Give a parameter of the policy's module another value than it had; with --policy, of the
    /// other policy's
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter, conflicts_with_all = ["info", "print", "stream"])]
    set: Vec<String>,
    /// Stop in the policy under gdb: before record NUMBER of a CPU, or before each call of that kind,
    /// about that task, on that CPU; "all" is every call. "continue" goes to the next one
    #[arg(
        long = "break",
        value_name = "CPU:NUMBER|call=NAME,task=ID,cpu=ID",
        groups = ["what", "debugged"]
    )]
    stop: Option<String>,
    /// Stop in the policy under gdb before each call, as --break all
    #[arg(long, groups = ["what", "debugged"])]
    step: bool,
    /// Have gdb do that where it stops first, and end then; can be given several times
    #[arg(long = "ex", value_name = "COMMAND", requires = "debugged")]
    commands: Vec<String>,
    /// Run it with a thread for each CPU, so that calls overlap as they did
    #[arg(long, conflicts_with = "what")]
    threads: bool,
    /// Show what was from so many seconds after the beginning
    #[arg(long, value_name = "SECONDS", requires = "shown")]
    from: Option<f64>,
    /// Show what was until so many seconds after the beginning
    #[arg(long, value_name = "SECONDS", requires = "shown")]
    to: Option<f64>,
    /// Print what was on this CPU only
    #[arg(long, requires = "print")]
    cpu: Option<u16>,
    /// Print what was about this task only
    #[arg(long, requires = "print")]
    task: Option<u64>,
}

/// The policy that is meant.
fn choose<'h>(policies: &[&'h Policy], of: Option<&str>) -> Result<&'h Policy> {
    let names = || {
        let names: Vec<&str> = policies.iter().map(|policy| policy.name.as_str()).collect();
        names.join(", ")
    };
    match (of, policies) {
        (Some(name), _) => policies
            .iter()
            .copied()
            .find(|policy| policy.name == name)
            .with_context(|| format!("the recording is not of policy {name} but of {}", names())),
        (None, [policy]) => Ok(policy),
        (None, []) => bail!("the recording does not say of which policies it is"),
        (None, _) => bail!("the recording is of {}: --of chooses one", names()),
    }
}

fn parameter(text: &str) -> Result<String, String> {
    let named = text
        .split_once('=')
        .is_some_and(|(name, _)| !name.is_empty());
    named
        .then(|| text.to_owned())
        .ok_or("it is NAME=VALUE, as slice_us=20".to_owned())
}

/// What is to be shown of a policy.
fn timeline(
    recording: &mut Opened,
    policy: &Policy,
    arguments: &Arguments,
) -> Result<look::timeline::Timeline> {
    look::timeline::Timeline::new(recording, policy.id, arguments.from, arguments.to)
}

fn replay(arguments: &Arguments) -> Result<ExitCode> {
    let path = arguments.file.display();
    let file = File::open(&arguments.file).with_context(|| path.to_string())?;
    let mut recording = Recording::open(BufReader::new(file)).with_context(|| path.to_string())?;
    if arguments.info {
        info::info(&mut recording)?;
        return Ok(ExitCode::SUCCESS);
    }
    let policies: Vec<Policy> = recording.policies().cloned().collect();
    let policies: Vec<&Policy> = policies.iter().collect();
    if arguments.print {
        let only = print::Only {
            from: arguments.from,
            to: arguments.to,
            cpu: arguments.cpu,
            task: arguments.task,
            policy: match &arguments.of {
                Some(name) => Some(choose(&policies, Some(name))?.id as u8),
                None => None,
            },
        };
        print::print(&mut recording, &only, &mut std::io::stdout().lock())?;
        return Ok(run::complete(&recording));
    }
    let policy = choose(&policies, arguments.of.as_deref())?;
    if let Some(to) = &arguments.stream {
        run::stream(&mut recording, policy.id, to).with_context(|| to.display().to_string())?;
        return Ok(run::complete(&recording));
    }
    if let Some(to) = &arguments.perfetto {
        let timeline = timeline(&mut recording, policy, arguments)?;
        look::to_file(to, |to| Ok(look::perfetto::write(&timeline, to)?))?;
        return Ok(run::complete(&recording));
    }
    if let (Some(to), None) = (&arguments.html, &arguments.policy) {
        let timeline = timeline(&mut recording, policy, arguments)?;
        look::page(&recording, policy, &timeline, &[], to)?;
        return Ok(run::complete(&recording));
    }
    let source = arguments.source.as_deref();
    let every = arguments.step.then(|| "all".to_owned());
    if let Some(stop) = arguments.stop.as_ref().or(every.as_ref()) {
        let program = program::build(&policy.name, source, true)?;
        let stream = program.file.with_extension("stream");
        run::stream(&mut recording, policy.id, &stream)
            .with_context(|| stream.display().to_string())?;
        let parameters = program::parameters(policy, &arguments.set);
        return debug::debug(&program, &stream, stop, &parameters, &arguments.commands);
    }
    let program = program::build(&policy.name, source, false)?;
    if let Some(other) = &arguments.policy {
        let other = program::named(other)?;
        let compared = what_if::what_if(&mut recording, policy, &program, &other, &arguments.set)?;
        if let Some(to) = &arguments.html {
            let timeline = timeline(&mut recording, policy, arguments)?;
            look::page(&recording, policy, &timeline, &compared, to)?;
        }
        return Ok(run::complete(&recording));
    }
    let parameters = program::parameters(policy, &arguments.set);
    run::again(
        &mut recording,
        policy,
        &program,
        &parameters,
        arguments.threads,
    )
}

fn main() -> ExitCode {
    match replay(&Arguments::parse()) {
        Ok(status) => status,
        // Whoever reads what is printed has had enough.
        Err(error) if broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("enoki-replay: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<std::io::Error>()
        .is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn which_policy() {
        let policy = |name: &str| Policy {
            name: name.to_owned(),
            ..Policy::default()
        };
        let policies = [policy("fifo"), policy("wfq")];
        let policies = policies.iter().collect::<Vec<_>>();
        assert_eq!(choose(&policies, Some("wfq")).unwrap().name, "wfq");
        assert_eq!(choose(&policies[..1], None).unwrap().name, "fifo");
        for (policies, of, words) in [
            (&policies[..], None, "--of chooses one"),
            (&policies[..], Some("cfs"), "but of fifo, wfq"),
            (&[], None, "does not say"),
        ] {
            let error = choose(policies, of).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
