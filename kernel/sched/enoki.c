// SPDX-License-Identifier: GPL-2.0
/*
 * The Enoki scheduling class.
 *
 * A task is attached to a policy: a loadable module in safe Rust that decides
 * where and when its tasks run. This file turns what the core scheduler asks a
 * class into the calls of a policy, and checks the answers. The class itself
 * knows at all times which tasks are ready to run (enoki_rq::runnable) and
 * whose turn it is to own each one's token (enum enoki_state), so that a wrong
 * answer costs a policy its say but no task its life: a task whose token is
 * lost, or that the policy will not run where it must run, is run by the class
 * first come first served.
 *
 * Several policies may have tasks on one run queue. Between them the class
 * shares time by the sum of the weights of their runnable tasks there.
 *
 * See Documentation/scheduler/enoki.rst and include/linux/sched/enoki.h.
 */

/* How often a policy may err in one pick before the next one is asked. */
#define ENOKI_MAX_ERRS	8

static_assert((int)ENOKI_ERR_OFFLINE - 1 == (int)ENOKI_REJ_offline);

/* Is @p running as an Enoki task, so that it can be lent? */
static bool enoki_is_running(struct task_struct *p)
{
	return task_on_enoki(p) && p->enoki.state == ENOKI_RUNNING;
}

/*
 * Counts.
 */

static void enoki_charge(struct enoki_prq *prq, u64 ran_ns)
{
	const unsigned long nice_0 = scale_load_down(NICE_0_LOAD);

	if (prq->weight != nice_0)
		ran_ns = div64_ul(ran_ns * nice_0, max(prq->weight, 1UL));
	prq->vruntime += ran_ns;
}

/* The clock of a policy that is alone is wound only when it matters. */
static void enoki_charge_alone(struct enoki_rq *erq)
{
	struct enoki_prq *prq;

	if (erq->nr_active != 1)
		return;

	prq = list_first_entry(&erq->active, struct enoki_prq, node);
	enoki_charge(prq, erq->ran_ns - erq->alone_since);
	erq->alone_since = erq->ran_ns;
}

/* What a policy did not use while it had no task here is gone, what it owes is not. */
static void enoki_activate_prq(struct enoki_rq *erq, struct enoki_prq *prq)
{
	u64 least = erq->nr_active ? U64_MAX : erq->vclock;
	struct enoki_prq *other;

	enoki_charge_alone(erq);
	list_for_each_entry(other, &erq->active, node)
		least = min(least, other->vruntime);
	prq->vruntime = max(prq->vruntime, least);

	list_add_tail(&prq->node, &erq->active);
	if (++erq->nr_active == 1)
		erq->alone_since = erq->ran_ns;
}

static void enoki_deactivate_prq(struct enoki_rq *erq, struct enoki_prq *prq)
{
	enoki_charge_alone(erq);
	/* Whoever comes next to the empty queue is not behind. */
	if (erq->nr_active == 1)
		erq->vclock = prq->vruntime;

	list_del_init(&prq->node);
	if (--erq->nr_active == 1)
		erq->alone_since = erq->ran_ns;
}

static void update_curr_enoki(struct rq *rq);

/**
 * enoki_settle - charge the attached task that runs for what it has used
 * @rq: the run queue, locked, its clock updated
 *
 * Before any class picks, so that the policies' clocks are what they are; and if
 * a deadline server has used up its time, nobody would see in the pick that it
 * has to be left. Before weights change, so that it is charged by the old ones.
 */
void enoki_settle(struct rq *rq)
{
	struct task_struct *p = rq->donor;

	if (task_on_enoki(p) && (p->enoki.flags & ENOKI_P_COUNTED))
		update_curr_enoki(rq);
}

/*
 * @p has the run queue from now on. If it is of a higher class, or of another one by
 * its deadline server, the class has lost it until it is asked for a task, not only
 * until @p goes: others may follow.
 */
static void enoki_hold(struct rq *rq, struct task_struct *p)
{
	if (!task_on_enoki(p) &&
	    (sched_class_above(p->sched_class, &enoki_sched_class) || p->dl_server))
		rq->enoki.held_from = rq_clock(rq);
}

static void enoki_release(struct rq *rq)
{
	rq->enoki.held_ns += rq_clock(rq) - rq->enoki.held_from;
	rq->enoki.held_from = 0;
}

/* Its group may be another one than before. */
static __always_inline void enoki_count_group(struct task_struct *p)
{
	struct sched_enoki_entity *ent = &p->enoki;

	if (enoki_grouped(p)) {
		enoki_group_in(task_group(p), ent->weight);
		/* Turns outside of groups do not count. */
		if (!(ent->flags & ENOKI_P_GROUPED))
			ent->slice_ns = 0;
		ent->flags |= ENOKI_P_GROUPED | ENOKI_P_CHANGED;
	} else if (unlikely(ent->flags & ENOKI_P_GROUPED)) {
		ent->flags &= ~ENOKI_P_GROUPED;
		ent->flags |= ENOKI_P_CHANGED;
	}
}

