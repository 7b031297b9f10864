// SPDX-License-Identifier: GPL-2.0

//! From the class's calls to the trait: the ops table of a policy.
//!
//! The class is trusted to keep the contract of `include/linux/sched/enoki.h`; the policy is not
//! trusted with anything. Here the one meets the other.
//!
//! # Safety of the calls
//!
//! The class calls each function of the table as the header says. In particular:
//!
//! 1. `sched` is what this table's `new_sched` made: a pointer to the `S` that is the class's from
//!    then on, and lives until `free_sched`.
//! 2. `cx` is valid for the call, `cx->cpu` is a possible CPU, `cx->es` is the registration, and
//!    interrupts are off.
//! 3. `task` was made by this table's `init_task`, and neither was nor is being passed to its
//!    `free_task`.
//! 4. Where a token passes to the policy, the class owned it and does not touch it again until the
//!    policy gives it back. Where a task is lent, the class owns its token, and neither touches it
//!    nor lends it to another call for the length of this one. When a policy has lost a token, the
//!    class makes the task another one, and leaves the lost one alone until it is dropped.
//! 5. Where a task is only named, the run queue that it is on is locked, and so the class neither
//!    grants nor frees its token meanwhile.
//! 6. In calls of [`Upgrade`] nobody else is in the policy, on no CPU.
//! 7. Other pointers are valid, and nobody else uses what they point to, for the call.

use crate::{
    cpu::{CpuId, Machine},
    ctx::Ctx,
    hint::{About, Hint, Hinted, NoHint, QueueId, QueueKind},
    sched::{Refusal, Scheduler, WakeFlags},
    sys::{self, c_int, c_void, RawCtx, RawInfo, RawKey, RawLayout, RawOlder, RawOps, RawTask},
    time::Ns,
    token::{Leave, Lent, Migration, Schedulable, Task, TaskId, TaskInfo, TaskKey, TaskName},
    upgrade::{self, Exchange, Older, TransferState, Upgrade},
};
use core::{
    marker::PhantomData,
    mem::{align_of, size_of},
    ptr,
};

/// The length of the fields for names in `struct enoki_ops`.
const NAME_LEN: usize = 32;

/// A NUL-terminated copy of `text`.
const fn name(text: &str) -> [u8; NAME_LEN] {
    assert!(
        !text.is_empty(),
        "a policy's NAME and VERSION have 1 to 31 bytes"
    );
    padded(text)
}

/// Likewise, of a text that may be empty.
const fn padded(text: &str) -> [u8; NAME_LEN] {
    let text = text.as_bytes();
    assert!(text.len() < NAME_LEN, "a name has at most 31 bytes");
    let mut field = [0; NAME_LEN];
    let mut i = 0;
    while i < text.len() {
        field[i] = text[i];
        i += 1;
    }
    field
}

/// What a type of hints or messages looks like.
const fn layout<H: Hint>() -> RawLayout {
    assert!(
        size_of::<H>() % 8 == 0 && align_of::<H>() <= 8,
        "the size of a hint is a multiple of 8 bytes"
    );
    assert!(
        size_of::<H>() <= sys::MAX_HINT_SIZE as usize,
        "a hint has at most 240 bytes"
    );
    assert!(
        H::NAME.is_empty() == (size_of::<H>() == 0),
        "a hint has a name and at least one field"
    );
    RawLayout {
        name: padded(H::NAME),
        size: size_of::<H>() as u32,
        version: H::VERSION,
        hash: H::HASH,
    }
}

/// Whether `text` can be the name of a directory that stands in lines of text.
const fn usable(text: &str) -> bool {
    let text = text.as_bytes();
    let mut i = 0;
    while i < text.len() {
        if !text[i].is_ascii_alphanumeric() && text[i] != b'_' && text[i] != b'-' {
            return false;
        }
        i += 1;
    }
    true
}

