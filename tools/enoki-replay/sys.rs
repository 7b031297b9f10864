// SPDX-License-Identifier: GPL-2.0

//! What libEnoki is made of in user space.
//!
//! The module of the same name in `rust/enoki/` is the kernel's. What the class does there is done
//! by [`crate::sim`] here.

use crate::{
    cpu::{CpuId, Topology},
    records::event,
    replay, sim, token,
};
use std::{
    fmt,
    ops::{Deref, DerefMut},
    ptr::NonNull,
    str::FromStr,
    sync::{
        atomic::{AtomicU64, Ordering},
        Mutex, MutexGuard, OnceLock,
    },
};

pub(crate) use std::ffi::{c_char, c_int, c_void};

pub(crate) type Box<T> = std::boxed::Box<T>;
pub(crate) type Array<T> = Vec<T>;

/// The C structures of `include/linux/sched/enoki.h`. Its comments explain them.
mod raw {
    use super::{c_char, c_int, c_void};

    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    pub(crate) struct RawInfo {
        pub(crate) id: u64,
        pub(crate) runtime_ns: u64,
        pub(crate) weight: u32,
        pub(crate) nice: i32,
        pub(crate) nr_cpus_allowed: u32,
        pub(crate) flags: u32,
    }

    #[repr(C)]
    pub(crate) struct RawTask {
        pub(crate) info: RawInfo,
        pub(crate) gen: u64,
        pub(crate) slot: u32,
        pub(crate) cpu: i32,
        pub(crate) es: *mut RawSched,
        pub(crate) free_next: *mut RawTask,
        pub(crate) receipt: *mut c_void,
        pub(crate) epoch: u32,
        pub(crate) reserved: u32,
    }

    impl Default for RawTask {
        fn default() -> RawTask {
            RawTask {
                info: RawInfo::default(),
                gen: 0,
                slot: 0,
                cpu: 0,
                es: std::ptr::null_mut(),
                free_next: std::ptr::null_mut(),
                receipt: std::ptr::null_mut(),
                epoch: 0,
                reserved: 0,
            }
        }
    }

    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    pub(crate) struct RawKey {
        pub(crate) gen: u64,
        pub(crate) slot: u32,
        pub(crate) cpu: i32,
    }

    /// The simulator's registration.
    pub(crate) enum RawSched {}

    #[repr(C)]
    pub(crate) struct RawCtx {
        pub(crate) now_ns: u64,
        pub(crate) cpu: i32,
        pub(crate) flags: u32,
        pub(crate) es: *mut RawSched,
    }

    #[repr(C)]
    #[derive(Clone, Copy)]
    pub(crate) struct RawLayout {
        pub(crate) name: [u8; 32],
        pub(crate) size: u32,
        pub(crate) version: u32,
        pub(crate) hash: u64,
    }

    #[repr(C)]
    pub(crate) struct RawOlder {
        pub(crate) state: RawLayout,
        pub(crate) task_state: RawLayout,
        pub(crate) exchange: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
        pub(crate) task_from_older: Option<unsafe extern "C" fn(Task, *const RawTask)>,
        pub(crate) task_to_older: Option<unsafe extern "C" fn(Task, *const RawTask)>,
    }

    type Sched = *mut c_void;
    type Ctx = *const RawCtx;
    type Task = *mut RawTask;
    type Give = unsafe extern "C" fn(Sched, Ctx, Task);
    type Change = unsafe extern "C" fn(Sched, Ctx, Task, *const RawInfo);
    type OfCpu = unsafe extern "C" fn(Sched, Ctx, i32);

