// SPDX-License-Identifier: GPL-2.0

//! Live upgrade: what a policy hands over to the next version of itself.
//!
//! Two versions of a policy can be loaded at a time, as modules of different names; one is in
//! office. When the other one takes over (`echo 1 > /sys/kernel/sched_enoki/NAME/upgrade`), nobody
//! is in either of them. A version that is no more than a [`Scheduler`] then begins with nothing,
//! and gets the token of each task anew, by `task_new`. One that is [`Upgrade`] goes on where the
//! other one stopped.
//!
//! What is handed over is one value, a part of the policy that both versions have in the same
//! form: the paper's `TransferIn` and `TransferOut` (section 3.2) in one. It changes hands as it
//! is, all queues and tokens in it included, so that it takes as long for many tasks as for few.
//! The old module may be removed from memory afterwards. So nothing in there may lead back into
//! it, by a reference to a `static`, say, or a function pointer; [`TransferState`] sees to that.

use crate::{
    adapter::Adapter,
    cpu::{CpuId, CpuMap},
    ctx::Ctx,
    fifo::FifoQueue,
    hint::{fnv, hash, QueueId},
    sched::Scheduler,
    sys::{Lock, RawOlder, Result},
    time::Ns,
    token::{TaskId, TaskKey},
    tree::TreeQueue,
};
use core::{marker::PhantomData, mem, ptr};

/// What means the same in another module, in memory as it is.
///
/// Made for a structure by [`transfer!`](crate::transfer); numbers, containers of tasks, locks and
/// [`CpuMap`]s are such types already.
///
/// # Safety
///
/// Nothing in a value of the type may point to code or statics of the module that made it, nor
/// own anything that only this module can free. Types of the same [`HASH`](Self::HASH) must have
/// the same layout, in all modules that are built for one kernel.
pub unsafe trait TransferState: Send + 'static {
    /// The type's name, at most 31 bytes; only structures have one.
    const NAME: &'static str = "";
    /// Its version.
    const VERSION: u32 = 0;
    /// What it is made of, down to the numbers.
    const HASH: u64;
}

/// The hash of a type that is made of others: its name, and theirs.
pub(crate) const fn of(name: &str, parts: &[u64]) -> u64 {
    let mut sum = hash(name);
    let mut i = 0;
    while i < parts.len() {
        sum = fnv(sum, &parts[i].to_le_bytes());
        i += 1;
    }
    sum
}

/// For [`transfer!`](crate::transfer): `sum` and one more field.
#[doc(hidden)]
pub const fn __field(sum: u64, name: &str, hash: u64) -> u64 {
    fnv(fnv(sum, name.as_bytes()), &hash.to_le_bytes())
}

macro_rules! plain {
    ($($type:ty),* $(,)?) => {$(
        // SAFETY: It is a number, or made of numbers, and points nowhere.
        unsafe impl TransferState for $type {
            const HASH: u64 = of(stringify!($type), &[]);
        }
    )*};
}

plain!((), bool, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);
plain!(Ns, CpuId, TaskId, TaskKey);

// SAFETY: It is the number of a queue; its type only says what may be sent there.
unsafe impl<M: 'static> TransferState for QueueId<M> {
    const HASH: u64 = of("QueueId", &[]);
}

/// Containers, which have nothing of their own but what is in them.
macro_rules! container {
    ($($type:ident),* $(,)?) => {$(
        // SAFETY: Its memory is the kernel's allocator's, from where any module may free it, and
        // its code is instantiated in each; what is in it is [`TransferState`].
        unsafe impl<T: TransferState> TransferState for $type<T> {
            const HASH: u64 = of(stringify!($type), &[T::HASH]);
        }
    )*};
}

// The class of a `Lock` for lockdep is libEnoki's, so it does not go with the module.
container!(Option, CpuMap, Lock, FifoQueue, TreeQueue);

// SAFETY: An array is its elements.
unsafe impl<T: TransferState, const N: usize> TransferState for [T; N] {
    const HASH: u64 = of("array", &[N as u64, T::HASH]);
}

