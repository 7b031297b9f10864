//! RocksDB in memory under an open loop of short and long requests (Enoki paper, section 5.4).
//!
//! Requests come at random, whether earlier ones have been served or not. Most are GETs, few are
//! range queries that take thousands of times as long; each takes the time that is assigned to it:
//! what RocksDB needs, and then a loop. The sender is a real-time thread on a CPU of its own, the
//! workers are of the class that this program is started in. Prints a line of JSON for each load.

use anyhow::{ensure, Result};
use clap::Parser;
use enoki_bench::{
    pool::Pool,
    tail::{Summary, Tail},
    thread::{be_batch, be_realtime, stay_on},
    time::{now_ns, sleep_until, thread_ns, SEC_NS},
    work::{took_ns, Pace},
};
use rand::{rngs::SmallRng, Rng, SeedableRng};
use rand_distr::{Distribution, Exp};
use rocksdb::{Direction, Env, IteratorMode, Options, DB};
use serde::Serialize;
use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    thread::{self, JoinHandle},
};

/// RocksDB under an open loop of GETs and range queries.
#[derive(Clone, Parser)]
struct Args {
    /// CPU of the thread that sends the requests
    #[arg(long, default_value_t = 0)]
    sender_cpu: usize,
    /// CPUs of the workers
    #[arg(long, value_delimiter = ',', default_value = "1,2,3")]
    cpus: Vec<usize>,
    /// How many threads serve requests
    #[arg(long, default_value_t = 50)]
    workers: usize,
    /// How long a GET takes
    #[arg(long, default_value_t = 4.0)]
    get_us: f64,
    /// How long a range query takes
    #[arg(long, default_value_t = 10_000.0)]
    range_us: f64,
    /// How many of the requests are range queries
    #[arg(long, default_value_t = 0.005)]
    ranges: f64,
    /// Records in the database
    #[arg(long, default_value_t = 5000)]
    records: u32,
    /// Requests a second, one or more
    #[arg(long, value_delimiter = ',', required = true)]
    rates: Vec<f64>,
    /// Requests for each rate
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
    /// So many of them, at first, are not counted
    #[arg(long, default_value_t = 500)]
    warm_up: u64,
    /// Threads that compute at low priority on the CPUs of the workers, meanwhile
    #[arg(long, default_value_t = 0)]
    batch: usize,
    /// Which random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

#[derive(Clone, Copy)]
enum What {
    Get(u32),
    Range(u32),
}

struct Request {
    what: What,
    /// When it was to be sent.
    due_ns: u64,
    counts: bool,
}

#[derive(Clone, Default)]
struct Served {
    gets: Tail,
    ranges: Tail,
}

/// What is printed.
#[derive(Serialize)]
struct Line {
    rate: f64,
    /// Requests a second that were served.
    served_rate: f64,
    unserved: u64,
    get: Summary,
    range: Summary,
    /// How late the sender was.
    sender: Summary,
    /// Of the time of the workers' CPUs, what the batch threads had.
    batch_share: f64,
}

/// A database with what is to be done for a request.
struct Store {
    db: DB,
    args: Args,
    pace: Pace,
    /// What a GET, and a record of a range query, takes without the loop.
    get_ns: u64,
    step_ns: u64,
}

fn key(number: u32) -> [u8; 8] {
    u64::from(number).to_be_bytes()
}

impl Store {
    fn open(args: &Args) -> Result<Self> {
        let mut options = Options::default();
        options.set_env(&Env::mem_env()?);
        options.create_if_missing(true);
        options.set_disable_auto_compactions(true);
        options.set_write_buffer_size(256 << 20);
        let db = DB::open(&options, "/enoki-bench")?;
        for number in 0..args.records {
            db.put(key(number), [number as u8; 100])?;
        }
        let mut store = Store {
            db,
            args: args.clone(),
            pace: Pace::calibrate(),
            get_ns: 0,
            step_ns: 0,
        };
        let n = args.records;
        store.get_ns = took_ns(|| (0..n).for_each(|number| store.get(number))) / u64::from(n);
        store.step_ns = took_ns(|| store.steps(0, n)) / u64::from(n);
        Ok(store)
    }

    fn get(&self, number: u32) {
        let found = self.db.get_pinned(key(number));
        assert!(found.is_ok_and(|value| value.is_some()), "a record is gone");
    }

    fn steps(&self, from: u32, most: u32) {
        let key = key(from);
        let records = self
            .db
            .iterator(IteratorMode::From(&key, Direction::Forward));
        assert_ne!(
            records.take(most as usize).count(),
            0,
            "the records are gone"
        );
    }

