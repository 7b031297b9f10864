//! A policy under gdb, which stops in it at chosen calls.

use crate::program::Program;
use anyhow::{Context, Result};
use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

/// What libEnoki calls before a call that is to be stopped before.
const BREAK: &str = "enoki_break";

/// The lines of a source on which functions begin that policies may be called by, of a trait of
/// libEnoki: those of no other type have `&self` and a context.
fn methods(source: &str) -> impl Iterator<Item = usize> + '_ {
    let is_method = |line: &str| {
        line.strip_prefix("    fn ")
            .is_some_and(|rest| !rest.starts_with("new("))
    };
    let mut in_trait = false;
    source.lines().enumerate().filter_map(move |(at, line)| {
        if line.starts_with("impl") {
            in_trait = ["Scheduler for", "Hinted for"]
                .iter()
                .any(|name| line.contains(name));
        }
        (in_trait && is_method(line)).then_some(at + 1)
    })
}

/// What gdb is told: where [`BREAK`] was passed it stops at the policy's function that comes next,
/// and then at no other one until it is passed again.
fn script(name: &str, lines: impl Iterator<Item = usize>) -> String {
    let mut script = String::from("set pagination off\nset confirm off\n");
    script += &format!("break {BREAK}\n");
    let mut last = 1;
    for line in lines {
        script += &format!("break {name}:{line}\n");
        last += 1;
    }
    if last > 1 {
        script += &format!("disable 2-{last}\ncommands 2-{last}\ndisable 2-{last}\nend\n");
        script += &format!("commands 1\nsilent\nenable 2-{last}\ncontinue\nend\n");
    }
    script + "run\n"
}

/// Runs the program under gdb. With commands it does these at the first stop, and ends.
pub(crate) fn debug(
    program: &Program,
    stream: &Path,
    stop: &str,
    parameters: &[String],
    commands: &[String],
) -> Result<ExitCode> {
    let source = &program.source;
    let text = fs::read_to_string(source).with_context(|| source.display().to_string())?;
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let file = program.file.with_extension("gdb");
    fs::write(&file, script(&name, methods(&text))).with_context(|| file.display().to_string())?;
    let mut gdb = Command::new("gdb");
    // The compiler names a script that is not there.
    gdb.args(["--quiet", "-iex", "set auto-load off"]);
    if !commands.is_empty() {
        gdb.arg("--batch");
    }
    gdb.arg("-x").arg(&file);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    let status = gdb
        .arg("--args")
        .arg(&program.file)
        .arg("replay")
        .arg(stream)
        .args(["--break", stop])
        .args(parameters)
        .status()
        .context("gdb cannot be run: `ci/replay` has one")?;
    Ok(ExitCode::from(status.code().unwrap_or(1) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_lines() {
        let source = "\
impl Fifo {
    fn enqueue(&self) {}
}
impl Scheduler for Fifo {
    fn new() {}
    fn task_new(&self) {
        fn inner() {}
    }
}
impl Upgrade for Fifo {
    fn reregister_prep(&mut self) {}
}
";
        assert_eq!(methods(source).collect::<Vec<_>>(), [6]);
        let script = script("enoki_fifo.rs", methods(source));
        assert!(
            script.contains("break enoki_fifo.rs:6\ndisable 2-2\n"),
            "{script}"
        );
    }
}
