//! The tasks of a policy go over to another policy.

use crate::policy::Policy;
use anyhow::Result;

/// Has the tasks of `from` go over to `to`, all of them or so many. What there is then, in words.
///
/// # Errors
///
/// If `to` refuses one of them: that one stays, the others have gone.
pub(crate) fn switch(from: &Policy, to: &Policy, tasks: Option<u32>) -> Result<String> {
    from.write("switch", &request(to.name(), tasks))?;
    Ok(format!(
        "policy {} has {} tasks now, and policy {} has {}",
        from.name(),
        from.read("nr_tasks")?,
        to.name(),
        to.read("nr_tasks")?
    ))
}

/// What the kernel is asked for.
fn request(to: &str, tasks: Option<u32>) -> String {
    match tasks {
        Some(number) => format!("{to} {number}"),
        None => to.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::Fake;

    #[test]
    fn asks_and_says() {
        let fake = Fake::new(&[("switch", ""), ("nr_tasks", "4")]);
        let policy = fake.policy();
        let said = switch(&policy, &policy, Some(3)).unwrap();
        assert_eq!(policy.read("switch").unwrap(), "wfq 3");
        assert_eq!(said, "policy wfq has 4 tasks now, and policy wfq has 4");
        switch(&policy, &policy, None).unwrap();
        assert_eq!(policy.read("switch").unwrap(), "wfq");
    }

    #[test]
    fn says_why_not() {
        let fake = Fake::new(&[("switch", ""), ("nr_tasks", "4")]);
        let policy = fake.policy();
        fake.replace_by_directory("wfq/switch");
        let refused = switch(&policy, &policy, None).unwrap_err();
        assert!(
            format!("{refused:#}").contains("policy wfq: switch"),
            "{refused:#}"
        );
    }
}