static void enoki_count_in(struct rq *rq, struct task_struct *p)
{
	struct sched_enoki_entity *ent = &p->enoki;
	struct enoki_prq *prq = enoki_prq_of(ent->es, cpu_of(rq));
	struct enoki_rq *erq = &rq->enoki;

	WARN_ON_ONCE(ent->flags & ENOKI_P_COUNTED);
	/* With others than its own policy? */
	if (erq->nr_active > (prq->nr_running ? 1 : 0))
		enoki_settle(rq);

	ent->flags |= ENOKI_P_COUNTED;
	ent->weight = scale_load_down(p->se.load.weight);
	list_add_tail(&ent->run_node, &erq->runnable);

	if (!prq->nr_running++)
		enoki_activate_prq(erq, prq);
	prq->weight += ent->weight;
	enoki_count_group(p);
	if (!erq->nr_running++) {
		cpufreq_update_util(rq, 0);
		enoki_hold(rq, rq->donor);
		enoki_fair_joined(rq);
	}
	dl_server_start(&rq->enoki_server);
	/* Evaluates the tick, and looks at our count for that. */
	add_nr_running(rq, 1);
}

static void enoki_count_out(struct rq *rq, struct task_struct *p)
{
	struct sched_enoki_entity *ent = &p->enoki;
	struct enoki_prq *prq = enoki_prq_of(ent->es, cpu_of(rq));
	struct enoki_rq *erq = &rq->enoki;

	WARN_ON_ONCE(!(ent->flags & ENOKI_P_COUNTED));
	if (erq->nr_active > 1)
		enoki_settle(rq);

	ent->flags &= ~ENOKI_P_COUNTED;
	list_del_init(&ent->run_node);

	if (!--prq->nr_running)
		enoki_deactivate_prq(erq, prq);
	prq->weight -= ent->weight;
	if (unlikely(ent->flags & ENOKI_P_GROUPED))
		enoki_group_out(task_group(p), ent->weight);
	if (!--erq->nr_running)
		enoki_fair_alone(rq);
	sub_nr_running(rq, 1);
}

#ifdef CONFIG_DEBUG_ENOKI
/* The class's own books must agree, whatever the policies do. */
static void enoki_check_counts(struct rq *rq)
{
	struct enoki_rq *erq = &rq->enoki;
	unsigned int nr = 0, sum = 0;
	struct enoki_prq *prq;
	struct task_struct *p;

	list_for_each_entry(prq, &erq->active, node) {
		nr++;
		sum += prq->nr_running;
	}
	list_for_each_entry(p, &erq->runnable, enoki.run_node)
		WARN_ONCE(p->enoki.state == ENOKI_PICKED && p != erq->picked,
			  "enoki: CPU %d: task %llu is picked and forgotten\n",
			  cpu_of(rq), p->enoki.task_id);
	WARN_ONCE(nr != erq->nr_active || sum != erq->nr_running ||
		  list_count_nodes(&erq->runnable) != erq->nr_running,
		  "enoki: CPU %d: %u tasks of %u policies, counted %u of %u\n",
		  cpu_of(rq), sum, nr, erq->nr_running, erq->nr_active);
}
#else
static inline void enoki_check_counts(struct rq *rq) { }
#endif

/*
 * Tasks that switch often need not tell the deadline servers each time; so much of
 * their runtime makes no difference to them, unless it is Enoki's that runs the task.
 */
#define ENOKI_SERVER_BATCH_NS	(100 * NSEC_PER_USEC)

static void update_curr_enoki(struct rq *rq)
{
	struct sched_enoki_entity *ent = &rq->donor->enoki;
	struct enoki_rq *erq = &rq->enoki;
	s64 delta;

	delta = update_curr_common(rq);
	if (unlikely(delta <= 0))
		return;

	enoki_charge_groups(rq, rq->donor, delta);
	erq->server_ns += delta;
	if (erq->server_ns >= ENOKI_SERVER_BATCH_NS || rq->dl_server == &rq->enoki_server) {
		dl_server_update(&rq->enoki_server, erq->server_ns);
		/* No fair task would have had the CPU if it had been idle. */
		if (!rq->cfs.h_nr_runnable)
			dl_server_update(&rq->fair_server, erq->server_ns);
		erq->server_ns = 0;
	}

	erq->ran_ns += delta;
	/* Only where policies share a CPU does it matter who used how much. */
	if (unlikely(erq->nr_active > 1) && ent->es)
		enoki_charge(enoki_prq_of(ent->es, cpu_of(rq)), delta);
}

/*
 * Core scheduling.
 */

/* How long a turn is, but for what is left until a tick; CPUs have it at different times. */
#define ENOKI_CORE_TURN_NS	(2 * TICK_NSEC)

#ifdef CONFIG_SCHED_CORE
/* Has @p, up to date, run for a turn since it began to wait? */
static bool enoki_core_done(struct task_struct *p)
{
	return p->se.sum_exec_runtime - p->se.prev_sum_exec_runtime >= ENOKI_CORE_TURN_NS;
}

/*
 * @p begins to wait, @anew or until its turn is over since before. Between the CPUs
 * of a core, who waits longest is next.
 *
 * Whoever runs on another CPU of the core may have to make room for it, which it
 * does at a tick. A CPU without one (NOHZ_FULL) was asked before; its first tick
 * finds out whether there is still someone.
 */
