//! A recording of policies, into a file.

use crate::{
    policy::{Policy, Sysfs},
    tape::Tapes,
};
use anyhow::{bail, Context, Result};
use clap::Args;
use enoki_trace::{Ending, Head, Writer};
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    sync::atomic::{AtomicI32, Ordering},
    time::{Duration, Instant, SystemTime},
};

/// So often the tapes are looked at although the kernel does not say that there is much.
const LOOK_MS: i32 = 100;
/// So often what there is gets to the file.
const FLUSH: Duration = Duration::from_secs(1);

/// What to record.
#[derive(Args)]
pub(crate) struct What {
    /// The file
    #[arg(short, long, value_name = "FILE", default_value = "recording.enoki")]
    output: PathBuf,
    /// This policy, and no others; can be given several times
    #[arg(short, long = "policy", value_name = "POLICY")]
    policies: Vec<String>,
    /// Room for records on each CPU until they are in the file, bytes; a power of 2
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 0,
        hide_default_value = true
    )]
    tape_size: u32,
    /// Stop recording if there is no room for a record, instead of leaving it out
    #[arg(long)]
    lossless: bool,
    /// How much is done to have the file small
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(-7..=19))]
    level: i32,
    /// Record while this command runs; without one, until interrupted
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// The signal that came last, 0 if none did.
static SIGNAL: AtomicI32 = AtomicI32::new(0);

extern "C" fn note_signal(signal: libc::c_int) {
    if signal != libc::SIGCHLD {
        SIGNAL.store(signal, Ordering::Relaxed);
    }
}

/// Has signals that would end us end the recording, and has a child's end wake us up.
fn handle_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGCHLD] {
        // SAFETY: The handler stores a number.
        unsafe { libc::signal(signal, note_signal as *const () as libc::sighandler_t) };
    }
}

/// The tapes must be emptied in time, whoever else wants to run. What we start is as before.
fn become_urgent() -> Result<()> {
    let param = libc::sched_param { sched_priority: 1 };
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    // SAFETY: `param` is one.
    if unsafe { libc::sched_setscheduler(0, policy, &param) } != 0 {
        return Err(io::Error::last_os_error()).context("cannot be scheduled as SCHED_FIFO");
    }
    Ok(())
}

/// What sysfs has of a policy and of its module.
fn describe(policy: &Policy, modules: &Path) -> Result<enoki_trace::Policy> {
    let module = policy.read("module")?;
    let about = |file: &str| fs::read(modules.join(&module).join(file)).ok();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
    let parameters = policy.read("parameters")?;
    let parameters = parameters.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let parameters = parameters.collect();
    Ok(enoki_trace::Policy {
        name: policy.name().to_owned(),
        id: policy.number()? as u32,
        version: policy.read("version")?,
        build_id: about("notes/.note.gnu.build-id").and_then(|note| build_id(&note)),
        srcversion: about("srcversion").map(text),
        module,
        parameters,
    })
}

/// The id in an ELF note: sizes of name and id, the type, the name, the id.
fn build_id(note: &[u8]) -> Option<String> {
    let id = note.get(16..).filter(|id| !id.is_empty())?;
    Some(
        id.iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}")),
    )
}

fn file_text(path: &str) -> String {
    fs::read_to_string(path)
        .unwrap_or_default()
        .trim_end()
        .to_owned()
}

fn describe_all(policies: &[Policy]) -> Result<Vec<enoki_trace::Policy>> {
    let modules = Path::new("/sys/module");
    let described = policies.iter().map(|policy| describe(policy, modules));
    described.collect()
}

/// What is known before it begins.
fn head(what: &What, policies: &[Policy], tapes: &Tapes) -> Result<Head> {
    Ok(Head {
        program: concat!("enokictl ", env!("CARGO_PKG_VERSION")).to_owned(),
        kernel: format!(
            "{} {}",
            file_text("/proc/sys/kernel/osrelease"),
            file_text("/proc/sys/kernel/version")
        ),
        machine: std::env::consts::ARCH.to_owned(),
        tape_size: tapes.size(),
        lossless: what.lossless,
        begun: SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        command: what.command.clone(),
        policies: describe_all(policies)?,
        ..Head::new(tapes.len())
    })
}

/// Puts what is on the tapes into the file.
fn drain<W: Write>(tapes: &mut Tapes, writer: &mut Writer<W>) -> io::Result<()> {
    let half = tapes.size() as usize / 2;
    for cpu in 0..tapes.len() {
        tapes.drain(cpu, |parts| {
            // There is no time to have it small if more comes than can be taken.
            writer.hurry(parts[0].len() + parts[1].len() > half);
            writer.piece(cpu, &parts)
        })?;
    }
    Ok(())
}

