// SPDX-License-Identifier: GPL-2.0

//! Runs a recording again with a thread for each CPU.
//!
//! As it is begun in the same order otherwise, a call need not wait for others whose locks it does
//! not take: each thread goes on until it wants a lock that is not free, or that is another one's
//! turn. So calls overlap as they did, and what is behind a policy's locks is changed by several
//! threads, which a sanitizer can watch.
//!
//! There is one mutex around all that is not the policy's. Who has it is as one who runs a
//! recording alone, and its services are answered in the same way; see [`Held`].

use super::{
    is_call, is_lent, make_here, Call, Error, InCall, Mode, Record, Replay, Report, Shared, Turn,
    IN_CALL, LEFT, MODE, READ_AHEAD, SHARED,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    io::Read,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// Where records come from.
type Source = Box<dyn Read + Send>;

/// What the threads share.
pub(super) struct Threads {
    state: Mutex<State>,
    /// Something is different: who waits looks again.
    moved: Condvar,
}

struct State {
    replay: Replay<Source>,
    shared: Shared,
    /// How many threads there are, ...
    live: usize,
    /// ... and how many wait for what was the latest when they looked.
    waiting: usize,
    latest: u64,
    /// The calls that there are, by CPU.
    calls: BTreeMap<usize, Record>,
    /// The CPU whose thread replaces the policy.
    upgrades: Option<usize>,
    /// How it ended.
    over: Option<Result<(), Error>>,
}

// SAFETY: The policy's memory that it points to is used by one thread at a time but for the policy,
// which is `Sync`.
unsafe impl Send for State {}

thread_local! {
    static THREADS: RefCell<Option<Arc<Threads>>> = const { RefCell::new(None) };
}

/// The mutex, held. What all calls have in common is this thread's meanwhile.
struct Held<'t> {
    threads: &'t Threads,
    state: Option<MutexGuard<'t, State>>,
}

impl<'t> Held<'t> {
    fn new(threads: &'t Threads) -> Held<'t> {
        let mut held = Held {
            threads,
            state: None,
        };
        held.take(threads.lock());
        held
    }

    fn take(&mut self, mut state: MutexGuard<'t, State>) {
        SHARED.set(mem::take(&mut state.shared));
        MODE.set(Mode::Alone);
        self.state = Some(state);
    }

    fn state(&mut self) -> &mut State {
        self.state.as_mut().expect("it is held")
    }

    fn give_back(&mut self) -> MutexGuard<'t, State> {
        let mut state = self.state.take().expect("it is held");
        state.shared = SHARED.take();
        MODE.set(Mode::Beside);
        state
    }

    /// Something is different.
    fn moved(&mut self) {
        let state = self.state();
        state.latest += 1;
        state.waiting = 0;
        self.threads.moved.notify_all();
    }

    /// It is over, with that.
    fn ends(&mut self, how: Result<(), Error>) {
        self.state().over.get_or_insert(how);
        self.moved();
    }

