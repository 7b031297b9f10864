//! A runtime's part in asking for cores, of enoki_arachne or of `cpuset_arbiter`.
//!
//! For a process such as memcached it looks how busy its threads are, asks for as many cores as
//! they need, and spreads them over those that it gets. With `--probe` it measures how long it
//! takes from asking for one more core until a thread runs there. Prints lines of JSON.

use anyhow::{ensure, Context, Result};
use clap::Parser;
use enoki_bench::{
    arbiter::{Arbiter, Event, Policy, Process},
    tail::{Summary, Tail},
    thread::{be_realtime, stay_on, this_cpu},
    time::{now_ns, sleep_until, SEC_NS},
};
use serde::Serialize;
use std::{
    fs,
    path::PathBuf,
    sync::{
        atomic::{AtomicI32, AtomicU64, Ordering},
        Arc,
    },
    thread,
    time::Duration,
};

/// Asks for cores.
#[derive(Parser)]
struct Args {
    /// Of the policy of that number, which the threads are attached to
    #[arg(long, conflicts_with = "socket", required_unless_present = "socket")]
    policy: Option<u32>,
    /// Of the process that listens there
    #[arg(long)]
    socket: Option<PathBuf>,
    /// For this process
    #[arg(long, required_unless_present = "probe")]
    pid: Option<i32>,
    /// Its threads of this name
    #[arg(long, default_value = "mc-worker")]
    threads: String,
    /// Never fewer cores
    #[arg(long, default_value_t = 2)]
    least: u32,
    /// Never more
    #[arg(long, default_value_t = 3)]
    most: u32,
    /// How busy cores are to be
    #[arg(long, default_value_t = 0.6)]
    busy: f64,
    /// How often it looks
    #[arg(long, default_value_t = 10)]
    period_ms: u64,
    /// For how long
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// The CPU that it does that on
    #[arg(long, default_value_t = 0)]
    cpu: usize,
    /// Measure so often how long it takes to get a core
    #[arg(long, value_name = "TIMES")]
    probe: Option<u64>,
}

/// So many periods it waits before it gives a core back.
const PATIENCE: u32 = 5;

/// How it was at a time.
#[derive(Serialize)]
struct Moment {
    at_ns: u64,
    cores: usize,
    wanted: u32,
    /// How many cores' time the threads had.
    used: f64,
}

/// What a probe found.
#[derive(Serialize)]
struct Probed {
    request_to_core: Summary,
}

/// The threads of a process on the cores that it has.
struct Runtime {
    arbiter: Box<dyn Arbiter>,
    threads: Vec<i32>,
    /// Where each of them is.
    on: Vec<Option<u32>>,
    cores: Vec<u32>,
}

impl Runtime {
    /// So many cores are wanted.
    fn request(&mut self, cores: u32) -> Result<()> {
        let first = self.threads.first().context("a runtime has threads")?;
        self.arbiter.request(cores, *first)
    }

    fn told(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Granted(core) => self.cores.push(core),
            Event::Reclaimed(core) => self.cores.retain(|&has| has != core),
        }
        if !self.cores.is_empty() {
            for (n, &thread) in self.threads.iter().enumerate() {
                let core = self.cores[n % self.cores.len()];
                if self.on[n] != Some(core) {
                    self.arbiter.enter(core, thread)?;
                    self.on[n] = Some(core);
                }
            }
        }
        if let Event::Reclaimed(core) = event {
            self.arbiter.leave(core)?;
        }
        Ok(())
    }
}

fn threads(pid: i32, name: &str) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/task")).context("the process")? {
        let path = entry?.path();
        if fs::read_to_string(path.join("comm"))?.trim() == name {
            let number = path.file_name().and_then(|name| name.to_str());
            found.push(number.context("a thread's number")?.parse()?);
        }
    }
    found.sort_unstable();
    ensure!(!found.is_empty(), "process {pid} has no thread {name}");
    Ok(found)
}

/// How long these threads of a process have been running, in ns. What else it does, now and then,
/// needs no core of its own.
fn ran_ns(pid: i32, threads: &[i32]) -> Result<u64> {
    let ran = |thread| {
        let path = format!("/proc/{pid}/task/{thread}/schedstat");
        let text = fs::read_to_string(&path).with_context(|| path.clone())?;
        let first = text.split(' ').next().context("no run time")?;
        Ok(first.parse::<u64>()?)
    };
    threads.iter().map(ran).sum()
}

/// How many cores are to be asked for, as long as the threads use so much of them.
struct Estimate {
    wanted: u32,
    /// For how many periods fewer would have done.
    fewer: u32,
}

impl Estimate {
    fn next(&mut self, args: &Args, used: f64) -> u32 {
        let needed = ((used / args.busy).ceil() as u32).clamp(args.least, args.most);
        self.fewer = if needed < self.wanted {
            self.fewer + 1
        } else {
            0
        };
        if needed > self.wanted {
            self.wanted = needed;
        } else if self.fewer > PATIENCE {
            (self.wanted, self.fewer) = (self.wanted - 1, 0);
        }
        self.wanted
    }
}