static void enoki_core_wait(struct rq *rq, struct task_struct *p, bool anew)
{
	int cpu;

	if (!sched_core_enabled(rq))
		return;

	if (anew || enoki_core_done(p)) {
		p->enoki.waits_since = rq_clock(rq);
		p->se.prev_sum_exec_runtime = p->se.sum_exec_runtime;
	}
	for_each_cpu(cpu, cpu_smt_mask(cpu_of(rq)))
		if (cpu != cpu_of(rq) && cpu_rq(cpu)->enoki.nr_running)
			tick_dep_set_cpu(cpu, TICK_DEP_BIT_SCHED);
}

/**
 * enoki_prio_less - the order of attached tasks on different CPUs of a core
 * @a: a task
 * @b: a task
 *
 * Return: should @a run after @b?
 */
bool enoki_prio_less(const struct task_struct *a, const struct task_struct *b)
{
	return (s64)(a->enoki.waits_since - b->enoki.waits_since) > 0;
}

/*
 * Does an attached task on another CPU of this core wait, perhaps for what runs
 * here to end? There the CPU idles, or runs something with the right cookie.
 */
static bool enoki_core_waits(struct rq *rq)
{
	struct rq *other;
	int cpu;

	if (!sched_core_enabled(rq))
		return false;

	for_each_cpu(cpu, cpu_smt_mask(cpu_of(rq))) {
		other = cpu_rq(cpu);
		if (other != rq && (other->enoki.picked ||
				    (other->enoki.nr_running && !task_on_enoki(other->donor))))
			return true;
	}

	return false;
}
#else
static inline bool enoki_core_done(struct task_struct *p) { return false; }
static inline void enoki_core_wait(struct rq *rq, struct task_struct *p, bool anew) { }
static inline bool enoki_core_waits(struct rq *rq) { return false; }
#endif

/*
 * Queueing.
 */

/* Tell the policy that it has a task to run, and why. */
static void enoki_announce(struct rq *rq, struct task_struct *p, int flags)
{
	struct sched_enoki_entity *ent = &p->enoki;
	bool is_new = ent->flags & ENOKI_P_NEW;
	struct enoki_sched *es = ent->es;
	bool migrated = ent->state == ENOKI_MIGRATING;
	u8 seen = ent->flags & ENOKI_P_SEEN;
	struct enoki_task *token;

	enoki_core_wait(rq, p, true);
	token = enoki_grant(rq, p);
	if (unlikely(!token))
		return;

	if (is_new) {
		enoki_call_task_new(es, rq, token);
	} else if (flags & ENQUEUE_WAKEUP) {
		enoki_look_at_hints(es);
		enoki_measure_from(p);
		enoki_call_task_wakeup(es, rq, token,
				       flags & ENQUEUE_MIGRATED ? ENOKI_WAKE_MIGRATED : 0);
	} else if (migrated) {
		/* It waits on, here by another clock. */
		ent->ready_since = enoki_clock(rq) - ent->ready_since;
		ent->flags |= seen;
		enoki_call_task_migrated(es, rq, token, ent->from_cpu);
	} else {
		enoki_call_task_preempt(es, rq, token);
	}
}

/* The running task stays ready but does not run on: back to its policy. */
static void enoki_put_back(struct rq *rq, struct task_struct *p)
{
	struct sched_enoki_entity *ent = &p->enoki;
	bool is_new = ent->flags & ENOKI_P_NEW, yielded = ent->flags & ENOKI_P_YIELD;
	u8 seen = ent->flags & ENOKI_P_UNASKED ? ent->flags & ENOKI_P_SEEN : 0;
	struct enoki_task *token;

	ent->flags &= ~ENOKI_P_YIELD;
	enoki_core_wait(rq, p, yielded);
	token = enoki_grant(rq, p);
	if (unlikely(!token))
		return;
	ent->flags |= seen;

	/* The class had it until there was a token. */
	if (unlikely(is_new))
		enoki_call_task_new(ent->es, rq, token);
	else if (yielded)
		enoki_call_task_yield(ent->es, rq, token);
	else
		enoki_call_task_preempt(ent->es, rq, token);
}

static void enqueue_task_enoki(struct rq *rq, struct task_struct *p, int flags)
{
	if (enoki_throttled(p)) {
		if (enoki_stays_throttled(rq, p))
			return;
		/* For its policy it slept. */
		p->enoki.flags |= ENOKI_P_CHANGED;
		flags = ENQUEUE_WAKEUP;
	}

	enoki_count_in(rq, p);
	if (flags & (ENQUEUE_RESTORE | ENQUEUE_CLASS))
		p->enoki.flags |= ENOKI_P_CHANGED;

	/*
	 * Saved and restored under one hold of the lock: whoever owned the
	 * token still does. Attaching, leaving and boosting are not like that.
	 */
	if ((flags & (ENQUEUE_RESTORE | ENQUEUE_CLASS)) == ENQUEUE_RESTORE)
		return;

	/*
	 * It runs, and set_next_task() follows. A policy that knows it sees it
	 * as prev; another one is to say first whether it runs on.
	 */
	if (task_current_donor(rq, p)) {
		if ((p->enoki.flags & ENOKI_P_NEW) || (flags & ENQUEUE_WAKEUP)) {
			enoki_announce(rq, p, flags);
			resched_curr(rq);
		} else {
			enoki_set_state(p, ENOKI_RUNNING);
		}
		return;
	}

	enoki_announce(rq, p, flags);
	if (enoki_is_running(rq->donor))
		enoki_slice_check(rq, rq->donor);
}

