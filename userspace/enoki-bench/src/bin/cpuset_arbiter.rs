//! Hands out cores by cpusets, to compare enoki_arachne with: an arbiter in user space, as the
//! original Arachne has one (Qin et al., OSDI'18, section 4).
//!
//! A runtime asks through a socket. A core that it gets is taken from the cpuset of all others;
//! each of its threads is put into the cpuset of the core that it goes to.
//!
//! What it is not for: more than one runtime.

use anyhow::{Context, Result};
use clap::Parser;
use enoki_bench::arbiter::{Event, Note, Wish};
use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
};

/// Hands out cores by cpusets.
#[derive(Parser)]
struct Args {
    /// Where runtimes find it
    #[arg(long)]
    socket: PathBuf,
    /// The control group of all that runs beside runtimes; it loses the cores that are granted
    #[arg(long)]
    others: PathBuf,
    /// The control group of the runtime, its process is in it
    #[arg(long)]
    runtime: PathBuf,
    /// The cores that can be granted
    #[arg(long, value_delimiter = ',')]
    cores: Vec<u32>,
}

/// Whose a core is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Others,
    Runtime,
    /// The runtime's, which is to give it back.
    Reclaimed,
}

struct Cpusets<'a> {
    args: &'a Args,
    cores: BTreeMap<u32, Owner>,
    wants: usize,
}

fn write(path: PathBuf, text: &str) -> Result<()> {
    fs::write(&path, text).with_context(|| format!("{text} into {}", path.display()))
}

impl<'a> Cpusets<'a> {
    fn new(args: &'a Args) -> Result<Self> {
        let all = args.cores.iter().map(|&core| (core, Owner::Others));
        for core in &args.cores {
            let group = args.runtime.join(format!("core{core}"));
            fs::create_dir_all(&group).with_context(|| group.display().to_string())?;
            write(group.join("cgroup.type"), "threaded")?;
        }
        write(args.runtime.join("cgroup.subtree_control"), "+cpuset")?;
        for core in &args.cores {
            write(
                Self::group(args, *core).join("cpuset.cpus"),
                &core.to_string(),
            )?;
        }
        Ok(Cpusets {
            args,
            cores: all.collect(),
            wants: 0,
        })
    }

    fn group(args: &Args, core: u32) -> PathBuf {
        args.runtime.join(format!("core{core}"))
    }

    /// The others have what is theirs, and always the first CPU.
    fn confine_others(&self) -> Result<()> {
        let theirs = self
            .cores
            .iter()
            .filter(|(_, &owner)| owner == Owner::Others);
        let cpus: Vec<_> = theirs.map(|(core, _)| format!(",{core}")).collect();
        write(
            self.args.others.join("cpuset.cpus"),
            &format!("0{}", cpus.concat()),
        )
    }

    fn has(&self) -> usize {
        self.cores
            .values()
            .filter(|&&owner| owner == Owner::Runtime)
            .count()
    }

    fn first(&self, owner: Owner) -> Option<u32> {
        let mut cores = self.cores.iter();
        cores.find(|(_, &is)| is == owner).map(|(&core, _)| core)
    }

    /// Hands out cores, or wants some back, until the runtime has what it wants.
    fn settle(&mut self, runtime: &mut UnixStream) -> Result<()> {
        while self.has() < self.wants {
            let Some(core) = self.first(Owner::Others) else {
                break;
            };
            self.cores.insert(core, Owner::Runtime);
            self.confine_others()?;
            Note::from(Event::Granted(core)).write(runtime)?;
        }
        while self.has() > self.wants {
            let Some(core) = self.first(Owner::Runtime) else {
                break;
            };
            self.cores.insert(core, Owner::Reclaimed);
            Note::from(Event::Reclaimed(core)).write(runtime)?;
        }
        Ok(())
    }

    /// The runtime has gone.
    fn free(&mut self) -> Result<()> {
        self.cores
            .values_mut()
            .for_each(|owner| *owner = Owner::Others);
        self.wants = 0;
        self.confine_others()
    }

    fn serve(&mut self, runtime: &mut UnixStream) -> Result<()> {
        loop {
            let Ok(note) = Note::read(runtime) else {
                return Ok(());
            };
            match Wish::try_from(note)? {
                Wish::Request(cores) => self.wants = cores as usize,
                Wish::Enter(core, thread) => {
                    let group = Self::group(self.args, core);
                    write(group.join("cgroup.threads"), &thread.to_string())?;
                }
                Wish::Leave(core) => {
                    let owner = self.cores.get_mut(&core).context("not a core")?;
                    *owner = Owner::Others;
                    self.confine_others()?;
                }
            }
            self.settle(runtime)?;
        }
    }
}

fn listen(path: &Path) -> Result<UnixListener> {
    let _ = fs::remove_file(path);
    UnixListener::bind(path).with_context(|| path.display().to_string())
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut cpusets = Cpusets::new(&args)?;
    cpusets.confine_others()?;
    let listener = listen(&args.socket)?;
    loop {
        let (mut runtime, _) = listener.accept()?;
        if let Err(err) = cpusets.serve(&mut runtime) {
            eprintln!("cpuset_arbiter: {err:#}");
        }
        cpusets.free()?;
    }
}
