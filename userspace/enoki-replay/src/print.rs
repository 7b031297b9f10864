//! The records of a recording, one a line, in the order of time.

use crate::{
    merged::{Merged, Span},
    Opened,
};
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
    let span = Span::new(recording, only.from, only.to)?;
    let mut merged = Merged::new(recording, &span);
    let mut to = BufWriter::new(to);
    while let Some((cpu, (time, number, record))) = merged.next()? {
        if time > span.to {
            break;
        }
        let wanted = time >= span.from.unwrap_or(0)
            && only.cpu.is_none_or(|wanted| wanted as usize == cpu)
            && only.task.is_none_or(|task| is_about(&record, task))
            && (only.policy.is_none_or(|policy| record.policy == policy)
                || record.event == event::LOST);
        if wanted {
            let seconds = time.saturating_sub(span.begin) as f64 / 1e9;
            let (on, words) = (record.cpu, Words(&record));
            writeln!(to, "{cpu:3}:{number:<9}{seconds:14.6} CPU {on:<3} {words}")?;
        }
    }
    to.flush()?;
    Ok(())
}
