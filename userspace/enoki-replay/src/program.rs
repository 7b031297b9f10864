//! A policy's source as a program that runs recordings again.
//!
//! It is compiled with libEnoki for user space (`tools/enoki-replay`), which `make userspace` puts
//! where this program finds it.

use anyhow::{bail, Context, Result};
use enoki_trace::Policy;
use std::{
    collections::hash_map::DefaultHasher,
    env, fs,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    process::Command,
};

/// Names the directory that has libEnoki for user space, if it is another one.
const LIBRARY: &str = "ENOKI_LIBRARY";

/// The directory that has libEnoki for user space.
fn library() -> Result<PathBuf> {
    let place = match env::var_os(LIBRARY) {
        Some(place) => PathBuf::from(place),
        None => env::current_exe()?
            .parent()
            .and_then(Path::parent)
            .context("no place of this program")?
            .join("libenoki"),
    };
    if !place.join("libenoki.rlib").exists() {
        bail!(
            "libEnoki is not in {}: `make userspace` builds it, and {LIBRARY} says where else it is",
            place.display()
        );
    }
    Ok(place)
}

/// The source of the policy of that name.
fn source_of(library: &Path, policy: &str) -> Result<PathBuf> {
    // The name is from the recording.
    let source = library.join(format!("enoki_{}.rs", policy.replace('/', "_")));
    if !source.exists() {
        bail!("no source of policy {policy} is known: --source says where it is");
    }
    Ok(source)
}

/// A policy's program.
pub(crate) struct Program {
    pub(crate) file: PathBuf,
    pub(crate) source: PathBuf,
}

impl Program {
    /// The policy's name, as far as its source's has it.
    pub(crate) fn name(&self) -> String {
        let stem = self.source.file_stem().unwrap_or_default();
        let stem = stem.to_string_lossy();
        stem.strip_prefix("enoki_").unwrap_or(&stem).to_owned()
    }
}

/// The arguments by which a program's parameters are those that were recorded, but for some.
pub(crate) fn parameters(policy: &Policy, set: &[String]) -> Vec<String> {
    let given = set
        .iter()
        .flat_map(|given| ["--set".to_owned(), given.clone()]);
    let were = policy.parameters.iter();
    let were = were.flat_map(|(name, value)| ["--was".to_owned(), format!("{name}={value}")]);
    given.chain(were).collect()
}

/// The policy that somebody names, by its source or as one of those that Enoki comes with.
pub(crate) fn named(policy: &Path) -> Result<Program> {
    match policy.to_str() {
        Some(name) if !policy.exists() && !name.contains(['/', '.']) => build(name, None, false),
        _ => build("", Some(policy), false),
    }
}

/// Builds the policy of that name, or of that source; for a debugger, or to be fast.
///
/// # Errors
///
/// If it is not known or does not compile; then the compiler has said why.
pub(crate) fn build(policy: &str, source: Option<&Path>, debug: bool) -> Result<Program> {
    let library = library()?;
    let source = match source {
        Some(source) => source.to_owned(),
        None => source_of(&library, policy)?,
    };
    let text = fs::read(&source).with_context(|| source.display().to_string())?;
    let mut hasher = DefaultHasher::new();
    let rlib = fs::read(library.join("libenoki.rlib"))?;
    (&text, &rlib, debug).hash(&mut hasher);
    let source = fs::canonicalize(&source)?;
    source.hash(&mut hasher);
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    let programs = library.join("programs");
    let program = Program {
        file: programs.join(format!("{stem}-{:016x}", hasher.finish())),
        source,
    };
    if program.file.exists() {
        return Ok(program);
    }
    fs::create_dir_all(&programs).with_context(|| programs.display().to_string())?;
    let new = programs.join(format!("new-{}", std::process::id()));
    let rlib = |name: &str| {
        format!(
            "{name}={}",
            library.join(format!("lib{name}.rlib")).display()
        )
    };
    let status = Command::new(env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--edition", "2021", "-g", "--crate-type", "bin"])
        .arg(if debug {
            "-Copt-level=0"
        } else {
            "-Copt-level=3"
        })
        .arg("-L")
        .arg(&library)
        .args(["--extern", &rlib("enoki"), "--extern", &rlib("zerocopy")])
        .args(["--extern", "zerocopy_derive", "-o"])
        .arg(&new)
        .arg(&program.source)
        .status()
        .context("rustc cannot be run: `ci/replay` has one")?;
    if !status.success() {
        bail!("{} does not compile", program.source.display());
    }
    fs::rename(&new, &program.file).with_context(|| program.file.display().to_string())?;
    Ok(program)
}
