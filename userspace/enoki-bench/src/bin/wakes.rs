//! How long threads take to wake up that work for each other (Enoki paper, section 5.5).
//!
//! After schbench: a message thread wakes its workers, they do a little and wake it, and so on, in
//! several groups that have nothing to do with each other. A worker's latency is the time from
//! just before it was woken up until it runs. With `--place` each thread says to enoki_locality by
//! a hint which group it belongs to. Prints a line of JSON.

use anyhow::{Context, Result};
use clap::Parser;
use enoki_bench::{
    tail::{Summary, Tail},
    time::{now_ns, MS_NS, SEC_NS},
    work::Pace,
};
use enoki_client::{layout, About, Client, Hints};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{
        atomic::{AtomicU64, AtomicUsize, Ordering},
        Arc, Mutex,
    },
    thread::{self, Thread},
};

/// Groups of a message thread and its workers.
#[derive(Clone, Parser)]
struct Args {
    /// Message threads
    #[arg(long, default_value_t = 2)]
    groups: u64,
    /// Workers of each
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// How often each worker is woken up
    #[arg(long, default_value_t = 5000)]
    rounds: u64,
    /// So many of the rounds, at first, are not counted
    #[arg(long, default_value_t = 200)]
    warm_up: u64,
    /// What a worker does each time
    #[arg(long, default_value_t = 0.0)]
    work_us: f64,
    /// Print the longest latency of each ms, too
    #[arg(long)]
    timeline: bool,
    /// Say which threads belong together to the policy of that number
    #[arg(long, value_name = "POLICY")]
    place: Option<u32>,
}

layout! {
    /// What enoki_locality takes.
    pub struct Place("locality_place", 1) {
        /// The place; 0 for none.
        pub place: u64,
    }
}

/// What is printed.
#[derive(Serialize)]
struct Line {
    wake: Summary,
    rounds_a_s: f64,
    /// For each ms since the beginning in which a worker was woken up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    longest_ns: Vec<(u64, u64)>,
}

/// The longest latency of each ms.
#[derive(Default)]
struct Timeline(BTreeMap<u64, u64>);

impl Timeline {
    fn record(&mut self, since_ns: u64, took_ns: u64) {
        let longest = self.0.entry(since_ns / MS_NS).or_default();
        *longest = took_ns.max(*longest);
    }

    fn add(&mut self, other: &Timeline) {
        for (&ms, &took_ns) in &other.0 {
            self.record(ms * MS_NS, took_ns);
        }
    }
}

/// What a worker has seen.
#[derive(Default)]
struct Seen {
    tail: Tail,
    timeline: Timeline,
}

impl Seen {
    fn add(&mut self, other: &Seen) -> Result<()> {
        self.timeline.add(&other.timeline);
        self.tail.add(&other.tail)
    }
}

type Places = Option<Mutex<Hints<Place>>>;

fn say(places: &Places, place: u64) -> Result<()> {
    if let Some(hints) = places {
        let hints = hints.lock().expect("nobody panics");
        hints.send_now(About::this_thread(), &Place { place })?;
    }
    Ok(())
}

/// What a message thread and its workers share.
struct Group {
    begin_ns: u64,
    messenger: Thread,
    /// How many have not answered yet.
    busy: AtomicUsize,
}

/// Where a worker is told.
#[derive(Default)]
struct Seat {
    round: AtomicU64,
    woken_ns: AtomicU64,
}

fn worker(args: &Args, pace: Pace, group: &Group, seat: &Seat) -> Seen {
    let mut seen = Seen::default();
    for round in 1..=args.warm_up + args.rounds {
        while seat.round.load(Ordering::Acquire) != round {
            thread::park();
        }
        let woken_ns = seat.woken_ns.load(Ordering::Relaxed);
        let took = now_ns().saturating_sub(woken_ns);
        if round > args.warm_up {
            seen.tail.record(took);
            if args.timeline {
                seen.timeline
                    .record(woken_ns.saturating_sub(group.begin_ns), took);
            }
        }
        pace.work((args.work_us * 1e3) as u64);
        if group.busy.fetch_sub(1, Ordering::AcqRel) == 1 {
            group.messenger.unpark();
        }
    }
    seen
}

fn messenger(
    args: &Args,
    pace: Pace,
    places: &Arc<Places>,
    place: u64,
    begin_ns: u64,
) -> Result<Seen> {
    say(places, place)?;
    let group = Arc::new(Group {
        begin_ns,
        messenger: thread::current(),
        busy: AtomicUsize::new(0),
    });
    let start = |_| {
        let (args, group, seat) = (args.clone(), group.clone(), Arc::new(Seat::default()));
        let (sits, places) = (seat.clone(), places.clone());
        let thread = thread::spawn(move || {
            say(&places, place)?;
            Ok::<_, anyhow::Error>(worker(&args, pace, &group, &sits))
        });
        (seat, thread)
    };
    let workers: Vec<_> = (0..args.workers).map(start).collect();
    for round in 1..=args.warm_up + args.rounds {
        group.busy.store(args.workers, Ordering::Release);
        for (seat, thread) in &workers {
            seat.woken_ns.store(now_ns(), Ordering::Relaxed);
            seat.round.store(round, Ordering::Release);
            thread.thread().unpark();
        }
        while group.busy.load(Ordering::Acquire) != 0 {
            thread::park();
        }
    }
    let mut seen = Seen::default();
    for (_, thread) in workers {
        seen.add(&thread.join().expect("no worker panics")?)?;
    }
    Ok(seen)
}

fn main() -> Result<()> {
    let args = Args::parse();
    let pace = Pace::calibrate();
    let hints = |policy| Client::open(policy)?.hints::<Place>(64);
    let places = args.place.map(hints).transpose();
    let places = Arc::new(
        places
            .context("to be a client of the policy")?
            .map(Mutex::new),
    );
    let begin_ns = now_ns();
    let start = |place| {
        let (args, places) = (args.clone(), places.clone());
        thread::spawn(move || messenger(&args, pace, &places, place, begin_ns))
    };
    let groups: Vec<_> = (1..=args.groups).map(start).collect();
    let mut seen = Seen::default();
    for group in groups {
        seen.add(&group.join().expect("no message thread panics")?)?;
    }
    let took_ns = now_ns() - begin_ns;
    let rounds = (args.warm_up + args.rounds) as f64;
    let line = Line {
        wake: seen.tail.summary(),
        longest_ns: seen.timeline.0.into_iter().collect(),
        rounds_a_s: rounds * SEC_NS as f64 / took_ns as f64,
    };
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}