/* The class needs the token of a queued task: whatever became of it, it has. */
static void enoki_unqueue(struct rq *rq, struct task_struct *p, enum enoki_leave why,
			  enum enoki_state state)
{
	if (p->enoki.state == ENOKI_QUEUED)
		enoki_reclaim(rq, p, why);
	if (rq->enoki.picked == p)
		rq->enoki.picked = NULL;
	enoki_set_state(p, state);
}

/*
 * Does @p, which is leaving the class, leave it by priority inheritance? Its
 * waiter is known by then, its new priority is not. A waiter that is made
 * real-time in this very moment can be taken for the reason when there is another.
 */
static bool enoki_is_lent(struct task_struct *p)
{
	struct task_struct *waiter = rt_mutex_get_top_task(p);

	return waiter && rt_or_dl_prio(waiter->prio);
}

static bool dequeue_task_enoki(struct rq *rq, struct task_struct *p, int flags)
{
	struct sched_enoki_entity *ent = &p->enoki;
	struct enoki_task *token;

	if (enoki_throttled(p)) {
		enoki_forget_throttled(p, flags & DEQUEUE_SLEEP);
		return true;
	}

	if (task_current_donor(rq, p))
		update_curr_enoki(rq);

	if ((flags & (DEQUEUE_SAVE | DEQUEUE_CLASS)) == DEQUEUE_SAVE) {
		/* See enqueue_task_enoki(). */
	} else if (flags & DEQUEUE_SLEEP) {
		enoki_unqueue(rq, p, ENOKI_LEAVE_OVERRIDE, ENOKI_BLOCKED);
		ent->flags &= ~(ENOKI_P_YIELD | ENOKI_P_UNASKED);
		if (enoki_scaled(p))
			enoki_group_slept(p);
		token = enoki_lend(rq, p);
		if (likely(token && !(ent->flags & ENOKI_P_NEW)))
			enoki_call_task_blocked(ent->es, rq, token);
	} else if (task_on_rq_migrating(p)) {
		ent->from_cpu = cpu_of(rq);
		if (ent->state == ENOKI_QUEUED)
			ent->ready_since = enoki_clock(rq) - ent->ready_since;
		else
			ent->flags &= ~ENOKI_P_SEEN;
		enoki_unqueue(rq, p, ENOKI_LEAVE_MIGRATE, ENOKI_MIGRATING);
	} else {
		enoki_unqueue(rq, p, enoki_is_lent(p) ? ENOKI_LEAVE_BOOST :
							ENOKI_LEAVE_DETACH, ENOKI_BLOCKED);
	}

	enoki_count_out(rq, p);

	return true;
}

#ifdef CONFIG_CFS_BANDWIDTH
/**
 * enoki_throttle - a group has used up its bandwidth: stop one of its tasks
 * @rq: the run queue, locked, its clock updated
 * @p: the task, which runs and is on its way to user space
 *
 * The caller puts it with those that wait for new bandwidth.
 */
void enoki_throttle(struct rq *rq, struct task_struct *p)
{
	dequeue_task_enoki(rq, p, DEQUEUE_SLEEP | DEQUEUE_THROTTLE);
}

/**
 * enoki_unthrottle - a group has bandwidth again: so its task is ready
 * @rq: the run queue, locked, its clock updated
 * @p: the task
 */
void enoki_unthrottle(struct rq *rq, struct task_struct *p)
{
	enqueue_task_enoki(rq, p, ENQUEUE_WAKEUP);
	wakeup_preempt(rq, p, 0);
}

#ifdef CONFIG_SCHED_CORE
static int task_is_throttled_enoki(struct task_struct *p, int cpu)
{
	return enoki_throttled(p);
}
#endif
#endif

static void yield_task_enoki(struct rq *rq)
{
	rq->donor->enoki.flags |= ENOKI_P_YIELD;
	if (enoki_scaled(rq->donor))
		enoki_group_slept(rq->donor);
}

static void wakeup_preempt_enoki(struct rq *rq, struct task_struct *p, int flags)
{
	struct task_struct *curr = rq->donor;
	struct enoki_prq *mine, *its;
	struct enoki_task *token;

	/* Also called for a higher class's or a throttled task, and before a pick is final. */
	if (!(p->enoki.flags & ENOKI_P_COUNTED) || !enoki_is_running(curr) || curr == p ||
	    test_tsk_need_resched(rq->curr))
		return;

	update_curr_enoki(rq);
	if (p->enoki.es == curr->enoki.es) {
		token = enoki_lend(rq, curr);
		if (unlikely(!token))
			return;
		if (enoki_call_wakeup_preempt(curr->enoki.es, rq, token, p->enoki.task_id))
			resched_curr(rq);
		return;
	}

	mine = enoki_prq_of(curr->enoki.es, cpu_of(rq));
	its = enoki_prq_of(p->enoki.es, cpu_of(rq));
	if ((s64)(mine->vruntime - its->vruntime) > 0)
		resched_curr(rq);
}

/*
 * Picking.
 */

/* The policy with the smallest claim so far that may have something to run. */
static struct enoki_prq *enoki_next_prq(struct enoki_rq *erq)
{
	struct enoki_prq *prq, *best = NULL;

