//! `/dev/enoki`: its calls and its mapping, see `include/uapi/linux/enoki.h`.

use crate::{ring::Memory, Layout};
use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsRawFd, RawFd},
        unix::fs::OpenOptionsExt,
    },
    ptr::{self, NonNull},
    sync::{
        atomic::{AtomicU32, AtomicU64, Ordering},
        Arc,
    },
};

pub(crate) const HINTS: u32 = 0;
pub(crate) const MESSAGES: u32 = 1;

const IOC: libc::Ioctl = 0xed;
/// Where the entries of a ring begin, in bytes.
const RING_ENTRIES: usize = 256;

const fn ioc(dir: libc::Ioctl, nr: libc::Ioctl, size: usize) -> libc::Ioctl {
    (dir << 30) | ((size as libc::Ioctl) << 16) | (IOC << 8) | nr
}

const IOC_POLICY: libc::Ioctl = ioc(0, 0, 0);
const IOC_QUEUE: libc::Ioctl = ioc(3, 1, size_of::<RawQueue>());
const IOC_DOORBELL: libc::Ioctl = ioc(0, 2, 0);
const IOC_HINT: libc::Ioctl = ioc(1, 3, size_of::<RawHint>());

/// `struct enoki_layout`.
#[repr(C)]
#[derive(Clone, Copy)]
struct RawLayout {
    name: [u8; 32],
    size: u32,
    version: u32,
    hash: u64,
}

/// `struct enoki_queue`.
#[repr(C)]
struct RawQueue {
    layout: RawLayout,
    kind: u32,
    nr_entries: u32,
    entry_size: u32,
    reserved: u32,
    offset: u64,
    size: u64,
}

/// `struct enoki_hint`.
#[repr(C)]
struct RawHint {
    tid: i32,
    size: u32,
    data: u64,
}

/// `struct enoki_ring_header`.
#[repr(C)]
struct RawRing {
    tail: AtomicU32,
    _pad1: [u32; 15],
    head: AtomicU32,
    _pad2: [u32; 15],
    dropped: AtomicU32,
    torn: AtomicU32,
    _pad3: [u32; 30],
}

const _: () = assert!(size_of::<RawRing>() == RING_ENTRIES);

fn check(result: libc::c_int) -> io::Result<u32> {
    u32::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// The open file.
pub(crate) struct Device(File);

impl Device {
    pub(crate) fn open(policy: u32) -> io::Result<Device> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_CLOEXEC)
            .open("/dev/enoki")?;
        // SAFETY: The call takes a number.
        check(unsafe { libc::ioctl(file.as_raw_fd(), IOC_POLICY, libc::c_ulong::from(policy)) })?;
        Ok(Device(file))
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Sets up a queue, and maps its ring if it is to have one.
    pub(crate) fn queue(
        self: &Arc<Self>,
        kind: u32,
        layout: &Layout<'_>,
        nr_entries: u32,
    ) -> io::Result<Option<Mapping>> {
        let mut name = [0; 32];
        let text = layout.name.as_bytes();
        name.get_mut(..text.len())
            .filter(|_| text.len() < 32)
            .ok_or(io::ErrorKind::InvalidInput)?
            .copy_from_slice(text);
        let mut queue = RawQueue {
            layout: RawLayout {
                name,
                size: layout.size,
                version: layout.version,
                hash: layout.hash,
            },
            kind,
            nr_entries,
            entry_size: 0,
            reserved: 0,
            offset: 0,
            size: 0,
        };
        // SAFETY: The call reads and writes a `struct enoki_queue`.
        check(unsafe { libc::ioctl(self.fd(), IOC_QUEUE, &raw mut queue) })?;
        if nr_entries == 0 {
            return Ok(None);
        }
        Mapping::new(self.clone(), &queue).map(Some)
    }

    pub(crate) fn doorbell(&self) -> io::Result<u32> {
        // SAFETY: The call takes nothing.
        check(unsafe { libc::ioctl(self.fd(), IOC_DOORBELL) })
    }

    pub(crate) fn hint(&self, tid: i32, data: &[u8]) -> io::Result<()> {
        let hint = RawHint {
            tid,
            size: data.len() as u32,
            data: data.as_ptr() as u64,
        };
        // SAFETY: The call reads a `struct enoki_hint`, and so many bytes of what it points to.
        check(unsafe { libc::ioctl(self.fd(), IOC_HINT, &raw const hint) }).map(drop)
    }

    /// Waits for what poll(2) calls `events`. Returns what there is; 0 when the time is over.
    pub(crate) fn poll(&self, events: i16, timeout_ms: i32) -> io::Result<i16> {
        let mut fd = libc::pollfd {
            fd: self.fd(),
            events,
            revents: 0,
        };
        // SAFETY: `fd` is one `struct pollfd`.
        check(unsafe { libc::poll(&mut fd, 1, timeout_ms) })?;
        Ok(fd.revents)
    }
}

