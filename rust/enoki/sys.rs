// SPDX-License-Identifier: GPL-2.0

//! What libEnoki is made of in the kernel.
//!
//! The user-space crate has a module of the same name and contents, made of `std`.

use crate::{
    cpu::{CpuId, Topology},
    hint::Ops,
    sched::Scheduler,
    token,
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::{Deref, DerefMut},
    pin::Pin,
    ptr::{self, NonNull},
};
use kernel::{
    alloc::{flags::GFP_KERNEL, KBox, KVec},
    bindings,
    cpumask,
    error::from_err_ptr,
    jump_label::static_branch_unlikely,
    prelude::{CStr, InPlaceInit},
    sync::{
        atomic::{Atomic, Relaxed},
        LockClassKey,
        RawSpinLock,
        RawSpinLockGuard, //
    },
    ThisModule, //
};

pub(crate) use kernel::error::code;
pub use kernel::error::{Error, Result};
pub(crate) use kernel::ffi::{c_char, c_int, c_void};

pub(crate) use bindings::{
    enoki_ctx as RawCtx,
    enoki_key as RawKey,
    enoki_layout as RawLayout,
    enoki_older as RawOlder,
    enoki_ops as RawOps,
    enoki_sched as RawSched,
    enoki_task as RawTask,
    enoki_task_info as RawInfo, //
};

pub(crate) const ABI_VERSION: u32 = bindings::ENOKI_ABI_VERSION;
pub(crate) const MAX_ID: u32 = bindings::ENOKI_MAX_ID;
pub(crate) const MAX_HINT_SIZE: u32 = bindings::ENOKI_MAX_HINT_SIZE;
pub(crate) const QUEUE_HINTS: u32 = bindings::enoki_queue_kind_ENOKI_QUEUE_HINTS;
pub(crate) const MAX_TIMERS: u32 = bindings::ENOKI_MAX_TIMERS;
pub(crate) const OPS_WEIGHTED: u32 = bindings::enoki_ops_flags_ENOKI_OPS_WEIGHTED;
pub(crate) const MIN_TIMEOUT_MS: u32 = bindings::ENOKI_MIN_TIMEOUT_MS;
pub(crate) const MAX_TIMEOUT_MS: u32 = bindings::ENOKI_MAX_TIMEOUT_MS;
pub(crate) const TASK_KTHREAD: u32 = bindings::enoki_task_flags_ENOKI_TASK_KTHREAD;
pub(crate) const TASK_PINNED: u32 = bindings::enoki_task_flags_ENOKI_TASK_PINNED;
pub(crate) const WAKE_FORK: u32 = bindings::enoki_wake_flags_ENOKI_WAKE_FORK;
pub(crate) const WAKE_SYNC: u32 = bindings::enoki_wake_flags_ENOKI_WAKE_SYNC;
pub(crate) const WAKE_MIGRATED: u32 = bindings::enoki_wake_flags_ENOKI_WAKE_MIGRATED;
pub(crate) const ERR_STALE: u32 = bindings::enoki_err_ENOKI_ERR_STALE;
pub(crate) const ERR_CPU: u32 = bindings::enoki_err_ENOKI_ERR_CPU;
pub(crate) const ERR_STATE: u32 = bindings::enoki_err_ENOKI_ERR_STATE;
pub(crate) const ERR_AFFINITY: u32 = bindings::enoki_err_ENOKI_ERR_AFFINITY;
pub(crate) const ERR_RACE: u32 = bindings::enoki_err_ENOKI_ERR_RACE;
pub(crate) const ERR_OFFLINE: u32 = bindings::enoki_err_ENOKI_ERR_OFFLINE;
pub(crate) const LEAVE_MIGRATE: u32 = bindings::enoki_leave_ENOKI_LEAVE_MIGRATE;
pub(crate) const LEAVE_BOOST: u32 = bindings::enoki_leave_ENOKI_LEAVE_BOOST;
pub(crate) const LEAVE_DETACH: u32 = bindings::enoki_leave_ENOKI_LEAVE_DETACH;
pub(crate) const LEAVE_OVERRIDE: u32 = bindings::enoki_leave_ENOKI_LEAVE_OVERRIDE;
pub(crate) const LEAVE_RESCUE: u32 = bindings::enoki_leave_ENOKI_LEAVE_RESCUE;

/// Memory for one value.
pub(crate) type Box<T> = KBox<T>;

/// Allocates memory for a value. May sleep.
pub(crate) fn boxed<T>(value: T) -> Result<Box<T>> {
    Ok(KBox::new(value, GFP_KERNEL)?)
}

/// Memory for several values.
pub(crate) type Array<T> = KVec<T>;