	list_for_each_entry(prq, &erq->active, node) {
		if (prq->skip_seq == erq->pick_seq)
			continue;
		if (!best || (s64)(prq->vruntime - best->vruntime) < 0)
			best = prq;
	}

	return best;
}

/* What a policy answered to pick_next_task: a task of its own, ready, here? */
static struct task_struct *enoki_check_pick(struct rq *rq, struct enoki_sched *es,
					    struct enoki_task *token, enum enoki_err *err)
{
	struct task_struct *p;

	p = __enoki_lookup(token->slot, token->gen);
	if (unlikely(!p || p->enoki.token != token || p->enoki.es != es)) {
		*err = ENOKI_ERR_STALE;
		return NULL;
	}
	if (unlikely(task_rq(p) != rq)) {
		*err = ENOKI_ERR_CPU;
		return NULL;
	}
	if (unlikely(p->enoki.state != ENOKI_QUEUED)) {
		*err = ENOKI_ERR_STATE;
		return NULL;
	}

	return p;
}

/* It may have to stop before it is in user space again, or have another slice. */
static noinline u64 enoki_picked_in_group(struct rq *rq, struct task_struct *p, u64 slice_ns)
{
	enoki_charge_groups(rq, p, 0);

	return enoki_scaled(p) ? enoki_group_slice(p, slice_ns) : slice_ns;
}

/* @p runs next; if it is the one that ran, no set_next_task() will follow. */
static struct task_struct *enoki_picked(struct rq *rq, struct task_struct *p, u64 slice_ns)
{
	if (p == rq->donor) {
		enoki_set_state(p, ENOKI_RUNNING);
		p->enoki.flags &= ~ENOKI_P_YIELD;
	} else {
		enoki_set_state(p, ENOKI_PICKED);
		rq->enoki.picked = p;
	}
	enoki_measure(rq, p);
	if (unlikely(p->enoki.flags & ENOKI_P_GROUPED))
		slice_ns = enoki_picked_in_group(rq, p, slice_ns);
	p->enoki.flags &= ~(ENOKI_P_UNASKED | ENOKI_P_RESCUED);
	p->enoki.slice_ns = slice_ns;
	enoki_slice_start(rq, p);
	if (p == rq->donor)
		enoki_slice_check(rq, p);

	return p;
}

/* @p runs although no policy says so; next time it is another one's turn. */
static struct task_struct *enoki_pick_itself(struct rq *rq, struct task_struct *p)
{
	u8 rescued = p->enoki.flags & ENOKI_P_RESCUED;

	list_move_tail(&p->enoki.run_node, &rq->enoki.runnable);
	enoki_picked(rq, p, NSEC_PER_MSEC);
	p->enoki.flags |= rescued;

	return p;
}

/* The next task for which a policy has no say: it lost its token, or was ejected. */
static struct task_struct *enoki_pick_for(struct rq *rq, struct enoki_sched *es)
{
	struct task_struct *p;

	list_for_each_entry(p, &rq->enoki.runnable, enoki.run_node) {
		if (p->enoki.es != es)
			continue;
		if (p->enoki.state == ENOKI_QUEUED && enoki_shut(es, rq, p->enoki.token))
			enoki_reclaim(rq, p, ENOKI_LEAVE_OVERRIDE);
		else if (p->enoki.state != ENOKI_ORPHAN)
			continue;
		return enoki_pick_itself(rq, p);
	}

	return NULL;
}

/* Let one policy pick. */
static struct task_struct *enoki_pick_from(struct rq *rq, struct enoki_prq *prq)
{
	struct task_struct *p, *curr = rq->donor;
	struct enoki_sched *es = prq->es;
	struct enoki_task *token, *prev = NULL;
	enum enoki_err err;
	u64 slice_ns;
	int errs;

	if (enoki_is_running(curr) && curr->enoki.es == es &&
	    (curr->enoki.flags & ENOKI_P_COUNTED)) {
		if (curr->enoki.flags & ENOKI_P_YIELD) {
			enoki_put_back(rq, curr);
		} else {
			enoki_core_wait(rq, curr, false);
			prev = enoki_grant(rq, curr);
		}
	}

	if (unlikely(prq->nr_orphans || enoki_shut(es, rq, NULL))) {
		if (prev)
			enoki_call_task_preempt(es, rq, prev);
		p = enoki_pick_for(rq, es);
		/* One that is new has some tasks already, or by now all of them. */
		if (p || enoki_ejected(es))
			return p;
		prev = NULL;
	}

	for (errs = 0; errs < ENOKI_MAX_ERRS; errs++) {
		slice_ns = 0;
		token = enoki_call_pick_next_task(es, rq, prev, &slice_ns);
		prev = NULL;
		if (!token) {
			enoki_count(es, pick_none);
			return NULL;
		}

		p = enoki_check_pick(rq, es, token, &err);
		if (likely(p)) {
			enoki_picked(rq, p, slice_ns);
			/* The same answer once more must be worth nothing. */
			if (enoki_fault(ENOKI_FAULT_DUPLICATE))
				WARN_ON_ONCE(enoki_check_pick(rq, es, token, &err));
			return p;
		}

		enoki_reject(es, err - 1);
		/* A past token is good for nothing: do not hand it back. */
		if (err == ENOKI_ERR_STALE)
			enoki_give_to_free(es, token);
		else
			enoki_call_pnt_err(es, rq, token, err);
	}

