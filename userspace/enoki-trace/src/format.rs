//! What is in a file, and how its numbers are written: little endian.

use crate::records;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io};

/// What a file begins with.
pub(crate) const MAGIC: &[u8; 8] = b"ENOKIREC";
/// What a file ends with.
pub(crate) const END: &[u8; 8] = b"ENOKIEND";
/// The version of the file's format; that of the records is in [`Head`].
pub(crate) const VERSION: u32 = 1;
/// Bytes before the head.
pub(crate) const PREFIX: usize = 20;
/// Bytes after the index.
pub(crate) const SUFFIX: usize = 20;
/// The largest head.
pub(crate) const MAX_HEAD: usize = 16 << 20;
/// Bytes of records in a frame, with what is between them.
pub const MAX_FRAME: usize = 16 << 20;
/// The largest index.
pub(crate) const MAX_INDEX: usize = 64 << 20;
/// What a frame begins with.
const MARK: &[u8; 4] = b"EnFr";

/// What is known of a recording before it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Head {
    /// What has written it, with its version.
    pub program: String,
    /// The kernel's release and version, as uname(1) has them.
    pub kernel: String,
    /// The machine's architecture.
    pub machine: String,
    /// How many tapes there are: one for each CPU that there may be.
    pub cpus: u32,
    /// The version of the records' format.
    pub record_version: u32,
    /// Whether the records have their least significant byte first.
    pub little_endian: bool,
    /// For how many bytes each tape had room.
    pub tape_size: u32,
    /// Whether it stopped if there was no room.
    pub lossless: bool,
    /// When it began, in seconds since 1970.
    pub begun: u64,
    /// The command during which it was made, if any.
    pub command: Vec<String>,
    /// The policies that it has, as they were when it began.
    pub policies: Vec<Policy>,
}

impl Head {
    /// One for records of this program's kind, from so many CPUs.
    #[must_use]
    pub fn new(cpus: u32) -> Head {
        Head {
            cpus,
            record_version: records::VERSION,
            little_endian: cfg!(target_endian = "little"),
            ..Head::default()
        }
    }
}

/// A policy that was recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Its name, as in `/sys/kernel/sched_enoki`.
    pub name: String,
    /// Its number, by which its records are told from those of others.
    pub id: u32,
    /// Its version.
    pub version: String,
    /// The module that it came from.
    pub module: String,
    /// The build id of that, if the kernel knows it.
    pub build_id: Option<String>,
    /// The kernel's sum over its source, if the kernel knows it.
    pub srcversion: Option<String>,
    /// Its parameters that the kernel shows.
    pub parameters: BTreeMap<String, String>,
}

/// How a recording ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ending {
    /// How many records each CPU lost, for want of room on its tape.
    pub lost: Vec<u64>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// How the command ended, if there was one.
    pub status: Option<i32>,
    /// That the kernel stopped it before.
    pub stopped: bool,
    /// The policies that there were then.
    pub policies: Vec<Policy>,
}

/// The last frame of a file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Index {
    pub(crate) frames: Vec<Frame>,
    /// How many records there are of each CPU.
    pub(crate) records: Vec<u64>,
    pub(crate) ending: Ending,
}

/// Where a frame is, and what is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// At which byte of the file it begins.
    pub offset: u64,
    /// How many records it has.
    pub records: u64,
    /// The earliest time in it, ns; 0 if there is none.
    pub first_ns: u64,
    /// The latest time in it, ns.
    pub last_ns: u64,
}

/// What is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Pieces, as they are.
    Stored = 1,
    /// Pieces, compressed.
    Compressed = 2,
    /// The index, compressed.
    Index = 3,
}

/// What a frame begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHead {
    pub(crate) kind: Kind,
    /// Bytes that follow.
    pub(crate) size: u32,
    /// Bytes that they are when they are not compressed.
    pub(crate) raw: u32,
    /// The CRC of the bytes that follow.
    pub(crate) crc: u32,
    pub(crate) records: u64,
    pub(crate) first_ns: u64,
    pub(crate) last_ns: u64,
}

impl FrameHead {
    pub(crate) const SIZE: usize = 64;

    pub(crate) fn to_bytes(self) -> [u8; FrameHead::SIZE] {
        let mut bytes = [0; FrameHead::SIZE];
        bytes[..4].copy_from_slice(MARK);
        bytes[8] = self.kind as u8;
        for (at, number) in [(12, self.size), (16, self.raw), (20, self.crc)] {
            bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        }
        let numbers = [self.records, self.first_ns, self.last_ns];
        for (at, number) in (32..).step_by(8).zip(numbers) {
            bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Nothing if these bytes are no such head.
    pub(crate) fn from_bytes(bytes: &[u8; FrameHead::SIZE]) -> Option<FrameHead> {
        if bytes[..4] != *MARK || le32(bytes, 4) != crc32fast::hash(&bytes[8..]) {
            return None;
        }
        let (kind, most) = match bytes[8] {
            1 => (Kind::Stored, MAX_FRAME),
            2 => (Kind::Compressed, MAX_FRAME),
            3 => (Kind::Index, MAX_INDEX),
            _ => return None,
        };
        let head = FrameHead {
            kind,
            size: le32(bytes, 12),
            raw: le32(bytes, 16),
            crc: le32(bytes, 20),
            records: le64(bytes, 32),
            first_ns: le64(bytes, 40),
            last_ns: le64(bytes, 48),
        };
        // What does not compress takes a little more than it is.
        let fits = head.raw as usize <= most && head.size as usize <= most + most / 128 + 1024;
        fits.then_some(head)
    }

    /// Where in these bytes something begins that may be a frame.
    pub(crate) fn find(bytes: &[u8]) -> Option<usize> {
        bytes.windows(MARK.len()).position(|word| word == MARK)
    }
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(number)
}

pub(crate) fn le64(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

pub(crate) fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}
