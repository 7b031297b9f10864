//! Files that are as they were written, and others.

use crate::{
    records::{event, Record, Tapes},
    Damage, Ending, Head, Policy, Recording, Stream, Writer,
};
use std::io::{Cursor, Read};

/// Records that say which they are.
fn records(cpu: u16, from: u64, nr: u64) -> Vec<u8> {
    let record = |number| Record {
        time_ns: 1000 + number * 10,
        task: number,
        arg: number.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        cpu,
        on: cpu,
        event: event::TASK_NEW,
        policy: 1,
        nth: number as u16,
    };
    (from..from + nr)
        .flat_map(|number| record(number).to_bytes())
        .collect()
}

fn head() -> Head {
    Head {
        command: vec!["true".to_owned()],
        policies: vec![Policy {
            name: "wfq".to_owned(),
            id: 2,
            ..Policy::default()
        }],
        ..Head::new(2)
    }
}

fn ending() -> Ending {
    Ending {
        lost: vec![0, 7],
        seconds: 1.5,
        status: Some(3),
        stopped: false,
        policies: head().policies,
    }
}

/// A file of so many frames, in each of which both CPUs have 10 records.
fn file(frames: u64) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &head(), 3).unwrap();
    for frame in 0..frames {
        writer.hurry(frame % 3 == 1);
        let (first, second) = (records(0, frame * 10, 4), records(0, frame * 10 + 4, 6));
        writer.piece(0, &[&first, &second]).unwrap();
        writer
            .piece(1, &[&records(1, frame * 10, 10), &[]])
            .unwrap();
        writer.flush().unwrap();
    }
    writer.finish(&ending()).unwrap()
}

/// The number of each record that is read of a CPU, and what was wrong.
fn read(file: &[u8]) -> Option<([Vec<u64>; 2], Vec<Damage>)> {
    let mut recording = Recording::open(Cursor::new(file)).ok()?;
    let mut read = [Vec::new(), Vec::new()];
    while let Some(piece) = recording.next_piece().unwrap() {
        let numbers = &mut read[piece.cpu as usize];
        for (number, record) in (piece.number..).zip(piece.records.chunks(Record::SIZE)) {
            let record = Record::from_bytes(record);
            assert_eq!((record.task, u32::from(record.cpu)), (number, piece.cpu));
            numbers.push(number);
        }
    }
    Some((read, recording.damage().to_vec()))
}

#[test]
fn as_it_was_written() {
    let file = file(5);
    let recording = Recording::open(Cursor::new(&file)).unwrap();
    assert_eq!(recording.head(), &head());
    assert_eq!(recording.ending(), Some(&ending()));
    assert_eq!(recording.frames().len(), 5);
    let all: Vec<u64> = (0..50).collect();
    assert_eq!(read(&file), Some(([all.clone(), all], vec![])));
}

#[test]
fn large_pieces_become_several_frames() {
    let mut writer = Writer::new(Vec::new(), &head(), 1).unwrap();
    writer.piece(0, &[&records(0, 0, 100_000)]).unwrap();
    assert_eq!(writer.records(), 100_000);
    let file = writer.finish(&ending()).unwrap();
    let (read, damage) = read(&file).unwrap();
    assert!(read[0].iter().copied().eq(0..100_000) && damage.is_empty());
    assert!(Recording::open(Cursor::new(&file)).unwrap().frames().len() > 2);
}

#[test]
fn from_a_time_on() {
    let file = file(20);
    let mut recording = Recording::open(Cursor::new(&file)).unwrap();
    // The records of a frame are 10 ns apart.
    for frame in [0, 7, 19] {
        recording.seek_time(1000 + frame * 100 + 50);
        assert_eq!(recording.next_piece().unwrap().unwrap().number, frame * 10);
    }
    recording.seek_time(u64::MAX);
    assert!(recording.next_piece().unwrap().is_none());
    recording.rewind();
    assert_eq!(recording.next_piece().unwrap().unwrap().number, 0);
    assert_eq!(recording.damage(), []);
}

