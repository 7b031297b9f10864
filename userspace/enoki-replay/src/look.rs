//! Pictures of a recording: a page for any browser, and a file for Perfetto's viewer.

pub(crate) mod fared;
pub(crate) mod html;
pub(crate) mod perfetto;
pub(crate) mod timeline;

use crate::Opened;
use anyhow::{Context, Result};
use enoki_trace::Policy;
use html::{About, Compared};
use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};
use timeline::Timeline;

/// Writes a file.
pub(crate) fn to_file(
    to: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> Result<()>,
) -> Result<()> {
    let file = File::create(to).with_context(|| to.display().to_string())?;
    let mut file = BufWriter::new(file);
    write(&mut file)?;
    file.flush().with_context(|| to.display().to_string())
}

/// Writes the page of what a recording has of a policy.
pub(crate) fn page(
    recording: &Opened,
    policy: &Policy,
    timeline: &Timeline,
    compared: &[Compared],
    to: &Path,
) -> Result<()> {
    let head = recording.head();
    let about = About {
        policy: policy.name.clone(),
        version: policy.version.clone(),
        kernel: format!("{} ({})", head.kernel, head.machine),
        command: head.command.join(" "),
        damage: recording.damage().iter().map(ToString::to_string).collect(),
    };
    to_file(to, |to| html::write(timeline, &about, compared, to))
}