    #[repr(C)]
    pub(crate) struct RawOps {
        pub(crate) abi_version: u32,
        pub(crate) size: u32,
        pub(crate) task_size: u32,
        pub(crate) id: u32,
        pub(crate) nr_timers: u32,
        pub(crate) timeout_ms: u32,
        pub(crate) flags: u32,
        pub(crate) nr_older: u32,
        pub(crate) hint: RawLayout,
        pub(crate) message: RawLayout,
        pub(crate) state: RawLayout,
        pub(crate) task_state: RawLayout,
        pub(crate) older: *const RawOlder,
        pub(crate) name: [u8; 32],
        pub(crate) version: [u8; 32],
        pub(crate) owner: *mut c_void,
        pub(crate) parameters: Option<unsafe extern "C" fn(*mut c_char, u32) -> u32>,
        pub(crate) new_sched: Option<unsafe extern "C" fn(*mut Sched) -> c_int>,
        pub(crate) free_sched: Option<unsafe extern "C" fn(Sched)>,
        pub(crate) init_task:
            Option<unsafe extern "C" fn(Sched, *const RawInfo, *mut Task) -> c_int>,
        pub(crate) free_task: Option<unsafe extern "C" fn(Task)>,
        pub(crate) task_new: Option<Give>,
        pub(crate) task_wakeup: Option<unsafe extern "C" fn(Sched, Ctx, Task, u32)>,
        pub(crate) task_preempt: Option<Give>,
        pub(crate) task_yield: Option<Give>,
        pub(crate) task_migrated: Option<unsafe extern "C" fn(Sched, Ctx, Task, i32)>,
        pub(crate) task_blocked: Option<Give>,
        pub(crate) task_dead: Option<Give>,
        pub(crate) task_departed: Option<Give>,
        pub(crate) select_task_rq: Option<unsafe extern "C" fn(Sched, Ctx, Task, i32, u32) -> i32>,
        pub(crate) pick_next_task: Option<unsafe extern "C" fn(Sched, Ctx, Task, *mut u64) -> Task>,
        pub(crate) pnt_err: Option<unsafe extern "C" fn(Sched, Ctx, Task, u32)>,
        pub(crate) task_tick: Option<unsafe extern "C" fn(Sched, Ctx, Task) -> bool>,
        pub(crate) wakeup_preempt: Option<unsafe extern "C" fn(Sched, Ctx, Task, u64) -> bool>,
        pub(crate) balance: Option<unsafe extern "C" fn(Sched, Ctx, *mut RawKey) -> bool>,
        pub(crate) balance_err: Option<unsafe extern "C" fn(Sched, Ctx, *const RawKey, u32)>,
        pub(crate) migrate_task_rq: Option<unsafe extern "C" fn(Sched, Ctx, Task, u32) -> Task>,
        pub(crate) task_rescued: Option<unsafe extern "C" fn(Sched, Ctx, u64, u64)>,
        pub(crate) nr_queued: Option<unsafe extern "C" fn(Sched, Ctx) -> i64>,
        pub(crate) task_prio_changed: Option<Change>,
        pub(crate) task_affinity_changed: Option<Change>,
        pub(crate) cpu_online: Option<OfCpu>,
        pub(crate) cpu_offline: Option<OfCpu>,
        pub(crate) timer_fired: Option<unsafe extern "C" fn(Sched, Ctx, u32)>,
        pub(crate) register_queue: Option<unsafe extern "C" fn(Sched, Ctx, u64, u32) -> c_int>,
        pub(crate) unregister_queue: Option<unsafe extern "C" fn(Sched, Ctx, u64)>,
        pub(crate) enter_queue: Option<unsafe extern "C" fn(Sched, Ctx, u64, u32) -> u32>,
        pub(crate) parse_hint: Option<
            unsafe extern "C" fn(Sched, Ctx, u64, Task, *const RawInfo, *const c_void) -> c_int,
        >,
        pub(crate) reregister_prep: Option<unsafe extern "C" fn(Sched, Ctx) -> *mut c_void>,
        pub(crate) reregister_init: Option<unsafe extern "C" fn(Sched, Ctx) -> c_int>,
    }
}

pub(crate) use raw::{RawCtx, RawInfo, RawKey, RawLayout, RawOlder, RawOps, RawSched, RawTask};

