//! Makes a file of what is on the tapes.

use crate::format::{Ending, Frame, FrameHead, Head, Index, Kind, END, MAGIC, MAX_FRAME, VERSION};
use crate::records::Record;
use std::io::{self, Write};
use zstd::bulk::Compressor;

/// A frame is written when it has so many bytes, …
const ENOUGH: usize = 1 << 20;
/// … and a piece has so many records at most.
const PIECE: usize = ENOUGH / Record::SIZE;
/// Bytes of a piece before its records: the CPU, how many there are, how many were before.
pub(crate) const PIECE_HEAD: usize = 16;

const _: () = assert!(2 * ENOUGH + PIECE_HEAD <= MAX_FRAME);

/// Writes a recording.
pub struct Writer<W> {
    to: W,
    at: u64,
    zstd: Compressor<'static>,
    hurry: bool,
    /// The pieces of the next frame, and what is known of it.
    raw: Vec<u8>,
    next: Frame,
    compressed: Vec<u8>,
    /// How many records there have been of each CPU.
    written: Vec<u64>,
    frames: Vec<Frame>,
}

impl<W: Write> Writer<W> {
    /// Begins a file. `level` is zstd's.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn new(mut to: W, head: &Head, level: i32) -> io::Result<Writer<W>> {
        let json = serde_json::to_vec(head)?;
        let mut prefix = MAGIC.to_vec();
        for number in [VERSION, json.len() as u32, crc32fast::hash(&json)] {
            prefix.extend(number.to_le_bytes());
        }
        to.write_all(&prefix)?;
        to.write_all(&json)?;
        Ok(Writer {
            to,
            at: (prefix.len() + json.len()) as u64,
            zstd: Compressor::new(level)?,
            hurry: false,
            raw: Vec::with_capacity(2 * ENOUGH),
            next: Frame::default(),
            compressed: Vec::new(),
            written: vec![0; head.cpus as usize],
            frames: Vec::new(),
        })
    }

    /// How many records there have been, of all CPUs.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.written.iter().sum()
    }

    /// Whether to lose no time: frames are written as they are then.
    pub fn hurry(&mut self, hurry: bool) {
        self.hurry = hurry;
    }

    /// Adds what is next on the tape of a CPU, which may be in several parts, of whole records.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    ///
    /// # Panics
    ///
    /// If there is no such CPU, or a record is not whole.
    pub fn piece(&mut self, cpu: u32, parts: &[&[u8]]) -> io::Result<()> {
        for part in parts {
            assert!(part.len() % Record::SIZE == 0, "records are whole");
            for some in part.chunks(PIECE * Record::SIZE) {
                self.add(cpu, some);
                if self.raw.len() >= ENOUGH {
                    self.flush()?;
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, cpu: u32, records: &[u8]) {
        let nr = records.len() / Record::SIZE;
        let before = &mut self.written[cpu as usize];
        self.raw.extend(cpu.to_le_bytes());
        self.raw.extend((nr as u32).to_le_bytes());
        self.raw.extend(before.to_le_bytes());
        self.raw.extend(records);
        *before += nr as u64;
        self.next.records += nr as u64;
        for record in records.chunks_exact(Record::SIZE) {
            let mut time = [0; 8];
            time.copy_from_slice(&record[..8]);
            // Some have no time.
            let time = u64::from_ne_bytes(time);
            if time != 0 && (self.next.first_ns == 0 || time < self.next.first_ns) {
                self.next.first_ns = time;
            }
            self.next.last_ns = self.next.last_ns.max(time);
        }
    }

    /// Writes what there is as a frame.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        if self.raw.is_empty() {
            return Ok(());
        }
        self.frames.push(Frame {
            offset: self.at,
            ..self.next
        });
        self.frame(Kind::Compressed)?;
        self.raw.clear();
        self.next = Frame::default();
        Ok(())
    }

    fn frame(&mut self, kind: Kind) -> io::Result<()> {
        let (mut kind, mut bytes) = (kind, &self.raw[..]);
        if self.hurry && kind != Kind::Index {
            kind = Kind::Stored;
        } else {
            let most = zstd::zstd_safe::compress_bound(self.raw.len());
            self.compressed.resize(most, 0);
            let size = self
                .zstd
                .compress_to_buffer(&self.raw, &mut self.compressed)?;
            bytes = &self.compressed[..size];
        }
        let head = FrameHead {
            kind,
            size: bytes.len() as u32,
            raw: self.raw.len() as u32,
            crc: crc32fast::hash(bytes),
            records: self.next.records,
            first_ns: self.next.first_ns,
            last_ns: self.next.last_ns,
        };
        self.to.write_all(&head.to_bytes())?;
        self.to.write_all(bytes)?;
        self.at += (FrameHead::SIZE + bytes.len()) as u64;
        Ok(())
    }

    /// Ends the file: its index, and how the recording ended.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn finish(mut self, ending: &Ending) -> io::Result<W> {
        self.flush()?;
        let offset = self.at.to_le_bytes();
        let index = Index {
            frames: std::mem::take(&mut self.frames),
            records: std::mem::take(&mut self.written),
            ending: ending.clone(),
        };
        self.raw = serde_json::to_vec(&index)?;
        self.frame(Kind::Index)?;
        self.to.write_all(&offset)?;
        self.to.write_all(&crc32fast::hash(&offset).to_le_bytes())?;
        self.to.write_all(END)?;
        self.to.flush()?;
        Ok(self.to)
    }
}