/// Declares a structure that can be handed over to another version of the policy.
///
/// The name and the version stand in messages; that the fields are the same the class sees by
/// itself.
///
/// # Examples
///
/// ```
/// use enoki::prelude::*;
///
/// transfer! {
///     /// What is known of a CPU.
///     struct Known("example", 1) {
///         clock: u64,
///         last: Option<TaskId>,
///     }
/// }
///
/// let known = Known { clock: 3, last: None };
/// assert_eq!((known.clock, Known::NAME), (3, "example"));
/// assert_ne!(Known::HASH, <[u64; 2]>::HASH);
/// ```
#[macro_export]
macro_rules! transfer {
    (
        $(#[$meta:meta])*
        $vis:vis struct $type:ident($name:literal, $version:literal) {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $field_type:ty,)*
        }
    ) => {
        $(#[$meta])*
        #[repr(C)]
        $vis struct $type {
            $($(#[$field_meta])* $field_vis $field: $field_type,)*
        }

        // SAFETY: Each field is `TransferState`, and the layout follows from the fields.
        unsafe impl $crate::upgrade::TransferState for $type {
            const NAME: &'static str = $name;
            const VERSION: u32 = $version;
            const HASH: u64 = {
                let sum = $crate::hint::hash(stringify!($type));
                $(
                    let sum = $crate::upgrade::__field(
                        sum,
                        stringify!($field),
                        <$field_type as $crate::upgrade::TransferState>::HASH,
                    );
                )*
                sum
            };
        }
    };
}

/// A [`Scheduler`] that hands over what it knows to the next version of itself, and takes it over
/// from the one before.
///
/// Its module is declared with `with: [upgrade]`, see
/// [`module_enoki_scheduler!`](crate::module_enoki_scheduler). Two versions agree if both have the
/// same [`Transfer`](Self::Transfer) and the same [`Task`](Scheduler::Task), or if one of them is
/// [`Exchange`] for what the other one has; otherwise the upgrade is refused.
///
/// Nobody else is in the policy meanwhile, on no CPU. All of them wait: be quick.
pub trait Upgrade: Scheduler<Task: TransferState> {
    /// What is handed over, a part of the policy.
    type Transfer: TransferState;

    /// Gets ready for the exchange, and says where it is. What is there changes hands with what
    /// the other version has there.
    fn reregister_prep(&mut self, ctx: &mut Ctx<'_>) -> &mut Self::Transfer;

    /// What the other version knew is there now. The rest of the policy is what
    /// [`new()`](Scheduler::new) made, a moment ago.
    ///
    /// # Errors
    ///
    /// Any error refuses the upgrade: the exchange is undone, and the other version is called
    /// with what it gave away; then an error means nothing.
    #[inline]
    fn reregister_init(&mut self, ctx: &mut Ctx<'_>) -> Result<()> {
        let _ = ctx;
        Ok(())
    }
}

/// What is handed over, for a version that has it in another form, `O`: that of an older one, say.
///
/// The newer version declares the older form once more, with the names that it had, in a module of
/// its own, and names it to [`module_enoki_scheduler!`](crate::module_enoki_scheduler), as `older`.
/// It then takes over from such a version, and gives back to it as well: if it refuses, and if it
/// is to be replaced by it.
///
/// There is nothing to write where each form can be made [`From`] the other one. That has to
/// consume what it is made from, as a whole: nothing can be allocated or freed there. So what is in
/// a [`CpuMap`] has to be exchanged in place if it has another form, CPU by CPU.
///
/// # Tasks
///
/// If what is kept of a task has another form, too, that must be [`From`] a reference to the other
/// one, and the other way round. No token can change hands then. The queues stay as they are, and
/// are exchanged by nobody; the newer version gets a token of each task a moment later, one after
/// the other, and meanwhile the class runs them.
///
/// # Examples
///
/// ```
/// use enoki::prelude::*;
///
/// mod v1 {
///     use enoki::prelude::*;
///
///     transfer! {
///         /// As version 1 had it.
///         pub(super) struct Known("example", 1) {
///             pub(super) picks: u64,
///         }
///     }
/// }
///
/// transfer! {
///     /// Who has been picked how often, of all and of those that had waited.
///     struct Known("example", 2) {
///         picks: u64,
///         late: u64,
///     }
/// }
///
/// impl From<v1::Known> for Known {
///     fn from(old: v1::Known) -> Known {
///         Known { picks: old.picks, late: 0 }
///     }
/// }
///
/// impl From<Known> for v1::Known {
///     fn from(new: Known) -> v1::Known {
///         v1::Known { picks: new.picks }
///     }
/// }
///
/// let (mut new, mut old) = (Known { picks: 0, late: 0 }, v1::Known { picks: 7 });
/// new.exchange(&mut old);
/// assert_eq!((new.picks, new.late, old.picks), (7, 0, 0));
/// ```
pub trait Exchange<O>: Sized {
    /// Gives what `older` knows to `self`, and the other way round. What only one of them has stays
    /// as it is, or is worked out from the rest.
    ///
    /// Called once more it undoes that.
    fn exchange(&mut self, older: &mut O);
}

/// Does not come out of a panic: in the kernel nothing does, elsewhere what has been moved away
/// would be dropped.
struct NoWayBack;

impl Drop for NoWayBack {
    fn drop(&mut self) {
        panic!("a panic while a policy was being replaced");
    }
}

impl<T: From<O>, O: From<T>> Exchange<O> for T {
    #[inline]
    fn exchange(&mut self, older: &mut O) {
        let no_way_back = NoWayBack;
        // SAFETY: Both are valid, and different, as they are borrowed. What is read is used up, and
        // nobody sees it before something else is there: a panic does not come back from here.
        unsafe {
            let (ours, theirs) = (ptr::read(self), ptr::read(older));
            ptr::write(self, T::from(theirs));
            ptr::write(older, O::from(ours));
        }
        mem::forget(no_way_back);
    }
}

/// For [`module_enoki_scheduler!`](crate::module_enoki_scheduler): a form in which `S` can replace
/// another version, and be replaced by it.
#[doc(hidden)]
#[repr(transparent)]
pub struct Older<S>(pub(crate) RawOlder, PhantomData<S>);

impl<S: Upgrade> Older<S> {
    /// Of a version that keeps the same for each task.
    pub const fn same_tasks<O: TransferState>() -> Older<S>
    where
        S::Transfer: Exchange<O>,
    {
        Older(Adapter::<S>::older::<O>(), PhantomData)
    }

    /// Of one that keeps `T`.
    pub const fn other_tasks<O: TransferState, T: TransferState>() -> Older<S>
    where
        S::Transfer: Exchange<O>,
        S::Task: for<'a> From<&'a T>,
        T: for<'a> From<&'a S::Task>,
    {
        Older(Adapter::<S>::older_with_tasks::<O, T>(), PhantomData)
    }
}

/// For [`module_enoki_scheduler!`](crate::module_enoki_scheduler).
#[doc(hidden)]
#[macro_export]
macro_rules! __older {
    ($type:ty, $state:ty) => {
        $crate::upgrade::Older::<$type>::same_tasks::<$state>()
    };
    ($type:ty, $state:ty, $task:ty) => {
        $crate::upgrade::Older::<$type>::other_tasks::<$state, $task>()
    };
}
