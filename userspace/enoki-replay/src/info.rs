//! What a recording is of.

use crate::Opened;
use anyhow::Result;
use enoki_trace::{
    records::{self, Record},
    Policy,
};
use std::collections::BTreeMap;

/// Says what is known of a recording, and counts what is in it.
pub(crate) fn info(recording: &mut Opened) -> Result<()> {
    let head = recording.head().clone();
    println!(
        "recorded by {} on {} ({})",
        head.program, head.kernel, head.machine
    );
    if !head.command.is_empty() {
        println!("while this ran: {}", head.command.join(" "));
    }
    let policies: Vec<Policy> = recording.policies().cloned().collect();
    for policy in &policies {
        println!(
            "policy {} (number {}), version {}, from module {}",
            policy.name, policy.id, policy.version, policy.module
        );
        if let Some(id) = &policy.build_id {
            println!("  build id {id}");
        }
        for (name, value) in &policy.parameters {
            println!("  {name} = {value}");
        }
    }
    if let Some(ending) = recording.ending() {
        println!(
            "it took {:.3} s, {} records were lost{}",
            ending.seconds,
            ending.lost.iter().sum::<u64>(),
            if ending.stopped {
                ", and that ended it"
            } else {
                ""
            }
        );
    }
    let mut counts: BTreeMap<(u8, u8), u64> = BTreeMap::new();
    let mut cpus = vec![0_u64; head.cpus as usize];
    while let Some(piece) = recording.next_piece()? {
        for record in piece.records.chunks_exact(Record::SIZE) {
            let record = Record::from_bytes(record);
            *counts.entry((record.policy, record.event)).or_default() += 1;
        }
        cpus[piece.cpu as usize] += (piece.records.len() / Record::SIZE) as u64;
    }
    let cpus = cpus.iter().enumerate().filter(|(_, &nr)| nr != 0);
    for (cpu, nr) in cpus {
        println!("CPU {cpu}: {nr} records");
    }
    for ((policy, event), nr) in counts {
        let of = policies.iter().find(|known| known.id == u32::from(policy));
        let of = of.map_or("", |policy| &policy.name);
        println!("{nr:10}  {of} {}", records::name(event));
    }
    match recording.damage() {
        [] => println!("the file is intact"),
        damage => damage
            .iter()
            .for_each(|damage| println!("damaged: {damage}")),
    }
    Ok(())
}
