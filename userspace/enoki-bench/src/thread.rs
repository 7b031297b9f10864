//! Where this thread runs, and in which class.

use anyhow::{Context, Result};
use std::{io, mem};

fn ok(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets this thread, and those that it starts, run on these CPUs only.
///
/// # Errors
///
/// There are no such CPUs.
pub fn stay_on(cpus: &[usize]) -> Result<()> {
    // SAFETY: A set of CPUs is an array of integers, of which 0 is one.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    for &cpu in cpus {
        // SAFETY: The set may be written; a CPU beyond it is ignored.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: The set is of that size.
    ok(unsafe { libc::sched_setaffinity(0, mem::size_of_val(&set), &set) })
        .with_context(|| format!("to run on CPUs {cpus:?}"))
}

fn class(policy: libc::c_int, priority: libc::c_int) -> io::Result<()> {
    let param = libc::sched_param {
        sched_priority: priority,
    };
    // SAFETY: `param` may be read.
    ok(unsafe { libc::sched_setscheduler(0, policy, &param) })
}

/// Before all others but real-time threads of higher priority.
///
/// # Errors
///
/// Only root may do that.
pub fn be_realtime() -> Result<()> {
    class(libc::SCHED_FIFO, 50).context("to be a real-time thread")
}

/// One of the default class, as nice as can be.
///
/// # Errors
///
/// None on a kernel that has threads of their own niceness.
pub fn be_batch() -> Result<()> {
    class(libc::SCHED_OTHER, 0).context("to be in the default class")?;
    // SAFETY: It reads and writes no memory of ours. 0 is the thread that calls.
    ok(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) }).context("to be nice")
}

/// The CPU that this thread is on, for the moment.
pub fn this_cpu() -> usize {
    // SAFETY: It only asks.
    let cpu = unsafe { libc::sched_getcpu() };
    usize::try_from(cpu).expect("Linux can tell")
}
