//! How tasks fared, in figures.

use super::timeline::Timeline;
use enoki_trace::latency::{bucket, part, BUCKETS};
use serde::Serialize;
use std::collections::BTreeMap;

/// A count of latencies.
pub(crate) type Histogram = [u64; BUCKETS];

/// How a task fared; task 0 stands for all.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Fared {
    pub(crate) task: u64,
    pub(crate) turns: u64,
    pub(crate) ran_ns: u64,
    pub(crate) waited_ns: u64,
    pub(crate) wakeups: u64,
    /// Of which a half, 99 of 100, and all are at most, ns.
    pub(crate) latency_ns: [u64; 3],
    pub(crate) migrations: u64,
}

/// Each task's figures, and how often there was which latency of a wake-up.
pub(crate) fn fared(timeline: &Timeline) -> (Vec<Fared>, Histogram) {
    let mut tasks: BTreeMap<u64, (Fared, Vec<u64>)> = BTreeMap::new();
    let mut histogram = [0; BUCKETS];
    for turn in &timeline.turns {
        for task in [0, turn.task] {
            let (fared, _) = tasks.entry(task).or_default();
            fared.turns += 1;
            fared.ran_ns += turn.end_ns - turn.begin_ns;
        }
    }
    for wait in &timeline.waits {
        let ns = wait.end_ns - wait.begin_ns;
        if wait.woke {
            histogram[bucket(ns)] += 1;
        }
        for task in [0, wait.task] {
            let (fared, latencies) = tasks.entry(task).or_default();
            fared.waited_ns += ns;
            fared.migrations += u64::from(wait.moved);
            if wait.woke {
                latencies.push(ns);
            }
        }
    }
    let figures = tasks.into_iter().map(|(task, (fared, mut latencies))| {
        latencies.sort_unstable();
        Fared {
            task,
            wakeups: latencies.len() as u64,
            latency_ns: [500, 990, 1000].map(|of| part(&latencies, of)),
            ..fared
        }
    });
    (figures.collect(), histogram)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::timeline::tests::small;

    #[test]
    fn figures() {
        assert_eq!(
            [0, 999, 1000, 1999, 2000, u64::MAX].map(bucket),
            [0, 0, 1, 1, 2, 24]
        );
        let (tasks, histogram) = fared(&small());
        let of = |task: &Fared| {
            (
                task.task,
                task.turns,
                task.ran_ns,
                task.waited_ns,
                task.migrations,
            )
        };
        let wanted = [(0, 4, 75, 50, 1), (7, 3, 45, 40, 1), (8, 1, 30, 10, 0)];
        assert_eq!(tasks.iter().map(of).collect::<Vec<_>>(), wanted);
        assert_eq!((tasks[0].wakeups, tasks[1].latency_ns), (2, [10; 3]));
        assert_eq!((histogram[0], histogram.iter().sum::<u64>()), (2, 2));
        assert_eq!(part(&(0..1000).collect::<Vec<_>>(), 990), 990);
        assert_eq!(part(&[], 500), 0);
    }
}
