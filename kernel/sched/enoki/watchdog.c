// SPDX-License-Identifier: GPL-2.0
/*
 * Who waits too long for a policy?
 *
 * A task waits until its policy picks it, on whatever CPU; that it was run unasked
 * meanwhile, by the deadline server, does not count. The watchdog comes by several
 * times in the shortest time that is too long, and takes for the beginning of a
 * wait when it first saw it, so that those who switch have nothing to note. A wait
 * is too long when the policy could have picked the task, all things considered,
 * for enoki_sched::timeout_ms:
 *
 * - Time in which real-time and other higher tasks have the CPU does not pass; see
 *   enoki_clock().
 * - Where policies share a CPU, time passes for each in proportion to its share.
 * - Each task that is ready there may have a turn first, more turns if it weighs
 *   more.
 *
 * A task that waits too long is rescued: the class takes its token back, runs it,
 * and hands out the token again as after any turn. If it then waits too long once
 * more, without having been picked, the policy does not want it, and is ejected.
 *
 * A policy that counts its tokens is asked how many it has, so that one that forgets
 * them is found before their tasks have waited for long.
 */

/* How long it may wait by default. */
#define ENOKI_TIMEOUT_MS	5000

/*
 * What each task that is ready at the same time may have before another one: a turn, or
 * as many as it takes to bring it to where a fair policy has that one, which had more.
 */
#define ENOKI_TURN_NS		(20ULL * NSEC_PER_MSEC)

/* How many tasks of a run queue are looked at in one go, with its lock held. */
#define ENOKI_WATCH_MAX		512

/* And how many of them, if they seem to have waited too long, with more care. */
#define ENOKI_WATCH_SUSPECTS	16

/* More refused answers in a second are no mistakes. */
#define ENOKI_MAX_REJECTS	1000

/* And so long a CPU may have to wait for a lock. */
#define ENOKI_MAX_HOLD_MS	100

static void enoki_rescue(struct rq *rq, struct task_struct *p, u64 waited_ns)
{
	struct sched_enoki_entity *ent = &p->enoki;
	struct enoki_sched *es = ent->es;
	struct enoki_offence offence = {
		.time_ns = rq_clock(rq),
		.task_id = ent->task_id,
		.amount = waited_ns,
		.cpu = cpu_of(rq),
		.pid = task_pid_nr(p),
		.call = ENOKI_NR_EVENTS,
	};

	strscpy(offence.comm, p->comm);
	if (ent->flags & ENOKI_P_RESCUED) {
		enoki_eject(es, ENOKI_EXIT_STALL, &offence);
		return;
	}
	if (!enoki_offend(es, ENOKI_EXIT_STALL, &offence))
		return;

	enoki_call_task_rescued(es, rq, ent->task_id, waited_ns);
	enoki_reclaim(rq, p, ENOKI_LEAVE_RESCUE);
	enoki_set_state(p, ENOKI_ORPHAN);
	ent->flags |= ENOKI_P_RESCUED;
	if (!sched_class_above(rq->donor->sched_class, &enoki_sched_class))
		resched_curr(rq);
}

/* How long may @p wait for its turn here, by enoki_clock()? */
static u64 enoki_patience(struct rq *rq, struct task_struct *p)
{
	struct enoki_prq *prq = enoki_prq_of(p->enoki.es, cpu_of(rq)), *other;
	u64 ns = (u64)READ_ONCE(p->enoki.es->timeout_ms) * NSEC_PER_MSEC;
	unsigned long all = 0;

	ns += div64_ul(ENOKI_TURN_NS * prq->weight, max(p->enoki.weight, 1U));
	if (likely(rq->enoki.nr_active < 2))
		return ns;

	list_for_each_entry(other, &rq->enoki.active, node)
		all += other->weight;

	return mul_u64_u64_div_u64(ns, all, max(prq->weight, 1UL));
}

/*
 * The same where tasks are in control groups, and may weigh far more or less than by
 * their nice levels. Too much work to be done for every task.
 */