impl Refusal {
    fn from_raw(err: u32) -> Refusal {
        match err {
            sys::ERR_STALE => Refusal::Stale,
            sys::ERR_CPU => Refusal::Cpu,
            sys::ERR_STATE => Refusal::State,
            sys::ERR_AFFINITY => Refusal::Affinity,
            sys::ERR_RACE => Refusal::Race,
            sys::ERR_OFFLINE => Refusal::Offline,
            _ => Refusal::Other,
        }
    }
}

impl Leave {
    fn from_raw(why: u32) -> Leave {
        match why {
            sys::LEAVE_MIGRATE => Leave::Migrate,
            sys::LEAVE_BOOST => Leave::Boost,
            sys::LEAVE_DETACH => Leave::Detach,
            sys::LEAVE_OVERRIDE => Leave::Override,
            sys::LEAVE_RESCUE => Leave::Rescue,
            _ => Leave::Other,
        }
    }
}

/// Makes the functions that pass a token to the policy.
macro_rules! grant {
    ($($name:ident($($arg:ident: $raw:ty => $value:expr),*);)*) => {$(
        /// # Safety
        ///
        /// See the module's documentation.
        unsafe extern "C" fn $name(
            sched: *mut c_void,
            cx: *const RawCtx,
            task: *mut RawTask,
            $($arg: $raw,)*
        ) {
            let (sched, mut ctx, task) =
                // SAFETY: By 1, 2 and 4.
                unsafe { (Self::sched(sched), Ctx::from_raw(cx), Schedulable::grant(task)) };
            sched.$name(&mut ctx, task, $($value,)*);
        }
    )*};
}

/// Makes the functions that lend a task to the policy.
macro_rules! lend {
    ($($name:ident($($arg:ident: $raw:ty => $value:expr),*) $(-> $ret:ty)?;)*) => {$(
        /// # Safety
        ///
        /// See the module's documentation.
        unsafe extern "C" fn $name(
            sched: *mut c_void,
            cx: *const RawCtx,
            task: *mut RawTask,
            $($arg: $raw,)*
        ) $(-> $ret)? {
            let (sched, mut ctx, mut task) =
                // SAFETY: By 1, 2 and 4.
                unsafe { (Self::sched(sched), Ctx::from_raw(cx), Lent::borrow(task)) };
            sched.$name(&mut ctx, &mut task, $($value,)*)
        }
    )*};
}

/// Makes the functions that name a task to the policy, with how it is now.
macro_rules! change {
    ($($name:ident;)*) => {$(
        /// # Safety
        ///
        /// See the module's documentation.
        unsafe extern "C" fn $name(
            sched: *mut c_void,
            cx: *const RawCtx,
            task: *mut RawTask,
            info: *const RawInfo,
        ) {
            let (sched, mut ctx, info) =
                // SAFETY: By 1, 2 and 7.
                unsafe { (Self::sched(sched), Ctx::from_raw(cx), TaskInfo::from_raw(info)) };
            // SAFETY: By 3 and 5.
            let task = unsafe { TaskName::from_raw(task, Some(info)) };
            sched.$name(&mut ctx, &task, info);
        }
    )*};
}

/// Makes the functions that are about a CPU, a timer or a queue.
macro_rules! event {
    ($($name:ident($arg:ident: $raw:ty => $value:expr);)*) => {$(
        /// # Safety
        ///
        /// See the module's documentation.
        unsafe extern "C" fn $name(sched: *mut c_void, cx: *const RawCtx, $arg: $raw) {
            // SAFETY: By 1 and 2.
            let (sched, mut ctx) = unsafe { (Self::sched(sched), Ctx::from_raw(cx)) };
            sched.$name(&mut ctx, $value);
        }
    )*};
}

/// The CPU number of an event, which comes from the class.
fn cpu(id: i32) -> CpuId {
    // SAFETY: The class passes numbers of possible CPUs only.
    unsafe { CpuId::from_raw(id) }
}

/// The ops table of the policy `S`.
pub(crate) struct Adapter<S>(PhantomData<S>);

