// SPDX-License-Identifier: GPL-2.0

//! A version of the policy that answers hints which takes others, and answers more: a client of
//! the versions before must not be taken for one of it.

use enoki::prelude::*;

hint! {
    /// What a program wants.
    struct Call("echo_call", 2) {
        op: u32,
        tag: u32,
        value: u64,
        magic: u64,
    }
}

hint! {
    /// What it gets.
    struct Answer("echo_answer", 3) {
        tag: u32,
        about: u32,
        value: u64,
        a: u64,
        b: u64,
        c: u64,
        d: u64,
    }
}

/// What says that a hint is one.
const MAGIC: u64 = 0x6563_686f_2063_616c;

struct Echo {
    queues: CpuMap<Lock<FifoQueue<u64>>>,
}

impl Scheduler for Echo {
    const NAME: &'static str = "echo";
    const ID: u32 = 70;
    const VERSION: &'static str = "4";

    type Task = u64;

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Echo {
            queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<u64> {
        Ok(0)
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, task: Schedulable<u64>) {
        ctx.lock(&self.queues[task.cpu()]).push_back(task);
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Schedulable<u64>>,
    ) -> Option<Runnable<'c, u64>> {
        let cpu = ctx.cpu();
        let mut queue = ctx.lock(&self.queues[cpu.id()]);
        if let Some(prev) = prev {
            queue.push_back(prev);
        }
        let task = queue.pop_front()?;
        Some(cpu.claim(task).ok()?.slice(Ns::from_ms(3)))
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, u64>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.queues[cpu]).remove(&task);
        task.hand_over(found)
    }
}

impl Hinted for Echo {
    type UserHint = Call;
    type RevHint = Answer;

    fn parse_hint(
        &self,
        ctx: &mut Ctx<'_>,
        queue: QueueId<Answer>,
        hint: &Call,
        _about: About<'_, u64>,
    ) -> Result<()> {
        assert!(hint.magic == MAGIC, "a hint of another version");
        let answer = Answer {
            tag: hint.tag,
            about: 0,
            value: hint.value,
            a: MAGIC,
            b: MAGIC,
            c: MAGIC,
            d: MAGIC,
        };
        ctx.send(queue, &answer).map_err(|_| ENOSPC)
    }
}

module_enoki_scheduler! {
    type: Echo,
    name: "enoki_echo_4",
    authors: ["Enoki"],
    description: "An Enoki policy that answers hints, version 4",
    license: "GPL",
    with: [hints],
}
