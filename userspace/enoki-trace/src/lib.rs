//! Recordings of Enoki policies as files.
//!
//! The kernel writes what policies are asked, told and answered on a tape for each CPU, as
//! `include/uapi/linux/enoki.h` explains. `enokictl record` puts the records into a file with a
//! [`Writer`]; a [`Recording`] reads it.
//!
//! # The file
//!
//! ```text
//! "ENOKIREC", version, size and CRC of the head; the head, JSON: see [`Head`]
//! frame, frame, …      each a FrameHead of 64 bytes and what it says follows
//! index                a frame too: where the frames are, and how it ended, see [`Ending`]
//! offset of the index, CRC of that, "ENOKIEND"
//! ```
//!
//! A frame has records of at most [`MAX_FRAME`] bytes, in pieces of one CPU each; most are
//! compressed with zstd. Each can be read alone and is covered by a CRC, and each piece says how
//! many records of its CPU there were before. So a file that is damaged, or was cut off, is read as
//! far as it is intact, and what is missing can be told: see [`Damage`].
//!
//! # Examples
//!
//! ```
//! use enoki_trace::{records::Record, Ending, Head, Recording, Writer};
//! use std::io::Cursor;
//!
//! let head = Head::new(2);
//! let mut writer = Writer::new(Vec::new(), &head, 1)?;
//! writer.piece(1, &[&[0; 2 * Record::SIZE]])?;
//! let file = writer.finish(&Ending::default())?;
//!
//! let mut recording = Recording::open(Cursor::new(file))?;
//! assert_eq!(recording.head(), &head);
//! let piece = recording.next_piece()?.unwrap();
//! assert_eq!((piece.cpu, piece.records.len()), (1, 2 * Record::SIZE));
//! assert!(recording.next_piece()?.is_none() && recording.damage().is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod format;
#[path = "../../../tools/enoki-replay/latency.rs"]
pub mod latency;
mod reader;
#[path = "../../../tools/enoki-replay/records.rs"]
pub mod records;
mod stream;
mod writer;

pub use format::{Ending, Frame, Head, Policy, MAX_FRAME};
pub use reader::{Damage, Piece, Recording};
pub use stream::Stream;
pub use writer::Writer;

#[cfg(test)]
mod tests;
