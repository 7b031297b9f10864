//! Clients of a policy, their hints and their messages.

use crate::{owner::Forked, ring, ring::Full, sys};
use std::{
    error::Error,
    fmt, io,
    marker::PhantomData,
    os::fd::{AsRawFd, RawFd},
    sync::Arc,
    time::Duration,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The most bytes that a hint or a message has.
pub const MAX_SIZE: usize = 240;

/// What a hint or a message looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout<'a> {
    /// The type's name, at most 31 bytes.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: u32,
    /// Its version.
    pub version: u32,
    /// What its fields are, see [`hash()`].
    pub hash: u64,
}

/// The hash of a type's fields: FNV-1a, 64 bits, of `"field:type,"` for each in order.
///
/// # Examples
///
/// ```
/// assert_eq!(enoki_client::hash(""), 0xcbf2_9ce4_8422_2325);
/// assert_eq!(enoki_client::hash("a"), 0xaf63_dc4c_8601_ec8c);
/// ```
pub const fn hash(fields: &str) -> u64 {
    let bytes = fields.as_bytes();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        i += 1;
    }
    hash
}

/// A type of hints or of messages, made by [`layout!`](crate::layout).
pub trait Entry: FromBytes + IntoBytes + Immutable + Copy + Send + 'static {
    /// What it looks like.
    const FORMAT: Layout<'static>;
}

/// Declares a type of hints or messages: a structure of integers without gaps, its size a multiple
/// of 8 bytes, at most 240. The policy declares the same with `hint!`.
///
/// # Examples
///
/// ```
/// use enoki_client::{layout, Entry};
///
/// layout! {
///     /// So many cores, please.
///     pub struct Request("arachne_request", 1) {
///         /// How many.
///         pub cores: u32,
///         /// How urgent it is.
///         pub priority: u32,
///     }
/// }
///
/// assert_eq!(Request::FORMAT.size, 8);
/// assert_eq!(Request::FORMAT.hash, enoki_client::hash("cores:u32,priority:u32,"));
/// ```
///
/// What is in gaps would be anybody's:
///
/// ```compile_fail
/// enoki_client::layout! {
///     /// With a gap.
///     pub struct Gap("gap", 1) {
///         /// One byte.
///         pub small: u8,
///         /// Eight.
///         pub large: u64,
///     }
/// }
/// ```
#[macro_export]
macro_rules! layout {
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
            PartialEq,
            Eq,
            $crate::__zerocopy::FromBytes,
            $crate::__zerocopy::IntoBytes,
            $crate::__zerocopy::Immutable,
        )]
        #[zerocopy(crate = "enoki_client::__zerocopy")]
        #[repr(C)]
        $vis struct $type {
            $($(#[$field_meta])* $field_vis $field: $field_type,)*
        }

        impl $crate::Entry for $type {
            const FORMAT: $crate::Layout<'static> = {
                let size = ::core::mem::size_of::<$type>();
                assert!(
                    size != 0 && size % 8 == 0 && size <= $crate::MAX_SIZE,
                    "the size of a hint is a multiple of 8 bytes, at most 240"
                );
                $crate::Layout {
                    name: $name,
                    size: size as u32,
                    version: $version,
                    hash: $crate::hash(concat!(
                        $(stringify!($field), ":", stringify!($field_type), ",",)*
                    )),
                }
            };
        }
    };
}

/// Whom a hint is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About(i32);

impl About {
    /// No thread.
    pub const NOBODY: About = About(0);

    /// The thread that calls this.
    pub fn this_thread() -> About {
        // SAFETY: It only asks.
        About(unsafe { libc::gettid() })
    }

    /// The thread of that id. Without CAP_SYS_NICE it has to be of the process that opened the
    /// client.
    pub fn thread(tid: i32) -> About {
        About(tid)
    }
}

/// Why a hint was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendError {
    /// There is no room: the policy has not taken enough of those before.
    Full,
    /// The client is another process's, see [`Forked`].
    Forked,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Full => f.write_str("there is no room for a hint: ring the doorbell"),
            SendError::Forked => Forked.fmt(f),
        }
    }
}

impl Error for SendError {}

impl From<Full> for SendError {
    fn from(_: Full) -> Self {
        SendError::Full
    }
}

impl From<Forked> for SendError {
    fn from(_: Forked) -> Self {
        SendError::Forked
    }
}

/// A client of a policy.
///
/// It, its [`Hints`] and its [`Messages`] are one for the policy; when the last of them has gone,
/// or the process has, everything of it is cleaned up.
///
/// It is of the process that opened it. In a child of fork() everything but dropping it fails
/// with [`Forked`].
#[derive(Clone)]
pub struct Client(Arc<sys::Device>);

impl Client {
    /// Opens a client of the policy of that number.
    ///
    /// # Errors
    ///
    /// `ENOENT` when the kernel has no Enoki, `ENODEV` when no such policy is in office, `EDQUOT`
    /// when it has too many clients.
    pub fn open(policy: u32) -> io::Result<Client> {
        Ok(Client(Arc::new(sys::Device::open(policy)?)))
    }

