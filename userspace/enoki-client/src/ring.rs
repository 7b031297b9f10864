//! Rings: one side writes entries, the other one reads them, and neither waits for the other.
//!
//! The kernel's half is in `kernel/sched/enoki/queue.c`. Here is the program's, for both ways, over
//! any [`Memory`]: the mapping that the kernel shares, or memory of a test. All that both sides
//! touch is atomic, so that whatever the other side does can be wrong but not undefined.
//!
//! An entry is written first, and then the writer's end is moved beyond it with release semantics;
//! who has seen that with acquire semantics sees the entry. The other way round an entry is read
//! first, and then the reader's end moves: the writer that sees that may write it again.

#[cfg(all(test, loom))]
mod kernel;
#[cfg(all(test, loom))]
mod orderings;

#[cfg(loom)]
use loom::sync::atomic::{AtomicU32, Ordering};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicU32, Ordering};

/// Words before the data of an entry.
pub(crate) const HEAD_WORDS: usize = 1;
/// Bytes of a word.
pub(crate) const WORD: usize = 8;

/// The memory of a ring.
pub trait Memory {
    /// How many entries there are; a power of 2.
    fn nr_entries(&self) -> u32;
    /// How many words of data each has; a word is 8 bytes.
    fn data_words(&self) -> usize;
    /// How many entries have been written, modulo 2^32.
    fn tail(&self) -> &AtomicU32;
    /// How many have been read.
    fn head(&self) -> &AtomicU32;
    /// Reads a word of the entry in that place, which the writer has passed; the first one is the
    /// one before the data.
    fn read(&self, place: u32, word: usize) -> u64;
    /// Writes one that the reader has passed.
    fn write(&self, place: u32, word: usize, value: u64);
}

/// There is no room: the other side has not read enough yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The writer's half of a ring, of which there must be one only.
pub struct Writer<M> {
    memory: M,
    tail: u32,
    /// What the reader had read when it was last looked at.
    head: u32,
}

impl<M: Memory> Writer<M> {
    /// The half of a ring that is new.
    pub fn new(memory: M) -> Writer<M> {
        Writer {
            memory,
            tail: 0,
            head: 0,
        }
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// How many entries there is room for.
    pub fn room(&mut self) -> u32 {
        // Pairs with the reader's release: what it has read may be written again.
        self.head = self.memory.head().load(Ordering::Acquire);
        // A reader ahead of us is out of its mind; nothing is written until it is back.
        self.memory
            .nr_entries()
            .saturating_sub(self.tail.wrapping_sub(self.head))
    }

    /// Writes an entry.
    ///
    /// # Errors
    ///
    /// [`Full`], and nothing was written.
    #[inline]
    pub fn push(&mut self, head_word: u64, data: &[u8]) -> Result<(), Full> {
        debug_assert_eq!(data.len(), self.memory.data_words() * WORD);
        let nr_entries = self.memory.nr_entries();
        if self.tail.wrapping_sub(self.head) >= nr_entries && self.room() == 0 {
            return Err(Full);
        }
        let place = self.tail & (nr_entries - 1);
        self.memory.write(place, 0, head_word);
        for (i, bytes) in data.chunks_exact(WORD).enumerate() {
            let mut word = [0; WORD];
            word.copy_from_slice(bytes);
            self.memory
                .write(place, HEAD_WORDS + i, u64::from_ne_bytes(word));
        }
        self.tail = self.tail.wrapping_add(1);
        self.memory.tail().store(self.tail, Ordering::Release);
        Ok(())
    }
}

/// The reader's half of a ring, of which there must be one only.
pub struct Reader<M> {
    memory: M,
    head: u32,
}

impl<M: Memory> Reader<M> {
    /// The half of a ring that is new.
    pub fn new(memory: M) -> Reader<M> {
        Reader { memory, head: 0 }
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }

    /// How many entries can be read.
    #[inline]
    pub fn waiting(&self) -> u32 {
        // Pairs with the writer's release: what it has written is there.
        let tail = self.memory.tail().load(Ordering::Acquire);
        tail.wrapping_sub(self.head)
    }

