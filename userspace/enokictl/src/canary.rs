//! A version that stands by is tried on some of a policy's tasks.

use crate::module::Modules;
use crate::policy::{Policy, Sysfs};
use crate::task;
use crate::{table, upgrade};
use anyhow::{bail, ensure, Context, Result};
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// A part of a policy's tasks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Share(f64);

impl FromStr for Share {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Share> {
        let number = text.strip_suffix('%').unwrap_or(text);
        match number.parse() {
            Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Share(percent / 100.0)),
            _ => bail!("a share is a number from 0 to 100, like 5%"),
        }
    }
}

impl Share {
    /// So many of that many tasks; one at least, unless it is a share of 0.
    fn of(self, tasks: u32) -> u32 {
        let rounded = (self.0 * f64::from(tasks)).round() as u32;
        rounded.max(u32::from(self.0 > 0.0)).min(tasks)
    }
}

/// Whom a version is tried on.
#[derive(Clone, Copy)]
pub(crate) enum Whom<'a> {
    /// That many of the policy's tasks, the canary's included.
    Share(Share),
    /// Those of them that are in a control group, or in one below it.
    Cgroup(&'a Path),
    /// The same as before.
    Same,
}

/// Tries a version of `policy`, that of the file `new` or the one that stands by. What there is
/// then, in words and numbers.
///
/// # Errors
///
/// If the kernel refuses that: then `new` is not loaded, and no task has moved; or if the canary
/// refuses some of the tasks.
pub(crate) fn canary(
    sysfs: &Sysfs,
    policy: &Policy,
    modules: &impl Modules,
    new: Option<&Path>,
    whom: Whom<'_>,
) -> Result<String> {
    let mut tried = policy.canary(sysfs)?;
    if tried.is_none() {
        ensure!(
            new.is_some() || !matches!(whom, Whom::Same),
            "policy {}: no version is tried: name the file of a module, or a share of the tasks",
            policy.name()
        );
        let standby = upgrade::stand_by(policy, modules, new)?;
        if let Err(refusal) = policy.write("canary", "1") {
            if new.is_some() {
                modules.remove(&standby.module)?;
            }
            return Err(refusal);
        }
        tried = policy.canary(sysfs)?;
    } else if let Some(path) = new {
        bail!(
            "policy {}: a version is tried already: call that off before {} is",
            policy.name(),
            path.display()
        );
    }
    let canary = tried.context("the version that was to be tried has gone")?;
    match whom {
        Whom::Share(share) => resize(policy, &canary, share)?,
        Whom::Cgroup(path) => attach_group(policy, &canary, path)?,
        Whom::Same => {}
    }
    compare(policy, &canary)
}

/// Has tasks go over until the canary has that share.
fn resize(policy: &Policy, canary: &Policy, share: Share) -> Result<()> {
    let (mine, theirs) = (policy.nr_tasks()?, canary.nr_tasks()?);
    let wanted = share.of(mine.saturating_add(theirs));
    let (from, to, number) = if wanted >= theirs {
        (policy, canary, wanted - theirs)
    } else {
        (canary, policy, theirs - wanted)
    };
    if number > 0 {
        from.write("switch", &format!("{} {number}", to.name()))?;
    }
    Ok(())
}

/// Attaches the policy's tasks of that control group to the canary.
fn attach_group(policy: &Policy, canary: &Policy, path: &Path) -> Result<()> {
    let (from, to) = (policy.number()?, canary.number()?);
    let mut moved = 0;
    for thread in threads(path)? {
        // It may have ended since.
        if task::attached_to(thread) == Some(from) && task::attach(thread, to).is_ok() {
            moved += 1;
        }
    }
    ensure!(
        moved > 0,
        "{} has no task that policy {} has",
        path.display(),
        policy.name()
    );
    Ok(())
}

/// The threads of a control group and those below it.
fn threads(path: &Path) -> Result<Vec<libc::pid_t>> {
    let file = path.join("cgroup.threads");
    let text = fs::read_to_string(&file)
        .with_context(|| format!("{} is no control group: {}", path.display(), file.display()))?;
    let mut found: Vec<libc::pid_t> = text.lines().filter_map(|line| line.parse().ok()).collect();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(threads(&entry.path())?);
        }
    }
    Ok(found)
}