impl<S: Scheduler> Adapter<S> {
    /// The table, but for its owner.
    pub(crate) const OPS: RawOps = {
        assert!(
            S::ID >= 1 && S::ID <= sys::MAX_ID,
            "a policy's ID is 1 to 99"
        );
        assert!(
            S::TIMERS <= sys::MAX_TIMERS,
            "a policy has at most 64 timers"
        );
        assert!(
            S::TIMEOUT_MS >= sys::MIN_TIMEOUT_MS && S::TIMEOUT_MS <= sys::MAX_TIMEOUT_MS,
            "a policy's TIMEOUT_MS is 100 to 60000"
        );
        assert!(
            usable(S::NAME),
            "a policy's NAME has letters, digits, _ and - only"
        );
        RawOps {
            abi_version: sys::ABI_VERSION,
            size: size_of::<RawOps>() as u32,
            task_size: size_of::<RawTask>() as u32,
            id: S::ID,
            nr_timers: S::TIMERS,
            timeout_ms: S::TIMEOUT_MS,
            flags: if S::WEIGHTED { sys::OPS_WEIGHTED } else { 0 },
            hint: layout::<NoHint>(),
            message: layout::<NoHint>(),
            state: layout::<NoHint>(),
            task_state: layout::<NoHint>(),
            nr_older: 0,
            older: ptr::null(),
            name: name(S::NAME),
            version: name(S::VERSION),
            owner: ptr::null_mut(),
            parameters: None,
            new_sched: Some(Self::new_sched),
            free_sched: Some(Self::free_sched),
            init_task: Some(Self::init_task),
            free_task: Some(Self::free_task),
            task_new: Some(Self::task_new),
            task_wakeup: Some(Self::task_wakeup),
            task_preempt: Some(Self::task_preempt),
            task_yield: Some(Self::task_yield),
            task_migrated: Some(Self::task_migrated),
            task_blocked: Some(Self::task_blocked),
            task_dead: Some(Self::task_dead),
            task_departed: Some(Self::task_departed),
            select_task_rq: Some(Self::select_task_rq),
            pick_next_task: Some(Self::pick_next_task),
            pnt_err: Some(Self::pnt_err),
            task_tick: Some(Self::task_tick),
            wakeup_preempt: Some(Self::wakeup_preempt),
            balance: Some(Self::balance),
            balance_err: Some(Self::balance_err),
            migrate_task_rq: Some(Self::migrate_task_rq),
            task_rescued: Some(Self::task_rescued),
            nr_queued: Some(Self::nr_queued),
            task_prio_changed: Some(Self::task_prio_changed),
            task_affinity_changed: Some(Self::task_affinity_changed),
            cpu_online: Some(Self::cpu_online),
            cpu_offline: Some(Self::cpu_offline),
            timer_fired: Some(Self::timer_fired),
            register_queue: None,
            unregister_queue: None,
            enter_queue: None,
            parse_hint: None,
            reregister_prep: None,
            reregister_init: None,
        }
    };