static u64 enoki_group_patience(struct rq *rq, struct task_struct *p)
{
	u64 longest = enoki_longest_part(p->enoki.es), turns = 0;
	unsigned int seen = 0;
	struct task_struct *t;
	unsigned long all = 0;

	list_for_each_entry(t, &rq->enoki.runnable, enoki.run_node) {
		if (t->enoki.es == p->enoki.es)
			all += enoki_weight(t, t->enoki.weight);
		/* The class has made it as long as that, not the policy. */
		if (enoki_scaled(t))
			turns += min(t->enoki.slice_ns, longest);
		if (++seen == ENOKI_WATCH_MAX)
			break;
	}

	turns += div64_ul(ENOKI_TURN_NS * all, max(enoki_weight(p, p->enoki.weight), 1U));

	return enoki_patience(rq, p) + turns;
}

/* How many times it was looked at all run queues, and one more. */
static unsigned int enoki_watch_looks = 1;

/* How many tokens has the policy of tasks on @rq, if they are few enough to count? */
static s64 enoki_count_queued(struct rq *rq, struct enoki_sched *es)
{
	struct task_struct *p;
	s64 nr = 0;

	if (rq->enoki.nr_running > ENOKI_WATCH_MAX)
		return -1;
	list_for_each_entry(p, &rq->enoki.runnable, enoki.run_node)
		nr += p->enoki.es == es && p->enoki.state == ENOKI_QUEUED;

	return nr;
}

/* Does the policy have the tokens that it was given? */
static void enoki_watch_count(struct rq *rq, struct enoki_prq *prq)
{
	struct enoki_offence offence = {
		.time_ns = rq_clock(rq), .cpu = cpu_of(rq), .call = ENOKI_NR_EVENTS,
	};
	s64 said = enoki_call_nr_queued(prq->es, rq), have;

	if (said < 0)
		return;
	have = enoki_count_queued(rq, prq->es);
	if (have < 0 || said == have)
		return;

	/* Once it may be: what it has just dropped is in nobody's hands for a moment. */
	if (prq->miscounted_at != enoki_watch_looks - 1) {
		prq->miscounted_at = enoki_watch_looks;
		return;
	}
	offence.amount = have;
	offence.said = said;
	enoki_eject(prq->es, ENOKI_EXIT_MISCOUNT, &offence);
}

static void enoki_watch_counts(struct rq *rq)
{
	struct enoki_prq *prq;

	list_for_each_entry(prq, &rq->enoki.active, node)
		if (!enoki_shut(prq->es, rq, NULL))
			enoki_watch_count(rq, prq);
}

static void enoki_watch_rq(struct rq *rq)
{
	struct enoki_rq *erq = &rq->enoki;
	struct task_struct *p, *next;
	unsigned int seen = 0, suspects = 0;
	s64 waited;

	/* Somebody else has it: up to now that time does not count. */
	if (erq->held_from)
		enoki_release(rq);
	enoki_hold(rq, rq->donor);
	list_for_each_entry_safe(p, next, &erq->runnable, enoki.run_node) {
		if (seen++ == ENOKI_WATCH_MAX || suspects == ENOKI_WATCH_SUSPECTS) {
			list_rotate_to_front(&p->enoki.run_node, &erq->runnable);
			break;
		}
		if (p->enoki.state != ENOKI_QUEUED ||
		    enoki_shut(p->enoki.es, rq, p->enoki.token))
			continue;
		if (!(p->enoki.flags & ENOKI_P_SEEN)) {
			p->enoki.flags |= ENOKI_P_SEEN;
			p->enoki.ready_since = enoki_clock(rq);
			continue;
		}
		waited = enoki_clock(rq) - p->enoki.ready_since;
		if (waited <= 0 || waited <= enoki_patience(rq, p))
			continue;
		suspects++;
		if (waited > enoki_group_patience(rq, p))
			enoki_rescue(rq, p, waited);
	}
	enoki_watch_counts(rq);
}

