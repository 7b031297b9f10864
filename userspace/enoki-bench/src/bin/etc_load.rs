//! An open loop of ETC's requests to memcached (Enoki paper, section 5.6).
//!
//! Fills memcached with records, and then sends requests, of which few are updates, at random
//! times and whether or not those before have been answered. Real-time threads do that, each on a
//! CPU of its own and with connections of its own. Prints a line of JSON for each load.

use anyhow::{bail, ensure, Context, Result};
use clap::Parser;
use enoki_bench::{
    etc,
    tail::{Summary, Tail},
    thread::{be_realtime, stay_on},
    time::{now_ns, SEC_NS},
};
use rand::{rngs::SmallRng, Rng, SeedableRng};
use serde::Serialize;
use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, FromRawFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    ptr, thread,
};

/// ETC's requests to memcached.
#[derive(Parser)]
struct Args {
    /// Where memcached listens
    #[arg(long)]
    socket: PathBuf,
    /// CPUs of the threads that send, one each
    #[arg(long, value_delimiter = ',', default_value = "0")]
    cpus: Vec<usize>,
    /// Connections of each, which requests are spread over
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Records in memcached
    #[arg(long, default_value_t = 1_000_000)]
    records: u32,
    /// They are there already
    #[arg(long)]
    filled: bool,
    /// How many of the requests are updates
    #[arg(long, default_value_t = 0.03)]
    updates: f64,
    /// Requests a second, of all threads; one load after the other
    #[arg(long, value_delimiter = ',')]
    rates: Vec<f64>,
    /// How long each of them is sent
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Which random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What is printed.
#[derive(Serialize)]
struct Line {
    begin_ns: u64,
    rate: f64,
    /// Requests that were sent, and of them those that were answered meanwhile.
    sent: u64,
    served: u64,
    latency: Summary,
    sender: Summary,
}

/// The key of a record: its number, and as much as its size asks for.
fn key(number: u32) -> String {
    let mut random = SmallRng::seed_from_u64(number.into());
    format!("{number:0>width$}", width = etc::key_size(&mut random, 8))
}

fn update(number: u32, random: &mut SmallRng, reply: bool) -> Vec<u8> {
    let size = etc::value_size(random);
    let noreply = if reply { "" } else { " noreply" };
    let mut text = format!("set {} 0 0 {size}{noreply}\r\n", key(number)).into_bytes();
    text.resize(text.len() + size, b'v');
    text.extend_from_slice(b"\r\n");
    text
}

fn fill(args: &Args) -> Result<()> {
    let mut stream = UnixStream::connect(&args.socket)?;
    let mut random = SmallRng::seed_from_u64(args.seed);
    let mut batch = Vec::new();
    for number in 0..args.records {
        batch.extend(update(number, &mut random, false));
        if batch.len() > 60_000 || number + 1 == args.records {
            stream.write_all(&batch)?;
            batch.clear();
        }
    }
    // It has done all that before.
    stream.write_all(b"version\r\n")?;
    let mut answer = [0; 64];
    let len = stream.read(&mut answer)?;
    ensure!(
        answer[..len].starts_with(b"VERSION"),
        "memcached does not answer"
    );
    Ok(())
}

/// An answer's end: that of what is looked for, or of an update.
const ENDS: [&[u8]; 2] = [b"END\r\n", b"STORED\r\n"];

struct Connection {
    stream: UnixStream,
    /// When those were due that have not been answered, in their order.
    due_ns: VecDeque<u64>,
    /// The last bytes that came.
    tail: Vec<u8>,
    /// What there was no room for.
    unsent: VecDeque<u8>,
}

impl Connection {
    fn open(args: &Args) -> Result<Self> {
        let stream = UnixStream::connect(&args.socket).context("memcached's socket")?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            due_ns: VecDeque::new(),
            tail: Vec::new(),
            unsent: VecDeque::new(),
        })
    }

    fn send(&mut self, due_ns: u64, text: &[u8]) -> Result<()> {
        self.due_ns.push_back(due_ns);
        self.unsent.extend(text);
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(self.unsent.as_slices().0) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => break,
                Err(err) => return Err(err.into()),
            }
        }
        Ok(())
    }

    /// Takes the answers that there are, or as many as it can at once.
    fn receive(&mut self, latency: &mut Tail) -> Result<()> {
        let mut bytes = [0; 65536];
        match self.stream.read(&mut bytes) {
            Ok(0) => bail!("memcached has gone"),
            Ok(len) => self.answers(&bytes[..len], latency),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(err) => Err(err.into()),
        }
    }

    /// An answer ends with one of [`ENDS`] on a line of its own; values are of one letter.
    fn answers(&mut self, bytes: &[u8], latency: &mut Tail) -> Result<()> {
        let now_ns = now_ns();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.tail.extend_from_slice(piece);
            if !piece.ends_with(b"\n") {
                break;
            }
            if ENDS.iter().any(|end| self.tail == *end) {
                let due_ns = self.due_ns.pop_front().context("an answer to nothing")?;
                latency.record(now_ns.saturating_sub(due_ns));
            }
            ensure!(
                !self.tail.starts_with(b"ERROR"),
                "memcached does not understand"
            );
            self.tail.clear();
        }
        Ok(())
    }
}

