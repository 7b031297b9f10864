//! The records of a recording, one a line, in the order of time.

use crate::{merged::Merged, Opened};
use anyhow::Result;
use enoki_trace::records::{event, Record, Words};
use std::io::{BufWriter, Write};

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
    let mut merged = Merged::new(recording);
    let mut to = BufWriter::new(to);
    while let Some((cpu, (time, number, record))) = merged.next()? {
        if time > end {
            break;
        }
        let wanted = time >= from
            && only.cpu.is_none_or(|wanted| wanted as usize == cpu)
            && only.task.is_none_or(|task| is_about(&record, task))
            && (only.policy.is_none_or(|policy| record.policy == policy)
                || record.event == event::LOST);
        if wanted {
            let seconds = time.saturating_sub(begin) as f64 / 1e9;
            let (on, words) = (record.cpu, Words(&record));
            writeln!(to, "{cpu:3}:{number:<9}{seconds:14.6} CPU {on:<3} {words}")?;
        }
    }
    to.flush()?;
    Ok(())
}