/// Both side by side.
fn compare(policy: &Policy, canary: &Policy) -> Result<String> {
    let mut lines = vec![["".to_owned(), policy.name().into(), canary.name().into()]];
    let mut line = |what: &str, of: &dyn Fn(&Policy) -> Result<String>| -> Result<()> {
        lines.push([what.to_owned(), of(policy)?, of(canary)?]);
        Ok(())
    };
    line("version", &|p| p.read("version"))?;
    line("state", &|p| p.read("state"))?;
    line("tasks", &|p| Ok(p.nr_tasks()?.to_string()))?;
    line("picks", &|p| {
        Ok(p.numbers("events")?["pick_next_task"].to_string())
    })?;
    line("answers refused", &|p| {
        Ok(p.numbers("rejected")?.values().sum::<u64>().to_string())
    })?;
    line("tasks rescued", &|p| {
        Ok(p.numbers("events")?["task_rescued"].to_string())
    })?;
    for (what, part) in [("wake-up latency p50", 0.5), ("wake-up latency p99", 0.99)] {
        line(what, &|p| Ok(wait(&p.read("waits")?, part)))?;
    }
    Ok(table(&lines).trim_end().to_owned())
}

/// How long that part of the tasks has waited at most that woke up: the limits of times are in µs.
fn wait(histogram: &str, part: f64) -> String {
    let counts: Vec<(u64, u64)> = histogram
        .lines()
        .filter_map(|line| {
            let (limit, times) = line.split_once(' ')?;
            Some((limit.parse().ok()?, times.parse().ok()?))
        })
        .collect();
    let all: u64 = counts.iter().map(|(_, times)| times).sum();
    let mut sum = 0;
    for (limit, times) in counts {
        sum += times;
        if all > 0 && sum as f64 >= part * all as f64 {
            return format!("< {}", upgrade::time(limit.saturating_mul(1000)));
        }
    }
    "-".to_owned()
}

/// Puts the version that is tried into office. What it did, in words.
///
/// # Errors
///
/// If none is tried, or the upgrade was refused: then nothing has happened.
pub(crate) fn promote(sysfs: &Sysfs, policy: &Policy, modules: &impl Modules) -> Result<String> {
    ensure!(
        policy.canary(sysfs)?.is_some(),
        "policy {}: no version is tried: see `enokictl canary`, or upgrade at once",
        policy.name()
    );
    upgrade::upgrade(policy, modules, None, false)
}

