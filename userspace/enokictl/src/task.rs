//! Tasks, attached to policies and given back.

use anyhow::{Context, Result};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// `SCHED_ENOKI`, which the C library does not know yet.
const SCHED_ENOKI: libc::c_int = 8;

fn set_class(task: libc::pid_t, class: libc::c_int, number: i32) -> io::Result<()> {
    let param = libc::sched_param {
        sched_priority: number,
    };
    // SAFETY: The parameters are valid for the call.
    match unsafe { libc::sched_setscheduler(task, class, &param) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The number of the policy that a task is attached to, if it is.
pub(crate) fn attached_to(task: libc::pid_t) -> Option<i32> {
    let mut param = libc::sched_param { sched_priority: 0 };
    // SAFETY: The parameters are valid for the calls.
    let known = unsafe {
        libc::sched_getscheduler(task) == SCHED_ENOKI && libc::sched_getparam(task, &mut param) == 0
    };
    known.then_some(param.sched_priority)
}

/// Attaches a task to the policy of that number; 0 is the caller.
pub(crate) fn attach(task: libc::pid_t, number: i32) -> Result<()> {
    set_class(task, SCHED_ENOKI, number).with_context(|| format!("task {task} cannot be attached"))
}

/// Gives a task back to the default class.
pub(crate) fn detach(task: libc::pid_t) -> Result<()> {
    set_class(task, libc::SCHED_OTHER, 0)
        .with_context(|| format!("task {task} cannot be given back"))
}

/// Becomes that command, attached to the policy of that number.
pub(crate) fn run(number: i32, command: &[String]) -> Result<()> {
    let (program, arguments) = command.split_first().context("there is no command")?;
    attach(0, number)?;
    Err(Command::new(program).args(arguments).exec())
        .with_context(|| format!("{program} cannot be run"))
}