    /// Waits until something is different. If all wait, this one sees to it.
    fn wait(&mut self) {
        let state = self.state();
        let seen = state.latest;
        state.waiting += 1;
        if state.waiting == state.live {
            self.nobody_moves();
        }
        let mut state = self.give_back();
        while state.latest == seen {
            let woken = self.threads.moved.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        self.take(state);
    }

    /// More has to be read, or the policy to be replaced; or it is over.
    fn nobody_moves(&mut self) {
        match self.state().next_move() {
            Ok(true) => self.moved(),
            Ok(false) => {
                let state = self.state();
                let end = if state.calls.is_empty() {
                    state.replay.at_the_end()
                } else {
                    Err(state.stuck())
                };
                self.ends(end);
            }
            Err(error) => self.ends(Err(error)),
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.state.is_some() {
            drop(self.give_back());
        }
    }
}

impl State {
    /// All calls wait for locks whose turn does not come.
    fn stuck(&mut self) -> Error {
        let mut left = String::new();
        for (cpu, call) in &self.calls {
            left += &format!("\n  CPU {cpu}: {call} waits for a lock");
        }
        for cpu in 0..self.replay.tapes.nr_cpus() {
            if self.calls.contains_key(&cpu) {
                continue;
            }
            let (turn, loan) = (self.replay.turn(cpu), self.replay.waits_for_loan(cpu));
            if let (Ok(turn), Some(call)) = (turn, self.replay.tapes.next(cpu)) {
                let loan = if loan { ", for a token on loan" } else { "" };
                left += &format!("\n  CPU {cpu}: {} {turn}{loan}", call.record);
            }
        }
        Error::Stuck(format!(
            "it cannot be run again any further, records are missing:{left}"
        ))
    }

    fn next_move(&mut self) -> Result<bool, Error> {
        let few = self.replay.tapes.nr_read() < READ_AHEAD;
        if few && self.replay.tapes.more()? {
            return Ok(true);
        }
        if self.calls.is_empty() {
            for cpu in 0..self.replay.tapes.nr_cpus() {
                if self.replay.turn(cpu)? == Turn::Upgrade {
                    self.upgrades = Some(cpu);
                    return Ok(true);
                }
            }
        }
        Ok(self.replay.tapes.more()?)
    }

    /// Takes the next call on a CPU, if that may begin.
    fn next_call(&mut self, cpu: usize) -> Result<Option<Call>, Error> {
        let begins = match self.replay.turn(cpu)? {
            Turn::Due | Turn::Lock(..) => !self.replay.waits_for_loan(cpu),
            Turn::Upgrade => self.upgrades.take_if(|upgrades| *upgrades == cpu).is_some(),
            Turn::Read if self.replay.tapes.nr_read() < READ_AHEAD => {
                return Ok(self.replay.tapes.more()?.then(Call::default));
            }
            _ => false,
        };
        let mut call = Call::default();
        if begins {
            self.replay.tapes.take(cpu, &mut call);
        }
        Ok(begins.then_some(call))
    }
}

impl Threads {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread of a CPU.
    fn run(self: &Arc<Self>, cpu: usize) {
        THREADS.set(Some(Arc::clone(self)));
        let mut held = Held::new(self);
        while held.state().over.is_none() {
            match held.state().next_call(cpu) {
                Ok(Some(call)) => held = self.make(held, cpu, call),
                Ok(None) => held.wait(),
                Err(error) => held.ends(Err(error)),
            }
        }
    }

    /// Makes a call, or does what another record says.
    fn make<'t>(&'t self, mut held: Held<'t>, cpu: usize, mut call: Call) -> Held<'t> {
        let replay = &mut held.state().replay;
        if call == Call::default() {
            // More has been read.
            held.moved();
            return held;
        }
        if !is_call(call.record.event) {
            if let Err(error) = replay.make(&mut call) {
                held.ends(Err(error));
            }
            held.moved();
            return held;
        }
        replay.note(&call);
        let job = match replay.prepare(&call) {
            Ok(job) => job,
            Err(what) => {
                let error = replay.differs(&call, what);
                held.ends(Err(error));
                return held;
            }
        };
        let slot = replay.use_token(&job);
        held.state().calls.insert(cpu, call.record);
        // Others may go by the calls about the task that there were.
        held.moved();
        drop(held);
        let (answer, wrong) = make_here(&job, mem::take(&mut call.asked));
        IN_CALL.with_borrow_mut(|now| call.asked = mem::take(&mut now.asked));
        let mut held = Held::new(self);
        let state = held.state();
        state.calls.remove(&cpu);
        let checked = state.replay.check(&call, &answer, wrong);
        if let Some(slot) = slot {
            let lent = is_lent(call.record.event);
            state.replay.free_after_use(slot, lent);
        }
        if let Err(error) = checked {
            held.ends(Err(error));
        }
        held.moved();
        held
    }
}

fn of_this_thread() -> Arc<Threads> {
    THREADS.with_borrow(|threads| threads.clone().expect("this is one of the threads"))
}

/// In a call: lends what all calls have in common.
pub(super) fn with<R>(f: impl FnOnce(&mut InCall, &mut Shared) -> R) -> R {
    let threads = of_this_thread();
    let mut state = threads.lock();
    IN_CALL.with_borrow_mut(|now| f(now, &mut state.shared))
}

/// In a call: waits until a lock is free, and was taken so often.
pub(super) fn wait_for_lock(lock: u64, nth: u64) {
    let threads = of_this_thread();
    let mut held = Held::new(&threads);
    loop {
        let taken = SHARED.with_borrow_mut(|shared| shared.take_if_free(lock, nth));
        if taken {
            held.moved();
            return;
        }
        if held.state().over.is_some() {
            // The call must not go on, and nobody waits for it.
            held.state().live -= 1;
            drop(held);
            loop {
                thread::park();
            }
        }
        held.wait();
    }
}

/// In a call: a lock is free again.
pub(super) fn unlocked(lock: u64) {
    let threads = of_this_thread();
    let mut held = Held::new(&threads);
    SHARED.with_borrow_mut(|shared| shared.held.remove(&lock));
    held.moved();
}

impl Replay<Source> {
    /// Makes all calls, with a thread for each CPU.
    ///
    /// # Errors
    ///
    /// As [`Replay::run`]. Then threads may be left that are in a call.
    pub fn run_threads(self) -> (Report, Result<(), Error>) {
        // Of others there are no calls that could be made.
        let possible = self.tapes.machine.iter().enumerate();
        let possible = possible.filter_map(|(cpu, known)| known.map(|_| cpu));
        let cpus: Vec<usize> = possible.collect();
        let threads = Arc::new(Threads {
            state: Mutex::new(State {
                replay: self,
                shared: SHARED.take(),
                live: cpus.len(),
                waiting: 0,
                latest: 0,
                calls: BTreeMap::new(),
                upgrades: None,
                over: None,
            }),
            moved: Condvar::new(),
        });
        let mut running = Vec::new();
        if cpus.is_empty() {
            let mut held = Held::new(&threads);
            while held.state().over.is_none() {
                held.nobody_moves();
            }
        }
        for cpu in cpus {
            let more = Arc::clone(&threads);
            match thread::Builder::new().spawn(move || more.run(cpu)) {
                Ok(thread) => running.push(thread),
                Err(error) => Held::new(&threads).ends(Err(error.into())),
            }
        }
        MODE.set(Mode::Alone);
        let mut state = threads.lock();
        while state.over.is_none() {
            let woken = threads.moved.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        let over = state.over.take().unwrap_or(Ok(()));
        // For who looks whether it is.
        state.over = Some(Ok(()));
        let report = state.replay.report;
        drop(state);
        if over.is_ok() {
            // Nobody is in a call.
            for thread in running {
                let _ = thread.join();
            }
        } else {
            // The policy may be in use, for ever.
            LEFT.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Arc::into_raw(threads) as usize);
        }
        (report, over)
    }
}
