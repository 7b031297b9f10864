//! A [`Timeline`] as a page in one file, which any browser shows without a network.

use super::{
    fared::{fared, Fared, Histogram},
    timeline::{Mark, Timeline},
};
use anyhow::{ensure, Result};
use serde::Serialize;
use std::io::Write;

/// The page, but for what it shows.
const PAGE: &str = include_str!("page.html");
/// Where that belongs.
const DATA: &str = "\"DATA\"";
/// Browsers show so many turns without effort.
const MAX_TURNS: usize = 300_000;

/// What the page is about.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct About {
    pub(crate) policy: String,
    pub(crate) version: String,
    pub(crate) kernel: String,
    pub(crate) command: String,
    pub(crate) damage: Vec<String>,
}

/// How the tasks fared on one side of a comparison.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Compared {
    pub(crate) name: String,
    pub(crate) latencies: Histogram,
    /// The least and the most that a task had of what would have been fair.
    pub(crate) shares: [String; 2],
}

#[derive(Serialize)]
struct Data<'d> {
    about: &'d About,
    cpus: u32,
    begin_ns: u64,
    end_ns: u64,
    /// CPU, task, when, for how long, and how it ended.
    turns: Vec<(u16, u64, u64, u64, u8)>,
    /// CPU, when, how many.
    queues: Vec<(u16, u64, u32)>,
    marks: &'d [Mark],
    tasks: Vec<Fared>,
    latencies: Histogram,
    compared: &'d [Compared],
}

/// Writes the page.
///
/// # Errors
///
/// If it cannot be written, or there is too much for one page.
pub(crate) fn write(
    timeline: &Timeline,
    about: &About,
    compared: &[Compared],
    to: &mut impl Write,
) -> Result<()> {
    let nr = timeline.turns.len();
    ensure!(
        nr <= MAX_TURNS,
        "{nr} turns are too many for one page: choose a part of the recording by --from and --to"
    );
    let (tasks, latencies) = fared(timeline);
    let turns = timeline.turns.iter();
    let queues = timeline.queues.iter();
    let data = Data {
        about,
        cpus: timeline.cpus,
        begin_ns: timeline.begin_ns,
        end_ns: timeline.end_ns,
        turns: turns
            .map(|turn| {
                let ns = turn.end_ns - turn.begin_ns;
                (turn.cpu, turn.task, turn.begin_ns, ns, turn.end as u8)
            })
            .collect(),
        queues: queues
            .map(|queue| (queue.cpu, queue.at_ns, queue.nr))
            .collect(),
        marks: &timeline.marks,
        tasks,
        latencies,
        compared,
    };
    // No text in it can end the script.
    let json = serde_json::to_string(&data)?.replace('<', "\\u003c");
    let (before, after) = PAGE.split_once(DATA).unwrap_or((PAGE, ""));
    for part in [before, &json, after] {
        to.write_all(part.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::timeline::{tests::small, Turn};

    #[test]
    fn one_file_with_all_data() {
        let about = About {
            command: "echo '</script>'".to_owned(),
            ..About::default()
        };
        let mut page = Vec::new();
        write(&small(), &about, &[], &mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert_eq!(PAGE.matches(DATA).count(), 1);
        assert!(!page.contains("'</script>'") && page.contains("\\u003c/script>"));
        assert!(page.contains("[0,7,20,20,0]"), "{page}");
        // It asks nobody for anything.
        assert!(!page.contains("http") && !page.contains("src="));
    }

    #[test]
    fn too_much() {
        let mut timeline = small();
        let turn: Turn = timeline.turns[0].clone();
        timeline.turns.resize(MAX_TURNS + 1, turn);
        let error = write(&timeline, &About::default(), &[], &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("--from and --to"));
    }
}
