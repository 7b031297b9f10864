//! `/dev/enoki`: its calls and its mapping, see `include/uapi/linux/enoki.h`.

use crate::{
    owner::{Forked, Owner},
    ring::Memory,
    Layout,
};
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

/// The open file, for the process that opened it.
pub(crate) struct Device {
    file: File,
    owner: Owner,
}

impl Device {
    pub(crate) fn open(policy: u32) -> io::Result<Device> {
        let owner = Owner::new()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_CLOEXEC)
            .open("/dev/enoki")?;
        // SAFETY: The call takes a number.
        check(unsafe { libc::ioctl(file.as_raw_fd(), IOC_POLICY, libc::c_ulong::from(policy)) })?;
        Ok(Device { file, owner })
    }

    /// Fails in a child of the process that opened it. What is below does as well.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Forked> {
        self.owner.check()
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }

    /// Sets up a queue, and maps its ring if it is to have one, of which we have that half.
    pub(crate) fn queue<R>(
        self: &Arc<Self>,
        kind: u32,
        layout: &Layout<'_>,
        nr_entries: u32,
        half: impl FnOnce(Mapping) -> R,
    ) -> io::Result<Option<Half<R>>> {
        self.check()?;
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
        Ok(Some(Half {
            ring: half(Mapping::new(self.clone(), &queue)?),
            device: self.clone(),
        }))
    }

    pub(crate) fn doorbell(&self) -> io::Result<u32> {
        self.check()?;
        // SAFETY: The call takes nothing.
        check(unsafe { libc::ioctl(self.fd(), IOC_DOORBELL) })
    }

    pub(crate) fn hint(&self, tid: i32, data: &[u8]) -> io::Result<()> {
        self.check()?;
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
        self.check()?;
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

/// Our half of a ring, in the process that opened the device.
pub(crate) struct Half<R> {
    ring: R,
    device: Arc<Device>,
}

impl<R> Half<R> {
    /// The half, to look at.
    #[inline]
    pub(crate) fn get(&self) -> Result<&R, Forked> {
        self.device.check()?;
        Ok(&self.ring)
    }

    /// The half, to use.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> Result<&mut R, Forked> {
        self.device.check()?;
        Ok(&mut self.ring)
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }
}

/// A ring that is shared with the kernel.
///
/// # Invariants
///
/// `ring` is a mapping of `size` bytes, until this is dropped: a [`RawRing`] and `nr_entries`
/// entries of `entry_words` words, `nr_entries` a power of 2. That is in the process that opened
/// `device`. In its children there is nothing, or something else, but no [`Half`] lends it there:
/// a child has none of its parent's threads that have got it before, but the one that was in
/// fork().
pub struct Mapping {
    ring: NonNull<RawRing>,
    size: usize,
    nr_entries: u32,
    entry_words: usize,
    device: Arc<Device>,
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
            device,
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
        if self.device.owner.is_here() {
            // SAFETY: By the invariants; nothing refers to it any more.
            unsafe { libc::munmap(self.ring.as_ptr().cast(), self.size) };
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        owner::tests::{fork, in_child},
        ring,
    };
    use std::os::fd::FromRawFd;

    const NR_ENTRIES: u32 = 4;
    const ENTRY_SIZE: usize = 16;
    const SIZE: usize = 4096;
    const FLAGS: libc::c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;

    /// A ring of hints in a file, which children don't get, as they don't get the kernel's.
    fn ring() -> Half<ring::Writer<Mapping>> {
        // SAFETY: The name is a string.
        let fd = unsafe { libc::memfd_create(c"ring".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(fd >= 0, "{}", io::Error::last_os_error());
        // SAFETY: It is a new file, of which nobody else knows.
        let file = unsafe { File::from_raw_fd(fd) };
        file.set_len(SIZE as u64).unwrap();
        let device = Arc::new(Device {
            file,
            owner: Owner::new().unwrap(),
        });
        let queue = RawQueue {
            layout: RawLayout {
                name: [0; 32],
                size: 8,
                version: 1,
                hash: 0,
            },
            kind: HINTS,
            nr_entries: NR_ENTRIES,
            entry_size: ENTRY_SIZE as u32,
            reserved: 0,
            offset: 0,
            size: SIZE as u64,
        };
        let mapping = Mapping::new(device.clone(), &queue).unwrap();
        let place = mapping.ring.as_ptr().cast();
        // SAFETY: It is the mapping.
        let result = unsafe { libc::madvise(place, SIZE, libc::MADV_DONTFORK) };
        assert_eq!(result, 0, "{}", io::Error::last_os_error());
        Half {
            ring: ring::Writer::new(mapping),
            device,
        }
    }

    fn push(half: &mut Half<ring::Writer<Mapping>>) -> Result<(), Forked> {
        half.get_mut()?.push(0, &[1; 8]).unwrap();
        Ok(())
    }

    #[test]
    fn child_gets_an_error() {
        let mut half = ring();
        assert_eq!(push(&mut half), Ok(()));
        assert!(in_child(fork, || {
            let calls = [
                half.device().doorbell().map(drop),
                half.device().hint(0, &[0; 8]),
                half.device().poll(libc::POLLIN, 0).map(drop),
            ];
            push(&mut half) == Err(Forked)
                && half.get().is_err()
                && calls.iter().all(|result| {
                    let err = result.as_ref().err().and_then(io::Error::get_ref);
                    err.is_some_and(|err| err.is::<Forked>())
                })
        }));
        assert_eq!(push(&mut half), Ok(()));
        assert_eq!(
            half.get().unwrap().memory().tail().load(Ordering::Relaxed),
            2
        );
    }

    #[test]
    fn child_drops_it() {
        let mut half = ring();
        let place = half.ring.memory().ring.as_ptr();
        assert!(in_child(fork, || {
            let fd = half.device().fd();
            // What the child has where its parent has the ring is not to go with it.
            // SAFETY: It is mapped only where there is nothing.
            let own = unsafe { libc::mmap(place.cast(), SIZE, libc::PROT_READ, FLAGS, -1, 0) };
            // SAFETY: As a child has a copy of all, it is dropped once in each process.
            drop(unsafe { ptr::read(&half) });
            // SAFETY: These only ask.
            let (there, open) = unsafe {
                let mut here = 0;
                (
                    libc::mincore(own, SIZE, &mut here),
                    libc::fcntl(fd, libc::F_GETFD),
                )
            };
            own == place.cast() && there == 0 && open == -1
        }));
        assert_eq!(push(&mut half), Ok(()));
    }
}