pub(crate) const ABI_VERSION: u32 = 8;
pub(crate) const MAX_ID: u32 = 99;
pub(crate) const MAX_TIMERS: u32 = 64;
pub(crate) const MAX_HINT_SIZE: u32 = 240;
pub(crate) const QUEUE_HINTS: u32 = 0;
pub(crate) const QUEUE_MESSAGES: u32 = 1;
pub(crate) const OPS_WEIGHTED: u32 = 1 << 0;
pub(crate) const MIN_TIMEOUT_MS: u32 = 100;
pub(crate) const MAX_TIMEOUT_MS: u32 = 60_000;
pub(crate) const TASK_KTHREAD: u32 = 1 << 0;
pub(crate) const TASK_PINNED: u32 = 1 << 1;
pub(crate) const WAKE_FORK: u32 = 1 << 0;
pub(crate) const WAKE_SYNC: u32 = 1 << 1;
pub(crate) const WAKE_MIGRATED: u32 = 1 << 2;
pub(crate) const ERR_STALE: u32 = 1;
pub(crate) const ERR_CPU: u32 = 2;
pub(crate) const ERR_STATE: u32 = 3;
pub(crate) const ERR_AFFINITY: u32 = 4;
pub(crate) const ERR_RACE: u32 = 5;
pub(crate) const ERR_OFFLINE: u32 = 6;
pub(crate) const LEAVE_MIGRATE: u32 = 1;
pub(crate) const LEAVE_BOOST: u32 = 2;
pub(crate) const LEAVE_DETACH: u32 = 3;
pub(crate) const LEAVE_OVERRIDE: u32 = 4;
pub(crate) const LEAVE_RESCUE: u32 = 5;

/// An error number of the kernel's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(c_int);

impl Error {
    /// The number, negative.
    pub fn to_errno(self) -> c_int {
        self.0
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({})", -self.0)
    }
}

/// A result with an error number.
pub type Result<T = (), E = Error> = std::result::Result<T, E>;

/// The error numbers that policies use.
pub(crate) mod code {
    use super::Error;

    /// Operation not permitted.
    pub const EPERM: Error = Error(-1);
    /// No such file or directory.
    pub const ENOENT: Error = Error(-2);
    /// No such process.
    pub const ESRCH: Error = Error(-3);
    /// Interrupted system call.
    pub const EINTR: Error = Error(-4);
    /// I/O error.
    pub const EIO: Error = Error(-5);
    /// No such device or address.
    pub const ENXIO: Error = Error(-6);
    /// Argument list too long.
    pub const E2BIG: Error = Error(-7);
    /// Try again.
    pub const EAGAIN: Error = Error(-11);
    /// Out of memory.
    pub const ENOMEM: Error = Error(-12);
    /// Permission denied.
    pub const EACCES: Error = Error(-13);
    /// Bad address.
    pub const EFAULT: Error = Error(-14);
    /// Device or resource busy.
    pub const EBUSY: Error = Error(-16);
    /// File exists.
    pub const EEXIST: Error = Error(-17);
    /// No such device.
    pub const ENODEV: Error = Error(-19);
    /// Invalid argument.
    pub const EINVAL: Error = Error(-22);
    /// No space left on device.
    pub const ENOSPC: Error = Error(-28);
    /// Math argument out of domain of func.
    pub const EDOM: Error = Error(-33);
    /// Math result not representable.
    pub const ERANGE: Error = Error(-34);
    /// Value too large for defined data type.
    pub const EOVERFLOW: Error = Error(-75);
    /// Message too long.
    pub const EMSGSIZE: Error = Error(-90);
    /// Operation not supported on transport endpoint.
    pub const EOPNOTSUPP: Error = Error(-95);
    /// Connection timed out.
    pub const ETIMEDOUT: Error = Error(-110);
}

pub(crate) fn boxed<T>(value: T) -> Result<Box<T>> {
    Ok(Box::new(value))
}

pub(crate) fn array<T>(len: u32, make: impl FnMut(u32) -> Result<T>) -> Result<Array<T>> {
    (0..len).map(make).collect()
}

pub(crate) struct Tag(AtomicU64);

