//! Runs a recording again.

use crate::{program::Program, Opened};
use anyhow::{Context, Result};
use enoki_trace::{Policy, Stream};
use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
};

/// The recording is not complete.
const INCOMPLETE: u8 = 3;

/// Writes the stream of the policy of that number.
pub(crate) fn stream(recording: &mut Opened, policy: u32, to: &Path) -> io::Result<()> {
    let mut to = BufWriter::new(File::create(to)?);
    copy(&mut Stream::new(recording, policy), &mut to)?;
    to.flush()
}

fn copy<R: Read + Seek>(stream: &mut Stream<'_, R>, to: &mut impl Write) -> io::Result<()> {
    io::copy(&mut BufReader::with_capacity(1 << 18, stream), to).map(drop)
}

/// Says what is wrong with the file. The status is that of a recording that is not complete.
pub(crate) fn complete(recording: &Opened) -> ExitCode {
    let mut status = ExitCode::SUCCESS;
    for damage in recording.damage() {
        eprintln!("enoki-replay: {damage}");
        status = ExitCode::from(INCOMPLETE);
    }
    status
}

/// Has a program read the stream of the policy of that number from its standard input.
pub(crate) fn feed(recording: &mut Opened, policy: u32, child: &mut Child) -> Result<()> {
    let mut to = child.stdin.take().context("the program has no input")?;
    match copy(&mut Stream::new(recording, policy), &mut to) {
        // It has ended before, and said why.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        fed => fed.context("the recording cannot be read"),
    }
}

/// Has a policy's program run it again; with `threads`, with one for each CPU.
pub(crate) fn again(
    recording: &mut Opened,
    policy: &Policy,
    program: &Program,
    parameters: &[String],
    threads: bool,
) -> Result<ExitCode> {
    let mut child = Command::new(&program.file)
        .args(["replay", "-", "--version", &policy.version])
        .args(threads.then_some("--threads"))
        .args(parameters)
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| program.file.display().to_string())?;
    let fed = feed(recording, policy.id, &mut child);
    let status = child.wait()?;
    fed?;
    let complete = complete(recording);
    Ok(match status.code() {
        Some(0) => complete,
        Some(status) => ExitCode::from(status as u8),
        None => {
            eprintln!("enoki-replay: the policy's program ended by {status}");
            ExitCode::from(1)
        }
    })
}
