//! The mix of requests of Facebook's ETC pool of memcached servers.
//!
//! Atikoglu et al., "Workload Analysis of a Large-Scale Key-Value Store" (SIGMETRICS'12), section
//! 5: sizes of keys, sizes of values, times between requests.

use rand::Rng;

/// Generalised extreme values: where, how wide, what shape. Of the sizes of keys, in bytes.
const KEY: (f64, f64, f64) = (30.7984, 8.20449, 0.078688);
/// Generalised Pareto: how wide, what shape. Of the sizes of values, in bytes.
const VALUE: (f64, f64) = (214.476, 0.348238);
/// The shape of the times between requests; how wide it is the load says.
const GAP: f64 = 0.154971;
/// What memcached takes.
const LONGEST_KEY: usize = 250;
const LONGEST_VALUE: usize = 100_000;

/// Between 0 and 1, neither of them.
fn part(random: &mut impl Rng) -> f64 {
    random.random_range(1e-12..1.0)
}

fn pareto((scale, shape): (f64, f64), part: f64) -> f64 {
    scale / shape * (part.powf(-shape) - 1.0)
}

/// The size of a key, in bytes; with `least` that it needs.
pub fn key_size(random: &mut impl Rng, least: usize) -> usize {
    let (at, scale, shape) = KEY;
    let size = at + scale / shape * ((-part(random).ln()).powf(-shape) - 1.0);
    (size as usize).clamp(least, LONGEST_KEY)
}

/// The size of a value, in bytes.
pub fn value_size(random: &mut impl Rng) -> usize {
    (pareto(VALUE, part(random)) as usize).clamp(1, LONGEST_VALUE)
}

/// The time between two requests, in ns, if there are so many in a second.
pub fn gap_ns(random: &mut impl Rng, rate: f64) -> u64 {
    let mean_ns = 1e9 / rate;
    pareto((mean_ns * (1.0 - GAP), GAP), part(random)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{rngs::SmallRng, SeedableRng};

    fn mean(mut one: impl FnMut(&mut SmallRng) -> f64) -> f64 {
        let mut random = SmallRng::seed_from_u64(7);
        (0..200_000).map(|_| one(&mut random)).sum::<f64>() / 200_000.0
    }

    #[test]
    fn means() {
        let gap = mean(|random| gap_ns(random, 10_000.0) as f64);
        assert!((98_000.0..102_000.0).contains(&gap), "{gap}");
        // scale / (1 - shape), and what the distribution of keys has.
        let value = mean(|random| value_size(random) as f64);
        assert!((320.0..335.0).contains(&value), "{value}");
        let key = mean(|random| key_size(random, 1) as f64);
        assert!((34.0..38.0).contains(&key), "{key}");
    }
}
