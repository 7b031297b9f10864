//! The clock, in ns, and sleeping until a time of it.

use std::{io, mem::MaybeUninit, ptr};

/// A millisecond.
pub const MS_NS: u64 = 1_000_000;
/// A second.
pub const SEC_NS: u64 = 1_000_000_000;

fn read(clock: libc::clockid_t) -> u64 {
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: `now` may be written; both clocks that are read here exist on any Linux.
    let failed = unsafe { libc::clock_gettime(clock, now.as_mut_ptr()) };
    assert_eq!(failed, 0, "{}", io::Error::last_os_error());
    // SAFETY: The call wrote it.
    let now = unsafe { now.assume_init() };
    now.tv_sec as u64 * SEC_NS + now.tv_nsec as u64
}

/// The monotonic clock, in ns.
pub fn now_ns() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// How long this thread has been running, in ns.
pub fn thread_ns() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Sleeps until the monotonic clock shows that time; not at all if it does already.
pub fn sleep_until(time_ns: u64) {
    let until = libc::timespec {
        tv_sec: (time_ns / SEC_NS) as libc::time_t,
        tv_nsec: (time_ns % SEC_NS) as libc::c_long,
    };
    loop {
        // SAFETY: `until` is a time; nothing is to be written if the time is absolute.
        let err = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &until,
                ptr::null_mut(),
            )
        };
        match err {
            0 => return,
            libc::EINTR => {}
            err => panic!("clock_nanosleep: {}", io::Error::from_raw_os_error(err)),
        }
    }
}
