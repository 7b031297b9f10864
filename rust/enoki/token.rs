// SPDX-License-Identifier: GPL-2.0

//! Tokens: the right to run a task, as a type.
//!
//! The paper's `Schedulable` (section 3.1): when a task becomes ready to run, the class hands the
//! policy a token for it, and to run the task the policy hands the token back. A policy can
//! neither copy nor make up a token, so it can run a task neither twice nor after it has gone to
//! sleep; the compiler sees to it.
//!
//! ```text
//!                     task_new, task_wakeup, task_preempt, ...
//!   Enoki class ------------------ Schedulable ---------------> policy, in a container
//!        ^                                                        |
//!        |<---------- Moved<'m> <--- Migration::release() <-------| migrate_task_rq
//!        `<---------- Runnable<'c> <--- Cpu::claim() <------------' pick_next_task
//! ```
//!
//! Two things go beyond the paper. [`Cpu::claim()`](crate::ctx::Cpu::claim) turns a token into a
//! [`Runnable`] that carries the lifetime of the call and thereby the CPU it was claimed for, so
//! that the answer for one CPU cannot be given for another one. And a [`Migration`] can only be
//! answered with the very token it asks for.
//!
//! A token is a pointer to the memory that libEnoki allocated when the task attached: the class's
//! `struct enoki_task`, the links by which a container holds the task, and the policy's own state
//! for it. So a policy that queues, picks and moves tasks never allocates.
//!
//! # Who owns a task
//!
//! Either the class or the policy. `Task::home` says which of the policy's containers holds it, if
//! one does: so that a task can be taken out of a container by its name, and only out of the one
//! that it is in.

use crate::{
    cpu::CpuId,
    queue::{Links, Node},
    sys::{self, RawInfo, RawKey, RawTask},
    time::Ns,
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::{self, NonNull},
};

/// The task is in no container.
const NOWHERE: u64 = 0;
/// The first number for a container; see [`sys::unique_id()`].
pub(crate) const FIRST_CONTAINER: u64 = 1;

/// Makes a type invariant in `'c`, so that no two calls' lifetimes can be taken for each other.
pub(crate) type Brand<'c> = PhantomData<fn(&'c ()) -> &'c ()>;

/// Makes a type stay on the CPU, and in the call, that it was made in.
pub(crate) type NotSend = PhantomData<*const ()>;

/// A task's number. Unlike a pid it is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct TaskId(pub(crate) u64);

impl TaskId {
    /// The number itself.
    #[inline]
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// What the class tells of a task.
#[repr(transparent)]
pub struct TaskInfo(RawInfo);

impl TaskInfo {
    /// Takes over a description from the class.
    ///
    /// # Safety
    ///
    /// `raw` must be valid, and not be written, for `'a`.
    #[inline]
    pub(crate) unsafe fn from_raw<'a>(raw: *const RawInfo) -> &'a TaskInfo {
        // SAFETY: By the requirements of this function; `TaskInfo` is transparent.
        unsafe { &*raw.cast() }
    }

    /// The task's number.
    #[inline]
    pub fn id(&self) -> TaskId {
        TaskId(self.0.id)
    }

    /// The CPU time that the task has had since it was created.
    #[inline]
    pub fn runtime(&self) -> Ns {
        Ns(self.0.runtime_ns)
    }

    /// The load weight of the task's nice level: 1024 at nice 0, a quarter more for each level
    /// below. In a control group it is the task's part of what `cpu.weight` gives the group. Never
    /// 0.
    #[inline]
    pub fn weight(&self) -> u32 {
        self.0.weight
    }

    /// The task's nice level, -20 to 19.
    #[inline]
    pub fn nice(&self) -> i32 {
        self.0.nice
    }

    /// How many CPUs the task's affinity allows.
    #[inline]
    pub fn nr_cpus_allowed(&self) -> u32 {
        self.0.nr_cpus_allowed
    }

    /// Whether the task is a kernel thread.
    #[inline]
    pub fn is_kthread(&self) -> bool {
        self.0.flags & sys::TASK_KTHREAD != 0
    }

    /// Whether the task may run on one CPU only, for now or for good.
    #[inline]
    pub fn is_pinned(&self) -> bool {
        self.0.flags & sys::TASK_PINNED != 0
    }
}

/// The name of a token: it says which one, but gives no right to it.
///
/// It may be copied and kept; the class refuses it once the token it names has passed.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct TaskKey(RawKey);

impl TaskKey {
    /// # Safety
    ///
    /// `raw` must be valid for reads and hold the number of a possible CPU.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: *const RawKey) -> TaskKey {
        // SAFETY: By the requirements of this function.
        TaskKey(unsafe { raw.read() })
    }

