// SPDX-License-Identifier: GPL-2.0

//! The call that a policy is in: which CPU, when, and what it may ask for.

use crate::{
    cpu::{CpuId, Cpus, Topology},
    hint::{self, Hint, QueueId, SendError},
    sys::{self, RawCtx},
    time::Ns,
    token::{Brand, NotSend, Runnable, Schedulable, Task},
};
use core::{fmt, marker::PhantomData};

/// The CPU that a call is about, at the time of the call.
///
/// Its lifetime `'c` is that of the call, and stands for the CPU: a [`Runnable`] that was claimed
/// here fits no other call. (The CPU need not be the one that executes the call: with core
/// scheduling a CPU picks for its siblings, too.)
#[derive(Clone, Copy)]
pub struct Cpu<'c> {
    id: CpuId,
    now: Ns,
    _brand: Brand<'c>,
    _not_send: NotSend,
}

impl<'c> Cpu<'c> {
    /// Its number.
    #[inline]
    pub fn id(&self) -> CpuId {
        self.id
    }

    /// The time at the beginning of the call; see [`Ctx::now()`].
    #[inline]
    pub fn now(&self) -> Ns {
        self.now
    }

    /// Makes a token the answer for this CPU.
    ///
    /// # Errors
    ///
    /// Gives the token back when its task is on another CPU's run queue. Let the class move it
    /// here first, by naming it in [`balance`](crate::sched::Scheduler::balance).
    #[inline]
    pub fn claim<T>(&self, token: Schedulable<T>) -> Result<Runnable<'c, T>, Schedulable<T>> {
        if token.cpu() == self.id {
            Ok(Runnable::new(token))
        } else {
            Err(token)
        }
    }
}

/// What a policy's operation may use.
///
/// Interrupts are off in every call that has a context, and in most the run queue of
/// [`cpu()`](Self::cpu) is locked. So nothing here sleeps, allocates or prints at once.
pub struct Ctx<'c> {
    raw: &'c RawCtx,
    _brand: Brand<'c>,
    _not_send: NotSend,
}

