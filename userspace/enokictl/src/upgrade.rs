//! A policy is replaced by another version of itself.

use crate::module::Modules;
use crate::policy::{Policy, Standby};
use anyhow::{bail, Result};
use std::path::Path;

/// Puts a version of `policy` into office: that of the file `new`, or the one that stands by. The
/// module of the other one is removed, unless it is to be kept. What it did, in words.
///
/// # Errors
///
/// If the upgrade was refused: then nothing has happened, and `new` is not loaded.
pub(crate) fn upgrade(
    policy: &Policy,
    modules: &impl Modules,
    new: Option<&Path>,
    keep: bool,
) -> Result<String> {
    let (old_version, old_module) = (policy.read("version")?, policy.read("module")?);
    let standby = stand_by(policy, modules, new)?;
    let kept_before = policy.numbers("upgrades")?.get("kept").copied();
    if let Err(refusal) = policy.write("upgrade", "1") {
        if new.is_some() {
            modules.remove(&standby.module)?;
        }
        return Err(refusal);
    }

    let after = policy.numbers("upgrades")?;
    let number = |name: &str| after.get(name).copied().unwrap_or(0);
    let what = if after.get("kept").copied() == kept_before {
        "begins anew"
    } else {
        "knows what it knew"
    };
    let mut said = format!(
        "policy {}: version {old_version} ({old_module}) replaced by version {standby}, which {what}\n\
         nobody could call it for {}, and no CPU waited for longer than {}",
        policy.name(),
        time(number("blackout_ns")),
        time(number("waited_ns")),
    );
    if !keep {
        match modules.remove(&old_module) {
            Ok(()) => said.push_str(&format!("\nmodule {old_module} is removed")),
            Err(error) => {
                said.push_str(&format!("\nbut {error:#}: version {old_version} stands by"))
            }
        }
    }
    Ok(said)
}

/// Has a version stand by: that of the file `new`, or there is one.
///
/// # Errors
///
/// If there is none, or one already that `new` would be beside.
pub(crate) fn stand_by(
    policy: &Policy,
    modules: &impl Modules,
    new: Option<&Path>,
) -> Result<Standby> {
    if let Some(path) = new {
        if let Some(standby) = policy.standby()? {
            bail!("policy {}: version {standby} stands by already: upgrade to it, or remove its module", policy.name());
        }
        modules.load(path, policy.number()?)?;
    }
    match (policy.standby()?, new) {
        (Some(standby), _) => Ok(standby),
        (None, Some(path)) => bail!(
            "{} is loaded, but it is no version of policy {}",
            path.display(),
            policy.name()
        ),
        (None, None) => bail!(
            "policy {}: no other version stands by: name the file of its module",
            policy.name()
        ),
    }
}

/// A time as people say it.
pub(crate) fn time(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} µs", ns as f64 / 1e3),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::Fake;
    use std::cell::RefCell;

    /// Loads by having a version stand by, and notes what it was asked for.
    struct Noted<'a> {
        fake: &'a Fake,
        standby: &'static str,
        done: RefCell<Vec<String>>,
    }

    impl Modules for Noted<'_> {
        fn load(&self, path: &Path, number: i32) -> Result<()> {
            self.done
                .borrow_mut()
                .push(format!("load {} as {number}", path.display()));
            self.fake.put("wfq/standby", self.standby);
            Ok(())
        }

        fn remove(&self, name: &str) -> Result<()> {
            self.done.borrow_mut().push(format!("remove {name}"));
            Ok(())
        }
    }

    fn wfq() -> Fake {
        Fake::new(&[
            ("id", "2"),
            ("version", "1"),
            ("module", "enoki_wfq"),
            ("standby", "none"),
            ("upgrade", ""),
            (
                "upgrades",
                "done 0\nkept 0\nblackout_ns 1500\nwaited_ns 900",
            ),
        ])
    }

    fn noted<'a>(fake: &'a Fake, standby: &'static str) -> Noted<'a> {
        Noted {
            fake,
            standby,
            done: RefCell::default(),
        }
    }

    #[test]
    fn loads_upgrades_and_removes() {
        let fake = wfq();
        let modules = noted(&fake, "2 enoki_wfq_2");
        let said = upgrade(&fake.policy(), &modules, Some(Path::new("new.ko")), false).unwrap();
        assert!(
            said.contains("version 1 (enoki_wfq) replaced by version 2 (enoki_wfq_2)"),
            "{said}"
        );
        assert!(
            said.contains("for 1.5 µs") && said.contains("longer than 900 ns"),
            "{said}"
        );
        assert_eq!(
            *modules.done.borrow(),
            ["load new.ko as 2", "remove enoki_wfq"]
        );
        assert_eq!(fake.policy().read("upgrade").unwrap(), "1");
    }

    #[test]
    fn keeps_the_old_one() {
        let fake = wfq();
        fake.put("wfq/standby", "2 enoki_wfq_2");
        let modules = noted(&fake, "");
        upgrade(&fake.policy(), &modules, None, true).unwrap();
        assert!(modules.done.borrow().is_empty());
    }

    #[test]
    fn says_what_is_missing() {
        let fake = wfq();
        let refused = |new| {
            upgrade(&fake.policy(), &noted(&fake, "none"), new, false)
                .unwrap_err()
                .to_string()
        };
        assert!(refused(None).contains("no other version stands by"));
        assert!(refused(Some(Path::new("fifo.ko"))).contains("no version of policy wfq"));
        fake.put("wfq/standby", "2 enoki_wfq_2");
        assert!(refused(Some(Path::new("new.ko"))).contains("stands by already"));
    }

    #[test]
    fn removes_what_was_refused() {
        let fake = wfq();
        let modules = noted(&fake, "2 enoki_wfq_2");
        let policy = fake.policy();
        fake.replace_by_directory("wfq/upgrade");
        assert!(upgrade(&policy, &modules, Some(Path::new("new.ko")), false).is_err());
        assert_eq!(modules.done.borrow().last().unwrap(), "remove enoki_wfq_2");
    }

    #[test]
    fn times() {
        assert_eq!(
            [time(7), time(33_260), time(2_500_000)],
            ["7 ns", "33.3 µs", "2.5 ms"]
        );
    }
}