/* Is more refused of @es than can be put down to mistakes? */
static void enoki_watch_rejects(struct enoki_sched *es, u64 period_ns)
{
	struct enoki_offence offence = { .cpu = -1, .call = ENOKI_NR_EVENTS };
	u64 sum = 0, before = es->rejected;
	int cpu, i;

	for_each_possible_cpu(cpu)
		for (i = 0; i < ENOKI_NR_REJECTS; i++)
			/* A race is nobody's fault. */
			if (i != ENOKI_REJ_race)
				sum += READ_ONCE(per_cpu_ptr(es->stats, cpu)->rejected[i]);
	es->rejected = sum;
	offence.amount = sum - before;
	if (div64_u64(offence.amount * NSEC_PER_SEC, period_ns) > READ_ONCE(es->max_rejects))
		enoki_eject(es, ENOKI_EXIT_REJECTS, &offence);
}

/* Every used policy's tasks are looked at so often that none is seen much too late. */
static u64 enoki_watch_period(void)
{
	unsigned int ms = UINT_MAX;
	struct enoki_sched *es;

	list_for_each_entry_rcu(es, &enoki_scheds, node)
		if (atomic_read(&es->users))
			ms = min(ms, READ_ONCE(es->timeout_ms));

	return ms == UINT_MAX ? 0 : (u64)ms * NSEC_PER_MSEC / 4;
}

static struct hrtimer enoki_watch_timer;
static DEFINE_RAW_SPINLOCK(enoki_watch_lock);
static u64 enoki_watched_at;

static enum hrtimer_restart enoki_watch_fn(struct hrtimer *timer)
{
	u64 now = ktime_get_mono_fast_ns(), period;
	struct enoki_sched *es;
	struct rq_flags rf;
	struct rq *rq;
	int cpu;

	guard(rcu)();
	enoki_watch_looks++;
	for_each_online_cpu(cpu) {
		rq = cpu_rq(cpu);
		/* One that somebody has now is looked at the next time. */
		if (!READ_ONCE(rq->enoki.nr_running) || !enoki_rq_trylock(rq, &rf))
			continue;
		update_rq_clock(rq);
		enoki_watch_rq(rq);
		rq_unlock(rq, &rf);
	}
	list_for_each_entry_rcu(es, &enoki_scheds, node) {
		enoki_watch_rejects(es, max(now - enoki_watched_at, 1ULL));
		enoki_eject_again(es);
	}
	enoki_watched_at = now;

	/* Against somebody who starts it again because it is wanted. */
	guard(raw_spinlock)(&enoki_watch_lock);
	period = enoki_watch_period();
	if (!period || hrtimer_is_queued(timer))
		return HRTIMER_NORESTART;
	hrtimer_forward_now(timer, ns_to_ktime(period));

	return HRTIMER_RESTART;
}

/**
 * enoki_watch - look after the tasks of the policies from now on
 *
 * A policy got its first task, or less patience.
 *
 * Context: process context.
 */
void enoki_watch(void)
{
	u64 period;

	guard(rcu)();
	guard(raw_spinlock_irqsave)(&enoki_watch_lock);
	period = enoki_watch_period();
	if (!period)
		return;
	if (hrtimer_is_queued(&enoki_watch_timer) &&
	    ktime_to_ns(hrtimer_get_remaining(&enoki_watch_timer)) <= period)
		return;
	if (!hrtimer_active(&enoki_watch_timer))
		enoki_watched_at = ktime_get_mono_fast_ns();
	hrtimer_start(&enoki_watch_timer, ns_to_ktime(period), HRTIMER_MODE_REL_HARD);
}

/**
 * enoki_watch_init - how long the tasks of a policy may wait
 * @es: the policy, new
 */
void enoki_watch_init(struct enoki_sched *es)
{
	es->timeout_ms = es->ops->timeout_ms ?: ENOKI_TIMEOUT_MS;
	es->max_rejects = ENOKI_MAX_REJECTS;
	es->max_hold_ms = ENOKI_MAX_HOLD_MS;
}

static int __init enoki_watch_setup(void)
{
	hrtimer_setup(&enoki_watch_timer, enoki_watch_fn, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_HARD);
	return 0;
}
core_initcall(enoki_watch_setup);