    /// Reads an entry into `data` and returns its head, or [`None`] if there is none.
    #[inline]
    pub fn pop(&mut self, data: &mut [u8]) -> Option<u64> {
        debug_assert_eq!(data.len(), self.memory.data_words() * WORD);
        if self.waiting() == 0 {
            return None;
        }
        let place = self.head & (self.memory.nr_entries() - 1);
        let head_word = self.memory.read(place, 0);
        for (i, bytes) in data.chunks_exact_mut(WORD).enumerate() {
            let word = self.memory.read(place, HEAD_WORDS + i);
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        self.head = self.head.wrapping_add(1);
        self.memory.head().store(self.head, Ordering::Release);
        Some(head_word)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    #[cfg(loom)]
    use loom::{cell::UnsafeCell, sync::Arc, thread};
    #[cfg(not(loom))]
    use std::{sync::Arc, thread};

    /// A word that two threads must not use at once, as long as both keep to the rules: loom and
    /// Miri say so if they do. (What is shared with the kernel is atomic, as it may not.)
    #[cfg(not(loom))]
    #[derive(Default)]
    struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    #[cfg(not(loom))]
    impl<T> UnsafeCell<T> {
        fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }
        fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }

    fn u64s(data: &[u64; DATA_WORDS]) -> &[u8] {
        data.as_bytes()
    }

    /// A ring of two words of data in memory of its own.
    pub(crate) struct Owned {
        nr_entries: u32,
        tail: AtomicU32,
        head: AtomicU32,
        words: Vec<UnsafeCell<u64>>,
    }

    // SAFETY: The ring is what sees to it that a word is used by one thread at a time.
    unsafe impl Sync for Owned {}

    pub(crate) const DATA_WORDS: usize = 2;

    impl Owned {
        pub(crate) fn new(nr_entries: u32) -> Arc<Owned> {
            Arc::new(Owned {
                nr_entries,
                tail: AtomicU32::new(0),
                head: AtomicU32::new(0),
                words: (0..nr_entries as usize * (HEAD_WORDS + DATA_WORDS))
                    .map(|_| UnsafeCell::default())
                    .collect(),
            })
        }
    }

    impl Memory for Arc<Owned> {
        fn nr_entries(&self) -> u32 {
            self.nr_entries
        }
        fn data_words(&self) -> usize {
            DATA_WORDS
        }
        fn tail(&self) -> &AtomicU32 {
            &self.tail
        }
        fn head(&self) -> &AtomicU32 {
            &self.head
        }
        fn read(&self, place: u32, word: usize) -> u64 {
            let word = &self.words[place as usize * (HEAD_WORDS + DATA_WORDS) + word];
            // SAFETY: By the rules of the ring nobody writes it meanwhile.
            word.with(|word| unsafe { *word })
        }
        fn write(&self, place: u32, word: usize, value: u64) {
            let word = &self.words[place as usize * (HEAD_WORDS + DATA_WORDS) + word];
            // SAFETY: By the rules of the ring nobody reads or writes it meanwhile.
            word.with_mut(|word| unsafe { *word = value });
        }
    }

    /// Entries go through a ring of that size from one thread to another; all of them, whole and
    /// in order.
    fn through(nr_entries: u32, count: u64) {
        let memory = Owned::new(nr_entries);
        let mut writer = Writer::new(memory.clone());
        let mut reader = Reader::new(memory);
        let sender = thread::spawn(move || {
            for i in 0..count {
                while writer.push(i, u64s(&[i + 100, !i])) == Err(Full) {
                    thread::yield_now();
                }
            }
        });
        let mut data = [0u64; DATA_WORDS];
        for i in 0..count {
            let head = loop {
                match reader.pop(data.as_mut_bytes()) {
                    Some(head) => break head,
                    None => thread::yield_now(),
                }
            };
            assert_eq!((head, data), (i, [i + 100, !i]));
        }
        assert_eq!(reader.pop(data.as_mut_bytes()), None);
        sender.join().unwrap();
    }

    #[cfg(loom)]
    #[test]
    fn orderings() {
        loom::model(|| through(1, 2));
        loom::model(|| through(2, 3));
    }

    #[cfg(not(loom))]
    #[test]
    fn two_threads() {
        through(1, 100);
        through(4, if cfg!(miri) { 300 } else { 100_000 });
    }

    #[cfg(not(loom))]
    #[test]
    fn full_and_empty() {
        let memory = Owned::new(2);
        let mut writer = Writer::new(memory.clone());
        let mut reader = Reader::new(memory);
        let mut data = [0u64; DATA_WORDS];
        assert_eq!(reader.pop(data.as_mut_bytes()), None);
        assert_eq!(writer.push(1, u64s(&[11, 12])), Ok(()));
        assert_eq!(writer.push(2, u64s(&[21, 22])), Ok(()));
        assert_eq!(writer.push(3, u64s(&[31, 32])), Err(Full));
        assert_eq!(writer.room(), 0);
        assert_eq!(reader.waiting(), 2);
        assert_eq!(reader.pop(data.as_mut_bytes()), Some(1));
        assert_eq!(data, [11, 12]);
        assert_eq!(writer.room(), 1);
        assert_eq!(writer.push(3, u64s(&[31, 32])), Ok(()));
        assert_eq!(reader.pop(data.as_mut_bytes()), Some(2));
        assert_eq!(reader.pop(data.as_mut_bytes()), Some(3));
        assert_eq!(data, [31, 32]);
        assert_eq!(reader.pop(data.as_mut_bytes()), None);
    }

    /// The counts go around 2^32 as if nothing was.
    #[cfg(not(loom))]
    #[test]
    fn around() {
        let memory = Owned::new(4);
        let start = u32::MAX - 5;
        memory.tail.store(start, Ordering::Relaxed);
        memory.head.store(start, Ordering::Relaxed);
        let mut writer = Writer::new(memory.clone());
        (writer.tail, writer.head) = (start, start);
        let mut reader = Reader::new(memory);
        reader.head = start;
        let mut data = [0u64; DATA_WORDS];
        for i in 0..20 {
            assert_eq!(writer.push(i, u64s(&[i, i])), Ok(()));
            assert_eq!(writer.push(i, u64s(&[i + 1, i])), Ok(()));
            assert_eq!(reader.pop(data.as_mut_bytes()), Some(i));
            assert_eq!(reader.pop(data.as_mut_bytes()), Some(i));
            assert_eq!(data, [i + 1, i]);
        }
    }

    /// A reader that says it has read what was not written gets nothing.
    #[cfg(not(loom))]
    #[test]
    fn reader_ahead() {
        let memory = Owned::new(4);
        let mut writer = Writer::new(memory.clone());
        for i in 0..4 {
            assert_eq!(writer.push(i, u64s(&[i, i])), Ok(()));
        }
        memory.head.store(9, Ordering::Release);
        assert_eq!(writer.push(4, u64s(&[4, 4])), Err(Full));
        memory.head.store(4, Ordering::Release);
        assert_eq!(writer.push(4, u64s(&[4, 4])), Ok(()));
    }
}