fn manage(args: &Args, arbiter: Box<dyn Arbiter>, pid: i32) -> Result<()> {
    stay_on(&[args.cpu])?;
    be_realtime()?;
    let threads = threads(pid, &args.threads)?;
    let mut runtime = Runtime {
        arbiter,
        on: vec![None; threads.len()],
        threads,
        cores: Vec::new(),
    };
    let mut estimate = Estimate {
        wanted: args.least,
        fewer: 0,
    };
    runtime.request(args.least)?;
    let period_ns = args.period_ms * 1_000_000;
    let mut next_ns = now_ns() + period_ns;
    let end_ns = now_ns() + (args.seconds * SEC_NS as f64) as u64;
    let (mut was_ns, mut had_ns) = (now_ns(), ran_ns(pid, &runtime.threads)?);
    while was_ns < end_ns {
        while now_ns() < next_ns {
            let left = Duration::from_nanos(next_ns.saturating_sub(now_ns()));
            if let Some(event) = runtime.arbiter.next(left)? {
                runtime.told(event)?;
            }
        }
        let (at_ns, has_ns) = (now_ns(), ran_ns(pid, &runtime.threads)?);
        let used = (has_ns - had_ns) as f64 / (at_ns - was_ns) as f64;
        let before = estimate.wanted;
        let wanted = estimate.next(args, used);
        if wanted != before {
            runtime.request(wanted)?;
        }
        let cores = runtime.cores.len();
        let moment = Moment {
            at_ns,
            cores,
            wanted,
            used,
        };
        println!("{}", serde_json::to_string(&moment)?);
        (was_ns, had_ns) = (at_ns, has_ns);
        next_ns = at_ns + period_ns;
    }
    Ok(())
}

/// A thread that goes to a core when it is told to, and says when it is there.
struct Probe {
    thread: i32,
    handle: thread::Thread,
    goal: Arc<AtomicI32>,
    there_ns: Arc<AtomicU64>,
}

impl Probe {
    fn start() -> Self {
        let (goal, there_ns) = (Arc::new(AtomicI32::new(-1)), Arc::new(AtomicU64::new(0)));
        let id = Arc::new(AtomicI32::new(0));
        let (its_goal, its_there, its_id) = (goal.clone(), there_ns.clone(), id.clone());
        let thread = thread::spawn(move || {
            // SAFETY: It only asks.
            its_id.store(unsafe { libc::gettid() }, Ordering::Release);
            loop {
                let core = its_goal.load(Ordering::Acquire);
                if core >= 0 && this_cpu() == core as usize {
                    its_goal.store(-1, Ordering::Relaxed);
                    its_there.store(now_ns(), Ordering::Release);
                }
                thread::park();
            }
        });
        while id.load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        Probe {
            thread: id.load(Ordering::Acquire),
            handle: thread.thread().clone(),
            goal,
            there_ns,
        }
    }

    /// When it was there.
    fn go(&self, core: u32) -> u64 {
        self.there_ns.store(0, Ordering::Relaxed);
        self.goal.store(core as i32, Ordering::Release);
        loop {
            self.handle.unpark();
            let there_ns = self.there_ns.load(Ordering::Acquire);
            if there_ns != 0 {
                return there_ns;
            }
            sleep_until(now_ns() + 10_000);
        }
    }
}

fn probe(args: &Args, mut arbiter: Box<dyn Arbiter>, times: u64) -> Result<()> {
    // It is what this thread was; only then this one becomes what it has to be.
    let probe = Probe::start();
    stay_on(&[args.cpu])?;
    be_realtime()?;
    let mut tail = Tail::default();
    let wait = Duration::from_secs(60);
    for _ in 0..times {
        let begin_ns = now_ns();
        arbiter.request(1, probe.thread)?;
        let event = arbiter.next(wait)?.context("nothing is granted")?;
        let Event::Granted(core) = event else {
            anyhow::bail!("{event:?}, where a core was to be granted");
        };
        arbiter.enter(core, probe.thread)?;
        tail.record(probe.go(core) - begin_ns);
        arbiter.request(0, probe.thread)?;
        let event = arbiter.next(wait)?;
        ensure!(
            event == Some(Event::Reclaimed(core)),
            "{event:?}, not reclaimed"
        );
        arbiter.leave(core)?;
        // The others are to run there again.
        sleep_until(now_ns() + SEC_NS / 100);
    }
    let request_to_core = tail.summary();
    println!("{}", serde_json::to_string(&Probed { request_to_core })?);
    Ok(())
}

fn main() -> Result<()> {
    let args = Args::parse();
    let arbiter: Box<dyn Arbiter> = match (args.policy, &args.socket) {
        (Some(id), _) => Box::new(Policy::open(id)?),
        (None, Some(path)) => Box::new(Process::connect(path)?),
        (None, None) => unreachable!("one of them is required"),
    };
    match (args.probe, args.pid) {
        (Some(times), _) => probe(&args, arbiter, times),
        (None, Some(pid)) => manage(&args, arbiter, pid),
        (None, None) => unreachable!("one of them is required"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_at_once_down_slowly() {
        let args = Args::parse_from(["cores", "--policy=5", "--pid=1", "--least=1", "--most=4"]);
        let mut estimate = Estimate {
            wanted: 1,
            fewer: 0,
        };
        assert_eq!(estimate.next(&args, 0.5), 1);
        assert_eq!(estimate.next(&args, 1.7), 3);
        assert_eq!(estimate.next(&args, 9.0), 4);
        for _ in 0..PATIENCE {
            assert_eq!(estimate.next(&args, 0.1), 4);
        }
        assert_eq!(estimate.next(&args, 0.1), 3);
        assert_eq!(estimate.next(&args, 0.1), 3);
    }
}
