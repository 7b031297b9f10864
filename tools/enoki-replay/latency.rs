// SPDX-License-Identifier: GPL-2.0

//! Figures of latencies, the same in the model of a policy's program and in what shows them.

/// Latencies are counted by powers of two: the first of so many counts is of less than 1 µs, the
/// next ones are of less than 2 µs, 4 µs and so on; the last is of all that are longer.
pub const BUCKETS: usize = 25;

/// Where a latency of so many ns counts.
pub fn bucket(ns: u64) -> usize {
    let us = ns / 1000;
    ((u64::BITS - us.leading_zeros()) as usize).min(BUCKETS - 1)
}

/// What that part of 1000 of sorted latencies is at most; 0 if there are none.
pub fn part(sorted: &[u64], per_mille: usize) -> u64 {
    let at = (sorted.len() * per_mille / 1000).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}
