//! What happened to CPUs and tasks, made of the calls of a policy.

use crate::{
    merged::{Merged, Span},
    Opened,
};
use anyhow::Result;
use enoki_trace::records::{event, Record, Words};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// Why a task ran no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Something else was picked, or has the CPU now.
    Preempted,
    /// It gave its turn away.
    Yielded,
    /// It went to sleep.
    Blocked,
    /// It ended, or left the policy.
    Left,
    /// That was not recorded any more.
    Unknown,
}

impl End {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            End::Preempted => "preempted",
            End::Yielded => "yielded",
            End::Blocked => "blocked",
            End::Left => "left",
            End::Unknown => "still there",
        }
    }
}

impl Serialize for End {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(*self as u8)
    }
}

/// A task ran on a CPU. All times are ns after the beginning of the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) cpu: u16,
    pub(crate) task: u64,
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) end: End,
}

/// A task was ready and waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) task: u64,
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
    /// It had slept, or was new.
    pub(crate) woke: bool,
    /// It ran on another CPU than before.
    pub(crate) moved: bool,
}

/// So many tasks of the policy wait on a CPU from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) cpu: u16,
    pub(crate) at_ns: u64,
    pub(crate) nr: u32,
}

/// Something that should not happen often, or that all should know of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Mark {
    pub(crate) cpu: u16,
    pub(crate) at_ns: u64,
    pub(crate) text: String,
}

/// All of that.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) cpus: u32,
    pub(crate) begin_ns: u64,
    pub(crate) end_ns: u64,
    pub(crate) turns: Vec<Turn>,
    pub(crate) waits: Vec<Wait>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) marks: Vec<Mark>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Asleep,
    /// On the queue of a CPU since then; and whether it woke up then.
    Ready(u16, u64, bool),
    /// Likewise, between two queues.
    Moving(u64, bool),
    Running(u16, u64),
}

#[derive(Default)]
struct Task {
    state: State,
    last: Option<u16>,
}

/// Makes a [`Timeline`] of records, which come in the order of time.
struct Maker {
    timeline: Timeline,
    tasks: BTreeMap<u64, Task>,
    running: Vec<Option<u64>>,
    nr_ready: Vec<u32>,
}

impl Maker {
    fn new(cpus: u32) -> Maker {
        Maker {
            timeline: Timeline {
                cpus,
                ..Timeline::default()
            },
            tasks: BTreeMap::new(),
            running: vec![None; cpus as usize],
            nr_ready: vec![0; cpus as usize],
        }
    }

    fn count(&mut self, cpu: u16, at_ns: u64, more: bool) {
        let Some(nr) = self.nr_ready.get_mut(usize::from(cpu)) else {
            return;
        };
        *nr = if more { *nr + 1 } else { nr.saturating_sub(1) };
        let nr = *nr;
        self.timeline.queues.push(Queue { cpu, at_ns, nr });
    }

    /// What a task did ends. Returns since when it has been waiting, if it was, and whether it woke up then.
    fn leave(&mut self, task: u64, at_ns: u64, end: End) -> Option<(u64, bool)> {
        let state = std::mem::take(&mut self.tasks.entry(task).or_default().state);
        match state {
            State::Asleep => None,
            State::Moving(since, woke) => Some((since, woke)),
            State::Ready(cpu, since, woke) => {
                self.count(cpu, at_ns, false);
                Some((since, woke))
            }
            State::Running(cpu, begin_ns) => {
                if let Some(running) = self.running.get_mut(usize::from(cpu)) {
                    *running = None;
                }
                self.timeline.turns.push(Turn {
                    cpu,
                    task,
                    begin_ns,
                    end_ns: at_ns,
                    end,
                });
                None
            }
        }
    }

    fn ready(&mut self, task: u64, cpu: u16, at_ns: u64, woke: bool, end: End) {
        let before = self.leave(task, at_ns, end);
        let (since, woke) = before.unwrap_or((at_ns, woke));
        self.tasks.entry(task).or_default().state = State::Ready(cpu, since, woke);
        self.count(cpu, at_ns, true);
    }

    fn runs(&mut self, task: u64, cpu: u16, at_ns: u64) {
        let before = self.running.get(usize::from(cpu)).copied().flatten();
        if before == Some(task) {
            return;
        }
        if let Some(before) = before {
            self.ready(before, cpu, at_ns, false, End::Preempted);
        }
        let waited = self.leave(task, at_ns, End::Unknown);
        let now = self.tasks.entry(task).or_default();
        let moved = now.last.is_some_and(|last| last != cpu);
        now.last = Some(cpu);
        now.state = State::Running(cpu, at_ns);
        if let Some(running) = self.running.get_mut(usize::from(cpu)) {
            *running = Some(task);
        }
        if let Some((begin_ns, woke)) = waited {
            self.timeline.waits.push(Wait {
                task,
                begin_ns,
                end_ns: at_ns,
                woke,
                moved,
            });
        }
    }