#[test]
fn a_frame_is_missing() {
    let file = file(5);
    let recording = Recording::open(Cursor::new(&file)).unwrap();
    let at: Vec<usize> = recording
        .frames()
        .iter()
        .map(|frame| frame.offset as usize)
        .collect();
    // Out of the middle, overwritten, and the last one.
    for (frame, word) in [(2, "no part"), (4, "no part")] {
        let mut bad = file.clone();
        bad[at[frame]] ^= 1;
        let first = frame as u64 * 10;
        let (read, damage) = read(&bad).unwrap();
        let all: Vec<u64> = (0..50)
            .filter(|number| number / 10 != frame as u64)
            .collect();
        assert_eq!(read, [all.clone(), all]);
        assert!(damage[0].to_string().contains(word), "{}", damage[0]);
        assert_eq!(
            damage[1..],
            [Damage::Records(0, first, 10), Damage::Records(1, first, 10)]
        );
    }
    let mut bad = file.clone();
    bad[at[3] + 100] ^= 1;
    let (_, damage) = read(&bad).unwrap();
    assert_eq!(damage[0], Damage::Frame(at[3] as u64));
    assert_eq!(
        damage[1].to_string(),
        "records 30 to 39 of CPU 0 are missing"
    );

    let mut recording = Recording::open(Cursor::new(&bad)).unwrap();
    let stream = Stream::new(&mut recording, 1);
    let mut tapes = Tapes::new(stream).unwrap();
    while tapes.more().unwrap() {}
    let mut lost = Vec::new();
    let mut call = crate::records::Call::default();
    while let Some(next) = tapes.next(0) {
        if next.record.event == event::LOST {
            lost.push(next.record.arg);
        }
        tapes.take(0, &mut call);
    }
    assert_eq!(lost, [10]);
}

/// Whatever byte is wrong, either the file is refused, or all is there that is not in that frame.
#[test]
fn a_byte_is_wrong() {
    let good = file(4);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        if let Some((read, damage)) = read(&bad) {
            assert!(!damage.is_empty(), "byte {at}");
            assert!(
                read.iter().all(|numbers| numbers.len() >= 30),
                "byte {at}: {damage:?}"
            );
        }
    }
}

#[test]
fn a_file_is_cut_off() {
    let good = file(4);
    let frames = Recording::open(Cursor::new(&good))
        .unwrap()
        .frames()
        .to_vec();
    let ends: Vec<u64> = frames[1..].iter().map(|frame| frame.offset).collect();
    for size in 0..good.len() {
        let Some((read, damage)) = read(&good[..size]) else {
            assert!(size < frames[0].offset as usize);
            continue;
        };
        let whole = ends.iter().filter(|&&end| end as usize <= size).count() * 10;
        assert!(
            read[0].len() >= whole && damage[0] == Damage::Index,
            "{size}: {damage:?}"
        );
    }
}

#[test]
fn refused() {
    let refusal = |change: &dyn Fn(&mut Head)| {
        let mut other = head();
        change(&mut other);
        let file = Writer::new(Vec::new(), &other, 1).and_then(|writer| writer.finish(&ending()));
        Recording::open(Cursor::new(file.unwrap()))
            .err()
            .unwrap()
            .to_string()
    };
    assert!(refusal(&|head| head.record_version = 9).contains("version 9"));
    assert!(refusal(&|head| head.little_endian ^= true).contains("order of bytes"));
    assert!(refusal(&|head| head.cpus = 0).contains("damaged"));
    for text in ["", "ENOKISTR and more than twenty bytes"] {
        let error = Recording::open(Cursor::new(text)).err().unwrap();
        assert!(error.to_string().contains("no recording"), "{error}");
    }
}

#[test]
fn as_a_stream() {
    let file = file(3);
    let mut recording = Recording::open(Cursor::new(&file)).unwrap();
    let mut stream = Vec::new();
    Stream::new(&mut recording, 2)
        .read_to_end(&mut stream)
        .unwrap();
    // The head, 3 × 3 pieces of 60 records in all.
    assert_eq!(stream.len(), 20 + 9 * 8 + 60 * Record::SIZE);
    assert_eq!(Tapes::new(&stream[..]).unwrap().nr_cpus(), 2);
}