/// A ring that is shared with the kernel.
///
/// # Invariants
///
/// `ring` is a mapping of `size` bytes, until this is dropped: a [`RawRing`] and `nr_entries`
/// entries of `entry_words` words, `nr_entries` a power of 2.
pub struct Mapping {
    ring: NonNull<RawRing>,
    size: usize,
    nr_entries: u32,
    entry_words: usize,
    _device: Arc<Device>,
}

// SAFETY: All that can be done with the mapping is done with atomics, and it goes with its owner.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(device: Arc<Device>, queue: &RawQueue) -> io::Result<Mapping> {
        let size = queue.size as usize;
        let entry_words = queue.entry_size as usize / 8;
        // What the kernel says is right; that it is what is assumed here is worth a look.
        if RING_ENTRIES + queue.nr_entries as usize * entry_words * 8 > size {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: It is mapped to where there is nothing.
        let ring = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                device.fd(),
                queue.offset as libc::off_t,
            )
        };
        if ring == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // INVARIANT: Mapped and looked at above; the kernel takes a power of 2 only.
        Ok(Mapping {
            ring: NonNull::new(ring.cast()).ok_or(io::ErrorKind::InvalidData)?,
            size,
            nr_entries: queue.nr_entries,
            entry_words,
            _device: device,
        })
    }

    fn ring(&self) -> &RawRing {
        // SAFETY: By the invariants. All that changes in it is atomic.
        unsafe { self.ring.as_ref() }
    }

    /// How many hints of the ring were refused, or messages found no room.
    pub(crate) fn dropped(&self) -> u32 {
        self.ring().dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the invariants; nothing refers to it any more.
        unsafe { libc::munmap(self.ring.as_ptr().cast(), self.size) };
    }
}

impl Memory for Mapping {
    #[inline]
    fn nr_entries(&self) -> u32 {
        self.nr_entries
    }

    #[inline]
    fn data_words(&self) -> usize {
        self.entry_words - crate::ring::HEAD_WORDS
    }

    #[inline]
    fn tail(&self) -> &AtomicU32 {
        &self.ring().tail
    }

    #[inline]
    fn head(&self) -> &AtomicU32 {
        &self.ring().head
    }

    #[inline]
    fn read(&self, place: u32, word: usize) -> u64 {
        self.word(place, word).load(Ordering::Relaxed)
    }

    #[inline]
    fn write(&self, place: u32, word: usize, value: u64) {
        self.word(place, word).store(value, Ordering::Relaxed);
    }
}

impl Mapping {
    #[inline]
    fn word(&self, place: u32, word: usize) -> &AtomicU64 {
        assert!(place < self.nr_entries && word < self.entry_words);
        let at = place as usize * self.entry_words + word;
        // SAFETY: By the invariants and the line above it is in the mapping, and aligned.
        unsafe {
            self.ring
                .byte_add(RING_ENTRIES)
                .cast::<AtomicU64>()
                .add(at)
                .as_ref()
        }
    }
}