/// Records until the command is over, a signal comes, or nothing is recorded any more. Returns the
/// child if that is still there.
fn go_on<W: Write>(
    tapes: &mut Tapes,
    writer: &mut Writer<W>,
    mut child: Option<Child>,
) -> (Option<Child>, io::Result<()>) {
    let mut flushed = Instant::now();
    loop {
        tapes.wait(LOOK_MS);
        let mut done = drain(tapes, writer);
        if done.is_ok() && flushed.elapsed() > FLUSH {
            flushed = Instant::now();
            done = writer.flush();
        }
        let over = match &mut child {
            Some(child) => child.try_wait().is_ok_and(|status| status.is_some()),
            None => SIGNAL.load(Ordering::Relaxed) != 0,
        };
        if over || done.is_err() || tapes.stopped() {
            return (child, done);
        }
        if let (Some(child), libc::SIGTERM | libc::SIGHUP) =
            (&child, SIGNAL.swap(0, Ordering::Relaxed))
        {
            // An interrupt at the keyboard has come to both of us; this has not.
            // SAFETY: It is a child that has not been waited for.
            unsafe { libc::kill(child.id() as libc::pid_t, libc::SIGTERM) };
        }
    }
}

/// Makes a recording. The exit status is that of the command.
pub(crate) fn record(sysfs: &Sysfs, what: &What) -> Result<ExitCode> {
    let policies: Vec<Policy> = if what.policies.is_empty() {
        sysfs.policies()?
    } else {
        let named = what.policies.iter().map(|name| sysfs.policy(name));
        named.collect::<Result<_>>()?
    };
    if policies.is_empty() && what.command.is_empty() {
        bail!("no policy is loaded, nothing would be recorded");
    }
    let numbers = policies
        .iter()
        .map(|policy| policy.number().map(|id| id as u32));
    let numbers = numbers.collect::<Result<Vec<u32>>>()?;
    let all = what.policies.is_empty();
    let mut tapes = Tapes::new(
        if all { &[] } else { &numbers },
        what.tape_size,
        what.lossless,
    )?;
    let head = head(what, &policies, &tapes)?;
    handle_signals();
    become_urgent()?;
    let path = what.output.display();
    let file = File::create(&what.output).with_context(|| path.to_string())?;
    let mut writer = Writer::new(file, &head, what.level).with_context(|| path.to_string())?;

    let begun = Instant::now();
    tapes
        .start()
        .map_err(|error| sysfs.refused(error, "recording does not start"))?;
    let mut command = what.command.iter();
    let child = command
        .next()
        .map(|program| {
            Command::new(program)
                .args(command)
                .spawn()
                .with_context(|| program.clone())
        })
        .transpose()
        .inspect_err(|_| {
            // Nothing has happened that anybody wants to see.
            let _ = fs::remove_file(&what.output);
        })?;
    if child.is_none() {
        eprintln!("enokictl: recording to {path}; Ctrl-C ends it");
    }
    let (child, mut done) = go_on(&mut tapes, &mut writer, child);
    let seconds = begun.elapsed().as_secs_f64();
    tapes.stop().context("cannot stop")?;
    if done.is_ok() {
        done = drain(&mut tapes, &mut writer);
    }
    if done.is_ok() && tapes.stopped() {
        done = writer.flush();
        eprintln!(
            "enokictl: there was no room for a record after {seconds:.1} s, recording has stopped"
        );
    }
    let status = child.map(|mut child| child.wait()).transpose()?;
    // One that goes at this moment is none of them.
    let there = if all {
        sysfs.policies().unwrap_or_default()
    } else {
        policies
    };
    let ending = Ending {
        lost: (0..tapes.len()).map(|cpu| tapes.lost(cpu)).collect(),
        seconds,
        status: status.and_then(|status| status.code()),
        stopped: tapes.stopped(),
        policies: describe_all(&there).unwrap_or_default(),
    };
    let records = writer.records();
    done.and_then(|()| writer.finish(&ending))
        .with_context(|| path.to_string())?;
    let size = fs::metadata(&what.output).map_or(0, |file| file.len());
    eprintln!(
        "enokictl: {records} records in {seconds:.1} s are in {path}, {:.1} MB",
        size as f64 / 1e6
    );
    let lost: u64 = ending.lost.iter().sum();
    if lost != 0 && !what.lossless {
        eprintln!(
            "enokictl: {lost} more were lost for want of room, see --tape-size; what was before can be run again"
        );
    }
    Ok(match status {
        Some(status) => ExitCode::from(status.code().unwrap_or(1) as u8),
        None => ExitCode::SUCCESS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::Fake;

    #[test]
    fn build_ids() {
        let mut note = vec![4, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0];
        assert_eq!(build_id(&note), None);
        note.extend(b"GNU\0\xab\x01");
        assert_eq!(build_id(&note).as_deref(), Some("ab01"));
    }

    #[test]
    fn policies() {
        let fake = Fake::new(&[
            ("id", "2"),
            ("version", "1.2"),
            ("module", "enoki_wfq_7"),
            ("parameters", "slice_us=750\nlax=true\n"),
        ]);
        let modules = fake.path("modules");
        fs::create_dir_all(modules.join("enoki_wfq_7")).unwrap();
        fs::write(modules.join("enoki_wfq_7/srcversion"), "0123ABCD\n").unwrap();
        let policy = describe(&fake.policy(), &modules).unwrap();
        assert_eq!((policy.id, policy.version.as_str()), (2, "1.2"));
        assert_eq!(policy.parameters["slice_us"], "750");
        assert_eq!(policy.parameters["lax"], "true");
        assert_eq!(policy.srcversion.as_deref(), Some("0123ABCD"));
        assert_eq!(policy.build_id, None);
    }
}