/// Makes an array of what `make` returns for 0 to below `len`. May sleep.
pub(crate) fn array<T>(len: u32, mut make: impl FnMut(u32) -> Result<T>) -> Result<Array<T>> {
    let mut array = KVec::with_capacity(len as usize, GFP_KERNEL)?;
    for i in 0..len {
        array.push(make(i)?, GFP_KERNEL)?;
    }
    Ok(array)
}

/// A number that says who owns a task; it may be read at any time.
///
/// A 64-bit machine reads and writes it in one piece, as READ_ONCE() and WRITE_ONCE() do. It
/// orders nothing: whoever acts on what it reads holds the lock under which it was written.
pub(crate) struct Tag(UnsafeCell<u64>);

impl Tag {
    pub(crate) const fn new(value: u64) -> Tag {
        Tag(UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        // SAFETY: It points to a `u64`. A concurrent write is volatile, too.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        // SAFETY: It points to a `u64`. A concurrent read is volatile, too.
        unsafe { self.0.get().write_volatile(value) }
    }
}

/// A number that no container and no lock has had before.
pub(crate) fn unique_id() -> u64 {
    static NEXT: Atomic<u64> = Atomic::new(token::FIRST_CONTAINER);

    NEXT.fetch_add(1, Relaxed)
}

/// What a lock protects is in cache lines of its own.
#[repr(align(64))]
struct Aligned<T> {
    value: T,
    /// Which lock it is, of all there have been.
    number: u64,
    /// How often it was taken, as long as that was recorded.
    taken: u64,
}

/// The class of all policies' locks for lockdep. A policy holds one at a time, so that one class
/// says all there is to say. It is none of the policy's module, which may go before the lock does.
#[inline(never)]
fn lock_class() -> (&'static CStr, Pin<&'static LockClassKey>) {
    (c"enoki_policy_lock", kernel::static_lock_class!())
}

/// A lock around a `T`, taken by [`Ctx::lock()`](crate::ctx::Ctx::lock).
///
/// It spins. Made by [`new_lock!`](crate::new_lock), before operations run: making one allocates.
pub struct Lock<T>(Pin<KBox<RawSpinLock<Aligned<T>>>>);

impl<T> Lock<T> {
    /// For [`new_lock!`](crate::new_lock).
    #[doc(hidden)]
    pub fn __new(value: T) -> Result<Lock<T>> {
        let (name, class) = lock_class();
        let inside = Aligned {
            value,
            number: unique_id(),
            taken: 0,
        };
        let lock = RawSpinLock::new(inside, name, class);
        Ok(Lock(KBox::pin_init(lock, GFP_KERNEL)?))
    }

    /// What is behind it, for whom nobody else can get at it anyway.
    pub fn get_mut(&mut self) -> &mut T
    where
        T: Unpin,
    {
        let at = ptr::from_mut(&mut self.0.lock().value);
        // SAFETY: It is where the value is. As `self` is borrowed, nobody else takes the lock.
        unsafe { &mut *at }
    }
}

/// Makes a [`Lock`](crate::prelude::Lock) around a value: `new_lock!(FifoQueue::new())?`. May
/// sleep.
///
/// # Errors
///
/// `ENOMEM` when there is no memory for it.
#[macro_export]
macro_rules! new_lock {
    ($value:expr $(,)?) => {
        $crate::prelude::Lock::__new($value)
    };
}

/// A lock that is held, until this is dropped.
#[must_use = "the lock unlocks immediately when the guard is unused"]
pub struct Guard<'a, T>(RawSpinLockGuard<'a, Aligned<T>>);

impl<'a, T: Unpin> Guard<'a, T> {
    /// Takes the lock. The class is told how long that took, unless it was free.
    ///
    /// # Safety
    ///
    /// `es` must be a live registration or null, and interrupts off.
    #[inline]
    pub(crate) unsafe fn new(lock: &'a Lock<T>, es: *mut bindings::enoki_sched) -> Guard<'a, T> {
        // Lockdep learns in which order locks are taken only from those who would wait.
        let free = if cfg!(CONFIG_LOCKDEP) {
            None
        } else {
            lock.0.try_lock()
        };
        let guard = match free {
            Some(guard) => Guard(guard),
            // SAFETY: By the requirements of this function.
            None => unsafe { Guard::wait(lock, es) },
        };
        // SAFETY: It is a static key of the class's.
        if unsafe { static_branch_unlikely!(bindings::enoki_taping, bindings::enoki_taping, key) } {
            // SAFETY: By the requirements of this function.
            return unsafe { guard.recorded(es) };
        }
        guard
    }

    /// Has it recorded who takes the lock when.
    ///
    /// # Safety
    ///
    /// As for [`new()`](Self::new).
    #[cold]
    unsafe fn recorded(mut self, es: *mut bindings::enoki_sched) -> Guard<'a, T> {
        let inside = &mut *self.0;
        let nth = inside.taken;
        inside.taken = nth.wrapping_add(1);
        // SAFETY: By the requirements of this function; the lock is held.
        unsafe { bindings::enoki_tape_lock(es, inside.number, nth) };
        self
    }