    fn serve(&self, what: What) {
        match what {
            What::Get(number) => {
                self.get(number);
                self.rest(self.args.get_us, self.get_ns);
            }
            What::Range(from) => {
                // Half of the time at most, so that the loop makes it exact.
                let half = self.args.range_us * 500.0 / self.step_ns.max(1) as f64;
                let steps = (half as u32).min(self.args.records - from);
                self.steps(from, steps);
                self.rest(self.args.range_us, self.step_ns * u64::from(steps));
            }
        }
    }

    fn rest(&self, assigned_us: f64, done_ns: u64) {
        self.pace
            .work(((assigned_us * 1e3) as u64).saturating_sub(done_ns));
    }
}

/// Threads that compute whenever they can.
struct Batch {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<u64>>>,
}

impl Batch {
    fn start(args: &Args, pace: Pace) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let start = |_| {
            let (over, cpus) = (over.clone(), args.cpus.clone());
            thread::spawn(move || {
                stay_on(&cpus)?;
                be_batch()?;
                let begin = thread_ns();
                while !over.load(Ordering::Relaxed) {
                    pace.work(100_000);
                }
                Ok(thread_ns() - begin)
            })
        };
        let threads = (0..args.batch).map(start).collect();
        Batch { over, threads }
    }

    /// How long they ran, together.
    fn end(self) -> Result<u64> {
        self.over.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter();
        ended
            .map(|t| t.join().expect("no batch thread panics"))
            .sum()
    }
}

fn load(args: &Args, store: &Arc<Store>, rate: f64) -> Result<Line> {
    let mut random = SmallRng::seed_from_u64(args.seed);
    let gaps = Exp::new(rate / SEC_NS as f64)?;
    let pool = Pool::start(args.workers, || {
        let store = store.clone();
        let serve = move |served: &mut Served, request: Request| {
            store.serve(request.what);
            let took = now_ns() - request.due_ns;
            if request.counts {
                match request.what {
                    What::Get(_) => served.gets.record(took),
                    What::Range(_) => served.ranges.record(took),
                }
            }
        };
        (Served::default(), serve)
    });
    let batch = Batch::start(args, store.pace);
    // The workers have inherited what this thread was; only now it becomes what it has to be.
    stay_on(&[args.sender_cpu])?;
    be_realtime()?;
    let mut sender = Tail::default();
    let begin_ns = now_ns();
    let (mut due_ns, mut counted_ns) = (begin_ns, begin_ns);
    for n in 0..args.warm_up + args.requests {
        due_ns += gaps.sample(&mut random) as u64;
        let record = random.random_range(0..args.records);
        let what = if random.random_bool(args.ranges) {
            What::Range(record)
        } else {
            What::Get(record)
        };
        let counts = n >= args.warm_up;
        if n == args.warm_up {
            counted_ns = due_ns;
        }
        sleep_until(due_ns);
        sender.record(now_ns().saturating_sub(due_ns));
        pool.send(Request {
            what,
            due_ns,
            counts,
        });
    }
    let end_ns = now_ns();
    let batch_ns = batch.end()?;
    // A load that is too much for it would take for ever.
    let sent = args.warm_up + args.requests;
    let patience_ns = now_ns() + 2 * (end_ns - begin_ns);
    while pool.served() < sent && now_ns() < patience_ns {
        sleep_until(now_ns() + SEC_NS / 1000);
    }
    let took_ns = now_ns() - counted_ns;
    let unserved = sent - pool.served();
    let mut all = Served::default();
    for one in pool.end() {
        all.gets.add(&one.gets)?;
        all.ranges.add(&one.ranges)?;
    }
    let counted = all.gets.summary().count + all.ranges.summary().count;
    Ok(Line {
        rate,
        served_rate: counted as f64 * SEC_NS as f64 / took_ns as f64,
        unserved,
        get: all.gets.summary(),
        range: all.ranges.summary(),
        sender: sender.summary(),
        batch_share: batch_ns as f64 / (end_ns - begin_ns) as f64 / args.cpus.len() as f64,
    })
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.records > 0, "there must be a record");
    let store = Arc::new(Store::open(&args)?);
    eprintln!(
        "a GET takes {} ns and a step {} ns without the loop: {:?}",
        store.get_ns, store.step_ns, store.pace
    );
    ensure!(
        store.get_ns as f64 <= args.get_us * 1e3,
        "a GET takes {} ns by itself, more than is assigned: raise --get-us",
        store.get_ns
    );
    stay_on(&args.cpus)?;
    for &rate in &args.rates {
        let (args, store) = (args.clone(), store.clone());
        let sender = thread::spawn(move || load(&args, &store, rate));
        let line = sender.join().expect("the sender does not panic")?;
        println!("{}", serde_json::to_string(&line)?);
    }
    Ok(())
}
