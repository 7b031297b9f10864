//! Threads that wait for requests.
//!
//! No lock is held while one is handed over: a worker that is stopped in the middle of it would
//! stop the sender, too, and with it the load that does not depend on how it is served.

use crossbeam_queue::SegQueue;
use std::{
    sync::{
        atomic::{AtomicBool, AtomicU64, Ordering},
        Arc,
    },
    thread::{self, JoinHandle, Thread},
};

struct Idle {
    thread: Thread,
    /// It is among those that wait.
    listed: AtomicBool,
}

struct Shared<R> {
    backlog: SegQueue<R>,
    idle: SegQueue<Arc<Idle>>,
    served: AtomicU64,
    over: AtomicBool,
}

/// A pool of workers that serve requests of type `R` and keep an `S` each.
pub struct Pool<R, S> {
    shared: Arc<Shared<R>>,
    workers: Vec<JoinHandle<S>>,
}

impl<R: Send + 'static, S: Send + 'static> Pool<R, S> {
    /// Starts so many, each of which makes its own server first.
    pub fn start<F>(workers: usize, server: impl Fn() -> (S, F)) -> Self
    where
        F: FnMut(&mut S, R) + Send + 'static,
    {
        let shared = Arc::new(Shared {
            backlog: SegQueue::new(),
            idle: SegQueue::new(),
            served: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let workers = (0..workers)
            .map(|_| {
                let (shared, (state, serve)) = (shared.clone(), server());
                thread::spawn(move || work(&shared, state, serve))
            })
            .collect();
        Pool { shared, workers }
    }

    /// Hands over a request: to one that waits, or to the first that is done.
    pub fn send(&self, request: R) {
        self.shared.backlog.push(request);
        if let Some(idle) = self.shared.idle.pop() {
            idle.listed.store(false, Ordering::SeqCst);
            idle.thread.unpark();
        }
    }

    /// How many have been served.
    pub fn served(&self) -> u64 {
        self.shared.served.load(Ordering::Relaxed)
    }

    /// Ends the workers; those that are in the middle of a request finish it, and those that wait
    /// are not served.
    pub fn end(self) -> Vec<S> {
        self.shared.over.store(true, Ordering::SeqCst);
        for worker in &self.workers {
            worker.thread().unpark();
        }
        let ended = self
            .workers
            .into_iter()
            .map(|w| w.join().expect("no worker panics"));
        ended.collect()
    }
}

fn work<R, S>(shared: &Shared<R>, mut state: S, mut serve: impl FnMut(&mut S, R)) -> S {
    let me = Arc::new(Idle {
        thread: thread::current(),
        listed: AtomicBool::new(false),
    });
    while !shared.over.load(Ordering::SeqCst) {
        if let Some(request) = shared.backlog.pop() {
            serve(&mut state, request);
            shared.served.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        if !me.listed.swap(true, Ordering::SeqCst) {
            shared.idle.push(me.clone());
            // What came before it was listed woke nobody.
            continue;
        }
        thread::park();
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_served_once() {
        let serve = || {
            (Vec::new(), |served: &mut Vec<u32>, request: u32| {
                served.push(request)
            })
        };
        let pool = Pool::start(3, serve);
        for request in 0..10_000 {
            pool.send(request);
        }
        while pool.served() < 10_000 {
            thread::yield_now();
        }
        let mut all: Vec<u32> = pool.end().into_iter().flatten().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..10_000));
    }
}
