//! Reads a file, whatever is in it.

use crate::format::{
    le32, le64, wrong, Ending, Frame, FrameHead, Head, Index, Kind, Policy, END, MAGIC, MAX_HEAD,
    PREFIX, SUFFIX, VERSION,
};
use crate::records::{self, Record};
use crate::writer::PIECE_HEAD;
use std::{
    fmt,
    io::{self, Read, Seek, SeekFrom},
};
use zstd::bulk::Decompressor;

/// Bytes that are looked through at once for the next frame.
const LOOK: usize = 1 << 16;
/// So much damage is told; what there is more of is counted.
const TOLD: usize = 64;
/// More CPUs than any machine has.
const MAX_CPUS: u32 = 1 << 16;

/// Something about a file that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// It has no index, or a wrong one: it was cut off, or the recording was not ended.
    Index,
    /// These bytes are no frame.
    NoFrame(u64, u64),
    /// The file ends in the frame at that byte.
    CutOff(u64),
    /// What is in the frame at that byte is not what was written.
    Frame(u64),
    /// Records of a CPU are missing: that one, and as many as that.
    Records(u32, u64, u64),
    /// So much more.
    More(u64),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Index => f.write_str(
                "there is no index: the recording was not ended, or the file was cut off",
            ),
            Damage::NoFrame(from, to) => {
                write!(f, "bytes {from} to {to} are no part of a recording")
            }
            Damage::CutOff(at) => {
                write!(f, "the file ends in the middle of the frame at byte {at}")
            }
            Damage::Frame(at) => write!(f, "the frame at byte {at} is damaged"),
            Damage::Records(cpu, first, nr) => write!(
                f,
                "records {first} to {} of CPU {cpu} are missing",
                first.saturating_add(nr - 1)
            ),
            Damage::More(nr) => write!(f, "and there is more of that, {nr} times"),
        }
    }
}

/// Records of one CPU that follow each other.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'r> {
    /// The CPU.
    pub cpu: u32,
    /// How many records of it there were before.
    pub number: u64,
    /// How many of them are missing directly before.
    pub missing: u64,
    /// Its records, of [`Record::SIZE`] bytes each.
    pub records: &'r [u8],
}

/// A recording that is read from a file.
pub struct Recording<R> {
    from: R,
    size: u64,
    head: Head,
    /// Where the frames begin and end.
    begin: u64,
    end: u64,
    /// What the index says, if there is one.
    index: Option<Index>,
    /// Where the next frame should be.
    at: u64,
    /// The frame that is read, and how far.
    zstd: Decompressor<'static>,
    stored: Vec<u8>,
    raw: Vec<u8>,
    raw_at: usize,
    /// How many records of each CPU there were, and whether that is known.
    seen: Vec<Option<u64>>,
    damage: Vec<Damage>,
}

impl<R: Read + Seek> Recording<R> {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is no recording, or is one of another version or machine.
    pub fn open(mut from: R) -> io::Result<Recording<R>> {
        let size = from.seek(SeekFrom::End(0))?;
        from.rewind()?;
        let mut prefix = [0; PREFIX];
        if size >= PREFIX as u64 {
            from.read_exact(&mut prefix)?;
        }
        if prefix[..8] != *MAGIC {
            return Err(wrong("this is no recording of Enoki"));
        }
        if le32(&prefix, 8) != VERSION {
            return Err(wrong(format!(
                "the file's format has version {}, this program knows {VERSION}",
                le32(&prefix, 8)
            )));
        }
        let json_size = le32(&prefix, 12) as usize;
        let begin = (PREFIX + json_size) as u64;
        if json_size > MAX_HEAD || begin > size {
            return Err(wrong("the file's head is damaged"));
        }
        let mut json = vec![0; json_size];
        from.read_exact(&mut json)?;
        if crc32fast::hash(&json) != le32(&prefix, 16) {
            return Err(wrong("the file's head is damaged"));
        }
        let head: Head = serde_json::from_slice(&json)?;
        check(&head)?;
        let mut recording = Recording {
            from,
            size,
            begin,
            end: size,
            index: None,
            at: begin,
            zstd: Decompressor::new()?,
            stored: Vec::new(),
            raw: Vec::new(),
            raw_at: 0,
            seen: vec![Some(0); head.cpus as usize],
            damage: Vec::new(),
            head,
        };
        if recording.read_index().is_none() {
            recording.raw.clear();
            recording.tell(Damage::Index);
        }
        Ok(recording)
    }

