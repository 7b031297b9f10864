// SPDX-License-Identifier: GPL-2.0
/*
 * Time for policies: slices, kicks and timers.
 *
 * Each run queue has one timer for the slice of its running task, or for the turn
 * of the fair class. It is left to run out rather than cancelled or moved at every
 * switch: when it fires too early it looks when the slice of the day ends and goes
 * on until then. It is armed only when a second task waits, and only on its own
 * CPU; a CPU that wants another's timer armed, or another CPU to pick again, sends
 * it a hard irq_work, because two run queues must not be locked at once for that.
 */

/* Shorter slices would be spent on switching. */
#define ENOKI_MIN_SLICE_NS	(5 * NSEC_PER_USEC)

/*
 * Between two picks that policies ask for by kicks, the tasks have the CPU for so
 * long at least, and for twice as long as the latter of them took.
 */
#define ENOKI_KICK_GAP_NS	(100 * NSEC_PER_USEC)

/* A policy's timers may take a quarter of the time of a CPU. */
#define ENOKI_TIMER_SHARE	4

/* Does @p, which runs or is about to, have to share the CPU when its slice ends? */
static bool enoki_slice_matters(struct rq *rq, struct task_struct *p)
{
	return task_on_enoki(p) && p->enoki.slice_end && rq->enoki.nr_running > 1;
}

static void enoki_slice_arm(struct rq *rq, u64 end)
{
	s64 delta = max_t(s64, end - rq_clock(rq), ENOKI_SLACK_NS);

	rq->enoki.slice_armed = end;
	hrtimer_start(&rq->enoki.slice_timer, ns_to_ktime(delta),
		      HRTIMER_MODE_REL_PINNED_HARD);
}

/**
 * enoki_slice_arm_by - have the timer go off no later than that
 * @rq: the run queue of this CPU, locked
 * @end: the time, by its clock
 */
void enoki_slice_arm_by(struct rq *rq, u64 end)
{
	if (!hrtimer_is_queued(&rq->enoki.slice_timer) || rq->enoki.slice_armed > end)
		enoki_slice_arm(rq, end);
}

/**
 * enoki_slice_check - see to it that a slice ends in time
 * @rq: the run queue, locked, its clock updated
 * @p: the task that runs there or is about to
 *
 * Context: a task was queued, or starts to run. Cheap if the timer is armed.
 */
void enoki_slice_check(struct rq *rq, struct task_struct *p)
{
	u64 end = p->enoki.slice_end;

	if (!enoki_slice_matters(rq, p))
		return;

	if (hrtimer_is_queued(&rq->enoki.slice_timer) && rq->enoki.slice_armed <= end)
		return;

	if (cpu_of(rq) == smp_processor_id())
		enoki_slice_arm(rq, end);
	else
		enoki_kick(rq, false, true);
}

/**
 * enoki_slice_start - a task was picked: its slice begins
 * @rq: the run queue, locked
 * @p: the task, with its slice_ns set
 */
void enoki_slice_start(struct rq *rq, struct task_struct *p)
{
	struct sched_enoki_entity *ent = &p->enoki;

	ent->slice_end = 0;
	if (ent->slice_ns)
		ent->slice_end = rq_clock(rq) + clamp_t(u64, ent->slice_ns, ENOKI_MIN_SLICE_NS,
							ENOKI_MAX_SLICE_NS);
}

/* Pick as a policy has asked for, unless a higher class runs and will do so by itself. */
static void enoki_kick_now(struct rq *rq)
{
	struct enoki_rq *erq = &rq->enoki;

	erq->kick_due = 0;
	if (sched_class_above(rq->donor->sched_class, &enoki_sched_class))
		return;

	erq->kicked = true;
	erq->kick_from = sched_clock_cpu(cpu_of(rq));
	resched_curr(rq);
}

/**
 * enoki_kick_done - the pick that a kick led to has been made
 * @rq: the run queue, locked
 */
