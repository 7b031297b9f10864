//! What the benchmarks of Enoki's policies are made of: clocks, threads, calibrated work, open
//! loops of requests, and the tails of their latencies.

pub mod arbiter;
pub mod etc;
pub mod pool;
pub mod tail;
pub mod thread;
pub mod time;
pub mod work;