/// Connections that are waited for together.
struct Connections {
    all: Vec<Connection>,
    epoll: OwnedFd,
}

/// So many of them are told of at once.
const EVENTS: usize = 16;

impl Connections {
    fn open(args: &Args) -> Result<Self> {
        // SAFETY: It takes no memory of ours.
        let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        ensure!(epoll >= 0, "epoll: {}", io::Error::last_os_error());
        // SAFETY: It has just been opened, and nobody else has it.
        let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
        let open = (0..args.connections).map(|_| Connection::open(args));
        let all = open.collect::<Result<Vec<_>>>()?;
        for (n, connection) in all.iter().enumerate() {
            let mut event = libc::epoll_event {
                events: libc::EPOLLIN as u32,
                u64: n as u64,
            };
            let (epoll, fd) = (epoll.as_raw_fd(), connection.stream.as_raw_fd());
            // SAFETY: Both are open, and `event` may be read.
            let err = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) };
            ensure!(err == 0, "epoll: {}", io::Error::last_os_error());
        }
        Ok(Connections { all, epoll })
    }

    /// Takes answers, until the time at most.
    fn receive(&mut self, until_ns: u64, latency: &mut Tail) -> Result<()> {
        let left_ns = until_ns.saturating_sub(now_ns());
        let timeout = libc::timespec {
            tv_sec: (left_ns / SEC_NS) as libc::time_t,
            tv_nsec: (left_ns % SEC_NS) as libc::c_long,
        };
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        // SAFETY: So many events may be written; the mask of signals may be null.
        let found = unsafe {
            let (epoll, most) = (self.epoll.as_raw_fd(), EVENTS as libc::c_int);
            libc::epoll_pwait2(epoll, events.as_mut_ptr(), most, &timeout, ptr::null())
        };
        let found = usize::try_from(found).map_err(|_| io::Error::last_os_error())?;
        for event in &events[..found] {
            let connection = &mut self.all[event.u64 as usize];
            connection.receive(latency)?;
            connection.flush()?;
        }
        Ok(())
    }

    fn waiting(&self) -> bool {
        self.all
            .iter()
            .any(|connection| !connection.due_ns.is_empty())
    }
}

/// What a thread has seen of a load.
#[derive(Default)]
struct Seen {
    sent: u64,
    served: u64,
    latency: Tail,
    sender: Tail,
}

impl Seen {
    fn add(&mut self, other: &Seen) -> Result<()> {
        self.sent += other.sent;
        self.served += other.served;
        self.latency.add(&other.latency)?;
        self.sender.add(&other.sender)
    }
}

/// A thread's part of a load, until `end_ns`.
fn send(args: &Args, cpu: usize, rate: f64, begin_ns: u64, end_ns: u64) -> Result<Seen> {
    stay_on(&[cpu])?;
    be_realtime()?;
    // Those of a load that was too much are closed with what they still wait for.
    let mut connections = Connections::open(args)?;
    let mut random = SmallRng::seed_from_u64(args.seed + cpu as u64);
    let mut seen = Seen::default();
    let mut due_ns = begin_ns;
    loop {
        due_ns += etc::gap_ns(&mut random, rate);
        while now_ns() < due_ns.min(end_ns) {
            connections.receive(due_ns.min(end_ns), &mut seen.latency)?;
        }
        if due_ns >= end_ns {
            break;
        }
        let number = random.random_range(0..args.records);
        let text = if random.random_bool(args.updates) {
            update(number, &mut random, true)
        } else {
            format!("get {}\r\n", key(number)).into_bytes()
        };
        seen.sender.record(now_ns().saturating_sub(due_ns));
        let connection = seen.sent as usize % args.connections;
        connections.all[connection].send(due_ns, &text)?;
        seen.sent += 1;
    }
    seen.served = seen.latency.count();
    // A load that is too much for it would take for ever.
    let patience_ns = end_ns + 2 * (end_ns - begin_ns);
    while connections.waiting() && now_ns() < patience_ns {
        connections.receive(patience_ns, &mut seen.latency)?;
    }
    Ok(seen)
}

/// Time to open connections in, before a load begins.
const PREPARE_NS: u64 = SEC_NS / 20;

fn load(args: &Args, rate: f64) -> Result<Line> {
    let begin_ns = now_ns() + PREPARE_NS;
    let end_ns = begin_ns + (args.seconds * SEC_NS as f64) as u64;
    let part = rate / args.cpus.len() as f64;
    let mut all = Seen::default();
    thread::scope(|scope| {
        let start = |&cpu| scope.spawn(move || send(args, cpu, part, begin_ns, end_ns));
        let threads: Vec<_> = args.cpus.iter().map(start).collect();
        for thread in threads {
            all.add(&thread.join().expect("no thread panics")?)?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(Line {
        begin_ns,
        rate,
        sent: all.sent,
        served: all.served,
        latency: all.latency.summary(),
        sender: all.sender.summary(),
    })
}

fn main() -> Result<()> {
    let args = Args::parse();
    let some = args.connections > 0 && args.records > 0 && !args.cpus.is_empty();
    ensure!(some, "there must be a connection, a record and a CPU");
    if !args.filled {
        fill(&args)?;
    }
    for &rate in &args.rates {
        println!("{}", serde_json::to_string(&load(&args, rate)?)?);
    }
    Ok(())
}