impl<'c> Ctx<'c> {
    /// Takes over a context from the class.
    ///
    /// # Safety
    ///
    /// `raw` must be valid, and not be written, for `'c`, its `cpu` the number of a possible CPU
    /// and its `es` the policy's registration. Interrupts must be off for `'c`.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: *const RawCtx) -> Ctx<'c> {
        Ctx {
            // SAFETY: By the requirements of this function.
            raw: unsafe { &*raw },
            _brand: PhantomData,
            _not_send: PhantomData,
        }
    }

    /// The CPU that the call is about: the one whose run queue is locked, or else the one that
    /// executes the call.
    #[inline]
    pub fn cpu(&self) -> Cpu<'c> {
        Cpu {
            // SAFETY: By the requirements of `from_raw()`.
            id: unsafe { CpuId::from_raw(self.raw.cpu) },
            now: self.now(),
            _brand: PhantomData,
            _not_send: PhantomData,
        }
    }

    /// The time at the beginning of the call: the run queue's clock, or the CPU's own where no run
    /// queue is locked, as in `select_task_rq()` and `timer_fired()`. A run queue's clock never
    /// goes backwards, but may be behind its CPU's by what an interrupt takes; clocks of different
    /// CPUs must not be compared.
    #[inline]
    pub fn now(&self) -> Ns {
        Ns(self.raw.now_ns)
    }

    /// Takes a lock.
    ///
    /// The guard borrows the context, so that a policy never holds two locks, and holds none when
    /// it asks the class for something: it does not wait for itself.
    #[inline]
    pub fn lock<'a, X: Unpin>(&'a mut self, lock: &'a sys::Lock<X>) -> sys::Guard<'a, X> {
        // SAFETY: By the requirements of `from_raw()`.
        unsafe { sys::Guard::new(lock, self.raw.es) }
    }

    /// The CPUs that may ever come online. See [`cpu_active()`](Self::cpu_active).
    #[inline]
    pub fn cpus(&self) -> Cpus {
        Cpus::new()
    }

    /// Where `cpu` stands, now; CPUs that are offline are not counted.
    #[inline]
    pub fn topology(&self, cpu: CpuId) -> Topology {
        sys::topology(cpu)
    }

    /// Whether tasks may be placed on `cpu`, now.
    #[inline]
    pub fn cpu_active(&self, cpu: CpuId) -> bool {
        sys::cpu_active(cpu)
    }

    /// Whether `cpu` has nothing to run, of any class, now.
    #[inline]
    pub fn cpu_idle(&self, cpu: CpuId) -> bool {
        sys::cpu_idle(cpu)
    }

    /// A CPU that `task` can be placed on: `cpu` if it may run there, else some other one.
    #[inline]
    pub fn usable_cpu<T>(&self, task: &Task<T>, cpu: CpuId) -> CpuId {
        if task.allowed_on(cpu) {
            return cpu;
        }
        self.cpus()
            .find(|&other| task.allowed_on(other) && self.cpu_active(other))
            .unwrap_or(cpu)
    }

    /// A CPU that has nothing to run and that `task` can be placed on: `cpu` if it is one, else
    /// some other one; if there is none, [`usable_cpu()`](Self::usable_cpu).
    #[inline]
    pub fn idle_cpu<T>(&self, task: &Task<T>, cpu: CpuId) -> CpuId {
        let idle = |&other: &CpuId| {
            task.allowed_on(other) && self.cpu_active(other) && self.cpu_idle(other)
        };
        Some(cpu)
            .filter(idle)
            .or_else(|| self.cpus().filter(|&other| other != cpu).find(idle))
            .unwrap_or_else(|| self.usable_cpu(task, cpu))
    }

    /// Has `cpu` choose anew soon: `pick_next_task` is called if tasks of the policy are ready
    /// there, else `balance`. Nothing happens while a task of a higher class runs there.
    #[inline]
    pub fn resched(&self, cpu: CpuId) {
        sys::resched_cpu(cpu);
    }

    /// Has [`timer_fired`](crate::sched::Scheduler::timer_fired) called with `timer` after
    /// `delay`, 5 µs at the least, on this CPU. If the timer is armed already, the later call
    /// counts.
    ///
    /// # Errors
    ///
    /// `EINVAL` when the policy has no timer of that number: they go from 0 to below
    /// [`TIMERS`](crate::sched::Scheduler::TIMERS).
    #[inline]
    pub fn arm_timer(&self, timer: u32, delay: Ns) -> sys::Result<()> {
        // SAFETY: By the requirements of `from_raw()`, `es` is a live registration.
        unsafe { sys::timer_arm(self.raw.es, timer, delay.0) }
    }

    /// Disarms a timer. A call of `timer_fired` that is on its way still comes.
    #[inline]
    pub fn cancel_timer(&self, timer: u32) {
        // SAFETY: By the requirements of `from_raw()`, `es` is a live registration.
        unsafe { sys::timer_cancel(self.raw.es, timer) }
    }

    /// Sends a message to a client, which is woken up if it waits for one.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] if the client has not read enough of those before, and in
    /// [`reregister_init`](crate::upgrade::Upgrade::reregister_init), as that may be undone.
    /// [`SendError::Gone`] if it takes no messages (any more).
    #[inline]
    pub fn send<M: Hint>(&self, queue: QueueId<M>, message: &M) -> Result<(), SendError> {
        // SAFETY: By the requirements of `from_raw()`, `es` is a live registration.
        unsafe { hint::send(self.raw.es, queue, message) }
    }

    /// Logs a line, later. Use [`log!`](crate::log).
    #[doc(hidden)]
    #[inline(never)]
    pub fn log_args(&self, args: fmt::Arguments<'_>) {
        let mut line = Line {
            text: [0; Line::CAPACITY],
            len: 0,
        };
        // It cannot fail: what does not fit is cut off.
        let _ = fmt::Write::write_fmt(&mut line, args);
        // SAFETY: By the requirements of `from_raw()`, `es` is a live registration.
        unsafe { sys::log(self.raw.es, line.as_bytes()) }
    }
}

/// A line of text on the stack.
struct Line {
    text: [u8; Line::CAPACITY],
    len: usize,
}

impl Line {
    /// The longest line, in bytes.
    const CAPACITY: usize = 120;

    fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let free = self.text.get_mut(self.len..).unwrap_or_default();
        for (to, from) in free.iter_mut().zip(text.bytes()) {
            *to = from;
            self.len = self.len.wrapping_add(1);
        }
        Ok(())
    }
}

/// Logs a line to the kernel log: `log!(ctx, "{} tasks", n)`.
///
/// It is formatted at once, on the stack and cut off at 120 bytes, and printed later, because
/// printing is not possible under a run queue's lock. If lines come faster than they can be
/// printed, some are dropped.
#[macro_export]
macro_rules! log {
    ($ctx:expr, $($arg:tt)+) => {
        $ctx.log_args(::core::format_args!($($arg)+))
    };
}
