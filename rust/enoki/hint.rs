// SPDX-License-Identifier: GPL-2.0

//! Hints from programs to a policy, and messages back.
//!
//! The paper's user-to-kernel and kernel-to-user queues (section 3.3). A program opens
//! `/dev/enoki` and becomes a client of the policy; its hints come to
//! [`parse_hint()`](Hinted::parse_hint), and [`Ctx::send()`](crate::ctx::Ctx::send) sends it
//! messages. Each of the two has a type, declared by [`hint!`](crate::hint), which both sides
//! must have the same: name, version, size, and a hash of the fields.
//!
//! Beyond the paper, a hint may be about a thread. Its sender names it by its thread id; the class
//! makes the task of it, sees to it that the sender may say something about it, and has it stand
//! still meanwhile.

use crate::{
    adapter,
    ctx::Ctx,
    params::{self, Parameters},
    sched::Scheduler,
    sys::{self, RawOps, Result},
    token::{Lent, TaskName},
    upgrade::{Older, Upgrade},
};
use core::{fmt, marker::PhantomData};
use zerocopy::{FromBytes, Immutable, IntoBytes};
use zerocopy_derive::{FromBytes, Immutable, IntoBytes};

/// A type of hints or of messages.
///
/// Made by [`hint!`](crate::hint). Any bytes are a valid value of it, and it has no padding:
/// what a program writes can be read as one, and what a policy sends gives nothing away.
pub trait Hint: FromBytes + IntoBytes + Immutable + Copy + Send + 'static {
    /// The type's name, at most 31 bytes; none for [`NoHint`].
    const NAME: &'static str;
    /// Its version.
    const VERSION: u32;
    /// What the fields are, see [`hash()`].
    const HASH: u64;
}

/// For a policy that takes no hints, or sends no messages.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct NoHint;

impl Hint for NoHint {
    const NAME: &'static str = "";
    const VERSION: u32 = 0;
    const HASH: u64 = 0;
}

/// The hash of a type's fields: FNV-1a, 64 bits, of `"field:type,"` for each in order.
///
/// The types are Rust's. Clients in other languages hash the same text.
///
/// # Examples
///
/// ```
/// assert_eq!(enoki::hint::hash(""), 0xcbf2_9ce4_8422_2325);
/// assert_eq!(enoki::hint::hash("a"), 0xaf63_dc4c_8601_ec8c);
/// ```
pub const fn hash(fields: &str) -> u64 {
    fnv(0xcbf2_9ce4_8422_2325, fields.as_bytes())
}

/// The hash of what `hash` is of, followed by `bytes`.
pub(crate) const fn fnv(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}

/// Declares a type of hints or messages: a structure of integers without gaps, its size a
/// multiple of 8 bytes, at most 240.
///
/// # Examples
///
/// ```
/// use enoki::prelude::*;
///
/// hint! {
///     /// So many cores, please.
///     pub struct Request("arachne_request", 1) {
///         /// How many.
///         pub cores: u32,
///         /// How urgent it is.
///         pub priority: u32,
///     }
/// }
///
/// let request = Request { cores: 3, priority: 0 };
/// assert_eq!(request.cores, 3);
/// ```
#[macro_export]
macro_rules! hint {
    (
        $(#[$meta:meta])*
        $vis:vis struct $type:ident($name:literal, $version:literal) {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $field_type:ident,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(
            Clone,
            Copy,
            Debug,
            $crate::__zerocopy_derive::FromBytes,
            $crate::__zerocopy_derive::IntoBytes,
            $crate::__zerocopy_derive::Immutable,
        )]
        #[repr(C)]
        $vis struct $type {
            $($(#[$field_meta])* $field_vis $field: $field_type,)*
        }

        impl $crate::hint::Hint for $type {
            const NAME: &'static str = $name;
            const VERSION: u32 = $version;
            const HASH: u64 = $crate::hint::hash(concat!(
                $(stringify!($field), ":", stringify!($field_type), ",",)*
            ));
        }
    };
}

/// The queues of a client, by which messages of type `M` can be sent to it.
///
/// It is a number, never used again, that may be kept: once the client has gone it leads nowhere.
pub struct QueueId<M> {
    id: u64,
    _message: PhantomData<fn(M)>,
}

impl<M> QueueId<M> {
    #[inline]
    pub(crate) fn from_raw(id: u64) -> QueueId<M> {
        QueueId {
            id,
            _message: PhantomData,
        }
    }

    /// The number itself.
    #[inline]
    pub fn as_u64(self) -> u64 {
        self.id
    }
}

impl<M> Clone for QueueId<M> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for QueueId<M> {}

impl<M> PartialEq for QueueId<M> {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl<M> Eq for QueueId<M> {}

impl<M> fmt::Debug for QueueId<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "QueueId({})", self.id)
    }
}

/// Which way a queue goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueKind {
    /// From a program to the policy.
    Hints,
    /// From the policy to a program: the paper's reverse queue.
    Messages,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// The client reads too slowly: there is no room. It was counted.
    Full,
    /// There is no such client, or it takes no messages.
    Gone,
}

