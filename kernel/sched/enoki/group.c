// SPDX-License-Identifier: GPL-2.0
/*
 * Control groups: what cpu.weight gives a group its attached tasks share, so that a
 * policy which looks at the weights of tasks only, or at none, obeys it all the same.
 *
 * A group knows the sum of the weights of all that is ready in it, on any CPU: its
 * attached tasks by their nice levels, and the groups in it by their shares. A task
 * weighs the part of its group's weight that it has of that sum, and so on upwards.
 * The policy sees that as the task's weight, anew when the task gets ready to run and
 * at each tick.
 *
 * And cpu.max holds: what attached tasks use comes out of the same pools as fair tasks'
 * time, see cfs_bandwidth_charge(). Whose group has nothing left is throttled on its
 * way to user space, which for its policy looks as if it slept.
 */
#ifdef CONFIG_FAIR_GROUP_SCHED

/* Below that switching would be most of what a short slice is used for. */
#define ENOKI_MIN_PART_NS	(100 * NSEC_PER_USEC)

/* What was run too long is made up for in later turns, but for more than so many. */
#define ENOKI_MAX_OWED		8

static unsigned long enoki_shares(struct task_group *tg)
{
	return scale_load_down(READ_ONCE(tg->shares));
}

/**
 * enoki_group_in - a task has become ready
 * @tg: its group
 * @weight: its weight in there
 *
 * Context: its run queue locked, until it is out again or for less.
 */
void enoki_group_in(struct task_group *tg, unsigned long weight)
{
	struct enoki_group *group;

	for (; tg != &root_task_group; tg = tg->parent) {
		group = &tg->enoki;
		atomic_long_add(weight, &group->weight);
		if (likely(atomic_add_unless(&group->nr, 1, 0)))
			return;

		/* What goes in further up must be what will come out of there. */
		guard(raw_spinlock)(&group->lock);
		if (atomic_inc_return(&group->nr) > 1)
			return;
		group->shares = enoki_shares(tg);
		weight = group->shares;
	}
}

/**
 * enoki_group_out - a task is not ready any more
 * @tg: its group
 * @weight: what enoki_group_in() was told
 *
 * Context: its run queue locked.
 */
void enoki_group_out(struct task_group *tg, unsigned long weight)
{
	struct enoki_group *group;

	for (; tg != &root_task_group; tg = tg->parent) {
		group = &tg->enoki;
		atomic_long_sub(weight, &group->weight);
		if (likely(atomic_add_unless(&group->nr, -1, 1)))
			return;

		guard(raw_spinlock)(&group->lock);
		if (atomic_dec_return(&group->nr))
			return;
		weight = group->shares;
	}
}

/* The shares of a group were changed while it has ready tasks. */
static void enoki_group_reweigh(struct task_group *tg)
{
	struct enoki_group *group = &tg->enoki;
	unsigned long shares;

	guard(raw_spinlock_irqsave)(&group->lock);
	shares = enoki_shares(tg);
	if (!atomic_read(&group->nr))
		return;
	atomic_long_add(shares - group->shares, &tg->parent->enoki.weight);
	group->shares = shares;
}

/**
 * enoki_group_weight - what a task weighs against all others
 * @tg: its group
 * @weight: its weight in there
 *
 * Context: any; the group stays, by the task's locks or RCU.
 * Return: 1 at least, 1024 for nice level 0 outside of groups.
 */
unsigned int enoki_group_weight(struct task_group *tg, unsigned long weight)
{
	u64 part = (u64)weight << 10;
	struct enoki_group *group;
	long sum;

	for (; tg != &root_task_group; tg = tg->parent) {
		group = &tg->enoki;
		if (unlikely(READ_ONCE(group->shares) != enoki_shares(tg)))
			enoki_group_reweigh(tg);
		/* Who is not counted now will be when it is ready. */
		sum = max_t(long, atomic_long_read(&group->weight), weight);
		weight = enoki_shares(tg);
		part = div64_ul(part * weight, sum);
	}

	return max(part >> 10, 1ULL);
}

/* How much longer could it have run, since its last turn began, than it did? */
static s64 enoki_group_owed(struct task_struct *p)
{
	u64 ran = p->se.sum_exec_runtime - p->enoki.slot->turn_from;

	return p->enoki.slice_ns ? p->enoki.slice_ns - ran : 0;
}

/**
 * enoki_group_slice - a task whose policy knows of no weights is picked
 * @p: the task, in a group
 * @slice_ns: what the policy gave it; 0 is none
 *
 * What others took away from its last turn comes on top, and what it ran too long
 * goes off, for instance where slices are so short that switching takes as long.
 *
 * Context: the run queue locked, the task's run time up to date.
 * Return: the task's part of it, no more than its policy gave or than
 *         enoki_longest_part(), so that for no other the wait gets too long.
 */
u64 enoki_group_slice(struct task_struct *p, u64 slice_ns)
{
	unsigned int part = enoki_group_weight(task_group(p), p->enoki.weight);
	struct enoki_slot *slot = p->enoki.slot;
	s64 due, owed = enoki_group_owed(p), most;

	slice_ns = min(slice_ns, ENOKI_MAX_SLICE_NS);
	slot->own_end = p->se.sum_exec_runtime + slice_ns;
	if (!slice_ns)
		return 0;

	/* Of 60 bits at most, as a group's shares have 18. */
	due = div64_ul(slice_ns * part, max(p->enoki.weight, 1U));
	most = max(slice_ns, enoki_longest_part(p->enoki.es));
	due += clamp_t(s64, owed, -ENOKI_MAX_OWED * due, due);
	slice_ns = clamp_t(s64, due, ENOKI_MIN_PART_NS, most);
	/* As if it had run before what it gets too much now. */
	slot->turn_from = p->se.sum_exec_runtime - (slice_ns - due);

	return slice_ns;
}

/**
 * enoki_group_slept - a task does not want the rest of its turn
 * @p: the task, which yields or goes to sleep
 */
void enoki_group_slept(struct task_struct *p)
{
	if (enoki_group_owed(p) > 0)
		p->enoki.slice_ns = 0;
}

#endif /* CONFIG_FAIR_GROUP_SCHED */

#ifdef CONFIG_CFS_BANDWIDTH

/**
 * enoki_stays_throttled - a throttled task is to be queued: is it, still?
 * @rq: the run queue, locked, perhaps another one than before
 * @p: the task, perhaps in another group or class than before
 *
 * Return: yes, and it waits there for its group to get bandwidth.
 */
bool enoki_stays_throttled(struct rq *rq, struct task_struct *p)
{
	struct cfs_rq *cfs_rq = tg_cfs_rq(task_group(p), cpu_of(rq));

	WARN_ON_ONCE(!list_empty(&p->throttle_node));
	/* A running one is throttled again on its way to user space. */
	if (!cfs_rq->throttle_count || task_current_donor(rq, p)) {
		p->throttled = false;
		return false;
	}
	list_add(&p->throttle_node, &cfs_rq->throttled_limbo_list);

	return true;
}

/**
 * enoki_forget_throttled - a throttled task is to be taken off its run queue
 * @p: the task
 * @sleeps: it goes to sleep, and when it wakes up it will be seen what is left
 *
 * Context: its run queue locked.
 */
void enoki_forget_throttled(struct task_struct *p, bool sleeps)
{
	list_del_init(&p->throttle_node);
	if (sleeps)
		p->throttled = false;
}

#endif /* CONFIG_CFS_BANDWIDTH */