    /// # Safety
    ///
    /// As for [`new()`](Self::new).
    #[cold]
    unsafe fn wait(lock: &'a Lock<T>, es: *mut bindings::enoki_sched) -> Guard<'a, T> {
        // SAFETY: It may be called anywhere.
        let since_ns = unsafe { bindings::enoki_lock_wait() };
        let guard = lock.0.lock();
        // SAFETY: By the requirements of this function.
        unsafe { bindings::enoki_lock_waited(es, since_ns) };
        Guard(guard)
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: Unpin> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0.value
    }
}

/// One more than the highest number a CPU may have.
#[inline]
pub(crate) fn nr_cpu_ids() -> u32 {
    kernel::cpu::nr_cpu_ids()
}

/// Whether the CPU may ever come online.
pub(crate) fn cpu_possible(cpu: CpuId) -> bool {
    kernel::cpu::CpuId::from_u32(cpu.as_u32()).is_some_and(|cpu| cpumask::possible().test(cpu))
}

/// Whether tasks may be placed on the CPU.
#[inline]
pub(crate) fn cpu_active(cpu: CpuId) -> bool {
    // SAFETY: The number is in range.
    unsafe { bindings::enoki_cpu_active(cpu.as_raw()) }
}

/// Whether the CPU has nothing to run.
#[inline]
pub(crate) fn cpu_idle(cpu: CpuId) -> bool {
    // SAFETY: The number is in range.
    unsafe { bindings::enoki_cpu_idle(cpu.as_raw()) }
}

/// Asks for a pick on the CPU.
#[inline]
pub(crate) fn resched_cpu(cpu: CpuId) {
    // SAFETY: The number is in range.
    unsafe { bindings::enoki_resched_cpu(cpu.as_raw()) }
}

/// Where the CPU stands.
pub(crate) fn topology(cpu: CpuId) -> Topology {
    let mut raw = bindings::enoki_topology::default();
    // SAFETY: The number is in range, and `raw` is valid for the call. It comes back filled with
    // numbers of possible CPUs.
    unsafe {
        bindings::enoki_cpu_topology(cpu.as_raw(), &mut raw);
        Topology {
            core: CpuId::from_raw(raw.smt),
            llc: CpuId::from_raw(raw.llc),
            node: raw.node,
        }
    }
}

/// Whether the task may run on the CPU.
#[inline]
pub(crate) fn task_allowed(task: &RawTask, cpu: CpuId) -> bool {
    // SAFETY: The task is borrowed, and the number is in range.
    unsafe { bindings::enoki_task_allowed(task, cpu.as_raw()) }
}

/// Gives a token back to the class out of turn.
///
/// # Safety
///
/// The caller must own the task, and not use it any more.
pub(crate) unsafe fn token_drop(task: NonNull<RawTask>) {
    // SAFETY: By the requirements of this function.
    unsafe { bindings::enoki_token_drop(task.as_ptr()) }
}

/// Arms a timer.
///
/// # Safety
///
/// `es` must be a live registration.
pub(crate) unsafe fn timer_arm(
    es: *mut bindings::enoki_sched,
    timer: u32,
    delay_ns: u64,
) -> Result<()> {
    // SAFETY: By the requirements of this function.
    match unsafe { bindings::enoki_timer_arm(es, timer, delay_ns) } {
        0 => Ok(()),
        // `to_result()` would print what is no error number.
        _ => Err(code::EINVAL),
    }
}

/// Disarms a timer.
///
/// # Safety
///
/// `es` must be a live registration.
pub(crate) unsafe fn timer_cancel(es: *mut bindings::enoki_sched, timer: u32) {
    // SAFETY: By the requirements of this function.
    unsafe { bindings::enoki_timer_cancel(es, timer) }
}

/// Hands over a line for the log.
///
/// # Safety
///
/// `es` must be a live registration.
pub(crate) unsafe fn log(es: *mut bindings::enoki_sched, line: &[u8]) {
    // SAFETY: By the requirements of this function; the class copies the line.
    unsafe { bindings::enoki_log(es, line.as_ptr(), line.len() as u32) }
}

/// Sends a message to a client.
///
/// # Safety
///
/// `es` must be a live registration.
#[inline]
pub(crate) unsafe fn queue_send(es: *mut RawSched, queue: u64, message: &[u8]) -> Result<()> {
    // SAFETY: By the requirements of this function; the class looks at the length.
    let sent = unsafe {
        bindings::enoki_queue_send(es, queue, message.as_ptr().cast(), message.len() as u32)
    };
    match sent {
        0 => Ok(()),
        // `to_result()` would print what is no error number.
        err if err == code::ENOSPC.to_errno() || err == code::EBUSY.to_errno() => Err(code::ENOSPC),
        _ => Err(code::ENOENT),
    }
}

/// A policy that is registered, until this is dropped.
///
/// # Invariants
///
/// `build` is a registration with the table `ops`.
#[doc(hidden)]
pub struct Registration<S: Scheduler> {
    build: NonNull<bindings::enoki_build>,
    #[expect(dead_code, reason = "the class has a pointer to it")]
    ops: KBox<RawOps>,
    _policy: PhantomData<S>,
}

// SAFETY: A registration only keeps what it has; a policy is `Send`, and the class can be called
// from any thread.
unsafe impl<S: Scheduler> Send for Registration<S> {}

// SAFETY: Nothing can be done with a shared reference to a registration.
unsafe impl<S: Scheduler> Sync for Registration<S> {}

impl<S: Scheduler> Registration<S> {
    /// Registers the policy, as number `id` and with `timeout_ms` where these are not 0. The class
    /// makes it when it goes into office. May sleep.
    pub fn new(
        ops: Ops<S>,
        module: &'static ThisModule,
        id: u32,
        timeout_ms: u32,
    ) -> Result<Registration<S>> {
        let mut ops = boxed(ops.into_raw())?;
        ops.owner = module.as_ptr();
        if id != 0 {
            ops.id = id;
        }
        if timeout_ms != 0 {
            ops.timeout_ms = timeout_ms;
        }
        // SAFETY: `ops` stays where it is until `enoki_unregister()`.
        let build = from_err_ptr(unsafe { bindings::enoki_register(&*ops) })?;
        Ok(Registration {
            build: NonNull::new(build).ok_or(code::EINVAL)?,
            ops,
            _policy: PhantomData,
        })
    }
}

impl<S: Scheduler> Drop for Registration<S> {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. When it returns, the class has freed the policy and calls
        // nothing any more.
        unsafe { bindings::enoki_unregister(self.build.as_ptr()) }
    }
}

