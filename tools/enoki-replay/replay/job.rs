// SPDX-License-Identifier: GPL-2.0

//! A call of a policy, ready to be made on any thread.

use crate::{
    records::event,
    sys::{c_void, RawCtx, RawInfo, RawKey, RawOps, RawTask},
};
use std::{ptr, sync::Arc};

/// A call, with all that it takes to make it anywhere.
pub(super) struct Job {
    pub(super) ops: Arc<RawOps>,
    pub(super) sched: *mut c_void,
    pub(super) cx: RawCtx,
    pub(super) event: u8,
    /// The task that it is about, a token that it gets, or neither.
    pub(super) task: *mut RawTask,
    /// The task as it is now, where that is an argument.
    pub(super) info: Option<RawInfo>,
    pub(super) args: (u64, u64),
    pub(super) key: RawKey,
    pub(super) hint: Vec<u64>,
}

// SAFETY: What it points to is the class's, as far as the call goes, and the policy is `Sync`.
unsafe impl Send for Job {}

/// What the policy returned.
#[derive(Default)]
pub(super) struct Answer {
    pub(super) number: i64,
    /// The token's address.
    pub(super) token: usize,
    pub(super) slice_ns: u64,
    pub(super) key: RawKey,
}

impl Job {
    pub(super) fn run(&self) -> Answer {
        let mut answer = Answer::default();
        let info = self.info.as_ref().map_or(ptr::null(), ptr::from_ref);
        let (first, second) = self.args;
        macro_rules! op {
            ($op:ident $(, $arg:expr)*) => {
                // SAFETY: The contract of the ops table is kept, as it was kept then.
                unsafe { self.ops.$op.unwrap()(self.sched, &self.cx $(, $arg)*) }
            };
        }
        match self.event {
            event::TASK_NEW => op!(task_new, self.task),
            event::TASK_WAKEUP => op!(task_wakeup, self.task, first as u32),
            event::TASK_PREEMPT => op!(task_preempt, self.task),
            event::TASK_YIELD => op!(task_yield, self.task),
            event::TASK_MIGRATED => op!(task_migrated, self.task, first as i32),
            event::PNT_ERR => op!(pnt_err, self.task, first as u32),
            event::TASK_BLOCKED => op!(task_blocked, self.task),
            event::TASK_DEAD => op!(task_dead, self.task),
            event::TASK_DEPARTED => op!(task_departed, self.task),
            event::SELECT_TASK_RQ => {
                let cpu = op!(select_task_rq, self.task, first as i32, second as u32);
                answer.number = cpu.into();
            }
            event::PICK_NEXT_TASK => {
                answer.token = op!(pick_next_task, self.task, &mut answer.slice_ns) as usize;
            }
            event::TASK_TICK => answer.number = op!(task_tick, self.task).into(),
            event::WAKEUP_PREEMPT => {
                answer.number = op!(wakeup_preempt, self.task, first).into();
            }
            event::BALANCE => answer.number = op!(balance, &mut answer.key).into(),
            event::BALANCE_ERR => op!(balance_err, &self.key, first as u32),
            event::MIGRATE_TASK_RQ => {
                answer.token = op!(migrate_task_rq, self.task, first as u32) as usize;
            }
            event::TASK_RESCUED => op!(task_rescued, first, second),
            event::NR_QUEUED => answer.number = op!(nr_queued),
            event::TASK_PRIO_CHANGED => op!(task_prio_changed, self.task, info),
            event::TASK_AFFINITY_CHANGED => op!(task_affinity_changed, self.task, info),
            event::CPU_ONLINE => op!(cpu_online, first as i32),
            event::CPU_OFFLINE => op!(cpu_offline, first as i32),
            event::TIMER_FIRED => op!(timer_fired, first as u32),
            event::REGISTER_QUEUE => {
                answer.number = op!(register_queue, first, second as u32).into();
            }
            event::UNREGISTER_QUEUE => op!(unregister_queue, first),
            event::ENTER_QUEUE => answer.number = op!(enter_queue, first, second as u32).into(),
            event::PARSE_HINT => {
                let hint = self.hint.as_ptr().cast();
                answer.number = op!(parse_hint, first, self.task, info, hint).into();
            }
            _ => unreachable!("the tapes have other calls only"),
        }
        answer
    }
}
