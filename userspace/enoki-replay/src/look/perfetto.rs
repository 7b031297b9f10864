//! A [`Timeline`] in the format of Perfetto, to be opened in its viewer.
//!
//! There is a track for each CPU with the tasks that ran there, one with how many waited there, and
//! a track for each task with when it ran and when it waited. The messages are those of Perfetto's
//! `perfetto_trace.proto`, with the fields that are used here.

use super::timeline::Timeline;
use prost::Message;
use std::io::{self, Write};

/// All packets are of one sequence, for which no state is kept.
const SEQUENCE: u32 = 1;

/// `Trace`.
#[derive(Clone, PartialEq, Message)]
struct Trace {
    #[prost(message, repeated, tag = "1")]
    packet: Vec<Packet>,
}

/// `TracePacket`.
#[derive(Clone, PartialEq, Message)]
struct Packet {
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, optional, tag = "10")]
    trusted_packet_sequence_id: Option<u32>,
    #[prost(message, optional, tag = "11")]
    track_event: Option<Event>,
    #[prost(message, optional, tag = "60")]
    track_descriptor: Option<Track>,
}

/// `TrackDescriptor`.
#[derive(Clone, PartialEq, Message)]
struct Track {
    #[prost(uint64, optional, tag = "1")]
    uuid: Option<u64>,
    #[prost(string, optional, tag = "2")]
    name: Option<String>,
    #[prost(uint64, optional, tag = "5")]
    parent_uuid: Option<u64>,
    #[prost(message, optional, tag = "8")]
    counter: Option<Counter>,
}

/// `CounterDescriptor`.
#[derive(Clone, PartialEq, Message)]
struct Counter {
    #[prost(string, optional, tag = "6")]
    unit_name: Option<String>,
}

/// `TrackEvent`.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(message, repeated, tag = "4")]
    debug_annotations: Vec<Annotation>,
    #[prost(enumeration = "Type", optional, tag = "9")]
    r#type: Option<i32>,
    #[prost(uint64, optional, tag = "11")]
    track_uuid: Option<u64>,
    #[prost(string, optional, tag = "23")]
    name: Option<String>,
    #[prost(int64, optional, tag = "30")]
    counter_value: Option<i64>,
}

/// `DebugAnnotation`.
#[derive(Clone, PartialEq, Message)]
struct Annotation {
    #[prost(string, optional, tag = "6")]
    string_value: Option<String>,
    #[prost(string, optional, tag = "10")]
    name: Option<String>,
}

/// `TrackEvent.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
enum Type {
    Unspecified = 0,
    SliceBegin = 1,
    SliceEnd = 2,
    Instant = 3,
    Counter = 4,
}

/// Which track it is. Tracks of tasks have numbers that no other track has.
enum Which {
    Cpus,
    Tasks,
    Cpu(u16),
    Queue(u16),
    Task(u64),
}

impl Which {
    fn uuid(&self) -> u64 {
        match *self {
            Which::Cpus => 1,
            Which::Tasks => 2,
            Which::Cpu(cpu) => (1 << 16) + u64::from(cpu),
            Which::Queue(cpu) => (1 << 17) + u64::from(cpu),
            Which::Task(task) => (1 << 63) | task,
        }
    }
}

struct Out<'w, W> {
    to: &'w mut W,
    buffer: Vec<u8>,
}

impl<W: Write> Out<'_, W> {
    /// Traces can be put one behind the other.
    fn packet(&mut self, packet: Packet) -> io::Result<()> {
        self.buffer.clear();
        let packet = vec![Packet {
            trusted_packet_sequence_id: Some(SEQUENCE),
            ..packet
        }];
        Trace { packet }
            .encode(&mut self.buffer)
            .map_err(io::Error::other)?;
        self.to.write_all(&self.buffer)
    }

    fn track(&mut self, track: Track) -> io::Result<()> {
        self.packet(Packet {
            track_descriptor: Some(track),
            ..Packet::default()
        })
    }

    /// One of a group of tracks, which the viewer sorts by name.
    fn member(&mut self, which: Which, of: Which, name: String) -> io::Result<()> {
        self.track(Track {
            uuid: Some(which.uuid()),
            name: Some(name),
            parent_uuid: Some(of.uuid()),
            counter: matches!(which, Which::Queue(_)).then(|| Counter {
                unit_name: Some("tasks".to_owned()),
            }),
        })
    }

    fn event(&mut self, on: Which, at_ns: u64, r#type: Type, event: Event) -> io::Result<()> {
        self.packet(Packet {
            timestamp: Some(at_ns),
            track_event: Some(Event {
                r#type: Some(r#type.into()),
                track_uuid: Some(on.uuid()),
                ..event
            }),
            ..Packet::default()
        })
    }

    fn slice(&mut self, on: &dyn Fn() -> Which, times: [u64; 2], event: Event) -> io::Result<()> {
        self.event(on(), times[0], Type::SliceBegin, event)?;
        self.event(on(), times[1], Type::SliceEnd, Event::default())
    }
}