    fn record(&mut self, record: &Record, at_ns: u64) {
        let &Record { task, cpu, arg, .. } = record;
        self.timeline.end_ns = self.timeline.end_ns.max(at_ns);
        match record.event {
            event::TASK_NEW | event::TASK_WAKEUP => {
                self.ready(task, cpu, at_ns, true, End::Unknown)
            }
            event::TASK_MIGRATED | event::TASK_PREEMPT | event::PNT_ERR => {
                self.ready(task, cpu, at_ns, false, End::Preempted)
            }
            event::TASK_YIELD => self.ready(task, cpu, at_ns, false, End::Yielded),
            event::PICK_NEXT_TASK if task != 0 => self.runs(task, cpu, at_ns),
            event::PICK_NEXT_TASK => {
                if let Some(before) = self.running.get(usize::from(cpu)).copied().flatten() {
                    self.ready(before, cpu, at_ns, false, End::Preempted);
                }
            }
            event::TASK_BLOCKED => drop(self.leave(task, at_ns, End::Blocked)),
            event::TASK_DEAD | event::TASK_DEPARTED => {
                self.leave(task, at_ns, End::Left);
                self.tasks.remove(&task);
            }
            event::MIGRATE_TASK_RQ if arg & 0x100 != 0 => {
                if let Some((since, woke)) = self.leave(task, at_ns, End::Preempted) {
                    self.tasks.entry(task).or_default().state = State::Moving(since, woke);
                }
            }
            _ => {}
        }
        if is_mark(record.event) {
            self.timeline.marks.push(Mark {
                cpu,
                at_ns,
                text: Words(record).to_string(),
            });
        }
    }

    fn finish(mut self) -> Timeline {
        let end_ns = self.timeline.end_ns;
        for task in self.running.clone().into_iter().flatten() {
            self.leave(task, end_ns, End::Unknown);
        }
        self.timeline
            .turns
            .sort_by_key(|turn| (turn.begin_ns, turn.cpu));
        self.timeline
    }
}

fn is_mark(event: u8) -> bool {
    matches!(
        event,
        event::PNT_ERR
            | event::BALANCE_ERR
            | event::TASK_RESCUED
            | event::DROP
            | event::LOST
            | event::LOG
            | event::CPU_ONLINE
            | event::CPU_OFFLINE
            | event::REREGISTER_INIT
    )
}

impl Timeline {
    /// What a recording has of a policy, between two times in seconds after its beginning.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(crate) fn new(
        recording: &mut Opened,
        policy: u32,
        from: Option<f64>,
        to: Option<f64>,
    ) -> Result<Timeline> {
        let span = Span::new(recording, from, to)?;
        let begin = span.begin;
        let mut maker = Maker::new(recording.head().cpus);
        maker.timeline.begin_ns = span.from.map_or(0, |from| from - begin);
        let mut merged = Merged::new(recording, &span);
        while let Some((_, (time_ns, _, record))) = merged.next()? {
            let ours = u32::from(record.policy) == policy || record.event == event::LOST;
            // Records without a time come before all others.
            let time_ns = time_ns.max(begin);
            if time_ns > span.to {
                break;
            }
            if ours {
                maker.record(&record, time_ns - begin);
            }
        }
        Ok(maker.finish())
    }

    /// The tasks that ran, or waited to.
    pub(crate) fn tasks(&self) -> Vec<u64> {
        let ran = self.turns.iter().map(|turn| turn.task);
        let mut tasks: Vec<u64> = ran.chain(self.waits.iter().map(|wait| wait.task)).collect();
        tasks.sort_unstable();
        tasks.dedup();
        tasks
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Two tasks on CPU 0; one is moved to CPU 1 while it waits.
    pub(crate) fn small() -> Timeline {
        let mut maker = Maker::new(2);
        let mut at = |ns: u64, event: u8, task: u64, cpu: u16, arg: u64| {
            let record = Record {
                event,
                task,
                cpu,
                arg,
                ..Record::default()
            };
            maker.record(&record, ns);
        };
        at(10, event::TASK_NEW, 7, 0, 0);
        at(20, event::PICK_NEXT_TASK, 7, 0, 0);
        at(30, event::TASK_WAKEUP, 8, 0, 0);
        at(40, event::PICK_NEXT_TASK, 8, 0, 3000);
        at(50, event::MIGRATE_TASK_RQ, 7, 0, 0x100);
        at(50, event::TASK_MIGRATED, 7, 1, 0);
        at(60, event::PICK_NEXT_TASK, 7, 1, 0);
        at(70, event::TASK_BLOCKED, 8, 0, 0);
        at(75, event::BALANCE_ERR, 7, 0, 3);
        at(80, event::TASK_PREEMPT, 7, 1, 0);
        at(90, event::PICK_NEXT_TASK, 7, 1, 0);
        at(95, event::TASK_TICK, 7, 1, 0);
        maker.finish()
    }

    #[test]
    fn turns_waits_and_queues() {
        let timeline = small();
        let turns = timeline.turns.iter();
        let turns = turns.map(|turn| (turn.cpu, turn.task, turn.begin_ns, turn.end_ns, turn.end));
        assert_eq!(
            turns.collect::<Vec<_>>(),
            [
                (0, 7, 20, 40, End::Preempted),
                (0, 8, 40, 70, End::Blocked),
                (1, 7, 60, 80, End::Preempted),
                (1, 7, 90, 95, End::Unknown),
            ]
        );
        let waits = timeline.waits.iter();
        let waits =
            waits.map(|wait| (wait.task, wait.begin_ns, wait.end_ns, wait.woke, wait.moved));
        assert_eq!(
            waits.collect::<Vec<_>>(),
            [
                (7, 10, 20, true, false),
                (8, 30, 40, true, false),
                (7, 40, 60, false, true),
                (7, 80, 90, false, false),
            ]
        );
        let queues = timeline
            .queues
            .iter()
            .map(|queue| (queue.at_ns, queue.cpu, queue.nr));
        assert_eq!(
            queues.collect::<Vec<_>>(),
            [
                (10, 0, 1),
                (20, 0, 0),
                (30, 0, 1),
                (40, 0, 2),
                (40, 0, 1),
                (50, 0, 0),
                (50, 1, 1),
                (60, 1, 0),
                (80, 1, 1),
                (90, 1, 0),
            ]
        );
        assert_eq!(timeline.marks.len(), 1);
        assert_eq!(timeline.tasks(), [7, 8]);
    }
}