/// Has the tasks come back that a version is tried on, and removes its module. What it did.
///
/// # Errors
///
/// If none is tried, or the policy refuses one of the tasks: then that stays where it is.
pub(crate) fn abort(policy: &Policy, modules: &impl Modules) -> Result<String> {
    let standby = policy.standby()?;
    policy.write("canary", "0")?;
    let mut said = format!("policy {} has all of its tasks again", policy.name());
    if let Some(standby) = standby {
        modules.remove(&standby.module)?;
        said.push_str(&format!("\nmodule {} is removed", standby.module));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::Fake;
    use std::cell::RefCell;

    #[derive(Default)]
    struct Noted(RefCell<Vec<String>>);

    impl Modules for Noted {
        fn load(&self, path: &Path, _number: i32) -> Result<()> {
            self.0.borrow_mut().push(path.display().to_string());
            Ok(())
        }

        fn remove(&self, name: &str) -> Result<()> {
            self.0.borrow_mut().push(format!("remove {name}"));
            Ok(())
        }
    }

    const FILES: [(&str, &str); 10] = [
        ("id", "2"),
        ("version", "1"),
        ("state", "in office"),
        ("standby", "2 enoki_wfq_2"),
        ("canary", "none"),
        ("nr_tasks", "40"),
        ("switch", ""),
        ("events", "pick_next_task 100\ntask_rescued 0"),
        ("rejected", "stale 3\nlost 1"),
        ("waits", "1 0\n2 98\n4 1\n8 1"),
    ];

    /// `wfq`, with a policy beside it that looks the same.
    fn tried() -> Fake {
        let fake = Fake::new(&FILES);
        fake.put("wfq/canary", "wfq-canary");
        fake.add("wfq-canary", &FILES);
        fake.put("wfq-canary/nr_tasks", "0");
        fake
    }

    #[test]
    fn shares() {
        let share = |text: &str| text.parse::<Share>().unwrap();
        assert_eq!(share("5%").of(40), 2);
        assert_eq!((share("5").of(3), share("0%").of(3)), (1, 0));
        assert_eq!((share("100%").of(7), share("0.5%").of(0)), (7, 0));
        for text in ["", "%", "101%", "-1", "five", "nan"] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    #[test]
    fn sends_a_share_and_takes_it_back() {
        let fake = tried();
        let (sysfs, policy) = (fake.sysfs(), fake.policy());
        let try_on = |whom| canary(&sysfs, &policy, &Noted::default(), None, whom).unwrap();
        let said = try_on(Whom::Share("5%".parse().unwrap()));
        assert_eq!(policy.read("switch").unwrap(), "wfq-canary 2");
        assert!(
            said.contains("wfq-canary") && said.contains("< 2.0 µs"),
            "{said}"
        );
        fake.put("wfq-canary/nr_tasks", "20");
        try_on(Whom::Share("10%".parse().unwrap()));
        let there = fake.sysfs().policy("wfq-canary").unwrap();
        assert_eq!(there.read("switch").unwrap(), "wfq 14");
    }

    #[test]
    fn begins_only_if_it_is_told_to() {
        let fake = Fake::new(&FILES);
        let refused = |new, whom| {
            canary(&fake.sysfs(), &fake.policy(), &Noted::default(), new, whom)
                .unwrap_err()
                .to_string()
        };
        assert!(refused(None, Whom::Same).contains("no version is tried"));
        let new = Some(Path::new("new.ko"));
        assert!(refused(new, Whom::Same).contains("stands by already"));
        let fake = tried();
        let refused = canary(
            &fake.sysfs(),
            &fake.policy(),
            &Noted::default(),
            new,
            Whom::Same,
        );
        assert!(refused.unwrap_err().to_string().contains("tried already"));
    }

    #[test]
    fn unloads_what_was_refused() {
        let fake = Fake::new(&FILES);
        fake.put("wfq/standby", "none");
        struct Standing<'a>(&'a Fake, Noted);
        impl Modules for Standing<'_> {
            fn load(&self, path: &Path, number: i32) -> Result<()> {
                self.0.put("wfq/standby", "2 enoki_wfq_2");
                self.0.replace_by_directory("wfq/canary");
                self.1.load(path, number)
            }

            fn remove(&self, name: &str) -> Result<()> {
                self.1.remove(name)
            }
        }
        let modules = Standing(&fake, Noted::default());
        let new = Some(Path::new("new.ko"));
        canary(&fake.sysfs(), &fake.policy(), &modules, new, Whom::Same).unwrap_err();
        assert_eq!(*modules.1 .0.borrow(), ["new.ko", "remove enoki_wfq_2"]);
    }

    #[test]
    fn promotes_and_aborts_what_is_tried() {
        let fake = Fake::new(&FILES);
        let refused = promote(&fake.sysfs(), &fake.policy(), &Noted::default());
        assert!(refused
            .unwrap_err()
            .to_string()
            .contains("no version is tried"));
        let (fake, modules) = (tried(), Noted::default());
        let said = abort(&fake.policy(), &modules).unwrap();
        assert_eq!(fake.policy().read("canary").unwrap(), "0");
        assert_eq!(*modules.0.borrow(), ["remove enoki_wfq_2"]);
        assert!(said.contains("all of its tasks again"), "{said}");
    }

    #[test]
    fn waits() {
        let histogram = "1 0\n2 50\n4 49\n8 0\n16 1";
        assert_eq!(wait(histogram, 0.5), "< 2.0 µs");
        assert_eq!(wait(histogram, 0.99), "< 4.0 µs");
        assert_eq!(wait(histogram, 1.0), "< 16.0 µs");
        assert_eq!(wait("1 0\n2 0", 0.5), "-");
    }

    #[test]
    fn groups() {
        let fake = Fake::new(&[("cgroup.threads", "12\n13")]);
        fake.add("wfq/below", &[("cgroup.threads", "14")]);
        assert_eq!(threads(&fake.path("wfq")).unwrap(), [12, 13, 14]);
        let refused = threads(&fake.path("nowhere")).unwrap_err();
        assert!(format!("{refused:#}").contains("no control group"));
    }
}