    /// # Safety
    ///
    /// `sched` must point to an `S` that nobody changes for `'a`.
    #[inline]
    unsafe fn sched<'a>(sched: *mut c_void) -> &'a S {
        // SAFETY: By the requirements of this function.
        unsafe { &*sched.cast::<S>() }
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn new_sched(sched: *mut *mut c_void) -> c_int {
        match S::new(&Machine::new()).and_then(sys::boxed) {
            Ok(made) => {
                // SAFETY: By 7.
                unsafe { sched.write(sys::Box::into_raw(made).cast()) };
                0
            }
            Err(err) => err.to_errno(),
        }
    }

    /// # Safety
    ///
    /// See the module's documentation. The class does not use the policy after this.
    unsafe extern "C" fn free_sched(sched: *mut c_void) {
        // SAFETY: By 1; `new_sched` made it by `Box::into_raw()`, and nobody uses it any more.
        drop(unsafe { sys::Box::<S>::from_raw(sched.cast()) });
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn init_task(
        sched: *mut c_void,
        info: *const RawInfo,
        task: *mut *mut RawTask,
    ) -> c_int {
        // SAFETY: By 1 and 7.
        let (sched, info) = unsafe { (Self::sched(sched), TaskInfo::from_raw(info)) };
        let made = sched
            .init_task(info)
            .and_then(|state| sys::boxed(Task::new(state)));
        match made {
            Ok(made) => {
                // SAFETY: By 7. The head comes first in `Task`.
                unsafe { task.write(sys::Box::into_raw(made).cast()) };
                0
            }
            Err(err) => err.to_errno(),
        }
    }

    /// # Safety
    ///
    /// See the module's documentation. The class does not use the token after this.
    unsafe extern "C" fn free_task(task: *mut RawTask) {
        // SAFETY: By 3; `init_task` made it by `Box::into_raw()`, and nobody uses it any more.
        drop(unsafe { sys::Box::<Task<S::Task>>::from_raw(task.cast()) });
    }

    grant! {
        task_new();
        task_wakeup(flags: u32 => WakeFlags(flags));
        task_preempt();
        task_yield();
        task_migrated(from: i32 => cpu(from));
        pnt_err(err: u32 => Refusal::from_raw(err));
    }

    lend! {
        task_blocked();
        task_dead();
        task_departed();
        task_tick() -> bool;
        wakeup_preempt(woken: u64 => TaskId(woken)) -> bool;
    }

    change! {
        task_prio_changed;
        task_affinity_changed;
    }

    event! {
        cpu_online(id: i32 => cpu(id));
        cpu_offline(id: i32 => cpu(id));
        timer_fired(timer: u32 => timer);
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn task_rescued(
        sched: *mut c_void,
        cx: *const RawCtx,
        id: u64,
        waited_ns: u64,
    ) {
        // SAFETY: By 1 and 2.
        let (sched, mut ctx) = unsafe { (Self::sched(sched), Ctx::from_raw(cx)) };
        sched.task_rescued(&mut ctx, TaskId(id), Ns(waited_ns));
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn nr_queued(sched: *mut c_void, cx: *const RawCtx) -> i64 {
        // SAFETY: By 1 and 2.
        let (sched, mut ctx) = unsafe { (Self::sched(sched), Ctx::from_raw(cx)) };
        sched.nr_queued(&mut ctx).map_or(-1, |nr| nr as i64)
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn select_task_rq(
        sched: *mut c_void,
        cx: *const RawCtx,
        task: *mut RawTask,
        prev: i32,
        flags: u32,
    ) -> i32 {
        // SAFETY: By 1, 2 and 4.
        let (sched, mut ctx, task) =
            unsafe { (Self::sched(sched), Ctx::from_raw(cx), Lent::borrow(task)) };
        sched
            .select_task_rq(&mut ctx, &task, cpu(prev), WakeFlags(flags))
            .as_raw()
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn pick_next_task(
        sched: *mut c_void,
        cx: *const RawCtx,
        prev: *mut RawTask,
        slice_ns: *mut u64,
    ) -> *mut RawTask {
        // SAFETY: By 1 and 2.
        let (sched, mut ctx) = unsafe { (Self::sched(sched), Ctx::from_raw(cx)) };
        let prev = if prev.is_null() {
            None
        } else {
            // SAFETY: By 4.
            Some(unsafe { Schedulable::grant(prev) })
        };
        match sched.pick_next_task(&mut ctx, prev) {
            Some(runnable) => {
                let (task, slice) = runnable.into_raw();
                // SAFETY: By 7.
                unsafe { slice_ns.write(slice.0) };
                task.as_ptr()
            }
            None => ptr::null_mut(),
        }
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn balance(sched: *mut c_void, cx: *const RawCtx, key: *mut RawKey) -> bool {
        // SAFETY: By 1 and 2.
        let (sched, mut ctx) = unsafe { (Self::sched(sched), Ctx::from_raw(cx)) };
        match sched.balance(&mut ctx) {
            Some(task) => {
                // SAFETY: By 7.
                unsafe { key.write(task.into_raw()) };
                true
            }
            None => false,
        }
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn balance_err(
        sched: *mut c_void,
        cx: *const RawCtx,
        key: *const RawKey,
        err: u32,
    ) {
        // SAFETY: By 1, 2 and 7; a key's CPU is always a possible one.
        let (sched, mut ctx, key) = unsafe {
            (
                Self::sched(sched),
                Ctx::from_raw(cx),
                TaskKey::from_raw(key),
            )
        };
        sched.balance_err(&mut ctx, key, Refusal::from_raw(err));
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn migrate_task_rq(
        sched: *mut c_void,
        cx: *const RawCtx,
        task: *mut RawTask,
        why: u32,
    ) -> *mut RawTask {
        // SAFETY: By 1 and 2.
        let (sched, mut ctx) = unsafe { (Self::sched(sched), Ctx::from_raw(cx)) };
        // SAFETY: By 3 and 5.
        let name = unsafe { TaskName::from_raw(task, None) };
        sched
            .migrate_task_rq(&mut ctx, Migration::new(name, Leave::from_raw(why)))
            .into_raw()
    }
}

impl<S: Hinted> Adapter<S> {
    /// The table with what [`Hinted`] adds.
    pub(crate) const fn with_hints(ops: RawOps) -> RawOps {
        RawOps {
            hint: layout::<S::UserHint>(),
            message: layout::<S::RevHint>(),
            register_queue: Some(Self::register_queue),
            unregister_queue: Some(Self::unregister_queue),
            enter_queue: Some(Self::enter_queue),
            parse_hint: Some(Self::parse_hint),
            ..ops
        }
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn register_queue(
        sched: *mut c_void,
        cx: *const RawCtx,
        queue: u64,
        kind: u32,
    ) -> c_int {
        // SAFETY: By 1 and 2.
        let (sched, mut ctx) = unsafe { (Self::sched(sched), Ctx::from_raw(cx)) };
        let kind = if kind == sys::QUEUE_HINTS {
            QueueKind::Hints
        } else {
            QueueKind::Messages
        };
        match sched.register_queue(&mut ctx, QueueId::from_raw(queue), kind) {
            Ok(()) => 0,
            Err(err) => err.to_errno(),
        }
    }

    event! {
        unregister_queue(queue: u64 => QueueId::from_raw(queue));
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn enter_queue(
        sched: *mut c_void,
        cx: *const RawCtx,
        queue: u64,
        waiting: u32,
    ) -> u32 {
        // SAFETY: By 1 and 2.
        let (sched, mut ctx) = unsafe { (Self::sched(sched), Ctx::from_raw(cx)) };
        sched.enter_queue(&mut ctx, QueueId::from_raw(queue), waiting)
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn parse_hint(
        sched: *mut c_void,
        cx: *const RawCtx,
        queue: u64,
        task: *mut RawTask,
        info: *const RawInfo,
        hint: *const c_void,
    ) -> c_int {
        // SAFETY: By 1 and 2.
        let (sched, mut ctx) = unsafe { (Self::sched(sched), Ctx::from_raw(cx)) };
        // SAFETY: By 7 it points to so many bytes as the type has, aligned to 8 bytes, which is
        // enough for it by `layout()`. Whatever they are, they are a value of it.
        let hint = unsafe { &*hint.cast::<S::UserHint>() };
        let about = if task.is_null() {
            About::Nobody
        } else if info.is_null() {
            // SAFETY: By 3 and 4.
            About::Lent(unsafe { Lent::borrow(task) })
        } else {
            // SAFETY: By 7.
            let info = unsafe { TaskInfo::from_raw(info) };
            // SAFETY: By 3 and 5.
            About::Queued(unsafe { TaskName::from_raw(task, Some(info)) })
        };
        match sched.parse_hint(&mut ctx, QueueId::from_raw(queue), hint, about) {
            Ok(()) => 0,
            Err(err) => err.to_errno(),
        }
    }
}

/// What that looks like which is handed over.
const fn state_layout<T: TransferState>() -> RawLayout {
    assert!(
        size_of::<T>() != 0 && size_of::<T>() % 8 == 0,
        "the size of what is handed over is a multiple of 8 bytes, and not 0"
    );
    assert!(
        align_of::<T>() >= 8,
        "what is handed over is aligned to 8 bytes"
    );
    RawLayout {
        name: name(T::NAME),
        size: size_of::<T>() as u32,
        version: T::VERSION,
        hash: upgrade::of("Transfer", &[T::HASH]),
    }
}

/// What the memory of a task looks like then.
const fn task_layout<T: TransferState>() -> RawLayout {
    RawLayout {
        name: padded(T::NAME),
        size: size_of::<Task<T>>() as u32,
        version: T::VERSION,
        hash: upgrade::of("Task", &[T::HASH]),
    }
}

impl<S: Upgrade> Adapter<S> {
    /// The table with what [`Upgrade`] adds.
    pub(crate) const fn with_upgrade(ops: RawOps) -> RawOps {
        RawOps {
            state: state_layout::<S::Transfer>(),
            task_state: task_layout::<S::Task>(),
            reregister_prep: Some(Self::reregister_prep),
            reregister_init: Some(Self::reregister_init),
            ..ops
        }
    }

    /// The table with other forms of what is handed over.
    pub(crate) const fn with_older(ops: RawOps, older: &'static [Older<S>]) -> RawOps {
        RawOps {
            nr_older: older.len() as u32,
            // `Older` is transparent.
            older: older.as_ptr().cast(),
            ..ops
        }
    }

    /// Another form of it, `O`.
    pub(crate) const fn older<O: TransferState>() -> RawOlder
    where
        S::Transfer: Exchange<O>,
    {
        RawOlder {
            state: state_layout::<O>(),
            task_state: task_layout::<S::Task>(),
            exchange: Some(Self::exchange::<O>),
            task_from_older: None,
            task_to_older: None,
        }
    }

    /// Likewise, with `T` for each task.
    pub(crate) const fn older_with_tasks<O: TransferState, T: TransferState>() -> RawOlder
    where
        S::Transfer: Exchange<O>,
        S::Task: for<'a> From<&'a T>,
        T: for<'a> From<&'a S::Task>,
    {
        RawOlder {
            task_state: task_layout::<T>(),
            task_from_older: Some(Self::convert::<T, S::Task>),
            task_to_older: Some(Self::convert::<S::Task, T>),
            ..Self::older::<O>()
        }
    }

    /// # Safety
    ///
    /// See the module's documentation. `ours` is what `reregister_prep` returned, and `older` what
    /// that of the other version did, which has an `O` there.
    unsafe extern "C" fn exchange<O>(ours: *mut c_void, older: *mut c_void)
    where
        S::Transfer: Exchange<O>,
    {
        // SAFETY: By 6 nobody else uses the two.
        let (ours, older) = unsafe { (&mut *ours.cast::<S::Transfer>(), &mut *older.cast::<O>()) };
        ours.exchange(older);
    }

    /// # Safety
    ///
    /// See the module's documentation. One of the two tasks was made by this version, the other one
    /// by one that keeps for it what this one calls `A` or `B`. Both are the class's.
    unsafe extern "C" fn convert<A, B: for<'a> From<&'a A>>(
        to: *mut RawTask,
        from: *const RawTask,
    ) {
        // SAFETY: By 4 nobody else uses the two, and their heads come first.
        unsafe { (*to.cast::<Task<B>>()).set_state(B::from((*from.cast::<Task<A>>()).state())) }
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn reregister_prep(sched: *mut c_void, cx: *const RawCtx) -> *mut c_void {
        // SAFETY: By 1, 2 and 6.
        let (sched, mut ctx) = unsafe { (&mut *sched.cast::<S>(), Ctx::from_raw(cx)) };
        ptr::from_mut(sched.reregister_prep(&mut ctx)).cast()
    }

    /// # Safety
    ///
    /// See the module's documentation.
    unsafe extern "C" fn reregister_init(sched: *mut c_void, cx: *const RawCtx) -> c_int {
        // SAFETY: By 1, 2 and 6.
        let (sched, mut ctx) = unsafe { (&mut *sched.cast::<S>(), Ctx::from_raw(cx)) };
        match sched.reregister_init(&mut ctx) {
            Ok(()) => 0,
            Err(err) => err.to_errno(),
        }
    }
}
