//! `enokictl`: which policies there are, who is attached to them, upgrades, switches, recordings.

mod canary;
mod module;
mod policy;
mod record;
mod switch;
mod tape;
mod task;
mod upgrade;

use anyhow::Result;
use canary::{Share, Whom};
use clap::{Parser, Subcommand};
use policy::{Policy, Sysfs};
use std::path::PathBuf;
use std::process::ExitCode;

/// Looks after Enoki CPU schedulers.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The policies that are registered, and what stands by to replace them
    List,
    /// Replace a policy by another version of it, while its tasks run
    Upgrade {
        /// The policy, "wfq" for instance
        policy: String,
        /// The module of the new version; without it, the version that stands by
        module: Option<PathBuf>,
        /// Do not remove the module of the old version, but let it stand by
        #[arg(long)]
        keep: bool,
    },
    /// Have the tasks of a policy go over to another policy, while they run
    Switch {
        /// The policy that they have
        from: String,
        /// The policy that they get
        to: String,
        /// So many of them at most, those who have been there for longest
        #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
        tasks: Option<u32>,
    },
    /// Try another version of a policy on some of its tasks, and compare the two
    Canary {
        /// The policy
        policy: String,
        /// The module of the other version; without it, the version that stands by or is tried
        module: Option<PathBuf>,
        /// On so many of its tasks, which get as much of the time
        #[arg(long, value_name = "PERCENT")]
        share: Option<Share>,
        /// On those of its tasks that are in that control group, or below it
        #[arg(long, value_name = "PATH", conflicts_with = "share")]
        cgroup: Option<PathBuf>,
    },
    /// Replace a policy by the version that is tried
    Promote {
        /// The policy
        policy: String,
    },
    /// Have the tasks come back that a version is tried on, and remove its module
    Abort {
        /// The policy
        policy: String,
    },
    /// Put a policy out of office; its tasks go on in the default class
    Eject {
        /// The policy
        policy: String,
    },
    /// Attach tasks to a policy
    Attach {
        /// The policy
        policy: String,
        /// Their thread ids
        #[arg(required = true)]
        tasks: Vec<libc::pid_t>,
    },
    /// Give tasks back to the default class
    Detach {
        /// Their thread ids
        #[arg(required = true)]
        tasks: Vec<libc::pid_t>,
    },
    /// Run a command under a policy
    Run {
        /// The policy
        policy: String,
        /// The command and its arguments
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
    },
    /// Record all that policies are asked and answer, to look at it and to run it again
    Record(record::What),
}

fn list(sysfs: &Sysfs) -> Result<()> {
    let mut lines =
        vec![["NAME", "NUMBER", "VERSION", "STATE", "TASKS", "STANDS BY"].map(String::from)];
    for policy in sysfs.policies()? {
        lines.push([
            policy.name().to_owned(),
            policy.read("id")?,
            policy.read("version")?,
            policy.read("state")?,
            policy.read("nr_tasks")?,
            policy
                .standby()?
                .map_or("-".to_owned(), |standby| standby.to_string()),
        ]);
    }
    print!("{}", table(&lines));
    Ok(())
}

/// Columns as wide as they have to be.
fn table<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].len())
            .max()
            .unwrap_or(0)
    };
    let mut text = String::new();
    for line in lines {
        let row: Vec<String> = line
            .iter()
            .enumerate()
            .map(|(column, cell)| format!("{cell:<width$}", width = width(column)))
            .collect();
        text.push_str(row.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn run(command: Command) -> Result<ExitCode> {
    let sysfs = Sysfs::of_this_machine()?;
    match command {
        Command::Record(what) => record::record(&sysfs, &what),
        other => does(&sysfs, other).map(|()| ExitCode::SUCCESS),
    }
}

/// What ends when it is done.
fn does(sysfs: &Sysfs, command: Command) -> Result<()> {
    let policy = |name: &str| -> Result<Policy> { sysfs.policy(name) };
    match command {
        Command::List => list(sysfs),
        Command::Upgrade {
            policy: name,
            module,
            keep,
        } => {
            println!(
                "{}",
                upgrade::upgrade(&policy(&name)?, &module::Kernel, module.as_deref(), keep)?
            );
            Ok(())
        }
        Command::Switch { from, to, tasks } => {
            println!("{}", switch::switch(&policy(&from)?, &policy(&to)?, tasks)?);
            Ok(())
        }
        Command::Canary {
            policy: name,
            module,
            share,
            cgroup,
        } => {
            let whom = match (share, &cgroup) {
                (Some(share), _) => Whom::Share(share),
                (None, Some(path)) => Whom::Cgroup(path),
                (None, None) => Whom::Same,
            };
            let (policy, new) = (policy(&name)?, module.as_deref());
            println!(
                "{}",
                canary::canary(sysfs, &policy, &module::Kernel, new, whom)?
            );
            Ok(())
        }
        Command::Promote { policy: name } => {
            println!(
                "{}",
                canary::promote(sysfs, &policy(&name)?, &module::Kernel)?
            );
            Ok(())
        }
        Command::Abort { policy: name } => {
            println!("{}", canary::abort(&policy(&name)?, &module::Kernel)?);
            Ok(())
        }
        Command::Eject { policy: name } => policy(&name)?.write("eject", "1"),
        Command::Attach {
            policy: name,
            tasks,
        } => {
            let number = policy(&name)?.number()?;
            tasks
                .into_iter()
                .try_for_each(|task| task::attach(task, number))
        }
        Command::Detach { tasks } => tasks.into_iter().try_for_each(task::detach),
        Command::Run {
            policy: name,
            command,
        } => task::run(policy(&name)?.number()?, &command),
        Command::Record(_) => unreachable!("it has a status of its own"),
    }
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("enokictl: {error:#}");
            ExitCode::FAILURE
        }
    }
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
    fn columns() {
        let lines = [["a", "long"], ["longer", "b"]].map(|line| line.map(String::from));
        assert_eq!(table(&lines), "a       long\nlonger  b\n");
    }
}
