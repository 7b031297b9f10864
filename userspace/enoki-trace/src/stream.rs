//! A recording of one policy as the stream that the policy's program reads.

use crate::reader::Recording;
use crate::records::{event, Record, MAGIC, VERSION};
use std::io::{self, Read, Seek};

/// Reads as a stream of [`crate::records`]. Where records are missing, it says that they were
/// lost.
pub struct Stream<'r, R> {
    recording: &'r mut Recording<R>,
    buffer: Vec<u8>,
    at: usize,
}

impl<'r, R: Read + Seek> Stream<'r, R> {
    /// All of a recording, for the policy of that number.
    pub fn new(recording: &'r mut Recording<R>, policy: u32) -> Stream<'r, R> {
        recording.rewind();
        let mut buffer = MAGIC.to_vec();
        for number in [VERSION, recording.head().cpus, policy] {
            buffer.extend(number.to_ne_bytes());
        }
        Stream {
            recording,
            buffer,
            at: 0,
        }
    }

    /// Gets the next piece ready.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.clear();
        self.at = 0;
        let Some(piece) = self.recording.next_piece()? else {
            return Ok(());
        };
        let mut put = |nr: usize, records: &[u8]| {
            self.buffer.extend(piece.cpu.to_ne_bytes());
            self.buffer.extend((nr as u32).to_ne_bytes());
            self.buffer.extend(records);
        };
        if piece.missing != 0 {
            let lost = Record {
                arg: piece.missing,
                cpu: piece.cpu as u16,
                on: piece.cpu as u16,
                event: event::LOST,
                ..Record::default()
            };
            put(1, &lost.to_bytes());
        }
        put(piece.records.len() / Record::SIZE, piece.records);
        Ok(())
    }
}

impl<R: Read + Seek> Read for Stream<'_, R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.at == self.buffer.len() {
            self.fill()?;
        }
        let nr = to.len().min(self.buffer.len() - self.at);
        to[..nr].copy_from_slice(&self.buffer[self.at..self.at + nr]);
        self.at += nr;
        Ok(nr)
    }
}
