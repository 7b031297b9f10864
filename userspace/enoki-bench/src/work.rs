//! Work of a given length: loops, counted before, not a look at the clock, which goes on while
//! another thread has the CPU.

use crate::time::now_ns;
use std::hint::black_box;

/// Turns of the loop a calibration takes.
const TURNS: u64 = 200_000;
/// How often; the shortest is the one that nothing interrupted.
const TRIES: u32 = 20;

fn spin(turns: u64) {
    let mut x = 1u64;
    for _ in 0..turns {
        x = black_box(x.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1));
    }
}

/// How fast the loop is here.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    turns_a_ms: u64,
}

impl Pace {
    /// Finds out, on a CPU that nobody else wants.
    pub fn calibrate() -> Self {
        let shortest = (0..TRIES).map(|_| took_ns(|| spin(TURNS))).min();
        let shortest = shortest.expect("tried more than once").max(1);
        Pace {
            turns_a_ms: (TURNS * 1_000_000 / shortest).max(1),
        }
    }

    /// Work of that length.
    pub fn work(self, ns: u64) {
        spin(self.turns_a_ms * ns / 1_000_000);
    }
}

/// How long it took.
pub fn took_ns(f: impl FnOnce()) -> u64 {
    let begin = now_ns();
    f();
    now_ns() - begin
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_takes_longer() {
        let pace = Pace::calibrate();
        let shortest = |ns| (0..20).map(|_| took_ns(|| pace.work(ns))).min().unwrap();
        let (one, ten) = (shortest(50_000), shortest(500_000));
        assert!((5..20).contains(&(ten / one)), "{one} ns, {ten} ns");
    }
}
