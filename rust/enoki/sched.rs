// SPDX-License-Identifier: GPL-2.0

//! The trait that makes a type a CPU scheduler.

use crate::{
    cpu::{CpuId, Machine},
    ctx::Ctx,
    sys::{self, Result},
    time::Ns,
    token::{
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
};

/// A CPU scheduler: the paper's `EnokiScheduler` (section 3.1, table 1).
///
/// The class calls these methods as tasks come and go, and does what they answer if it can be
/// done. A policy has no other effect, and sees nothing but its arguments.
///
/// # Context
///
/// [`new()`](Self::new) and [`init_task()`](Self::init_task) may sleep and allocate. Everything
/// else runs with interrupts off and, but where it says otherwise, with the run queue of
/// `ctx.cpu()` locked. It must be quick, and can neither sleep, allocate, free nor panic (the build
/// checks that). Calls for different CPUs come at the same time; the state that they share is
/// behind [`Lock`](crate::prelude::Lock)s, of which one can be held at a time.
///
/// # Order
///
/// For one task: `init_task`, then any number of times from ready to run (`task_new` the first
/// time, `task_wakeup`) over picked and stopped (`task_preempt`, `task_yield`) to asleep
/// (`task_blocked`), and at the end `task_dead` or `task_departed`.
pub trait Scheduler: Sized + Send + Sync + 'static {
    /// The policy's name, unique among those loaded: at most 31 letters, digits, `_` and `-`. Not
    /// the module's name.
    const NAME: &'static str;
    /// The number that attaches a task to the policy (`sched_priority` of `sched_setscheduler()`),
    /// 1 to 99, unique among those loaded. The module parameter `id` overrides it.
    const ID: u32;
    /// The policy's version, free form; at most 31 bytes.
    const VERSION: &'static str = "1";
    /// How many timers the policy has, at most 64; see [`Ctx::arm_timer()`].
    const TIMERS: u32 = 0;

    /// How long a task that is ready may wait to be picked, in ms, 100 to 60,000; see
    /// [`task_rescued()`](Self::task_rescued). The module parameter `timeout_ms` overrides it.
    const TIMEOUT_MS: u32 = 5000;

    /// Does the policy divide time among tasks by their [weights](TaskInfo::weight)?
    ///
    /// They have in them what `cpu.weight` gives to control groups. Of a policy that does not look
    /// at weights the class scales the slices of tasks that are in groups instead.
    const WEIGHTED: bool = false;

    /// What the policy keeps for each task.
    type Task: Send + 'static;

    // The types of hints and of what is handed over in an upgrade would be here, if an associated
    // type could have a default. They are in traits of their own: `Hinted` and `Upgrade`.

    /// Makes the policy: when its module is loaded or, if another version of it is in office then,
    /// when it is to replace that. May sleep.
    ///
    /// # Errors
    ///
    /// Any error refuses the load of the module, or the upgrade.
    fn new(machine: &Machine) -> Result<Self>;

    /// Makes the policy's state for a task that is about to attach or to be forked. May sleep; no
    /// locks can be taken.
    ///
    /// # Errors
    ///
    /// Any error refuses the task: `sched_setscheduler()` or `fork()` fails with it.
    fn init_task(&self, task: &TaskInfo) -> Result<Self::Task>;

    /// A task that was forked or attached is ready to run on this CPU. By default the tokens of
    /// all that follow come here, too.
    fn task_new(&self, ctx: &mut Ctx<'_>, task: Schedulable<Self::Task>);

    /// A task that slept is ready to run on this CPU.
    #[inline]
    fn task_wakeup(&self, ctx: &mut Ctx<'_>, task: Schedulable<Self::Task>, flags: WakeFlags) {
        let _ = flags;
        self.task_new(ctx, task);
    }

    /// The task that ran on this CPU was stopped, and is still ready to run.
    ///
    /// Not called when `pick_next_task` is offered the task as `prev`.
    #[inline]
    fn task_preempt(&self, ctx: &mut Ctx<'_>, task: Schedulable<Self::Task>) {
        self.task_new(ctx, task);
    }

    /// The task that ran on this CPU gave it up by `sched_yield()`.
    #[inline]
    fn task_yield(&self, ctx: &mut Ctx<'_>, task: Schedulable<Self::Task>) {
        self.task_preempt(ctx, task);
    }

    /// A task that is ready to run has come here from CPU `from`.
    #[inline]
    fn task_migrated(&self, ctx: &mut Ctx<'_>, task: Schedulable<Self::Task>, from: CpuId) {
        let _ = from;
        self.task_preempt(ctx, task);
    }

    /// The task that ran on this CPU goes to sleep.
    #[inline]
    fn task_blocked(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, Self::Task>) {
        let _ = (ctx, task);
    }

    /// A task has exited, and will not be seen again.
    #[inline]
    fn task_dead(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, Self::Task>) {
        let _ = (ctx, task);
    }

    /// A task has left the policy alive. By default `task_dead` is called: it is gone, too.
    #[inline]
    fn task_departed(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, Self::Task>) {
        self.task_dead(ctx, task);
    }

    /// Where should a task run that is waking up, or was forked, on `prev`? No run queue is
    /// locked; `ctx.cpu()` is the waker's.
    ///
    /// It is no promise: the task may be put elsewhere, and `task_wakeup` says where. An answer
    /// that its affinity forbids is counted and replaced. (It may forbid `prev`, too.)
    #[inline]
    fn select_task_rq(
        &self,
        ctx: &mut Ctx<'_>,
        task: &Task<Self::Task>,
        prev: CpuId,
        flags: WakeFlags,
    ) -> CpuId {
        let _ = flags;
        ctx.usable_cpu(task, prev)
    }

    /// Which task runs on this CPU now? [`None`] if there is none for it.
    ///
    /// `prev` is the token of the task that ran and still could: queue it, or claim it again.
    fn pick_next_task<'c>(
        &self,
        ctx: &mut Ctx<'c>,
        prev: Option<Schedulable<Self::Task>>,
    ) -> Option<Runnable<'c, Self::Task>>;

    /// The answer of `pick_next_task` was refused, for another reason than that it was stale; here
    /// is its token back (the paper's `pnt_err`).
    #[inline]
    fn pnt_err(&self, ctx: &mut Ctx<'_>, task: Schedulable<Self::Task>, why: Refusal) {
        let _ = why;
        self.task_preempt(ctx, task);
    }

    /// Time has passed while `task` runs on this CPU. Should `pick_next_task` be asked again?
    ///
    /// By default no: a policy that gives [slices](Runnable::slice) is asked when one is over. One
    /// that has neither lets each task run until it sleeps.
    #[inline]
    fn task_tick(&self, ctx: &mut Ctx<'_>, task: &mut Lent<'_, Self::Task>) -> bool {
        let _ = (ctx, task);
        false
    }

    /// Task `woken`, which the policy has got already, became ready to run while `curr` runs on
    /// this CPU. Should `pick_next_task` be asked at once?
    #[inline]
    fn wakeup_preempt(
        &self,
        ctx: &mut Ctx<'_>,
        curr: &mut Lent<'_, Self::Task>,
        woken: TaskId,
    ) -> bool {
        let _ = (ctx, curr, woken);
        false
    }

    /// No attached task is left on this CPU. Which one, queued on another one, should come?
    ///
    /// The class then moves it if it still can: it takes the token from there by
    /// `migrate_task_rq` and brings it here by `task_migrated`.
    #[inline]
    fn balance(&self, ctx: &mut Ctx<'_>) -> Option<TaskKey> {
        let _ = ctx;
        None
    }

    /// The task that `balance` named stays where it is.
    #[inline]
    fn balance_err(&self, ctx: &mut Ctx<'_>, task: TaskKey, why: Refusal) {
        let _ = (ctx, task, why);
    }

    /// The class wants the token of a task back that is queued on this CPU.
    ///
    /// Find it and give it back:
    ///
    /// ```ignore
    /// let found = ctx.lock(&self.queues[cpu]).remove(&task);
    /// task.hand_over(found)
    /// ```
    fn migrate_task_rq<'m>(&self, ctx: &mut Ctx<'_>, task: Migration<'m, Self::Task>) -> Moved<'m>;

    /// Task `id` has been ready to run for `waited` and was not picked: longer than it may wait,
    /// even if one allows for all that could have come before it. The class takes its token back
    /// now, by `migrate_task_rq`, and runs it.
    ///
    /// Something is wrong with the policy. A few times in ten seconds it may be; then, or when the
    /// same task waits too long again without having been picked, the policy is ejected: it is
    /// called no more and its tasks go on without it.
    #[inline]
    fn task_rescued(&self, ctx: &mut Ctx<'_>, id: TaskId, waited: Ns) {
        let _ = (ctx, id, waited);
    }

    /// How many tokens of tasks that are queued on this CPU does the policy have?
    ///
    /// The class asks now and then, and compares: a policy that has forgotten a token is ejected
    /// before the task has waited for long. One that it still has although it said that it is lost
    /// does not count. A policy that does not sort them by CPU answers `None`, and
    /// is found out by a task that waits too long.
    #[inline]
    fn nr_queued(&self, ctx: &mut Ctx<'_>) -> Option<usize> {
        let _ = ctx;
        None
    }

    /// A task's nice level has changed, `info` is how it is now.
    ///
    /// If the task is queued, taking it out by its name brings the token up to date. If it is not,
    /// its next token is.
    #[inline]
    fn task_prio_changed(
        &self,
        ctx: &mut Ctx<'_>,
        task: &TaskName<'_, Self::Task>,
        info: &TaskInfo,
    ) {
        let _ = (ctx, task, info);
    }

    /// The CPUs that a task may use have changed. As for [`Self::task_prio_changed()`].
    #[inline]
    fn task_affinity_changed(
        &self,
        ctx: &mut Ctx<'_>,
        task: &TaskName<'_, Self::Task>,
        info: &TaskInfo,
    ) {
        let _ = (ctx, task, info);
    }

    /// `cpu` may get tasks from now on. No run queue is locked.
    #[inline]
    fn cpu_online(&self, ctx: &mut Ctx<'_>, cpu: CpuId) {
        let _ = (ctx, cpu);
    }

    /// `cpu` gets no more tasks; those that it has will be moved. No run queue is locked.
    #[inline]
    fn cpu_offline(&self, ctx: &mut Ctx<'_>, cpu: CpuId) {
        let _ = (ctx, cpu);
    }

    /// A timer has run out. No run queue is locked.
    #[inline]
    fn timer_fired(&self, ctx: &mut Ctx<'_>, timer: u32) {
        let _ = (ctx, timer);
    }
}

/// How a task became ready to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct WakeFlags(pub(crate) u32);

impl WakeFlags {
    /// It was forked, and is placed for the first time. Only in `select_task_rq`.
    #[inline]
    pub fn is_fork(self) -> bool {
        self.0 & sys::WAKE_FORK != 0
    }

    /// The waker says that it is about to sleep. Only in `select_task_rq`.
    #[inline]
    pub fn is_sync(self) -> bool {
        self.0 & sys::WAKE_SYNC != 0
    }

    /// It wakes on another CPU than it went to sleep on. Only in `task_wakeup`.
    #[inline]
    pub fn is_migrated(self) -> bool {
        self.0 & sys::WAKE_MIGRATED != 0
    }
}

/// Why the class refused an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The token had passed.
    Stale,
    /// The task is not on this CPU's run queue.
    Cpu,
    /// The task is not waiting to run.
    State,
    /// The task may not run on that CPU.
    Affinity,
    /// The task went elsewhere, or started to run, in the meantime.
    Race,
    /// The CPU is going offline.
    Offline,
    /// Something newer than this libEnoki.
    Other,
}
