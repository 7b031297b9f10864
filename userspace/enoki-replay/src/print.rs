//! The records of a recording, one a line, in the order of time.

use crate::Opened;
use anyhow::Result;
use enoki_trace::records::{event, Record, Words};
use std::{
    collections::VecDeque,
    io::{BufWriter, Write},
};

/// So many records are read ahead for a CPU of which there are none yet.
const READ_AHEAD: usize = 1 << 18;

/// What is printed.
#[derive(Default)]
pub(crate) struct Only {
    /// Seconds after the first record.
    pub(crate) from: Option<f64>,
    pub(crate) to: Option<f64>,
    pub(crate) cpu: Option<u16>,
    pub(crate) task: Option<u64>,
    pub(crate) policy: Option<u8>,
}

/// A record, which one of its CPU it is, and a time to sort it by.
type Numbered = (u64, u64, Record);

/// The records of one CPU that have been read.
#[derive(Default)]
struct Tape {
    records: VecDeque<Numbered>,
    time: u64,
}

/// All of them, in the order of time as far as it is known: each CPU's clock only goes forward
/// here, and some records have no time.
struct Merged<'r> {
    recording: &'r mut Opened,
    tapes: Vec<Tape>,
    read: usize,
    ended: bool,
}

impl Merged<'_> {
    fn next(&mut self) -> Result<Option<(usize, Numbered)>> {
        while !self.ended
            && self.read < READ_AHEAD
            && self.tapes.iter().any(|tape| tape.records.is_empty())
        {
            let Some(piece) = self.recording.next_piece()? else {
                self.ended = true;
                break;
            };
            let tape = &mut self.tapes[piece.cpu as usize];
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

fn is_about(record: &Record, task: u64) -> bool {
    let other = match record.event {
        event::WAKEUP_PREEMPT => record.arg >> 1,
        // What these have there is no task.
        event::LOCK | event::OFFICE | event::TOPOLOGY | event::SEND | event::DATA => return false,
        event::TIMER_ARM | event::TIMER_CANCEL => return false,
        _ => 0,
    };
    task != 0 && (record.task == task || other == task)
}

/// Prints what is asked for.
pub(crate) fn print(recording: &mut Opened, only: &Only, to: &mut impl Write) -> Result<()> {
    let begin = recording.first_ns()?;
    let at = |seconds: f64| begin + (seconds.max(0.0) * 1e9) as u64;
    let (from, end) = (only.from.map_or(0, at), only.to.map_or(u64::MAX, at));
    if from != 0 {
        recording.seek_time(from);
    }
    let mut merged = Merged {
        tapes: (0..recording.head().cpus)
            .map(|_| Tape::default())
            .collect(),
        recording,
        read: 0,
        ended: false,
    };
    let mut to = BufWriter::new(to);
    while let Some((cpu, (time, number, record))) = merged.next()? {
        if time > end {
            break;
        }
        let wanted = time >= from
            && only.cpu.is_none_or(|wanted| wanted as usize == cpu)
            && only.task.is_none_or(|task| is_about(&record, task))
            && only.policy.is_none_or(|policy| record.policy == policy);
        if wanted {
            let seconds = time.saturating_sub(begin) as f64 / 1e9;
            let (on, words) = (record.cpu, Words(&record));
            writeln!(to, "{cpu:3}:{number:<9}{seconds:14.6} CPU {on:<3} {words}")?;
        }
    }
    to.flush()?;
    Ok(())
}