void enoki_kick_done(struct rq *rq)
{
	struct enoki_rq *erq = &rq->enoki;
	u64 took = sched_clock_cpu(cpu_of(rq)) - erq->kick_from;

	erq->kick_from = 0;
	erq->kick_next = rq_clock(rq) + took + max(2 * took, ENOKI_KICK_GAP_NS);
}

/* End the slice of @p if it is over. Return: when it will be, 0 if it is. */
static u64 enoki_slice_over(struct rq *rq, struct task_struct *p)
{
	if (!enoki_time_is_up(rq, p->enoki.slice_end))
		return p->enoki.slice_end;

	enoki_count(p->enoki.es, slice_end);
	p->enoki.slice_end = 0;
	resched_curr(rq);

	return 0;
}

/* The earlier of two times, of which each may be 0 for never. */
static u64 enoki_sooner(u64 a, u64 b)
{
	return !a || (b && b < a) ? b : a;
}

static enum hrtimer_restart enoki_slice_fn(struct hrtimer *timer)
{
	struct rq *rq = container_of(timer, struct rq, enoki.slice_timer);
	struct enoki_rq *erq = &rq->enoki;
	u64 next;

	guard(rq_lock)(rq);
	update_rq_clock(rq);

	if (erq->kick_due && enoki_time_is_up(rq, erq->kick_due))
		enoki_kick_now(rq);
	next = enoki_sooner(erq->kick_due, enoki_fair_over(rq));
	if (enoki_slice_matters(rq, rq->donor))
		next = enoki_sooner(next, enoki_slice_over(rq, rq->donor));
	if (!next)
		return HRTIMER_NORESTART;

	erq->slice_armed = next;
	hrtimer_set_expires(timer, ktime_add_ns(hrtimer_cb_get_time(timer),
						next - rq_clock(rq)));

	return HRTIMER_RESTART;
}

/* Too soon after the last kick: at the time when it may be. */
static void enoki_kick_later(struct rq *rq)
{
	struct enoki_rq *erq = &rq->enoki;

	erq->kick_due = erq->kick_next;
	enoki_slice_arm_by(rq, erq->kick_due);
}

static void enoki_kick_fn(struct irq_work *work)
{
	struct rq *rq = container_of(work, struct rq, enoki.kick_work);

	guard(rq_lock)(rq);
	update_rq_clock(rq);
	/* One that is being carried out already is as good as another. */
	if (xchg(&rq->enoki.kick_resched, false) && !rq->enoki.kick_from) {
		if ((s64)(rq->enoki.kick_next - rq_clock(rq)) > 0)
			enoki_kick_later(rq);
		else
			enoki_kick_now(rq);
	}
	if (xchg(&rq->enoki.kick_slice, false))
		enoki_slice_check(rq, rq->donor);
}

/**
 * enoki_kick - have a CPU do something with its run queue
 * @rq: the run queue, locked or not
 * @resched: pick again
 * @slice: see to the slice timer
 *
 * Context: interrupts off, which keeps the CPU from going offline.
 */
void enoki_kick(struct rq *rq, bool resched, bool slice)
{
	int cpu = cpu_of(rq);

	lockdep_assert_irqs_disabled();
	if (!cpu_online(cpu))
		return;

	if (resched)
		WRITE_ONCE(rq->enoki.kick_resched, true);
	if (slice)
		WRITE_ONCE(rq->enoki.kick_slice, true);
	irq_work_queue_on(&rq->enoki.kick_work, cpu);
}

/**
 * enoki_rq_init - set up Enoki's part of a run queue at boot
 * @rq: the run queue
 */
void enoki_rq_init(struct rq *rq)
{
	struct enoki_rq *erq = &rq->enoki;

	INIT_LIST_HEAD(&erq->runnable);
	INIT_LIST_HEAD(&erq->active);
	hrtimer_setup(&erq->slice_timer, enoki_slice_fn, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_HARD);
	erq->kick_work = IRQ_WORK_INIT_HARD(enoki_kick_fn);
	enoki_server_init(rq);
}

