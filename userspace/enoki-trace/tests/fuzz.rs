//! Files at random: the reader neither panics, nor takes more memory than it may, nor runs on.
//!
//! Most are good files in which something was changed, and half of those have their checksums put
//! right, so that what is behind them is reached. `ENOKI_FUZZ_SECONDS` says for how long; what was
//! found is written to a file, which `ENOKI_FUZZ_FILE` reads again.

use enoki_trace::{records, records::Record, Ending, Head, Recording, Stream, Writer};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::Cursor,
    panic,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// What a file of a few kilobytes may take: one frame, packed and not, and what it is told of.
const MOST_BYTES: usize = 96 << 20;

/// Counts the memory that is taken.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: All is left to the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let taken = TAKEN.fetch_add(layout.size(), Relaxed) + layout.size();
        MOST.fetch_max(taken, Relaxed);
        // SAFETY: As our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Relaxed);
        // SAFETY: As our caller promises.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Xorshift: the same numbers whenever it begins with the same.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Numbers that are near a bound, more often than others.
    fn odd(&mut self) -> u64 {
        const ODD: [u64; 8] = [
            0,
            1,
            0x7f,
            0xffff,
            0x7fff_ffff,
            0xffff_ffff,
            1 << 24,
            u64::MAX,
        ];
        match self.below(3) {
            0 => ODD[self.below(ODD.len())],
            1 => ODD[self.below(ODD.len())].wrapping_add(self.next() % 5),
            _ => self.next(),
        }
    }
}

/// A small file with calls of many kinds.
fn good(random: &mut Random) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &Head::new(3), 1).unwrap();
    for _ in 0..1 + random.below(4) {
        for _ in 0..random.below(6) {
            let piece: Vec<u8> = (0..random.below(20))
                .flat_map(|_| {
                    let record = Record {
                        time_ns: random.next() >> 30,
                        task: random.next() % 5,
                        arg: random.odd(),
                        cpu: random.below(4) as u16,
                        on: 0,
                        event: random.below(90) as u8,
                        policy: random.below(3) as u8,
                        nth: random.below(90) as u16,
                    };
                    record.to_bytes()
                })
                .collect();
            writer.piece(random.below(3) as u32, &[&piece]).unwrap();
        }
        writer.flush().unwrap();
    }
    writer.finish(&Ending::default()).unwrap()
}

fn change(random: &mut Random, file: &mut Vec<u8>) {
    for _ in 0..1 + random.below(6) {
        let at = random.below(file.len());
        match random.below(6) {
            0 => file[at..]
                .iter_mut()
                .take(1)
                .for_each(|byte| *byte ^= 1 << (at % 8)),
            1 => file.truncate(at),
            2 => {
                let word = random.odd().to_le_bytes();
                file[at..]
                    .iter_mut()
                    .zip(word)
                    .for_each(|(byte, new)| *byte = new);
            }
            3 => {
                let some: Vec<u8> = file[at..].iter().take(200).copied().collect();
                let to = random.below(file.len());
                file.splice(to..to, some);
            }
            4 => drop(file.drain(at..file.len().min(at + 40))),
            _ => {
                let word = (random.odd() as u32).to_le_bytes();
                // A number of a frame's head, where it is known where these are.
                let heads: Vec<usize> = heads(file).collect();
                if !heads.is_empty() {
                    let at = heads[random.below(heads.len())] + 8 + 4 * random.below(14);
                    file[at..]
                        .iter_mut()
                        .zip(word)
                        .for_each(|(byte, new)| *byte = new);
                }
            }
        }
    }
    if random.below(2) == 0 {
        mend(file);
    }
}

/// Where there may be frames.
fn heads(file: &[u8]) -> impl Iterator<Item = usize> + '_ {
    (0..file.len().saturating_sub(63)).filter(|&at| file[at..].starts_with(b"EnFr"))
}

/// Makes the checksums right.
fn mend(file: &mut [u8]) {
    let word =
        |file: &[u8], at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    if file.len() > 20 {
        let size = word(file, 12);
        if let Some(json) = file[20..].get(..size) {
            let crc = crc32fast::hash(json).to_le_bytes();
            file[16..20].copy_from_slice(&crc);
        }
    }
    let heads: Vec<usize> = heads(file).collect();
    for at in heads {
        let size = word(file, at + 12);
        if let Some(stored) = file[at + 64..].get(..size) {
            let crc = crc32fast::hash(stored).to_le_bytes();
            file[at + 20..at + 24].copy_from_slice(&crc);
        }
        let crc = crc32fast::hash(&file[at + 8..at + 64]).to_le_bytes();
        file[at + 4..at + 8].copy_from_slice(&crc);
    }
    if let Some(at) = file.len().checked_sub(20) {
        let crc = crc32fast::hash(&file[at..at + 8]).to_le_bytes();
        file[at + 8..at + 12].copy_from_slice(&crc);
    }
}

/// Reads a file in all ways that there are.
fn read(file: &[u8]) {
    let Ok(mut recording) = Recording::open(Cursor::new(file)) else {
        return;
    };
    while let Some(piece) = recording.next_piece().unwrap() {
        assert!(piece.cpu < 1 << 16);
    }
    let told: usize = recording
        .damage()
        .iter()
        .map(|damage| damage.to_string().len())
        .sum();
    assert!(told < 1 << 16);
    recording.seek_time(1 << 20);
    while recording.next_piece().unwrap().is_some() {}
    let Ok(mut tapes) = records::Tapes::new(Stream::new(&mut recording, 1)) else {
        return;
    };
    let mut call = records::Call::default();
    while tapes.more().unwrap_or(false) {
        for cpu in 0..tapes.nr_cpus() {
            while tapes.next(cpu).is_some() {
                tapes.take(cpu, &mut call);
            }
        }
    }
}

#[test]
fn files_at_random() {
    if let Ok(path) = std::env::var("ENOKI_FUZZ_FILE") {
        return read(&std::fs::read(path).unwrap());
    }
    let seconds = std::env::var("ENOKI_FUZZ_SECONDS").map_or(5, |text| text.parse().unwrap());
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut files, mut opened) = (0_u64, 0_u64);
    while Instant::now() < end {
        let seed = random.0;
        let mut file = good(&mut random);
        change(&mut random, &mut file);
        opened += u64::from(Recording::open(Cursor::new(&file)).is_ok());
        MOST.store(0, Relaxed);
        let before = TAKEN.load(Relaxed);
        let went = panic::catch_unwind(|| read(&file));
        let took = MOST.load(Relaxed).saturating_sub(before);
        if went.is_err() || took > MOST_BYTES {
            let path = std::env::temp_dir().join(format!("enoki-fuzz-{seed:x}.enoki"));
            std::fs::write(&path, &file).unwrap();
            panic!("ENOKI_FUZZ_FILE={} took {took} bytes", path.display());
        }
        files += 1;
    }
    println!("{files} files, {opened} of them were opened");
    assert!(opened > files / 10, "{opened} of {files} files were opened");
}