	return NULL;
}

/*
 * Run something whatever the policies say: the CPU is going away and only what
 * is picked can be moved off it, or the deadline server insists.
 */
static struct task_struct *enoki_force_pick(struct rq *rq)
{
	struct task_struct *p;

	list_for_each_entry(p, &rq->enoki.runnable, enoki.run_node) {
		if (p->enoki.state == ENOKI_RUNNING)
			return p;
		if (p->enoki.state == ENOKI_QUEUED)
			enoki_reclaim(rq, p, ENOKI_LEAVE_OVERRIDE);
		enoki_count(p->enoki.es, override);
		/* Whoever cannot be moved off this CPU is not in the others' way. */
		enoki_pick_itself(rq, p);
		p->enoki.flags |= ENOKI_P_UNASKED;
		return p;
	}

	return NULL;
}

/* Why can't @p, found by its name in @key, come from @src to @rq? 0 if it can. */
static int enoki_check_steal(struct rq *rq, struct rq *src, struct enoki_sched *es,
			     struct enoki_key *key, struct task_struct **pp)
{
	enum enoki_err err;
	struct task_struct *p;

	p = enoki_lookup(key->slot, key->gen, &err);
	if (!p || p->enoki.es != es)
		return ENOKI_ERR_STALE;
	if (task_rq(p) != src || !task_on_rq_queued(p) || !task_on_enoki(p) ||
	    task_on_cpu(src, p))
		return ENOKI_ERR_RACE;
	if (p->enoki.state != ENOKI_QUEUED)
		return ENOKI_ERR_STATE;
	/* In this order: what migration-disabled tasks may do is in their mask. */
	if (is_migration_disabled(p) || !task_allowed_on_cpu(p, cpu_of(rq)))
		return ENOKI_ERR_AFFINITY;
	if (!cpu_active(cpu_of(rq)))
		return ENOKI_ERR_OFFLINE;

	*pp = p;
	return 0;
}

/*
 * Bring the task that @key names here. Drops the lock of @rq in between.
 * Return: 0, or why not.
 */
static int enoki_steal(struct rq *rq, struct rq_flags *rf, struct enoki_sched *es,
		       struct enoki_key *key)
{
	struct task_struct *p;
	struct rq *src;
	int err;

	if ((u32)key->cpu >= nr_cpu_ids || !cpu_possible(key->cpu) ||
	    key->cpu == cpu_of(rq))
		return ENOKI_ERR_CPU;

	src = cpu_rq(key->cpu);
	rq_unpin_lock(rq, rf);
	double_lock_balance(rq, src);
	err = enoki_check_steal(rq, src, es, key, &p);
	if (!err) {
		move_queued_task_locked(src, rq, p);
		enoki_count(es, steal);
	}
	double_unlock_balance(rq, src);
	rq_repin_lock(rq, rf);

	return err;
}

/*
 * Nothing to run here: ask each policy for a task of another CPU. Not inlined, since a
 * pick that finds a task here would save and restore the registers for it.
 */
static noinline void enoki_balance(struct rq *rq, struct rq_flags *rf)
{
	struct enoki_key key;
	struct enoki_sched *es;
	int err;

	rq->enoki.kicked = false;

	guard(rcu)();
	list_for_each_entry_rcu(es, &enoki_scheds, node) {
		if (!atomic_read(&es->users) || enoki_shut(es, rq, NULL))
			continue;

		if (!enoki_call_balance(es, rq, &key))
			continue;

		err = enoki_steal(rq, rf, es, &key);
		if (err) {
			enoki_reject(es, err - 1);
			enoki_call_balance_err(es, rq, &key, err);
		}
		/* Stolen, or arrived while the lock was dropped. */
		if (rq->enoki.nr_running)
			return;
	}
}

static struct task_struct *enoki_pick_local(struct rq *rq)
{
	struct enoki_rq *erq = &rq->enoki;
	struct enoki_prq *prq;
	struct task_struct *p;

	if (likely(erq->nr_active == 1))
		return enoki_pick_from(rq, list_first_entry(&erq->active, struct enoki_prq, node));

	erq->pick_seq++;
	while ((prq = enoki_next_prq(erq))) {
		p = enoki_pick_from(rq, prq);
		if (p)
			return p;
		prq->skip_seq = erq->pick_seq;
	}

	return NULL;
}

/*
 * Core scheduling picks for all CPUs of a core and may then run another task
 * here, or none. What the policy chose stays chosen until it has run.
 */
static struct task_struct *enoki_pick_again(struct rq *rq)
{
	struct task_struct *p = rq->enoki.picked;

	enoki_slice_start(rq, p);

	return p;
}

static __always_inline struct task_struct *enoki_do_pick(struct rq *rq, struct rq_flags *rf,
							 bool server)
{
	struct enoki_rq *erq = &rq->enoki;
	struct task_struct *p = NULL;

	enoki_check_counts(rq);
	if (unlikely(erq->held_from))
		enoki_release(rq);

	if (unlikely(erq->picked))
		return enoki_pick_again(rq);

	if (unlikely(!cpu_active(cpu_of(rq))))
		return enoki_force_pick(rq);

	if (erq->nr_running) {
		if (!server && unlikely(rq->cfs.h_nr_runnable || erq->fair_until) &&
		    enoki_fair_turn(rq))
			return NULL;
		p = enoki_pick_local(rq);
	}

	/*
	 * The deadline server must not drop the lock, and under core scheduling
	 * the selection for all siblings must be of one moment: do not steal.
	 */
	if (!p && !server && !sched_core_enabled(rq)) {
		rq_modified_begin(rq, &enoki_sched_class);
		enoki_balance(rq, rf);
		if (rq_modified_above(rq, &enoki_sched_class))
			return RETRY_TASK;
		if (erq->nr_running)
			p = enoki_pick_local(rq);
	}

	/* Without a task the server would stop until the next wake-up. */
	if (!p && server)
		p = enoki_force_pick(rq);

	return p;
}

