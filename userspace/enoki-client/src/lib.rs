//! Hints to Enoki CPU schedulers, and messages from them.
//!
//! A policy of the Enoki scheduling class may take hints from programs, and send messages to
//! them; see `Documentation/scheduler/enoki.rst`. A program becomes a [`Client`] of the policy,
//! and then sends [`Hints`] and receives [`Messages`], neither with a system call.
//!
//! What a hint or a message is like a type says that both sides declare: here with [`layout!`],
//! in a policy with `hint!` of libEnoki. If they differ the queue is refused.
//!
//! # Examples
//!
//! ```no_run
//! use enoki_client::{layout, About, Client};
//!
//! layout! {
//!     /// Where a thread belongs.
//!     pub struct Place("locality_place", 1) {
//!         /// The place; 0 for none.
//!         pub place: u64,
//!     }
//! }
//!
//! # fn main() -> std::io::Result<()> {
//! let client = Client::open(4)?;
//! let mut hints = client.hints::<Place>(64)?;
//! hints.send(About::this_thread(), &Place { place: 7 }).expect("there is room");
//! # Ok(())
//! # }
//! ```

//! # Processes
//!
//! A client is of the process that opened it. A child of fork() has the open file, but not the
//! rings, and the hints would be about another process: whatever it does with a client that it
//! inherits, but to drop it, fails with [`Forked`], and what was sent before is not disturbed. A
//! child that is to send hints opens a client of its own. As long as a child keeps what it has
//! inherited the policy keeps the client, even if the parent has ended.

#[doc(hidden)]
pub mod ring;

// The orderings of the ring are explored with atomics of another kind, for which the rest is not.
#[cfg(not(loom))]
mod client;
#[cfg(not(loom))]
mod ffi;
#[cfg(not(loom))]
mod owner;
#[cfg(not(loom))]
mod sys;

#[cfg(not(loom))]
pub use client::*;
#[cfg(not(loom))]
pub use owner::Forked;

#[doc(hidden)]
pub use zerocopy as __zerocopy;
