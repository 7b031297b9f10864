//! The tapes of a recording, as `include/uapi/linux/enoki.h` has them.

use anyhow::{bail, Context, Result};
use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd,
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU64, Ordering},
};

const fn ioc(dir: libc::Ioctl, nr: libc::Ioctl, size: usize) -> libc::Ioctl {
    (dir << 30) | ((size as libc::Ioctl) << 16) | (0xed << 8) | nr
}

const IOC_RECORD: libc::Ioctl = ioc(3, 5, size_of::<RawRecording>());
const IOC_RECORD_START: libc::Ioctl = ioc(0, 6, 0);
const IOC_RECORD_STOP: libc::Ioctl = ioc(0, 7, 0);
/// `ENOKI_TAPE_RECORDS`.
const TAPE_RECORDS: usize = 4096;
const LOSSLESS: u32 = 1;

/// `struct enoki_recording`.
#[repr(C)]
#[derive(Default)]
struct RawRecording {
    policies: [u64; 2],
    tape_size: u32,
    flags: u32,
    nr_tapes: u32,
    reserved: u32,
    stride: u64,
    offset: u64,
    size: u64,
}

/// `struct enoki_tape_header`.
#[repr(C)]
struct RawTape {
    head: AtomicU64,
    lost: AtomicU64,
    stopped: AtomicU64,
    _pad: [u64; 5],
    tail: AtomicU64,
}

const _: () = assert!(size_of::<RawRecording>() == 56 && size_of::<RawTape>() == 72);

/// What there is to read on a tape, in two parts, as it may begin anew in between.
pub(crate) type Parts<'t> = [&'t [u8]; 2];

/// Tapes for a recording, mapped.
///
/// # Invariants
///
/// `memory` is a mapping of `raw.size` bytes: `raw.nr_tapes` tapes, `raw.stride` bytes apart, each
/// a [`RawTape`] and [`TAPE_RECORDS`] bytes after it `raw.tape_size` bytes of records.
pub(crate) struct Tapes {
    device: File,
    raw: RawRecording,
    memory: NonNull<u8>,
}

impl Tapes {
    /// Gets tapes for these policies, or for all if they are none. `size` is that of each tape in
    /// bytes, or 0.
    pub(crate) fn new(policies: &[u32], size: u32, lossless: bool) -> Result<Tapes> {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/enoki")
            .context("/dev/enoki")?;
        let mut raw = RawRecording {
            tape_size: size,
            flags: if lossless { LOSSLESS } else { 0 },
            ..RawRecording::default()
        };
        for &policy in policies {
            let Some(word) = raw.policies.get_mut(policy as usize / 64) else {
                bail!("there is no policy of number {policy}");
            };
            *word |= 1 << (policy % 64);
        }
        // SAFETY: The call reads and writes a `struct enoki_recording`.
        if unsafe { libc::ioctl(device.as_raw_fd(), IOC_RECORD, &raw mut raw) } < 0 {
            let error = io::Error::last_os_error();
            bail!(match error.raw_os_error() {
                Some(libc::EPERM) =>
                    "who records needs CAP_SYS_NICE and CAP_PERFMON, as root has them".to_owned(),
                Some(libc::EBUSY) => "somebody else is recording".to_owned(),
                Some(libc::EINVAL) => format!(
                    "{size} bytes are no size of a tape: a power of 2 from a page to 256 MiB is"
                ),
                Some(libc::ENOMEM) =>
                    "there is no memory for the tapes: they may be smaller, see --tape-size"
                        .to_owned(),
                _ => format!("the kernel gives no tapes: {error}"),
            });
        }
        let needed = raw.nr_tapes as u64 * raw.stride;
        let tape = TAPE_RECORDS as u64 + u64::from(raw.tape_size);
        if needed > raw.size || raw.stride < tape || raw.tape_size == 0 {
            bail!("the kernel's tapes are not as this program knows them");
        }
        // SAFETY: It is mapped to where there is nothing.
        let memory = unsafe {
            libc::mmap(
                ptr::null_mut(),
                raw.size as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                device.as_raw_fd(),
                raw.offset as libc::off_t,
            )
        };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()).context("the tapes cannot be mapped");
        }
        let memory = NonNull::new(memory.cast()).context("mapped at 0")?;
        // INVARIANT: Mapped and looked at above.
        Ok(Tapes {
            device,
            raw,
            memory,
        })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u32 {
        self.raw.nr_tapes
    }

    /// For how many bytes each has room.
    pub(crate) fn size(&self) -> u32 {
        self.raw.tape_size
    }

    /// Has the policies begin anew, and records from now on.
    pub(crate) fn start(&self) -> io::Result<()> {
        self.ask(IOC_RECORD_START)
    }

    /// Records no more.
    pub(crate) fn stop(&self) -> io::Result<()> {
        self.ask(IOC_RECORD_STOP)
    }

    fn ask(&self, what: libc::Ioctl) -> io::Result<()> {
        // SAFETY: These calls take nothing.
        match unsafe { libc::ioctl(self.device.as_raw_fd(), what) } {
            0.. => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Waits until there is something to take, a signal comes, or so much time is over.
    pub(crate) fn wait(&self, timeout_ms: i32) {
        let mut fd = libc::pollfd {
            fd: self.device.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: `fd` is one `struct pollfd`. Whatever ended it, the tapes are looked at next.
        unsafe { libc::poll(&mut fd, 1, timeout_ms) };
    }

    fn tape(&self, cpu: u32) -> &RawTape {
        assert!(cpu < self.raw.nr_tapes);
        // SAFETY: By the invariants. All that changes in it is atomic.
        unsafe {
            self.memory
                .add(cpu as usize * self.raw.stride as usize)
                .cast()
                .as_ref()
        }
    }

    /// Has `reader` read what is new on a tape.
    pub(crate) fn drain<E: From<io::Error>>(
        &mut self,
        cpu: u32,
        reader: impl FnOnce(Parts<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let tape = self.tape(cpu);
        let (head, tail) = (
            tape.head.load(Ordering::Acquire),
            tape.tail.load(Ordering::Relaxed),
        );
        let (new, size) = (
            head.wrapping_sub(tail) as usize,
            self.raw.tape_size as usize,
        );
        if new > size {
            let what = format!("the tape of CPU {cpu} has {new} bytes and room for {size}");
            return Err(io::Error::new(io::ErrorKind::InvalidData, what).into());
        }
        if new == 0 {
            return Ok(());
        }
        // SAFETY: By the invariants; it is behind the head of the tape.
        let records = unsafe { ptr::from_ref(tape).cast::<u8>().add(TAPE_RECORDS) };
        let at = tail as usize % size;
        let first = new.min(size - at);
        // SAFETY: Both are on the tape. The kernel does not write there until the tail has passed
        // it, which only we move.
        let parts = unsafe {
            [
                slice::from_raw_parts(records.add(at), first),
                slice::from_raw_parts(records, new - first),
            ]
        };
        let done = reader(parts);
        tape.tail.store(head, Ordering::Release);
        done
    }

    /// For how many records of a CPU there was no room.
    pub(crate) fn lost(&self, cpu: u32) -> u64 {
        self.tape(cpu).lost.load(Ordering::Relaxed)
    }

    /// Whether the kernel has stopped the recording.
    pub(crate) fn stopped(&self) -> bool {
        (0..self.len()).any(|cpu| self.tape(cpu).stopped.load(Ordering::Relaxed) != 0)
    }
}

impl Drop for Tapes {
    fn drop(&mut self) {
        // SAFETY: By the invariants; nothing refers to it any more.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.raw.size as usize) };
    }
}
