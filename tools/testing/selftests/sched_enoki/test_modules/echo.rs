// SPDX-License-Identifier: GPL-2.0
//
// A policy that does what hints tell it, and says what it saw: first-in, first-out otherwise.
// Included by modules that say which `VERSION` of it they are. `../hints.c` and
// `../upgrade_hints.c` say what must come of it.

use enoki::prelude::*;

hint! {
    /// What a program wants.
    struct Call("echo_call", 1) {
        op: u32,
        tag: u32,
        value: u64,
    }
}

hint! {
    /// What it gets.
    struct Answer("echo_answer", 2) {
        tag: u32,
        about: u32,
        value: u64,
    }
}

/// `Call::op`.
mod op {
    /// Nothing.
    pub(crate) const NOTHING: u32 = 0;
    /// Answer with `value`, and whom it was about.
    pub(crate) const ECHO: u32 = 1;
    /// Note `value` with the task that it is about.
    pub(crate) const MARK: u32 = 2;
    /// Answer with what was noted with it.
    pub(crate) const READ: u32 = 3;
    /// Refuse it.
    pub(crate) const REFUSE: u32 = 4;
    /// Answer `value` times, at most 1,000.
    pub(crate) const FLOOD: u32 = 5;
    /// Answer with how many `ECHO`s were answered before, of whatever client.
    pub(crate) const COUNT: u32 = 6;
}

/// `Answer::about`.
const NOBODY: u32 = 0;
const LENT: u32 = 1;
const QUEUED: u32 = 2;

/// What was noted with a task.
type Token = Schedulable<u64>;

transfer! {
    /// What versions hand over.
    struct Known("echo", 1) {
        queues: CpuMap<Lock<FifoQueue<u64>>>,
        /// How many `ECHO`s were answered.
        echoed: Lock<u64>,
    }
}

struct Echo {
    known: Known,
}

impl Echo {
    fn enqueue(&self, ctx: &mut Ctx<'_>, task: Token) {
        ctx.lock(&self.known.queues[task.cpu()]).push_back(task);
    }

    /// Changes what is noted with a task, wherever it is, and says what it is then.
    fn note(
        &self,
        ctx: &mut Ctx<'_>,
        about: &mut About<'_, u64>,
        change: impl FnOnce(&mut u64),
    ) -> Result<u64> {
        match about {
            About::Nobody => Err(EINVAL),
            About::Lent(task) => {
                change(task.state_mut());
                Ok(*task.state())
            }
            About::Queued(name) => {
                let cpu = ctx.cpu().id();
                let mut queue = ctx.lock(&self.known.queues[cpu]);
                let mut task = queue.remove(name).ok_or(ESRCH)?;
                change(task.state_mut());
                let noted = *task.state();
                queue.push_back(task);
                Ok(noted)
            }
        }
    }
}

impl Scheduler for Echo {
    const NAME: &'static str = "echo";
    const ID: u32 = 70;
    const VERSION: &'static str = VERSION;

    type Task = u64;

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Echo {
            known: Known {
                queues: CpuMap::new_with(machine, |_| new_lock!(FifoQueue::new()))?,
                echoed: new_lock!(0)?,
            },
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<u64> {
        Ok(0)
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, task: Token) {
        self.enqueue(ctx, task);
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Token>,
    ) -> Option<Runnable<'c, u64>> {
        let cpu = ctx.cpu();
        let mut queue = ctx.lock(&self.known.queues[cpu.id()]);
        if let Some(prev) = prev {
            queue.push_back(prev);
        }
        let task = queue.pop_front()?;
        Some(cpu.claim(task).ok()?.slice(Ns::from_ms(3)))
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, u64>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.known.queues[cpu]).remove(&task);
        task.hand_over(found)
    }
}

impl Hinted for Echo {
    type UserHint = Call;
    type RevHint = Answer;

    fn register_queue(
        &self,
        _ctx: &mut Ctx<'_>,
        _queue: QueueId<Answer>,
        _kind: QueueKind,
    ) -> Result<()> {
        match module_parameters::refuse.value() {
            0 => Ok(()),
            _ => Err(EDOM),
        }
    }

    fn enter_queue(&self, _ctx: &mut Ctx<'_>, _queue: QueueId<Answer>, waiting: u32) -> u32 {
        waiting.min(module_parameters::batch.value())
    }

    fn parse_hint(
        &self,
        ctx: &mut Ctx<'_>,
        queue: QueueId<Answer>,
        hint: &Call,
        mut about: About<'_, u64>,
    ) -> Result<()> {
        let mut answer = Answer {
            tag: hint.tag,
            about: match about {
                About::Nobody => NOBODY,
                About::Lent(_) => LENT,
                About::Queued(_) => QUEUED,
            },
            value: hint.value,
        };
        match hint.op {
            op::NOTHING => return Ok(()),
            op::ECHO => {
                ctx.send(queue, &answer).map_err(|_| ENOSPC)?;
                let mut echoed = ctx.lock(&self.known.echoed);
                *echoed = echoed.wrapping_add(1);
                return Ok(());
            }
            op::MARK => {
                self.note(ctx, &mut about, |mark| *mark = hint.value)?;
                return Ok(());
            }
            op::READ => answer.value = self.note(ctx, &mut about, |_| {})?,
            op::FLOOD => {
                for i in 0..hint.value.min(1000) {
                    answer.value = i;
                    // What finds no room is counted by the class.
                    let _ = ctx.send(queue, &answer);
                }
                return Ok(());
            }
            op::COUNT => answer.value = *ctx.lock(&self.known.echoed),
            op::REFUSE => return Err(EDOM),
            _ => return Err(EINVAL),
        }
        ctx.send(queue, &answer).map_err(|_| ENOSPC)
    }
}