    #[inline]
    pub(crate) fn into_raw(self) -> RawKey {
        self.0
    }

    /// The CPU on whose run queue the task was.
    #[inline]
    pub fn cpu(&self) -> CpuId {
        // SAFETY: The CPU of a key comes from the class.
        unsafe { CpuId::from_raw(self.0.cpu) }
    }
}

impl PartialEq for TaskKey {
    fn eq(&self, other: &TaskKey) -> bool {
        self.0.slot == other.0.slot && self.0.gen == other.0.gen
    }
}

impl Eq for TaskKey {}

/// A task that is attached to the policy, with the policy's state `T` for it.
///
/// Policies only ever see references to it: from the token ([`Schedulable`]), from a loan
/// ([`Lent`]) or from going through a container.
#[repr(C)]
pub struct Task<T> {
    // First, because the class takes a pointer to it for one to the whole.
    head: RawTask,
    home: sys::Tag,
    pub(crate) links: Links<T>,
    state: T,
}

impl<T> Task<T> {
    /// Memory for a task that is about to attach.
    pub(crate) fn new(state: T) -> Task<T> {
        Task {
            head: RawTask::default(),
            home: sys::Tag::new(NOWHERE),
            links: Links::new(),
            state,
        }
    }

    /// The task's number.
    #[inline]
    pub fn id(&self) -> TaskId {
        self.info().id()
    }

    /// The task as it was when its token was granted or when it was lent, whichever is later.
    #[inline]
    pub fn info(&self) -> &TaskInfo {
        // SAFETY: It is borrowed from `self`. The class writes only what it owns, and then there
        // is no reference to `self`.
        unsafe { TaskInfo::from_raw(&raw const self.head.info) }
    }

    /// The CPU on whose run queue the task is.
    #[inline]
    pub fn cpu(&self) -> CpuId {
        // SAFETY: The CPU in the head comes from the class.
        unsafe { CpuId::from_raw(self.head.cpu) }
    }

    /// Whether the task may run on `cpu`, by its affinity, now.
    #[inline]
    pub fn allowed_on(&self, cpu: CpuId) -> bool {
        sys::task_allowed(&self.head, cpu)
    }

    /// The token's name.
    #[inline]
    pub fn key(&self) -> TaskKey {
        TaskKey(RawKey {
            gen: self.head.gen,
            slot: self.head.slot,
            cpu: self.head.cpu,
        })
    }

    /// The policy's state for the task.
    #[inline]
    pub fn state(&self) -> &T {
        &self.state
    }

    /// Replaces it.
    pub(crate) fn set_state(&mut self, state: T) {
        self.state = state;
    }
}

/// A token: the right to have a task run, once.
///
/// To use it, keep it in a container until [`pick_next_task`] wants a task, [`claim()`] it for the
/// CPU and return it. One that is dropped goes back to the class, which then runs the task by
/// itself.
///
/// # Invariants
///
/// `task` points to a live [`Task<T>`] which nobody else owns, and which is in no container.
///
/// [`pick_next_task`]: crate::sched::Scheduler::pick_next_task
/// [`claim()`]: crate::ctx::Cpu::claim
#[must_use = "a token that is dropped is lost to the policy"]
#[repr(transparent)]
pub struct Schedulable<T> {
    task: NonNull<Task<T>>,
}

// SAFETY: A token gives access to the state `T` from wherever it is, one place at a time, and to
// memory of libEnoki's which only the token's owner touches.
unsafe impl<T: Send> Send for Schedulable<T> {}

impl<T> Schedulable<T> {
    /// Takes a token over from the class.
    ///
    /// # Safety
    ///
    /// `raw` must be the head of a live [`Task<T>`] that the class gives up to the caller.
    #[inline]
    pub(crate) unsafe fn grant(raw: *mut RawTask) -> Schedulable<T> {
        // INVARIANT: By the requirements of this function. What the class owns is in no container.
        Schedulable {
            // SAFETY: By the requirements of this function it is alive and so not null.
            task: unsafe { NonNull::new_unchecked(raw.cast()) },
        }
    }

