//! What another policy would have done with the tasks of a recording, in a model of the machine.
//!
//! The model is explained in `tools/enoki-replay/what_if.rs`. As it differs from what was recorded
//! even for the policy that was recorded, that one is run in it as well, to compare with.

use crate::{
    look::{fared::Histogram, html::Compared},
    program::{self, Program},
    run, Opened,
};
use anyhow::{bail, ensure, Context, Result};
use enoki_trace::{latency::BUCKETS, Policy};
use std::{
    collections::BTreeMap,
    io::Read,
    process::{Command, Stdio},
    thread,
};

/// So many tasks are shown one by one, those that waited for longest.
const SHOWN: usize = 20;
/// A task must have been ready for so long that its share says something, ns.
const LONG_NS: f64 = 20e6;

/// How a task fared; see the program's output.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Fared {
    weight: u64,
    ran_ns: f64,
    waited_ns: f64,
    fair_ns: f64,
    wakeups: u64,
    latency_ns: [f64; 3],
    migrations: u64,
}

impl Fared {
    /// How much it ran of what would have been fair.
    fn share(&self) -> Option<f64> {
        (self.fair_ns >= LONG_NS).then(|| self.ran_ns / self.fair_ns)
    }
}

/// All tasks by their numbers; number 0 is all of them together.
#[derive(Clone, Debug, Default, PartialEq)]
struct Side {
    tasks: BTreeMap<u64, Fared>,
    latencies: Histogram,
}

/// Reads what a program says. Returns what was recorded, and what came out of the model.
fn parse(text: &str) -> Result<[Side; 2]> {
    let mut sides = [Side::default(), Side::default()];
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let number = |at: usize| words[at].parse::<u64>().with_context(|| line.to_owned());
        let ns = |at: usize| number(at).map(|ns| ns as f64);
        let (side, what) = match words[0].split_once(' ') {
            Some(("recorded", what)) => (&mut sides[0], what),
            Some(("model", what)) => (&mut sides[1], what),
            _ => bail!("the policy's program says: {line}"),
        };
        if what == "latencies" && words.len() == 1 + BUCKETS {
            for (at, nr) in side.latencies.iter_mut().enumerate() {
                *nr = number(at + 1)?;
            }
            continue;
        }
        ensure!(
            what == "task" && words.len() == 11,
            "the policy's program says: {line}"
        );
        let fared = Fared {
            weight: number(2)?,
            ran_ns: ns(3)?,
            waited_ns: ns(4)?,
            fair_ns: ns(5)?,
            wakeups: number(6)?,
            latency_ns: [ns(7)?, ns(8)?, ns(9)?],
            migrations: number(10)?,
        };
        side.tasks.insert(number(1)?, fared);
    }
    Ok(sides)
}

/// Runs a policy in the model.
fn model(
    recording: &mut Opened,
    policy: &Policy,
    program: &Program,
    parameters: &[String],
) -> Result<[Side; 2]> {
    let mut child = Command::new(&program.file)
        .args(["what-if", "-"])
        .args(parameters)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| program.file.display().to_string())?;
    let mut said = child.stdout.take().context("the program has no output")?;
    let reader = thread::spawn(move || {
        let mut text = String::new();
        said.read_to_string(&mut text).map(|_| text)
    });
    let fed = run::feed(recording, policy.id, &mut child);
    let status = child.wait()?;
    let text = reader
        .join()
        .map_err(|_| anyhow::anyhow!("the reader of the program has ended"))??;
    fed?;
    ensure!(
        status.success(),
        "{} in the model: {status}",
        program.name()
    );
    parse(&text)
}

fn ms(ns: f64) -> String {
    format!("{:.3}", ns / 1e6)
}

/// The least and the greatest share that any task has, with its number.
fn shares(side: &Side) -> [String; 2] {
    let known = side.tasks.iter().filter(|&(&task, _)| task != 0);
    let known = known.filter_map(|(task, fared)| Some((fared.share()?, task)));
    let known: Vec<(f64, &u64)> = known.collect();
    let by = |one: &&(f64, &u64), other: &&(f64, &u64)| one.0.total_cmp(&other.0);
    [known.iter().min_by(by), known.iter().max_by(by)].map(|found| {
        found.map_or("-".to_owned(), |(share, task)| {
            format!("{share:.2} ({task})")
        })
    })
}