/// Makes a kernel module of a [`Scheduler`](crate::sched::Scheduler).
///
/// It has the parameters `id`, by which the policy's number can be chosen when it is loaded,
/// `timeout_ms`, how long a task may wait for it, and those that the policy adds. The policy reads
/// one as `module_parameters::slice_us.value()`.
///
/// `with: [hints]` says that the policy is [`Hinted`](crate::hint::Hinted), too, and `upgrade` that
/// it is [`Upgrade`](crate::upgrade::Upgrade).
///
/// `older: [(v1::State), (v0::State, v0::Entity)]` names what versions hand over that it can
/// replace, and be replaced by, although they have it in another form; see
/// [`Exchange`](crate::upgrade::Exchange).
///
/// # Examples
///
/// ```ignore
/// module_enoki_scheduler! {
///     type: Fifo,
///     name: "enoki_fifo",
///     authors: ["Enoki"],
///     description: "A first-in, first-out scheduler",
///     license: "GPL",
///     params: {
///         slice_us: u32 {
///             default: 3000,
///             description: "How long a turn lasts, in µs",
///         },
///     },
/// }
/// ```
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
            $($param:ident: $ptype:ident { $($about:tt)* }),* $(,)?
        })? $(,)?
    ) => {
        struct EnokiModule {
            _registration: $crate::Registration<$type>,
        }

        impl $crate::__kernel::Module for EnokiModule {
            fn init(
                module: &'static $crate::__kernel::ThisModule,
            ) -> $crate::prelude::Result<Self> {
                Ok(EnokiModule {
                    _registration: $crate::Registration::new(
                        const {
                            $crate::__Ops::<$type>::new()
                                .parameters::<EnokiModule>()$($(.$with())*)?
                                $(.older(const { &[$($crate::__older!($type, $($older),+)),*] }))?
                        },
                        module,
                        module_parameters::id.value(),
                        module_parameters::timeout_ms.value(),
                    )?,
                })
            }
        }

        impl $crate::__Parameters for EnokiModule {
            fn show(f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                $($(::core::writeln!(
                    f,
                    "{}={}",
                    ::core::stringify!($param),
                    module_parameters::$param.value()
                )?;)*)?
                let _ = f;
                Ok(())
            }
        }

        $crate::__kernel::prelude::module! {
            type: EnokiModule,
            name: $name,
            authors: $authors,
            description: $description,
            license: $license,
            params: {
                id: u32 {
                    default: 0,
                    description: "Number of the policy, 1 to 99 (default: its own)",
                },
                timeout_ms: u32 {
                    default: 0,
                    description: "How long a task may wait, 100 to 60000 ms (default: 5000)",
                },
                $($($param: $ptype { $($about)* },)*)?
            },
        }
    };
}