impl Tag {
    pub(crate) const fn new(value: u64) -> Tag {
        Tag(AtomicU64::new(value))
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed)
    }
}

pub(crate) fn unique_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(token::FIRST_CONTAINER);

    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A lock around a `T`, taken by [`Ctx::lock()`](crate::ctx::Ctx::lock).
pub struct Lock<T> {
    value: Mutex<T>,
    /// Which lock it is, of all there have been.
    number: u64,
}

impl<T> Lock<T> {
    /// For [`new_lock!`](crate::new_lock).
    #[doc(hidden)]
    pub fn __new(value: T) -> Result<Lock<T>> {
        Ok(Lock {
            value: Mutex::new(value),
            number: unique_id(),
        })
    }

    /// What is behind it, for whom nobody else can get at it anyway.
    pub fn get_mut(&mut self) -> &mut T {
        self.value
            .get_mut()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// Makes a [`Lock`](crate::prelude::Lock) around a value.
#[macro_export]
macro_rules! new_lock {
    ($value:expr $(,)?) => {
        $crate::prelude::Lock::__new($value)
    };
}

/// A lock that is held, until this is dropped.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct Guard<'a, T> {
    guard: MutexGuard<'a, T>,
    number: u64,
}

impl<'a, T> Guard<'a, T> {
    /// # Safety
    ///
    /// None; the kernel's has to know the policy.
    pub(crate) unsafe fn new(lock: &'a Lock<T>, _es: *mut RawSched) -> Guard<'a, T> {
        replay::take_lock(lock.number);
        Guard {
            guard: lock
                .value
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
            number: lock.number,
        }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        replay::unlock(self.number);
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T: Unpin> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

pub(crate) fn nr_cpu_ids() -> u32 {
    replay::nr_cpus().unwrap_or_else(|| sim::with(|world| world.nr_cpus()))
}

pub(crate) fn cpu_possible(cpu: CpuId) -> bool {
    replay::cpu_possible(cpu.as_u32()).unwrap_or(true)
}

pub(crate) fn cpu_active(cpu: CpuId) -> bool {
    replay::answer().unwrap_or_else(|| sim::with(|world| world.active(cpu.as_u32())))
}

pub(crate) fn cpu_idle(cpu: CpuId) -> bool {
    replay::answer().unwrap_or_else(|| sim::with(|world| world.idle(cpu.as_u32())))
}

pub(crate) fn resched_cpu(cpu: CpuId) {
    if replay::asked(event::RESCHED, 0, cpu.as_u32().into()).is_none() {
        sim::with(|world| world.resched(cpu.as_u32()))
    }
}

pub(crate) fn topology(cpu: CpuId) -> Topology {
    if let Some(topology) = replay::topology(cpu) {
        return topology;
    }
    let place = sim::with(|world| world.place(cpu.as_u32()));
    Topology {
        core: CpuId::new(place.core).unwrap_or(cpu),
        llc: CpuId::new(place.llc).unwrap_or(cpu),
        node: place.node,
    }
}

pub(crate) fn task_allowed(task: &RawTask, cpu: CpuId) -> bool {
    replay::answer().unwrap_or_else(|| sim::with(|world| world.allowed(task.slot, cpu.as_u32())))
}

/// # Safety
///
/// None here; the kernel's has some.
pub(crate) unsafe fn token_drop(task: NonNull<RawTask>) {
    // SAFETY: The caller owns the task.
    let (slot, id) = unsafe { (task.as_ref().slot, task.as_ref().info.id) };
    if replay::drop_token(slot, id).is_none() {
        sim::with(|world| world.dropped(slot));
    }
}

/// # Safety
///
/// None here; the kernel's has some.
pub(crate) unsafe fn timer_arm(_es: *mut RawSched, timer: u32, delay_ns: u64) -> Result<()> {
    if let Some(armed) = replay::arm_timer(timer, delay_ns) {
        return armed;
    }
    sim::with(|world| world.arm(timer, delay_ns))
}

/// # Safety
///
/// None here; the kernel's has some.
pub(crate) unsafe fn timer_cancel(_es: *mut RawSched, timer: u32) {
    if replay::asked(event::TIMER_CANCEL, timer.into(), 0).is_none() {
        sim::with(|world| world.cancel(timer))
    }
}

/// # Safety
///
/// None here; the kernel's has some.
pub(crate) unsafe fn log(_es: *mut RawSched, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    if replay::log(&line).is_none() {
        sim::with(|world| world.log(&line))
    }
}

/// # Safety
///
/// None here; the kernel's has some.
pub(crate) unsafe fn queue_send(_es: *mut RawSched, queue: u64, message: &[u8]) -> Result<()> {
    if let Some(sent) = replay::asked(event::SEND, queue, 0) {
        return match sent as i32 {
            0 => Ok(()),
            err if Error(err) == code::ENOSPC || Error(err) == code::EBUSY => Err(code::ENOSPC),
            _ => Err(code::ENOENT),
        };
    }
    sim::with(|world| world.send(queue, message))
}

/// A parameter of a module.
pub struct Param<T> {
    default: T,
    given: OnceLock<T>,
}

impl<T: Copy + FromStr> Param<T> {
    /// A parameter with that default value.
    pub const fn new(default: T) -> Param<T> {
        Param {
            default,
            given: OnceLock::new(),
        }
    }

    /// Its value.
    pub fn value(&self) -> T {
        self.given.get().copied().unwrap_or(self.default)
    }

    /// Gives it a value. Returns whether that can be one, and is the first.
    pub fn set(&self, value: &str) -> bool {
        value
            .parse()
            .is_ok_and(|value| self.given.set(value).is_ok())
    }
}

/// Gives a parameter of that name a value; [`None`] if there is none of that name.
pub(crate) type SetParam = fn(&str, &str) -> Option<bool>;

/// Makes a program of a [`Scheduler`](crate::sched::Scheduler).
///
/// In the kernel it makes a module. Here it makes a `main()` that drives the policy through random
/// events, and fails if it loses a task or gives a wrong answer: `NAME [SEED [EVENTS]]`.
#[macro_export]
macro_rules! module_enoki_scheduler {
    (
        type: $type:ty,
        name: $name:literal,
        authors: $authors:tt,
        description: $description:literal,
        license: $license:literal
        $(, with: [$($with:ident),* $(,)?])?
        $(, older: [$(($($older:ty),+)),* $(,)?])?
        $(, params: {
            $($param:ident: $ptype:ident {
                default: $default:expr,
                description: $about:literal $(,)?
            }),* $(,)?
        })? $(,)?
    ) => {
        #[allow(dead_code, non_upper_case_globals)]
        mod module_parameters {
            $($(pub(crate) static $param: $crate::__Param<$ptype> =
                $crate::__Param::new($default);)*)?

            pub(crate) fn set(name: &str, value: &str) -> Option<bool> {
                $($(if name == ::core::stringify!($param) {
                    return Some($param.set(value));
                })*)?
                let _ = (name, value);
                None
            }
        }

        #[cfg(test)]
        mod host_tests {
            use super::*;

            #[test]
            fn random_events() {
                $crate::tests::random_events::<$type>();
            }

            #[test]
            fn shares() {
                $crate::tests::hogs_share::<$type>();
            }

            #[test]
            fn sleepers() {
                $crate::tests::what_a_sleeper_gets_is_bounded::<$type>();
                $crate::tests::nobody_is_owed_for_running_alone::<$type>();
            }

            #[test]
            fn stops() {
                $crate::tests::a_stopped_machine_is_nobodys_fault::<$type>();
            }

            #[test]
            fn steals() {
                $crate::tests::idle_cpus_steal::<$type>();
            }
        }

        #[allow(dead_code)]
        fn main() {
            let ops = const {
                $crate::__Ops::<$type>::new()$($(.$with())*)?
                    $(.older(const { &[$($crate::__older!($type, $($older),+)),*] }))?
            };
            $crate::replay::main(ops, module_parameters::set);
        }
    };
}