    /// The index, if it is one.
    fn read_index(&mut self) -> Option<()> {
        let end = self.size.checked_sub(SUFFIX as u64)?;
        let mut suffix = [0; SUFFIX];
        self.from.seek(SeekFrom::Start(end)).ok()?;
        self.from.read_exact(&mut suffix).ok()?;
        if suffix[12..] != *END || crc32fast::hash(&suffix[..8]) != le32(&suffix, 8) {
            return None;
        }
        let at = le64(&suffix, 0);
        let head = self.frame_head(at).ok()??;
        let fits = at.checked_add((FrameHead::SIZE + head.size as usize) as u64)? <= end;
        if head.kind != Kind::Index || !fits || !self.frame(&head).ok()? {
            return None;
        }
        let index: Index = serde_json::from_slice(&self.raw).ok()?;
        self.raw.clear();
        self.end = at;
        self.index = Some(index);
        Some(())
    }

    /// What is known of how it was made.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The policies that it may have records of: those that there were when it began, and others
    /// that there were when it ended.
    pub fn policies(&self) -> impl Iterator<Item = &Policy> {
        let begun = &self.head.policies;
        let ended = self.ending().map_or(&[][..], |ending| &ending.policies);
        let is_new = |policy: &&Policy| begun.iter().all(|known| known.id != policy.id);
        begun.iter().chain(ended.iter().filter(is_new))
    }

    /// How it ended, if that is in the file.
    #[must_use]
    pub fn ending(&self) -> Option<&Ending> {
        self.index.as_ref().map(|index| &index.ending)
    }