static int balance_enoki(struct rq *rq, struct rq_flags *rf)
{
	enoki_settle(rq);

	return 0;
}

static struct task_struct *pick_task_enoki(struct rq *rq, struct rq_flags *rf)
{
	struct task_struct *p = enoki_do_pick(rq, rf, false);

	if (unlikely(rq->enoki.kick_from))
		enoki_kick_done(rq);

	return p;
}

static struct task_struct *enoki_server_pick_task(struct sched_dl_entity *dl_se,
						  struct rq_flags *rf)
{
	if (!dl_se->rq->enoki.nr_running)
		return NULL;

	return enoki_do_pick(dl_se->rq, rf, true);
}

void enoki_server_init(struct rq *rq)
{
	init_dl_entity(&rq->enoki_server);
	dl_server_init(&rq->enoki_server, rq, enoki_server_pick_task);
}

/* @p runs. If core scheduling found it by its cookie its policy was not asked. */
static void enoki_run(struct rq *rq, struct task_struct *p)
{
	if (unlikely(p->enoki.state == ENOKI_QUEUED)) {
		enoki_reclaim(rq, p, ENOKI_LEAVE_OVERRIDE);
		enoki_count(p->enoki.es, override);
	}
	enoki_set_state(p, ENOKI_RUNNING);
}

static void put_prev_task_enoki(struct rq *rq, struct task_struct *p,
				struct task_struct *next)
{
	/* Who blocked was charged when it was dequeued. */
	if (p->enoki.flags & ENOKI_P_COUNTED)
		update_curr_enoki(rq);
	update_rt_rq_load_avg(rq_clock_pelt(rq), rq, 1);

	if (next)
		enoki_hold(rq, next);

	/*
	 * Not if it blocked, nor if the policy got it in this pick already, nor
	 * inside sched_change, where it is uncounted.
	 */
	if ((p->enoki.flags & ENOKI_P_COUNTED) && p->enoki.state == ENOKI_RUNNING)
		enoki_put_back(rq, p);
}

static void set_next_task_enoki(struct rq *rq, struct task_struct *p, bool first)
{
	p->se.exec_start = rq_clock_task(rq);

	if (!first)
		return;

	if (likely(rq->enoki.picked == p))
		rq->enoki.picked = NULL;
	enoki_run(rq, p);
	enoki_slice_check(rq, p);

	/* put_prev_task() of these has brought it up to date. */
	if (rq->donor->sched_class != &rt_sched_class && !task_on_enoki(rq->donor))
		update_rt_rq_load_avg(rq_clock_pelt(rq), rq, 0);
}

/*
 * Placement and the rest.
 */

static int select_task_rq_enoki(struct task_struct *p, int prev_cpu, int flags)
{
	struct enoki_sched *es = p->enoki.es;
	struct enoki_task *token;
	u32 wake_flags = 0;
	s32 cpu;

	/*
	 * On exec the task runs, and its memory may be lent to task_tick() of
	 * another CPU: it stays.
	 */
	if (flags & WF_EXEC || !es)
		return prev_cpu;

	if (flags & WF_FORK)
		wake_flags |= ENOKI_WAKE_FORK;
	if (flags & WF_SYNC)
		wake_flags |= ENOKI_WAKE_SYNC;

	if (unlikely(!enoki_enter(es, ENOKI_EV_select_task_rq)))
		return prev_cpu;
	token = p->enoki.token;
	if (unlikely(!token || !enoki_is_current(es, token))) {
		enoki_leave();
		return prev_cpu;
	}
	cpu = enoki_call_select_task_rq(es, enoki_lend_begun(p), prev_cpu, wake_flags);
	enoki_leave();

	/* Whether it is active the core checks, who can wait for it. */
	if (unlikely((u32)cpu >= nr_cpu_ids || !cpumask_test_cpu(cpu, p->cpus_ptr))) {
		enoki_reject(es, ENOKI_REJ_select_cpu);
		return prev_cpu;
	}

	return cpu;
}

/*
 * The slice that the policy gave is over, but in its group the task has a longer one.
 * That the policy wants to pick again means no more than that, then.
 */
static bool enoki_group_has_time(struct rq *rq, struct task_struct *curr)
{
	return enoki_scaled(curr) && (s64)(curr->enoki.slice_end - rq_clock(rq)) > 0 &&
	       curr->se.sum_exec_runtime >= curr->enoki.slot->own_end;
}

