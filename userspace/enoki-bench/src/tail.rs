//! Latencies, and what they were at most for nearly all.

use anyhow::Result;
use hdrhistogram::Histogram;
use serde::Serialize;

/// Those of one kind of requests, to 3 digits.
#[derive(Clone, Debug)]
pub struct Tail(Histogram<u64>);

/// What is said of them, in ns.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summary {
    /// How many there were.
    pub count: u64,
    /// Half of them were no longer.
    pub p50_ns: u64,
    /// 99 of 100.
    pub p99_ns: u64,
    /// 999 of 1,000.
    pub p999_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Default for Tail {
    fn default() -> Self {
        Tail(Histogram::new(3).expect("3 digits are allowed"))
    }
}

impl Tail {
    /// Takes one more into account.
    pub fn record(&mut self, ns: u64) {
        // It grows by itself, up to what a u64 holds.
        let _ = self.0.record(ns);
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Those of another thread.
    ///
    /// # Errors
    ///
    /// There are too many to be counted.
    pub fn add(&mut self, other: &Tail) -> Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    /// How it was.
    pub fn summary(&self) -> Summary {
        Summary {
            count: self.0.len(),
            p50_ns: self.0.value_at_quantile(0.5),
            p99_ns: self.0.value_at_quantile(0.99),
            p999_ns: self.0.value_at_quantile(0.999),
            max_ns: self.0.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearly_all() {
        let (mut one, mut other) = (Tail::default(), Tail::default());
        (1..=500).for_each(|ns| one.record(ns));
        (501..=1000).for_each(|ns| other.record(ns));
        one.add(&other).unwrap();
        let got = one.summary();
        assert_eq!((got.count, got.p50_ns, got.p99_ns), (1000, 500, 990));
        assert_eq!((got.p999_ns, got.max_ns), (999, 1000));
    }
}