    /// What the index says of the frames; nothing if there is none.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        self.index.as_ref().map_or(&[], |index| &index.frames)
    }

    /// The earliest time in the first frame that has one, ns.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn first_ns(&mut self) -> io::Result<u64> {
        let first = self
            .frames()
            .iter()
            .map(|frame| frame.first_ns)
            .find(|&ns| ns != 0);
        match first {
            Some(first) => Ok(first),
            None => Ok(self.frame_head(self.begin)?.map_or(0, |head| head.first_ns)),
        }
    }

    /// What was found damaged so far.
    #[must_use]
    pub fn damage(&self) -> &[Damage] {
        &self.damage
    }

    /// Goes to the beginning.
    pub fn rewind(&mut self) {
        self.seek(self.begin);
        self.seen.fill(Some(0));
    }

    /// Goes to the first frame that may have something of that time or later; or to the beginning,
    /// if there is no index.
    pub fn seek_time(&mut self, time_ns: u64) {
        let before = self.frames().iter().find(|frame| frame.last_ns >= time_ns);
        match (before, self.frames().is_empty()) {
            (Some(frame), _) => {
                let offset = frame.offset.clamp(self.begin, self.end);
                self.seek(offset);
            }
            (None, false) => self.seek(self.end),
            (None, true) => self.rewind(),
        }
    }

    fn seek(&mut self, at: u64) {
        self.at = at;
        self.raw.clear();
        self.raw_at = 0;
        // What was before is not known, so that nothing is missing.
        self.seen.fill(None);
    }

    fn tell(&mut self, what: Damage) {
        if let Some(Damage::More(nr)) = self.damage.last_mut() {
            *nr += 1;
        } else if self.damage.len() == TOLD {
            self.damage.push(Damage::More(1));
        } else {
            self.damage.push(what);
        }
    }

    /// The next records, of whichever CPU; nothing at the end. What is damaged is left out.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn next_piece(&mut self) -> io::Result<Option<Piece<'_>>> {
        while self.raw_at == self.raw.len() {
            if !self.next_frame()? {
                return Ok(self.missing_at_the_end());
            }
        }
        // The frame was looked through when it was read.
        let head = &self.raw[self.raw_at..];
        let (cpu, nr, number) = (le32(head, 0), le32(head, 4) as usize, le64(head, 8));
        let first = self.raw_at + PIECE_HEAD;
        self.raw_at = first + nr * Record::SIZE;
        let seen = self.seen[cpu as usize].replace(number.saturating_add(nr as u64));
        let missing = seen.map_or(0, |seen| number.saturating_sub(seen));
        if missing != 0 {
            self.tell(Damage::Records(cpu, number - missing, missing));
        }
        Ok(Some(Piece {
            cpu,
            number,
            missing,
            records: &self.raw[first..self.raw_at],
        }))
    }

    /// A piece without records, if the index says that a CPU has more than there were.
    fn missing_at_the_end(&mut self) -> Option<Piece<'static>> {
        let index = self.index.as_ref()?;
        let (cpu, first, missing) =
            (0..)
                .zip(&mut self.seen)
                .zip(&index.records)
                .find_map(|((cpu, seen), &all)| {
                    let first = seen.filter(|&first| first < all)?;
                    *seen = Some(all);
                    Some((cpu, first, all - first))
                })?;
        self.tell(Damage::Records(cpu, first, missing));
        Some(Piece {
            cpu,
            number: first + missing,
            missing,
            records: &[],
        })
    }

    /// Reads the next frame that is intact. Returns whether there is one.
    fn next_frame(&mut self) -> io::Result<bool> {
        self.raw.clear();
        self.raw_at = 0;
        while self.at < self.end {
            let at = self.at;
            let Some(head) = self.frame_head(at)? else {
                self.at = self.find(at + 1)?;
                // The suffix of a file whose index is damaged is nothing to tell of.
                if self.size - at > SUFFIX as u64 {
                    self.tell(Damage::NoFrame(at, self.at - 1));
                }
                continue;
            };
            let end = at + (FrameHead::SIZE + head.size as usize) as u64;
            if end > self.size {
                self.tell(Damage::CutOff(at));
                self.at = self.find(at + 1)?;
                continue;
            }
            self.at = end;
            let good = self.frame(&head)?;
            if head.kind == Kind::Index {
                self.raw.clear();
                continue;
            }
            if good && self.are_pieces() {
                return Ok(true);
            }
            self.raw.clear();
            self.tell(Damage::Frame(at));
        }
        Ok(false)
    }

    /// The head of the frame at that byte; none if there is no frame.
    fn frame_head(&mut self, at: u64) -> io::Result<Option<FrameHead>> {
        if at
            .checked_add(FrameHead::SIZE as u64)
            .is_none_or(|end| end > self.size)
        {
            return Ok(None);
        }
        self.from.seek(SeekFrom::Start(at))?;
        let mut head = [0; FrameHead::SIZE];
        self.from.read_exact(&mut head)?;
        Ok(FrameHead::from_bytes(&head))
    }

    /// Reads what is in a frame whose head was read just now. Returns whether it is intact.
    fn frame(&mut self, head: &FrameHead) -> io::Result<bool> {
        self.raw.clear();
        self.stored.resize(head.size as usize, 0);
        self.from.read_exact(&mut self.stored)?;
        if crc32fast::hash(&self.stored) != head.crc {
            return Ok(false);
        }
        let raw = head.raw as usize;
        if head.kind == Kind::Stored {
            std::mem::swap(&mut self.raw, &mut self.stored);
        } else {
            self.raw.reserve(raw);
            if self
                .zstd
                .decompress_to_buffer(&self.stored, &mut self.raw)
                .is_err()
            {
                self.raw.clear();
                return Ok(false);
            }
        }
        Ok(self.raw.len() == raw)
    }

    /// Whether the frame is made of pieces, of CPUs that there are, in the order of their records.
    fn are_pieces(&self) -> bool {
        let mut left = &self.raw[..];
        while !left.is_empty() {
            if left.len() < PIECE_HEAD {
                return false;
            }
            let (cpu, nr) = (le32(left, 0), le32(left, 4) as usize);
            let end = PIECE_HEAD + nr * Record::SIZE;
            if cpu >= self.head.cpus || left.len() < end {
                return false;
            }
            left = &left[end..];
        }
        true
    }

    /// Where the next frame may be, from that byte on; or the end.
    fn find(&mut self, mut at: u64) -> io::Result<u64> {
        let mut bytes = vec![0; LOOK];
        while at < self.end {
            let some = (self.end - at).min(LOOK as u64) as usize;
            self.from.seek(SeekFrom::Start(at))?;
            self.from.read_exact(&mut bytes[..some])?;
            match FrameHead::find(&bytes[..some]) {
                Some(found) => {
                    at += found as u64;
                    if self.frame_head(at)?.is_some() {
                        return Ok(at);
                    }
                    at += 1;
                }
                // It may begin at the end of these.
                None if some > 3 && at + (some as u64) < self.end => at += some as u64 - 3,
                None => break,
            }
        }
        Ok(self.end)
    }
}

fn check(head: &Head) -> io::Result<()> {
    if head.cpus == 0 || head.cpus > MAX_CPUS {
        return Err(wrong("the file's head is damaged"));
    }
    if head.record_version != records::VERSION {
        return Err(wrong(format!(
            "the records have version {}, this program knows {}",
            head.record_version,
            records::VERSION
        )));
    }
    if head.little_endian != cfg!(target_endian = "little") {
        return Err(wrong(
            "the records are of a machine with another order of bytes",
        ));
    }
    Ok(())
}