/// Whom a hint is about.
pub enum About<'a, T> {
    /// No task. Anybody may send that, whether a task of its own is attached or not.
    Nobody,
    /// A task that the policy has no token of: it runs or sleeps, or another class has it.
    Lent(Lent<'a, T>),
    /// A task that is queued on `ctx.cpu()`. With its name the policy takes the token out of its
    /// container, to change its state or its place.
    Queued(TaskName<'a, T>),
}

/// A [`Scheduler`] that talks to programs.
///
/// Its module is declared with `with: [hints]`, see
/// [`module_enoki_scheduler!`](crate::module_enoki_scheduler).
pub trait Hinted: Scheduler {
    /// What it takes; [`NoHint`] if nothing.
    type UserHint: Hint;
    /// What it sends; [`NoHint`] if nothing.
    type RevHint: Hint;

    /// A client sets up a queue. If it has one of each kind, both have the same number. No run
    /// queue is locked; messages can be sent once this has returned.
    ///
    /// # Errors
    ///
    /// Any error refuses the queue.
    #[inline]
    fn register_queue(
        &self,
        ctx: &mut Ctx<'_>,
        queue: QueueId<Self::RevHint>,
        kind: QueueKind,
    ) -> Result<()> {
        let _ = (ctx, queue, kind);
        Ok(())
    }

    /// A client that had queues has gone. No run queue is locked.
    #[inline]
    fn unregister_queue(&self, ctx: &mut Ctx<'_>, queue: QueueId<Self::RevHint>) {
        let _ = (ctx, queue);
    }

    /// `waiting` hints can be had from a client's ring now. How many of them does the policy want?
    /// The others stay there until the next time. No run queue is locked.
    #[inline]
    fn enter_queue(&self, ctx: &mut Ctx<'_>, queue: QueueId<Self::RevHint>, waiting: u32) -> u32 {
        let _ = (ctx, queue);
        waiting
    }

    /// A hint has come. If it is about a task, the run queue that this is on is locked; else none.
    ///
    /// # Errors
    ///
    /// Any error refuses the hint, which is counted; who sends it by a system call gets the error.
    fn parse_hint(
        &self,
        ctx: &mut Ctx<'_>,
        queue: QueueId<Self::RevHint>,
        hint: &Self::UserHint,
        about: About<'_, Self::Task>,
    ) -> Result<()>;
}

/// The ops table of a policy, made by [`module_enoki_scheduler!`](crate::module_enoki_scheduler).
#[doc(hidden)]
pub struct Ops<S>(RawOps, PhantomData<S>);

impl<S: Scheduler> Ops<S> {
    /// Of a policy that is no more than a [`Scheduler`].
    pub const fn new() -> Ops<S> {
        Ops(adapter::Adapter::<S>::OPS, PhantomData)
    }

    /// Of one whose module has parameters.
    pub const fn parameters<P: Parameters>(self) -> Ops<S> {
        let ops = RawOps {
            parameters: Some(params::parameters::<P>),
            ..self.0
        };
        Ops(ops, PhantomData)
    }

    pub(crate) const fn into_raw(self) -> RawOps {
        self.0
    }
}

impl<S: Upgrade> Ops<S> {
    /// Of one that hands over what it knows, too.
    pub const fn upgrade(self) -> Ops<S> {
        Ops(adapter::Adapter::<S>::with_upgrade(self.0), PhantomData)
    }

    /// Likewise, also to and from versions that have it in one of these forms.
    pub const fn older(self, older: &'static [Older<S>]) -> Ops<S> {
        Ops(
            adapter::Adapter::<S>::with_older(self.0, older),
            PhantomData,
        )
    }
}

impl<S: Hinted> Ops<S> {
    /// Of one that talks to programs, too.
    pub const fn hints(self) -> Ops<S> {
        Ops(adapter::Adapter::<S>::with_hints(self.0), PhantomData)
    }
}

/// Sends a message.
///
/// # Safety
///
/// `es` must be a live registration.
#[inline]
pub(crate) unsafe fn send<M: Hint>(
    es: *mut sys::RawSched,
    queue: QueueId<M>,
    message: &M,
) -> Result<(), SendError> {
    // SAFETY: By the requirements of this function.
    match unsafe { sys::queue_send(es, queue.id, message.as_bytes()) } {
        Ok(()) => Ok(()),
        Err(sys::code::ENOSPC) => Err(SendError::Full),
        Err(_) => Err(SendError::Gone),
    }
}
