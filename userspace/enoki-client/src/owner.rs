//! Whose a client is: the process's that opened it, and not a child's that was forked from it.
//!
//! The kernel does not map rings in a child, where whoever touched one would be killed. So that a
//! hint does not cost a system call, what says whose a client is lies in a page that the kernel
//! wipes in every child, however it was made.

use std::{
    error::Error,
    fmt, io,
    ptr::{self, NonNull},
    sync::atomic::{AtomicBool, Ordering},
};

/// The client was opened before fork(), by the parent. A child opens its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forked;

impl fmt::Display for Forked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client was opened before fork(): a child has to open its own")
    }
}

impl Error for Forked {}

impl From<Forked> for io::Error {
    fn from(forked: Forked) -> Self {
        io::Error::other(forked)
    }
}

/// The process that has made it.
///
/// # Invariants
///
/// `here` is in a mapping of its own, until this is dropped: true in that process, and wiped in
/// those that are forked from it.
pub(crate) struct Owner {
    here: NonNull<AtomicBool>,
}

// SAFETY: The mapping goes with its owner.
unsafe impl Send for Owner {}
// SAFETY: All that can be done with what is in the mapping is atomic.
unsafe impl Sync for Owner {}

impl Owner {
    /// This process.
    pub(crate) fn new() -> io::Result<Owner> {
        // SAFETY: It is mapped to where there is nothing.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size_of::<AtomicBool>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // INVARIANT: Mapped above, by nobody else. It is wiped from here on, and true below.
        let owner = Owner {
            here: NonNull::new(page.cast()).ok_or(io::ErrorKind::InvalidData)?,
        };
        // SAFETY: It is our mapping, and nothing is in it yet.
        let wiped = unsafe { libc::madvise(page, size_of::<AtomicBool>(), libc::MADV_WIPEONFORK) };
        if wiped < 0 {
            return Err(io::Error::last_os_error());
        }
        owner.flag().store(true, Ordering::Relaxed);
        Ok(owner)
    }

    #[inline]
    fn flag(&self) -> &AtomicBool {
        // SAFETY: By the invariants. A page that was wiped is there, too; zero is a bool.
        unsafe { self.here.as_ref() }
    }

    /// Are we the process that has made it?
    #[inline]
    pub(crate) fn is_here(&self) -> bool {
        // It changes in fork() only, where it is ordered with all else.
        self.flag().load(Ordering::Relaxed)
    }

    /// Fails unless we are.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Forked> {
        if self.is_here() {
            Ok(())
        } else {
            Err(Forked)
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // SAFETY: By the invariants; nothing refers to it any more.
        unsafe { libc::munmap(self.here.as_ptr().cast(), size_of::<AtomicBool>()) };
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Is it so in a child that was made by `fork`, which is fork() or does the same?
    pub(crate) fn in_child(
        fork: impl FnOnce() -> libc::pid_t,
        test: impl FnOnce() -> bool,
    ) -> bool {
        let child = fork();
        if child == 0 {
            let status = i32::from(!test());
            // SAFETY: It ends the child at once, without what the harness would do.
            unsafe { libc::_exit(status) };
        }
        assert!(child > 0, "{}", io::Error::last_os_error());
        let mut status = 0;
        // SAFETY: `status` is an int.
        let ended = unsafe { libc::waitpid(child, &mut status, 0) };
        assert_eq!(ended, child);
        status == 0
    }

    pub(crate) fn fork() -> libc::pid_t {
        // SAFETY: The child does what is tested, which waits for nobody, and ends.
        unsafe { libc::fork() }
    }

    /// Past the C library and all that it may do for a child.
    fn clone() -> libc::pid_t {
        // SAFETY: As for fork(), on the same stack as there.
        let child = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
        child as libc::pid_t
    }

    #[test]
    fn children() {
        let owner = Owner::new().unwrap();
        for fork in [fork, clone] {
            assert!(in_child(fork, || owner.check() == Err(Forked)));
            assert_eq!(owner.check(), Ok(()));
        }
    }

    #[test]
    fn child_of_its_own() {
        let before = Owner::new().unwrap();
        assert!(in_child(fork, || {
            let own = Owner::new().unwrap();
            own.is_here() && !before.is_here() && in_child(fork, || !own.is_here())
        }));
    }
}