/// The table: all tasks, and those that waited for longest.
fn table(names: &[String; 3], sides: &[&Side; 3]) -> String {
    let mut lines: Vec<Vec<String>> = vec![[""].iter().map(|&text| text.to_owned()).collect()];
    lines[0].extend(names.iter().cloned());
    let mut line = |what: &str, of: &dyn Fn(&Side, &Fared) -> String| {
        let mut line = vec![what.to_owned()];
        line.extend(
            sides
                .iter()
                .map(|side| of(side, &side.tasks.get(&0).copied().unwrap_or_default())),
        );
        lines.push(line);
    };
    line("wake-ups", &|_, all| all.wakeups.to_string());
    for (at, part) in ["p50", "p99", "max"].iter().enumerate() {
        let what = format!("wake-up latency {part}, ms");
        line(&what, &|_, all| ms(all.latency_ns[at]));
    }
    line("waited in all, ms", &|_, all| ms(all.waited_ns));
    line("migrations", &|_, all| all.migrations.to_string());
    line("least of a fair share (task)", &|side, _| {
        shares(side)[0].clone()
    });
    line("most of a fair share (task)", &|side, _| {
        shares(side)[1].clone()
    });
    let mut text = columns(&lines);

    let mut tasks: Vec<u64> = sides[0]
        .tasks
        .keys()
        .copied()
        .filter(|&task| task != 0)
        .collect();
    let waited = |task: &u64| {
        let of = |side: &&Side| side.tasks.get(task).map_or(0.0, |fared| fared.waited_ns);
        sides.iter().map(of).fold(0.0, f64::max)
    };
    tasks.sort_by(|one, other| waited(other).total_cmp(&waited(one)));
    let mut lines = vec![["task", "weight", "ran, ms"].map(str::to_owned).to_vec()];
    for name in names {
        lines[0].extend([
            format!("{name}: waited, ms"),
            "p99, ms".to_owned(),
            "share".to_owned(),
        ]);
    }
    for task in tasks.iter().take(SHOWN) {
        let of = |side: &Side| side.tasks.get(task).copied().unwrap_or_default();
        let known = of(sides[0]);
        let mut line = vec![task.to_string(), known.weight.to_string(), ms(known.ran_ns)];
        for side in sides {
            let fared = of(side);
            let share = fared
                .share()
                .map_or("-".to_owned(), |share| format!("{share:.2}"));
            line.extend([ms(fared.waited_ns), ms(fared.latency_ns[1]), share]);
        }
        lines.push(line);
    }
    text.push('\n');
    text + &columns(&lines)
}

/// Columns, the first one to the left and the others to the right.
fn columns(lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let of = |line: &Vec<String>| line.get(column).map_or(0, |cell| cell.chars().count());
        lines.iter().map(of).max().unwrap_or(0)
    };
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, cell) in line.iter().enumerate() {
            let width = width(column);
            row += &match column {
                0 => format!("{cell:<width$}"),
                _ => format!("  {cell:>width$}"),
            };
        }
        text += row.trim_end();
        text.push('\n');
    }
    text
}

/// Compares the policy that was recorded with another one, prints that and returns it.
pub(crate) fn what_if(
    recording: &mut Opened,
    policy: &Policy,
    then: &Program,
    other: &Program,
    set: &[String],
) -> Result<Vec<Compared>> {
    let [recorded, before] = model(recording, policy, then, &program::parameters(policy, &[]))?;
    // Those of another policy may have the same names, and mean something else.
    let same = Policy {
        parameters: if other.name() == policy.name {
            policy.parameters.clone()
        } else {
            BTreeMap::new()
        },
        ..Policy::default()
    };
    let [_, after] = model(recording, policy, other, &program::parameters(&same, set))?;
    let names = [
        "recorded".to_owned(),
        format!("model: {}", then.name()),
        format!("model: {}", other.name()),
    ];
    let sides = [&recorded, &before, &after];
    print!("{}", table(&names, &sides));
    let compared = names.into_iter().zip(sides).map(|(name, side)| Compared {
        name,
        latencies: side.latencies,
        shares: shares(side),
    });
    Ok(compared.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "\
recorded task\t0\t1535\t60000000\t50000000\t60000000\t7\t1000\t2000\t3000\t4
recorded task\t5\t1024\t40000000\t20000000\t40000000\t3\t1000\t2000\t3000\t1
recorded task\t9\t511\t20000000\t30000000\t20000000\t4\t1000\t2000\t3000\t3
model task\t0\t1535\t60000000\t50000000\t60000000\t7\t1000\t2000\t3000\t4
model task\t5\t1024\t40000000\t20000000\t80000000\t3\t1000\t2000\t3000\t1
model task\t9\t511\t20000000\t30000000\t10000000\t4\t1000\t2000\t3000\t3
";

    #[test]
    fn read_and_shown() {
        let mut latencies = "model latencies".to_owned();
        (0..BUCKETS).for_each(|at| latencies += &format!("\t{at}"));
        let [recorded, model] = parse(&(SAID.to_owned() + &latencies)).unwrap();
        assert_eq!((recorded.tasks.len(), model.tasks[&9].migrations), (3, 3));
        assert_eq!((recorded.latencies[5], model.latencies[5]), (0, 5));
        let names = ["recorded", "model: a", "model: b"].map(str::to_owned);
        let text = table(&names, &[&recorded, &model, &model]);
        let line = |word: &str| text.lines().find(|line| line.contains(word)).unwrap();
        assert!(line("p99, ms").ends_with("0.002"), "{text}");
        assert!(line("least").contains("0.50 (5)"), "{text}");
        // Of a task that was hardly there nothing is said.
        assert!(
            !line("most").contains('9') || line("most").contains("1.00"),
            "{text}"
        );
        assert!(line("task ").starts_with("task"), "{text}");
    }

    #[test]
    fn not_what_it_should_say() {
        for text in [
            "thread 'main' panicked",
            "recorded task\t1",
            &SAID.replace("1024", "x"),
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