/**
 * enoki_cpu_dying - a CPU has nothing to run any more
 * @rq: its run queue, not locked
 */
void enoki_cpu_dying(struct rq *rq)
{
	hrtimer_cancel(&rq->enoki.slice_timer);
}

static enum hrtimer_restart enoki_timer_fn(struct hrtimer *hrtimer)
{
	struct enoki_timer *timer = container_of(hrtimer, struct enoki_timer, hrtimer);
	u64 began = sched_clock_cpu(smp_processor_id());
	struct enoki_sched *es = timer->es;

	enoki_call_timer_fired(es, timer - es->timers);
	/* It may have been armed again by its own call, and then by what it took before. */
	WRITE_ONCE(timer->took_ns, sched_clock_cpu(smp_processor_id()) - began);

	return HRTIMER_NORESTART;
}

/**
 * enoki_timers_init - make a policy's timers
 * @es: the policy
 *
 * Return: 0 or -ENOMEM.
 */
int enoki_timers_init(struct enoki_sched *es)
{
	unsigned int i;

	es->timers = kcalloc(ENOKI_MAX_TIMERS, sizeof(*es->timers), GFP_KERNEL);
	if (!es->timers)
		return -ENOMEM;

	for (i = 0; i < ENOKI_MAX_TIMERS; i++) {
		es->timers[i].es = es;
		hrtimer_setup(&es->timers[i].hrtimer, enoki_timer_fn, CLOCK_MONOTONIC,
			      HRTIMER_MODE_REL_HARD);
	}

	return 0;
}

/**
 * enoki_timers_cancel - stop a policy's timers
 * @es: the policy
 *
 * Context: may sleep.
 */
void enoki_timers_cancel(struct enoki_sched *es)
{
	unsigned int i;

	for (i = 0; i < ENOKI_MAX_TIMERS; i++)
		hrtimer_cancel(&es->timers[i].hrtimer);
}

/**
 * enoki_timer_arm - call the policy's timer_fired() later
 * @es: the policy
 * @nr: which of its timers; armed already, it is moved
 * @delay_ns: how much later, in ns
 *
 * Context: any call of the policy.
 * Return: 0, or -EINVAL if the policy has no such timer, is being removed or has been
 *         ejected.
 */
int enoki_timer_arm(struct enoki_sched *es, u32 nr, u64 delay_ns)
{
	u64 least_ns;

	if (nr >= es->ops->nr_timers || READ_ONCE(es->dying) || enoki_ejected(es))
		return -EINVAL;

	if (enoki_is_taping())
		enoki_tape_asked(ENOKI_RECORD_TIMER_ARM, nr, delay_ns);
	WRITE_ONCE(es->timers[nr].epoch, es->epoch);
	/* All of them may be armed on this CPU. */
	least_ns = ENOKI_TIMER_SHARE * es->ops->nr_timers * READ_ONCE(es->timers[nr].took_ns);
	delay_ns = clamp_t(u64, delay_ns, max(least_ns, ENOKI_MIN_SLICE_NS), KTIME_MAX);
	hrtimer_start(&es->timers[nr].hrtimer, ns_to_ktime(delay_ns),
		      HRTIMER_MODE_REL_PINNED_HARD);

	return 0;
}
EXPORT_SYMBOL_GPL(enoki_timer_arm);

/**
 * enoki_timer_cancel - do not call timer_fired() after all
 * @es: the policy
 * @nr: which of its timers
 *
 * A timer that is firing at this moment on another CPU still does.
 *
 * Context: any call of the policy.
 */
void enoki_timer_cancel(struct enoki_sched *es, u32 nr)
{
	if (enoki_is_taping())
		enoki_tape_asked(ENOKI_RECORD_TIMER_CANCEL, nr, 0);
	if (nr < es->ops->nr_timers)
		hrtimer_try_to_cancel(&es->timers[nr].hrtimer);
}
EXPORT_SYMBOL_GPL(enoki_timer_cancel);
