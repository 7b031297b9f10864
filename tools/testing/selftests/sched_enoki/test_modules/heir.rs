// SPDX-License-Identifier: GPL-2.0
//
// Versions of a policy that have what they know in different forms: included by modules that say
// what these are, `Known`, `Line` and `TaskState`, how the last two are made, and the version.
// `../upgrade_forms.c` says what must come of it.

struct Heir {
    known: Known,
    refuse_at: u64,
}

impl Scheduler for Heir {
    const NAME: &'static str = "heir";
    const ID: u32 = 63;
    const VERSION: &'static str = VERSION;

    type Task = TaskState;

    fn new(machine: &Machine) -> Result<Self> {
        let lines = CpuMap::new_with(machine, |_| new_lock!(line()))?;
        Ok(Heir {
            known: known(lines),
            refuse_at: module_parameters::refuse_at.value().into(),
        })
    }

    fn init_task(&self, _task: &TaskInfo) -> Result<TaskState> {
        Ok(task_state())
    }

    fn task_new(&self, ctx: &mut Ctx<'_>, mut task: Schedulable<TaskState>) {
        let state = task.state_mut();
        assert_eq!(state.announced, 0, "a task is new for a second time");
        state.announced = 1;
        self.task_preempt(ctx, task);
    }

    fn task_wakeup(&self, ctx: &mut Ctx<'_>, task: Schedulable<TaskState>, _flags: WakeFlags) {
        self.task_preempt(ctx, task);
    }

    fn task_preempt(&self, ctx: &mut Ctx<'_>, task: Schedulable<TaskState>) {
        assert_eq!(
            task.state().announced,
            1,
            "what was known of a task is lost"
        );
        ctx.lock(&self.known.lines[task.cpu()])
            .waiting
            .push_back(task);
    }

    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Schedulable<TaskState>>,
    ) -> Option<Runnable<'c, TaskState>> {
        let cpu = ctx.cpu();
        let mut line = ctx.lock(&self.known.lines[cpu.id()]);
        if let Some(prev) = prev {
            line.waiting.push_back(prev);
        }
        let task = line.waiting.pop_front()?;
        line.picks = line.picks.wrapping_add(1);
        Some(cpu.claim(task).ok()?.slice(Ns::from_ms(2)))
    }

    fn balance(&self, ctx: &mut Ctx<'_>) -> Option<TaskKey> {
        let here = ctx.cpu().id();
        for cpu in ctx.cpus().filter(|&cpu| cpu != here) {
            let line = ctx.lock(&self.known.lines[cpu]);
            if let Some(task) = line.waiting.iter().find(|task| task.allowed_on(here)) {
                return Some(task.key());
            }
        }
        None
    }

    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, TaskState>) -> Moved<'m> {
        let cpu = ctx.cpu().id();
        let found = ctx.lock(&self.known.lines[cpu]).waiting.remove(&task);
        task.hand_over(found)
    }

    fn nr_queued(&self, ctx: &mut Ctx<'_>) -> Option<usize> {
        let cpu = ctx.cpu().id();
        Some(ctx.lock(&self.known.lines[cpu]).waiting.len())
    }
}

impl Upgrade for Heir {
    type Transfer = Known;

    fn reregister_prep(&mut self, _ctx: &mut Ctx<'_>) -> &mut Known {
        &mut self.known
    }

    // Refused before anybody else has counted it: so often what is known has changed hands.
    fn reregister_init(&mut self, ctx: &mut Ctx<'_>) -> Result<()> {
        if self.known.versions == self.refuse_at {
            return Err(EPERM);
        }
        self.known.versions = self.known.versions.wrapping_add(1);
        let mut picks = 0u64;
        for cpu in ctx.cpus() {
            picks = picks.wrapping_add(ctx.lock(&self.known.lines[cpu]).picks);
        }
        if picks == 0 {
            return Err(ENOENT);
        }
        Ok(())
    }
}