    /// Gives the token back to the class.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<RawTask> {
        ManuallyDrop::new(self).task.cast()
    }

    /// Hands the token over to the container of that number.
    #[inline]
    pub(crate) fn into_node(self, container: u64) -> Node<T> {
        self.home.set(container);
        // SAFETY: The token was the only way to the task, and it is consumed here.
        unsafe { Node::new(ManuallyDrop::new(self).task) }
    }

    /// Takes the token out of a container again.
    ///
    /// # Safety
    ///
    /// The caller must own `node`, have unlinked it, and not use it any more.
    #[inline]
    pub(crate) unsafe fn from_node(node: Node<T>) -> Schedulable<T> {
        // INVARIANT: By the requirements of this function nothing else leads to the task.
        let token = Schedulable {
            task: node.as_ptr(),
        };
        token.home.set(NOWHERE);
        token
    }

    /// The policy's state for the task, to change it.
    #[inline]
    pub fn state_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariants the task is alive and nothing else leads to its state;
        // the result borrows the token.
        unsafe { &mut (*self.task.as_ptr()).state }
    }
}

impl<T> Deref for Schedulable<T> {
    type Target = Task<T>;

    #[inline]
    fn deref(&self) -> &Task<T> {
        // SAFETY: By the type invariants the task is alive and nobody else changes it.
        unsafe { self.task.as_ref() }
    }
}

impl<T> Drop for Schedulable<T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: The token is dropped, so the class owns the task from now on.
        unsafe { sys::token_drop(self.task.cast()) }
    }
}

/// A task that is lent to the policy for the length of a call.
///
/// It can be looked at, and its state changed, but it cannot be queued: it is no token.
///
/// # Invariants
///
/// `task` points to the memory of an attached task that the class owns and leaves alone for `'a`.
pub struct Lent<'a, T> {
    task: NonNull<Task<T>>,
    _lent: PhantomData<&'a mut Task<T>>,
    _not_send: NotSend,
}

impl<T> Lent<'_, T> {
    /// Borrows a task from the class.
    ///
    /// # Safety
    ///
    /// `raw` must be the head of a live [`Task<T>`] that the class owns, and lends to nobody else
    /// for the lifetime of the result.
    #[inline]
    pub(crate) unsafe fn borrow(raw: *mut RawTask) -> Self {
        // INVARIANT: By the requirements of this function.
        Lent {
            // SAFETY: By the requirements of this function it is alive and so not null.
            task: unsafe { NonNull::new_unchecked(raw.cast()) },
            _lent: PhantomData,
            _not_send: PhantomData,
        }
    }

    /// The policy's state for the task, to change it.
    #[inline]
    pub fn state_mut(&mut self) -> &mut T {
        // SAFETY: By the type invariants the task is alive and nothing else leads to its state;
        // the result borrows the loan.
        unsafe { &mut (*self.task.as_ptr()).state }
    }
}

impl<T> Deref for Lent<'_, T> {
    type Target = Task<T>;

    #[inline]
    fn deref(&self) -> &Task<T> {
        // SAFETY: By the type invariants the task is alive and nobody else changes it.
        unsafe { self.task.as_ref() }
    }
}

/// A token that was claimed for the CPU that is being scheduled, the answer of `pick_next_task`.
///
/// `'c` is the lifetime of one call for one CPU, and is invariant: the answer for one CPU cannot be
/// kept for another.
#[must_use = "return it from pick_next_task, or take the token back with into_token()"]
pub struct Runnable<'c, T> {
    token: Schedulable<T>,
    slice: Ns,
    _brand: Brand<'c>,
    _not_send: NotSend,
}

impl<'c, T> Runnable<'c, T> {
    #[inline]
    pub(crate) fn new(token: Schedulable<T>) -> Runnable<'c, T> {
        Runnable {
            token,
            slice: Ns::ZERO,
            _brand: PhantomData,
            _not_send: PhantomData,
        }
    }

    /// Has `pick_next_task` asked again once `slice` is over, if another attached task is ready to
    /// run on this CPU; one that is alone runs on, and is stopped as soon as another comes.
    ///
    /// Without it, or with no time, the task runs until [`task_tick`] or [`wakeup_preempt`] says
    /// otherwise. The class makes of it at least 5 µs and at most an hour.
    ///
    /// [`task_tick`]: crate::sched::Scheduler::task_tick
    /// [`wakeup_preempt`]: crate::sched::Scheduler::wakeup_preempt
    #[inline]
    pub fn slice(mut self, slice: Ns) -> Runnable<'c, T> {
        self.slice = slice;
        self
    }

    /// Takes the token back, to run another task instead.
    #[inline]
    pub fn into_token(self) -> Schedulable<T> {
        self.token
    }

    #[inline]
    pub(crate) fn into_raw(self) -> (NonNull<RawTask>, Ns) {
        (self.token.into_raw(), self.slice)
    }
}