fn named(name: impl Into<String>) -> Event {
    Event {
        name: Some(name.into()),
        ..Event::default()
    }
}

/// Writes it.
///
/// # Errors
///
/// If it cannot be written.
pub(crate) fn write(timeline: &Timeline, to: &mut impl Write) -> io::Result<()> {
    let mut out = Out {
        to,
        buffer: Vec::new(),
    };
    for (which, name) in [(Which::Cpus, "CPUs"), (Which::Tasks, "Tasks")] {
        out.track(Track {
            uuid: Some(which.uuid()),
            name: Some(name.to_owned()),
            ..Track::default()
        })?;
    }
    for cpu in 0..timeline.cpus as u16 {
        out.member(Which::Cpu(cpu), Which::Cpus, format!("CPU {cpu}"))?;
        out.member(
            Which::Queue(cpu),
            Which::Cpus,
            format!("CPU {cpu}, waiting"),
        )?;
    }
    for task in timeline.tasks() {
        out.member(Which::Task(task), Which::Tasks, format!("task {task}"))?;
    }
    for turn in &timeline.turns {
        let times = [turn.begin_ns, turn.end_ns];
        let ended = Annotation {
            name: Some("ended".to_owned()),
            string_value: Some(turn.end.as_str().to_owned()),
        };
        let event = Event {
            debug_annotations: vec![ended],
            ..named(format!("task {}", turn.task))
        };
        out.slice(&|| Which::Cpu(turn.cpu), times, event)?;
        let event = named(format!("runs on CPU {}", turn.cpu));
        out.slice(&|| Which::Task(turn.task), times, event)?;
    }
    for wait in &timeline.waits {
        let times = [wait.begin_ns, wait.end_ns];
        out.slice(&|| Which::Task(wait.task), times, named("waits"))?;
    }
    for queue in &timeline.queues {
        let event = Event {
            counter_value: Some(queue.nr.into()),
            ..Event::default()
        };
        out.event(Which::Queue(queue.cpu), queue.at_ns, Type::Counter, event)?;
    }
    for mark in &timeline.marks {
        out.event(
            Which::Cpu(mark.cpu),
            mark.at_ns,
            Type::Instant,
            named(mark.text.as_str()),
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::timeline::tests::small;

    fn written() -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&small(), &mut bytes).unwrap();
        bytes
    }

    #[test]
    fn tracks_and_events() {
        let trace = Trace::decode(&written()[..]).unwrap();
        let of = |wanted: Type| {
            let events = trace
                .packet
                .iter()
                .filter_map(|packet| packet.track_event.as_ref());
            events.filter(|event| event.r#type() == wanted).count()
        };
        // Two groups, two CPUs with their queues, and two tasks.
        let tracks = trace
            .packet
            .iter()
            .filter(|packet| packet.track_descriptor.is_some());
        assert_eq!(tracks.count(), 2 + 4 + 2);
        // Each of four turns is on two tracks, each of four waits on one.
        assert_eq!((of(Type::SliceBegin), of(Type::SliceEnd)), (12, 12));
        assert_eq!((of(Type::Counter), of(Type::Instant)), (10, 1));
    }

    /// The schema that Perfetto has knows every field, with the same type.
    #[test]
    fn as_the_schema_has_it() {
        use tracing_perfetto_sdk_schema as schema;
        let written = written();
        let trace = schema::Trace::decode(&written[..]).unwrap();
        // Unknown fields and such of another type would be missing.
        assert_eq!(trace.encode_to_vec().len(), written.len());
        let names = |trace: &schema::Trace| -> Vec<String> {
            let events = trace.packet.iter().filter_map(|packet| match &packet.data {
                Some(schema::trace_packet::Data::TrackEvent(event)) => Some(event),
                _ => None,
            });
            events
                .filter_map(|event| match &event.name_field {
                    Some(schema::track_event::NameField::Name(name)) => Some(name.clone()),
                    _ => None,
                })
                .collect()
        };
        assert!(names(&trace).contains(&"runs on CPU 1".to_owned()));
    }
}