    /// Sets up the queue of hints, once, with room for that many, a power of 2.
    ///
    /// # Errors
    ///
    /// `EPROTO` when the policy takes no hints, or others; `/sys/kernel/sched_enoki/last_error`
    /// says how they differ. Else what the policy refuses the queue with.
    pub fn hints<T: Entry>(&self, nr_entries: u32) -> io::Result<Hints<T>> {
        if nr_entries == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let writer = self
            .0
            .queue(sys::HINTS, &T::FORMAT, nr_entries, ring::Writer::new)?;
        Ok(Hints {
            writer: writer.ok_or(io::ErrorKind::InvalidData)?,
            _type: PhantomData,
        })
    }

    /// Sets up the queue of messages, once, with room for that many, a power of 2.
    ///
    /// # Errors
    ///
    /// As for [`hints()`](Self::hints).
    pub fn messages<T: Entry>(&self, nr_entries: u32) -> io::Result<Messages<T>> {
        if nr_entries == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let reader = self
            .0
            .queue(sys::MESSAGES, &T::FORMAT, nr_entries, ring::Reader::new)?;
        Ok(Messages {
            reader: reader.ok_or(io::ErrorKind::InvalidData)?,
            _type: PhantomData,
        })
    }

    /// [`Hints::doorbell()`], for another thread than the one that sends.
    ///
    /// # Errors
    ///
    /// As for that.
    pub fn doorbell(&self) -> io::Result<u32> {
        self.0.doorbell()
    }
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.0.fd()
    }
}

/// Hints on their way to a policy.
pub struct Hints<T> {
    writer: sys::Half<ring::Writer<sys::Mapping>>,
    _type: PhantomData<fn(T)>,
}

impl<T: Entry> Hints<T> {
    /// Sends a hint, without a system call. The policy gets it when one of its tasks is attached,
    /// wakes up or has a tick; or see [`doorbell()`](Self::doorbell).
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] when the policy has not taken enough of those before,
    /// [`SendError::Forked`] in a child of fork(); nothing was sent.
    #[inline]
    pub fn send(&mut self, about: About, hint: &T) -> Result<(), SendError> {
        let writer = self.writer.get_mut()?;
        Ok(writer.push(u64::from(about.0 as u32), hint.as_bytes())?)
    }

    /// Has the policy look at the hints now. Returns how many it took, at most 256.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the policy has gone, [`Forked`] in a child of fork().
    pub fn doorbell(&self) -> io::Result<u32> {
        self.writer.device().doorbell()
    }

    /// Sends a hint by a system call, after those that were sent before.
    ///
    /// # Errors
    ///
    /// `EPERM` when it is about another's thread, `ESRCH` when it is about one that is not
    /// attached to the policy, `EDQUOT` when there were too many, `EAGAIN` when too many before
    /// it still wait, `ENODEV` when the policy has gone, [`Forked`] in a child of fork(); else what
    /// the policy says.
    pub fn send_now(&self, about: About, hint: &T) -> io::Result<()> {
        self.writer.device().hint(about.0, hint.as_bytes())
    }

    /// How many more can be sent; none in a child of fork().
    pub fn room(&mut self) -> u32 {
        self.writer.get_mut().map_or(0, ring::Writer::room)
    }

    /// How many were refused of those that were sent without a system call; none of those that a
    /// child of fork() sent.
    pub fn refused(&self) -> u32 {
        let writer = self.writer.get();
        writer.map_or(0, |writer| writer.memory().dropped())
    }
}

/// Messages from a policy.
pub struct Messages<T> {
    reader: sys::Half<ring::Reader<sys::Mapping>>,
    _type: PhantomData<fn() -> T>,
}

impl<T: Entry> Messages<T> {
    /// The next message, if there is one, without a system call.
    ///
    /// # Errors
    ///
    /// [`Forked`] in a child of fork().
    #[inline]
    pub fn receive(&mut self) -> Result<Option<T>, Forked> {
        let mut message = T::new_zeroed();
        let head = self.reader.get_mut()?.pop(message.as_mut_bytes());
        Ok(head.map(|_| message))
    }

    /// Waits for a message, for as long as it takes or for that long at most; [`None`] when the time
    /// is over.
    ///
    /// # Errors
    ///
    /// `ENODEV` when the policy has gone, and all its messages were received; [`Forked`] in a child
    /// of fork().
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Option<T>> {
        let timeout_ms = timeout.map_or(-1, |time| {
            i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
        });
        if let Some(message) = self.receive()? {
            return Ok(Some(message));
        }
        let events = self.reader.device().poll(libc::POLLIN, timeout_ms)?;
        match self.receive()? {
            None if events & libc::POLLHUP != 0 => Err(io::Error::from_raw_os_error(libc::ENODEV)),
            message => Ok(message),
        }
    }

    /// How many more there would have been if there had been room; none for a child of fork().
    pub fn dropped(&self) -> u32 {
        let reader = self.reader.get();
        reader.map_or(0, |reader| reader.memory().dropped())
    }
}

impl<T> AsRawFd for Messages<T> {
    /// For poll(2) and its like: readable when there are messages.
    fn as_raw_fd(&self) -> RawFd {
        self.reader.device().fd()
    }
}
