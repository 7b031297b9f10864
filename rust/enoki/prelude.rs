// SPDX-License-Identifier: GPL-2.0

//! All that a policy needs: `use enoki::prelude::*;`.

pub use crate::{
    cpu::{CpuId, CpuMap, Cpus, Machine, Topology},
    ctx::{Cpu, Ctx},
    fifo::FifoQueue,
    hint,
    hint::{About, Hint, Hinted, NoHint, QueueId, QueueKind, SendError},
    log, module_enoki_scheduler, new_lock,
    sched::{Refusal, Scheduler, WakeFlags},
    sys::{code::*, Error, Guard, Lock, Result},
    time::Ns,
    token::{
        Leave,
        Lent,
        Migration,
        Moved,
        Runnable,
        Schedulable,
        Task,
        TaskId,
        TaskInfo,
        TaskKey,
        TaskName, //
    },
    transfer,
    tree::TreeQueue,
    upgrade::{Exchange, TransferState, Upgrade},
};
