//! Runtimes and who hands out cores to them: enoki_arachne, or a process with cpusets.
//!
//! Both are asked for a number of cores, say which ones they grant and which ones they want back,
//! and are told which thread runs on which of them.

use anyhow::{anyhow, bail, Context, Result};
use enoki_client::{layout, About, Client, Hints, Messages};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// What an arbiter says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// That core is the runtime's.
    Granted(u32),
    /// It is to be given back.
    Reclaimed(u32),
}

/// Who hands out cores.
pub trait Arbiter {
    /// So many cores are wanted, from now on, by the runtime that this thread is one of. Of
    /// enoki_arachne they can be had for a thread that is attached to it.
    ///
    /// # Errors
    ///
    /// The arbiter has gone, or the thread has, or it is not attached.
    fn request(&mut self, cores: u32, thread: i32) -> Result<()>;

    /// What it says, if it says something in that time.
    ///
    /// # Errors
    ///
    /// The arbiter has gone.
    fn next(&mut self, timeout: Duration) -> Result<Option<Event>>;

    /// That thread of this process, or with privileges of another one, runs on a core that was
    /// granted.
    ///
    /// # Errors
    ///
    /// The core has been taken, or the thread has gone.
    fn enter(&mut self, core: u32, thread: i32) -> Result<()>;

    /// The core is given back; nobody is on it any more.
    ///
    /// # Errors
    ///
    /// The arbiter has gone.
    fn leave(&mut self, core: u32) -> Result<()>;
}

const REQUEST: u32 = 1;
const ENTER: u32 = 2;
const LEAVE: u32 = 3;
const GRANTED: u32 = 1;
const RECLAIM: u32 = 2;

layout! {
    /// What enoki_arachne takes.
    pub struct Ask("arachne_ask", 1) {
        /// 1 request, 2 enter, 3 leave; the first two are about a thread.
        pub op: u32,
        /// How many cores, or which one.
        pub value: u32,
    }
}

layout! {
    /// What it tells.
    pub struct Tell("arachne_tell", 1) {
        /// 1 granted, 2 reclaimed.
        pub what: u32,
        /// Which core.
        pub core: u32,
    }
}

fn event(what: u32, core: u32) -> Result<Event> {
    match what {
        GRANTED => Ok(Event::Granted(core)),
        RECLAIM => Ok(Event::Reclaimed(core)),
        other => bail!("the arbiter says {other}, which nobody knows"),
    }
}

/// enoki_arachne.
pub struct Policy {
    hints: Hints<Ask>,
    messages: Messages<Tell>,
}

impl Policy {
    /// Becomes a client of the policy of that number.
    ///
    /// # Errors
    ///
    /// There is none, or it is another one.
    pub fn open(id: u32) -> Result<Self> {
        let client = Client::open(id).with_context(|| format!("policy {id}"))?;
        Ok(Policy {
            hints: client.hints(64)?,
            messages: client.messages(64)?,
        })
    }
}

impl Arbiter for Policy {
    fn request(&mut self, cores: u32, thread: i32) -> Result<()> {
        let ask = Ask {
            op: REQUEST,
            value: cores,
        };
        let asked = self.hints.send_now(About::thread(thread), &ask);
        asked.map_err(|err| match err.raw_os_error() {
            Some(libc::ESRCH) => {
                anyhow!("thread {thread} is not attached to the policy: attach it by enoki_run -p")
            }
            _ => err.into(),
        })
    }

    fn next(&mut self, timeout: Duration) -> Result<Option<Event>> {
        let told = self.messages.wait(Some(timeout))?;
        told.map(|tell| event(tell.what, tell.core)).transpose()
    }

    fn enter(&mut self, core: u32, thread: i32) -> Result<()> {
        let ask = Ask {
            op: ENTER,
            value: core,
        };
        Ok(self.hints.send_now(About::thread(thread), &ask)?)
    }

    fn leave(&mut self, core: u32) -> Result<()> {
        let ask = Ask {
            op: LEAVE,
            value: core,
        };
        Ok(self.hints.send_now(About::NOBODY, &ask)?)
    }
}

/// What goes through the socket of a process that hands out cores, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// As [`Ask::op`] or [`Tell::what`].
    pub what: u32,
    /// How many cores, or which one.
    pub value: u32,
    /// The thread that asks or enters.
    pub thread: u32,
}

