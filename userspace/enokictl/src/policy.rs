//! What the kernel says of its policies, in `/sys/kernel/sched_enoki`.

use anyhow::{bail, Context, Result};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fmt, fs};

/// The directory with a directory for each policy.
pub(crate) struct Sysfs(PathBuf);

impl Sysfs {
    /// The one of the kernel that runs.
    pub(crate) fn of_this_machine() -> Result<Sysfs> {
        let sysfs = Sysfs(PathBuf::from("/sys/kernel/sched_enoki"));
        if !sysfs.0.is_dir() {
            bail!(
                "this kernel has no Enoki: {} is not there",
                sysfs.0.display()
            );
        }
        Ok(sysfs)
    }

    /// All policies, by name.
    pub(crate) fn policies(&self) -> Result<Vec<Policy>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).with_context(|| self.0.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort();
        names.iter().map(|name| self.policy(name)).collect()
    }

    /// What the kernel says of an error, which may be of that call or of an earlier one; and the
    /// error.
    pub(crate) fn refused(&self, error: std::io::Error, what: &str) -> anyhow::Error {
        let words = fs::read_to_string(self.0.join("last_error")).unwrap_or_default();
        match words.trim_end() {
            "" => anyhow::Error::new(error).context(what.to_owned()),
            words => anyhow::anyhow!("{what}: {words} ({error})"),
        }
    }

    /// The policy of that name.
    pub(crate) fn policy(&self, name: &str) -> Result<Policy> {
        let path = self.0.join(name);
        if name.is_empty() || name.contains('/') || !path.is_dir() {
            bail!("no policy {name} is registered: `enokictl list` says which are");
        }
        Ok(Policy {
            name: name.to_owned(),
            path,
        })
    }
}

/// The version of a policy that stands by.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Standby {
    pub(crate) version: String,
    pub(crate) module: String,
}

impl fmt::Display for Standby {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.version, self.module)
    }
}

/// A policy that is registered.
pub(crate) struct Policy {
    name: String,
    path: PathBuf,
}

impl Policy {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A file of the policy's, without the end of its last line.
    pub(crate) fn read(&self, file: &str) -> Result<String> {
        let path = self.path.join(file);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(text.trim_end().to_owned())
    }

    /// Writes to a file of the policy's. If the kernel refuses it, the error has its words.
    pub(crate) fn write(&self, file: &str, text: &str) -> Result<()> {
        let before = self.last_error();
        fs::write(self.path.join(file), text).map_err(|error| {
            let after = self.last_error();
            if after.is_empty() || after == before {
                anyhow::Error::new(error).context(format!("policy {}: {file}", self.name))
            } else {
                anyhow::anyhow!("{after}")
            }
        })
    }

    fn last_error(&self) -> String {
        let path = self.path.with_file_name("last_error");
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    }

    /// What tasks are attached to it by.
    pub(crate) fn number(&self) -> Result<i32> {
        let id = self.read("id")?;
        id.parse()
            .with_context(|| format!("policy {}: number {id}", self.name))
    }

    /// The version that stands by, if there is one.
    pub(crate) fn standby(&self) -> Result<Option<Standby>> {
        let text = self.read("standby")?;
        Ok(text.rsplit_once(' ').map(|(version, module)| Standby {
            version: version.to_owned(),
            module: module.to_owned(),
        }))
    }

    /// How many tasks it has; those count whose memory is yet to be freed.
    pub(crate) fn nr_tasks(&self) -> Result<u32> {
        let text = self.read("nr_tasks")?;
        text.parse()
            .with_context(|| format!("policy {}: nr_tasks {text}", self.name))
    }

    /// The policy as which the version is tried that stands by, if it is.
    pub(crate) fn canary(&self, sysfs: &Sysfs) -> Result<Option<Policy>> {
        match self.read("canary")?.as_str() {
            "none" => Ok(None),
            name => sysfs.policy(name).map(Some),
        }
    }

    /// A file of names with a number each.
    pub(crate) fn numbers(&self, file: &str) -> Result<BTreeMap<String, u64>> {
        self.read(file)?
            .lines()
            .map(|line| {
                let (name, number) = line.split_once(' ').context("a line without a number")?;
                Ok((name.to_owned(), number.parse()?))
            })
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A directory like the kernel's, with one policy; removed when it is dropped.
    pub(crate) struct Fake(PathBuf);

    impl Fake {
        pub(crate) fn new(files: &[(&str, &str)]) -> Fake {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("enokictl-{}-{n}", std::process::id()));
            fs::create_dir_all(path.join("wfq")).unwrap();
            let fake = Fake(path);
            fake.put("last_error", "");
            files
                .iter()
                .for_each(|(file, text)| fake.put(&format!("wfq/{file}"), text));
            fake
        }

        pub(crate) fn put(&self, file: &str, text: &str) {
            fs::write(self.0.join(file), format!("{text}\n")).unwrap();
        }

        /// So that it cannot be written to, as a file of the kernel's that refuses.
        pub(crate) fn replace_by_directory(&self, file: &str) {
            fs::remove_file(self.0.join(file)).unwrap();
            fs::create_dir(self.0.join(file)).unwrap();
        }

        /// One more directory.
        pub(crate) fn add(&self, name: &str, files: &[(&str, &str)]) {
            fs::create_dir_all(self.0.join(name)).unwrap();
            files
                .iter()
                .for_each(|(file, text)| self.put(&format!("{name}/{file}"), text));
        }

        pub(crate) fn path(&self, name: &str) -> PathBuf {
            self.0.join(name)
        }

        pub(crate) fn sysfs(&self) -> Sysfs {
            Sysfs(self.0.clone())
        }

        pub(crate) fn policy(&self) -> Policy {
            self.sysfs().policy("wfq").unwrap()
        }
    }

    impl Drop for Fake {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn reads() {
        let fake = Fake::new(&[
            ("id", "2"),
            ("standby", "1.2 beta enoki_wfq_2"),
            ("upgrades", "done 3\nblackout_ns 33000"),
        ]);
        let policy = fake.policy();
        assert_eq!(policy.number().unwrap(), 2);
        let standby = policy.standby().unwrap().unwrap();
        assert_eq!(
            (standby.version.as_str(), standby.module.as_str()),
            ("1.2 beta", "enoki_wfq_2")
        );
        assert_eq!(policy.numbers("upgrades").unwrap()["blackout_ns"], 33_000);
        fake.put("wfq/standby", "none");
        assert_eq!(policy.standby().unwrap(), None);
    }

    #[test]
    fn names() {
        let fake = Fake::new(&[]);
        let sysfs = Sysfs(fake.0.clone());
        for name in ["", "fifo", "../wfq", "last_error"] {
            let refused = sysfs.policy(name).err().unwrap().to_string();
            assert!(refused.contains("enokictl list"), "{refused}");
        }
        assert_eq!(sysfs.policies().unwrap().len(), 1);
    }
}
