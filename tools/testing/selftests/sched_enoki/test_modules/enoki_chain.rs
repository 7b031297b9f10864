// SPDX-License-Identifier: GPL-2.0

//! A policy that keeps tokens in the memory of other tasks: each CPU has a chain of them, the last
//! one first. It never gives a token back either, so that the chains hold many that have passed.
//! All that is safe Rust. `../hostile.c` sees that nothing is left of them when the policy goes.

use enoki::prelude::*;

struct State {
    below: Option<Token>,
}

type Token = Schedulable<State>;

struct Chain {
    tops: CpuMap<Lock<Option<Token>>>,
}

impl Chain {
    fn push(&self, ctx: &mut Ctx<'_>, mut task: Token) {
        let mut top = ctx.lock(&self.tops[task.cpu()]);
        task.state_mut().below = top.take();
        *top = Some(task);
    }
}

impl Scheduler for Chain {
    const NAME: &'static str = "chain";
    const ID: u32 = 68;

    type Task = State;

    fn new(machine: &Machine) -> Result<Self> {
        Ok(Chain {
            tops: CpuMap::new_with(machine, |_| new_lock!(None))?,
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<State> {
        Ok(State { below: None })
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, task: Token) {
        self.push(ctx, task);
    }

    // The one that has waited longest is at the end of the chain; whoever is at its top has to do.
    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Token>,
    ) -> Option<Runnable<'c, State>> {
        let cpu = ctx.cpu();
        let mut top = ctx.lock(&self.tops[cpu.id()]);
        let mut task = match top.take() {
            Some(mut task) => {
                *top = task.state_mut().below.take();
                if let Some(mut prev) = prev {
                    prev.state_mut().below = top.take();
                    *top = Some(prev);
                }
                task
            }
            None => prev?,
        };
        task.state_mut().below = None;
        Some(cpu.claim(task).ok()?.slice(Ns::from_ms(1)))
    }

    fn task_tick(&self, _ctx: &mut Ctx<'_>, _task: &mut Lent<'_, State>) -> bool {
        true
    }

    fn migrate_task_rq<'m>(&self, _ctx: &mut Ctx<'_>, task: Migration<'m, State>) -> Moved<'m> {
        task.lost()
    }
}

module_enoki_scheduler! {
    type: Chain,
    name: "enoki_chain",
    authors: ["Enoki"],
    description: "An Enoki policy that keeps tokens in tasks",
    license: "GPL",
}