impl Note {
    /// How many bytes it has.
    pub const SIZE: usize = 12;

    /// As it goes through the socket.
    pub fn bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        for (to, word) in bytes
            .chunks_mut(4)
            .zip([self.what, self.value, self.thread])
        {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// As it comes out of it.
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let word = |n: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[4 * n + i]));
        Note {
            what: word(0),
            value: word(1),
            thread: word(2),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    ///
    /// There is none, in the time that the stream allows.
    pub fn read(stream: &mut UnixStream) -> std::io::Result<Self> {
        let mut bytes = [0; Self::SIZE];
        stream.read_exact(&mut bytes)?;
        Ok(Self::from_bytes(bytes))
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// The other side has gone.
    pub fn write(self, stream: &mut UnixStream) -> std::io::Result<()> {
        stream.write_all(&self.bytes())
    }
}

/// What a runtime wants of a process that hands out cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// So many cores.
    Request(u32),
    /// The thread goes to the core.
    Enter(u32, i32),
    /// The core is given back.
    Leave(u32),
}

impl TryFrom<Note> for Wish {
    type Error = anyhow::Error;

    fn try_from(note: Note) -> Result<Self> {
        match note.what {
            REQUEST => Ok(Wish::Request(note.value)),
            ENTER => Ok(Wish::Enter(note.value, note.thread as i32)),
            LEAVE => Ok(Wish::Leave(note.value)),
            other => bail!("a runtime says {other}, which nobody knows"),
        }
    }
}

impl From<Event> for Note {
    fn from(event: Event) -> Self {
        let (what, value) = match event {
            Event::Granted(core) => (GRANTED, core),
            Event::Reclaimed(core) => (RECLAIM, core),
        };
        Note {
            what,
            value,
            thread: 0,
        }
    }
}

/// A process that hands out cores: `cpuset_arbiter`.
pub struct Process(UnixStream);

impl Process {
    /// Connects to it.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path);
        Ok(Process(stream.with_context(|| path.display().to_string())?))
    }

    fn say(&mut self, what: u32, value: u32, thread: i32) -> Result<()> {
        let thread = thread as u32;
        let note = Note {
            what,
            value,
            thread,
        };
        Ok(note.write(&mut self.0)?)
    }
}

impl Arbiter for Process {
    fn request(&mut self, cores: u32, thread: i32) -> Result<()> {
        self.say(REQUEST, cores, thread)
    }

    fn next(&mut self, timeout: Duration) -> Result<Option<Event>> {
        // 0 would be for ever.
        let timeout = timeout.max(Duration::from_micros(1));
        self.0.set_read_timeout(Some(timeout))?;
        match Note::read(&mut self.0) {
            Ok(note) => Ok(Some(event(note.what, note.value)?)),
            Err(err) if err.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
            Err(err) => Err(err.into()),
        }
    }

    fn enter(&mut self, core: u32, thread: i32) -> Result<()> {
        self.say(ENTER, core, thread)
    }

    fn leave(&mut self, core: u32) -> Result<()> {
        self.say(LEAVE, core, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes() {
        let note = Note {
            what: ENTER,
            value: 3,
            thread: 0x0102_0304,
        };
        assert_eq!(Note::from_bytes(note.bytes()), note);
        assert_eq!(Wish::try_from(note).unwrap(), Wish::Enter(3, 0x0102_0304));
        let unknown = Note { what: 9, ..note };
        assert!(Wish::try_from(unknown).is_err());
    }

    #[test]
    fn through_a_socket() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut arbiter = Process(ours);
        assert_eq!(arbiter.next(Duration::ZERO).unwrap(), None);
        arbiter.request(2, 7).unwrap();
        let note = Note::read(&mut theirs).unwrap();
        assert_eq!(note.thread, 7);
        assert_eq!(Wish::try_from(note).ok(), Some(Wish::Request(2)));
        Note::from(Event::Granted(5)).write(&mut theirs).unwrap();
        let told = arbiter.next(Duration::from_secs(60)).unwrap();
        assert_eq!(told, Some(Event::Granted(5)));
        drop(theirs);
        assert!(arbiter.next(Duration::from_secs(60)).is_err());
    }
}