static void task_tick_enoki(struct rq *rq, struct task_struct *curr, int queued)
{
	struct enoki_sched *es = curr->enoki.es;
	struct enoki_prq *prq, *other;
	struct enoki_task *token;

	update_curr_enoki(rq);
	update_other_load_avgs(rq);
	enoki_look_at_hints(es);

	/*
	 * Its policy has the token: it is about to be asked, or core scheduling
	 * did not use what it picked, and the task runs on.
	 */
	if (unlikely(curr->enoki.state != ENOKI_RUNNING)) {
		if (test_tsk_need_resched(curr))
			return;
		enoki_run(rq, curr);
	}

	if (sched_core_enabled(rq)) {
		if (enoki_core_done(curr) && enoki_core_waits(rq))
			resched_curr(rq);
		/* See enoki_core_wait(). */
		sched_update_tick_dependency(rq);
	}

	/* Others may have come or gone. */
	if (unlikely(curr->enoki.flags & ENOKI_P_GROUPED))
		curr->enoki.flags |= ENOKI_P_CHANGED;
	token = enoki_lend(rq, curr);
	if (unlikely(!token)) {
		resched_curr(rq);
		return;
	}
	if (enoki_call_task_tick(es, rq, token) && !enoki_group_has_time(rq, curr))
		resched_curr(rq);

	if (rq->cfs.h_nr_runnable && enoki_fair_due(rq))
		resched_curr(rq);

	if (rq->enoki.nr_active < 2)
		return;

	prq = enoki_prq_of(es, cpu_of(rq));
	list_for_each_entry(other, &rq->enoki.active, node) {
		if ((s64)(prq->vruntime - other->vruntime) > 0) {
			resched_curr(rq);
			return;
		}
	}
}

static void set_cpus_allowed_enoki(struct task_struct *p, struct affinity_context *ctx)
{
	struct enoki_task_info info;

	set_cpus_allowed_common(p, ctx);
	p->enoki.flags |= ENOKI_P_CHANGED;

	if (!p->enoki.es || !p->enoki.token || (p->enoki.flags & ENOKI_P_NEW))
		return;

	enoki_fill_info(p, &info);
	enoki_call_task_affinity_changed(p->enoki.es, task_rq(p), p->enoki.token, &info);
}

static void prio_changed_enoki(struct rq *rq, struct task_struct *p, u64 oldprio)
{
	struct enoki_task_info info;

	p->enoki.flags |= ENOKI_P_CHANGED;
	if (p->prio == oldprio || !p->enoki.es || !p->enoki.token ||
	    (p->enoki.flags & ENOKI_P_NEW))
		return;

	enoki_fill_info(p, &info);
	enoki_call_task_prio_changed(p->enoki.es, rq, p->enoki.token, &info);
}

static unsigned int get_rr_interval_enoki(struct rq *rq, struct task_struct *p)
{
	return nsecs_to_jiffies(p->enoki.slice_ns);
}

/**
 * enoki_can_stop_tick - does the class need no tick on a run queue?
 * @rq: the run queue, locked
 *
 * Return: at most one attached task is ready there, no cpu.max applies to it, no fair
 * one waits for a turn, and none on a sibling for it to end.
 */
bool enoki_can_stop_tick(struct rq *rq)
{
	struct task_struct *p;

	if (rq->enoki.nr_running != 1)
		return !rq->enoki.nr_running;

	p = list_first_entry(&rq->enoki.runnable, struct task_struct, enoki.run_node);

	return !rq->cfs.h_nr_queued && !enoki_core_waits(rq) && !enoki_bandwidth_limited(p);
}

/**
 * enoki_cpu_online - tell the policies that a CPU takes tasks
 * @cpu: the CPU
 *
 * Context: CPU hotplug, may sleep.
 */
void enoki_cpu_online(int cpu)
{
	struct enoki_sched *es;

	guard(rcu)();
	list_for_each_entry_rcu(es, &enoki_scheds, node) {
		guard(irqsave)();
		enoki_call_cpu_online(es, cpu);
	}
}

/**
 * enoki_cpu_offline - tell the policies that a CPU takes no tasks any more
 * @cpu: the CPU
 *
 * Context: CPU hotplug, may sleep.
 */
void enoki_cpu_offline(int cpu)
{
	struct enoki_sched *es;

	guard(rcu)();
	list_for_each_entry_rcu(es, &enoki_scheds, node) {
		guard(irqsave)();
		enoki_call_cpu_offline(es, cpu);
	}
}

DEFINE_SCHED_CLASS(enoki) = {
	.enqueue_task		= enqueue_task_enoki,
	.dequeue_task		= dequeue_task_enoki,
	.yield_task		= yield_task_enoki,

	.wakeup_preempt		= wakeup_preempt_enoki,

	.balance		= balance_enoki,
	.pick_task		= pick_task_enoki,
	.put_prev_task		= put_prev_task_enoki,
	.set_next_task		= set_next_task_enoki,

	.select_task_rq		= select_task_rq_enoki,
	.set_cpus_allowed	= set_cpus_allowed_enoki,

	.task_tick		= task_tick_enoki,

	.prio_changed		= prio_changed_enoki,
	.get_rr_interval	= get_rr_interval_enoki,
	.update_curr		= update_curr_enoki,

#if defined(CONFIG_CFS_BANDWIDTH) && defined(CONFIG_SCHED_CORE)
	.task_is_throttled	= task_is_throttled_enoki,
#endif
#ifdef CONFIG_UCLAMP_TASK
	.uclamp_enabled		= 1,
#endif
};
