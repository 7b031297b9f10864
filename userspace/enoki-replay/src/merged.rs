//! The records of all CPUs, in the order of time.

use crate::Opened;
use anyhow::Result;
use enoki_trace::records::{event, Record};
use std::collections::VecDeque;

/// So many records are read ahead for a CPU of which there are none yet.
const READ_AHEAD: usize = 1 << 18;

/// A part of a recording.
pub(crate) struct Span {
    /// When the recording begins, ns.
    pub(crate) begin: u64,
    /// From when on, if that is not its beginning, and until when.
    pub(crate) from: Option<u64>,
    pub(crate) to: u64,
}

impl Span {
    /// Between two times in seconds after the beginning.
    pub(crate) fn new(recording: &mut Opened, from: Option<f64>, to: Option<f64>) -> Result<Span> {
        let begin = recording.first_ns()?;
        let at = |seconds: f64| begin + (seconds.max(0.0) * 1e9) as u64;
        Ok(Span {
            begin,
            from: from.map(at),
            to: to.map_or(u64::MAX, at),
        })
    }
}

/// A time to sort it by, which one of its CPU it is, and a record.
pub(crate) type Numbered = (u64, u64, Record);

/// The records of one CPU that have been read.
#[derive(Default)]
struct Tape {
    records: VecDeque<Numbered>,
    time: u64,
}

/// All of them, in the order of time as far as it is known: each CPU's clock only goes forward
/// here, and some records have no time.
pub(crate) struct Merged<'r> {
    recording: &'r mut Opened,
    tapes: Vec<Tape>,
    read: usize,
    ended: bool,
}

impl<'r> Merged<'r> {
    /// From where the part begins, or somewhat before.
    pub(crate) fn new(recording: &'r mut Opened, span: &Span) -> Merged<'r> {
        recording.rewind();
        if let Some(from) = span.from {
            recording.seek_time(from);
        }
        let cpus = recording.head().cpus;
        Merged {
            tapes: (0..cpus).map(|_| Tape::default()).collect(),
            recording,
            read: 0,
            ended: false,
        }
    }

    /// The next record, and whose tape it was on.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, Numbered)>> {
        while !self.ended
            && self.read < READ_AHEAD
            && self.tapes.iter().any(|tape| tape.records.is_empty())
        {
            let Some(piece) = self.recording.next_piece()? else {
                self.ended = true;
                break;
            };
            let tape = &mut self.tapes[piece.cpu as usize];
            if piece.missing != 0 {
                let lost = Record {
                    time_ns: tape.time,
                    arg: piece.missing,
                    cpu: piece.cpu as u16,
                    on: piece.cpu as u16,
                    event: event::LOST,
                    ..Record::default()
                };
                tape.records.push_back((tape.time, piece.number, lost));
                self.read += 1;
            }
            for (number, bytes) in (piece.number..).zip(piece.records.chunks_exact(Record::SIZE)) {
                let record = Record::from_bytes(bytes);
                tape.time = tape.time.max(record.time_ns);
                tape.records.push_back((tape.time, number, record));
            }
            self.read += piece.records.len() / Record::SIZE;
        }
        let first = |(cpu, tape): (usize, &Tape)| Some((tape.records.front()?.0, cpu));
        let Some((_, cpu)) = self.tapes.iter().enumerate().filter_map(first).min() else {
            return Ok(None);
        };
        self.read -= 1;
        Ok(self.tapes[cpu].records.pop_front().map(|next| (cpu, next)))
    }
}