/// The name of a task that the policy may have in one of its containers.
///
/// A container's `remove()` takes it and gives the token, if the task is there.
///
/// # Invariants
///
/// `task` points to the memory of an attached task, which stays allocated for `'m`.
pub struct TaskName<'m, T> {
    task: NonNull<Task<T>>,
    info: Option<&'m TaskInfo>,
    _brand: Brand<'m>,
    _not_send: NotSend,
}

impl<'m, T> TaskName<'m, T> {
    /// # Safety
    ///
    /// `raw` must be the head of a [`Task<T>`] that stays allocated for `'m`, and on the locked
    /// run queue, so that nobody but the holder of the lock grants or frees it.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: *mut RawTask, info: Option<&'m TaskInfo>) -> Self {
        TaskName {
            // SAFETY: By the requirements of this function the task is alive and so not null.
            task: unsafe { NonNull::new_unchecked(raw.cast()) },
            info,
            _brand: PhantomData,
            _not_send: PhantomData,
        }
    }

    /// The task, if the container of that number holds it.
    #[inline]
    pub(crate) fn in_container(&self, container: u64) -> Option<Node<T>> {
        // SAFETY: By the type invariants the task is alive; `home` may be read at any time.
        if unsafe { &(*self.task.as_ptr()).home }.get() != container {
            return None;
        }
        if let Some(info) = self.info {
            // SAFETY: The container owns the task, and the caller has the container for itself
            // alone: only then can `home` be its number and stay so.
            unsafe { (*self.task.as_ptr()).head.info = info.0 };
        }
        // SAFETY: Likewise.
        Some(unsafe { Node::new(self.task) })
    }
}

/// The class wants the token of a queued task back.
///
/// Answer it with the token, or admit that it is [`lost()`](Self::lost).
#[must_use = "answer it with release(), hand_over() or lost()"]
pub struct Migration<'m, T> {
    name: TaskName<'m, T>,
    why: Leave,
}

impl<'m, T> Migration<'m, T> {
    #[inline]
    pub(crate) fn new(name: TaskName<'m, T>, why: Leave) -> Migration<'m, T> {
        Migration { name, why }
    }

    /// Why the class wants it.
    #[inline]
    pub fn why(&self) -> Leave {
        self.why
    }

    /// Gives the token back.
    ///
    /// # Errors
    ///
    /// Gives both back when it is another task's token.
    #[inline]
    pub fn release(self, token: Schedulable<T>) -> Result<Moved<'m>, (Self, Schedulable<T>)> {
        if !ptr::eq(token.task.as_ptr(), self.name.task.as_ptr()) {
            return Err((self, token));
        }
        Ok(Moved {
            task: Some(token.into_raw()),
            _brand: PhantomData,
        })
    }

    /// Gives back what a container's `remove()` found. If it found nothing, or something else, the
    /// task is lost.
    #[inline]
    pub fn hand_over(self, token: Option<Schedulable<T>>) -> Moved<'m> {
        match token.map(|token| self.release(token)) {
            Some(Ok(moved)) => moved,
            Some(Err((migration, _token))) => migration.lost(),
            None => Moved {
                task: None,
                _brand: PhantomData,
            },
        }
    }

    /// Admits that the policy does not know where the token is.
    ///
    /// The class counts it and runs the task by itself.
    #[inline]
    pub fn lost(self) -> Moved<'m> {
        Moved {
            task: None,
            _brand: PhantomData,
        }
    }
}

impl<'m, T> Deref for Migration<'m, T> {
    type Target = TaskName<'m, T>;

    #[inline]
    fn deref(&self) -> &TaskName<'m, T> {
        &self.name
    }
}

/// The proof that a [`Migration`] was answered.
#[must_use = "return it from migrate_task_rq"]
pub struct Moved<'m> {
    task: Option<NonNull<RawTask>>,
    _brand: Brand<'m>,
}

impl Moved<'_> {
    #[inline]
    pub(crate) fn into_raw(self) -> *mut RawTask {
        self.task.map_or(ptr::null_mut(), NonNull::as_ptr)
    }
}

/// Why the class wants the token of a queued task back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Leave {
    /// The task goes to another CPU; `task_migrated` follows there.
    Migrate,
    /// Another class runs the task while it holds a lock that someone needs.
    Boost,
    /// The task leaves the policy; `task_departed` follows.
    Detach,
    /// The class runs the task by itself this time.
    Override,
    /// Likewise, because the task has waited too long; `task_rescued` came before.
    Rescue,
    /// Something newer than this libEnoki.
    Other,
}
