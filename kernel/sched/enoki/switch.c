// SPDX-License-Identifier: GPL-2.0
/*
 * How the tasks of a policy go over to another policy, without a stay in any other class.
 *
 * That is done one task after the other, while all of them run: each gets its place in the
 * new policy first, and changes with its run queue locked. Whom the new policy refuses
 * stays where it is. Children come where their parents are, so it takes another look at
 * who is left until nobody is, or only those who are refused.
 */

/* So often it is waited for tasks that are just being forked, a tick each time. */
#define ENOKI_SWITCH_WAITS	1000

/**
 * struct enoki_switch - tasks go over to another policy
 * @to: the policy
 * @max: so many of them at most
 * @moved: how many have gone
 * @stayed: how many were refused, at the last look
 * @ret: why, one of them; or why it could not go on
 */
struct enoki_switch {
	struct enoki_sched	*to;
	unsigned int		max;
	unsigned int		moved;
	unsigned int		stayed;
	int			ret;
};

/* Have @p go from @es to where it is prepared for. Return: it has gone. */
static bool enoki_switch_over(struct enoki_sched *es, struct task_struct *p,
			      struct enoki_attach *ea)
{
	/* Another policy is as good as another class: nothing of the old one stays queued. */
	unsigned int flags = DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK | DEQUEUE_CLASS;

	CLASS(task_rq_lock, rq_guard)(p);
	if (p->enoki.es != es)
		return false;

	update_rq_clock(rq_guard.rq);
	scoped_guard (sched_change, p, flags)
		enoki_attach_commit(rq_guard.rq, p, ea);

	return true;
}

/* Return: 1 if @p has gone, 0 if it had left @es before, or why @to does not take it. */
static int enoki_switch_task(struct enoki_sched *es, struct enoki_sched *to,
			     struct task_struct *p)
{
	struct enoki_attach ea = { };
	int ret;

	if (!enoki_get(to->id))
		return -ENODEV;
	scoped_guard (rwsem_read, &to->calls)
		ret = enoki_prepare(to, p, &ea);
	if (ret) {
		enoki_put(to);
		return ret;
	}

	ret = enoki_switch_over(es, p, &ea);
	/* If it has left, or is dead. */
	enoki_attach_cancel(&ea);

	return ret;
}

/* How many tasks there are to be looked at. @forks: how many more are just being forked. */
static unsigned int enoki_nr_to_switch(struct enoki_sched *es, unsigned int *forks)
{
	struct task_struct *p;
	unsigned int nr = 0;

	*forks = 0;
	guard(raw_spinlock_irqsave)(&es->lock);
	list_for_each_entry(p, &es->tasks, enoki.tasks_node) {
		if (READ_ONCE(p->__state) == TASK_NEW)
			(*forks)++;
		else
			nr++;
	}

	return nr;
}

/* The first of them, which goes to the end of the list; there is no reference to a new one. */
static struct task_struct *enoki_first_to_switch(struct enoki_sched *es)
{
	struct task_struct *p;

	guard(raw_spinlock_irqsave)(&es->lock);
	list_for_each_entry(p, &es->tasks, enoki.tasks_node) {
		if (READ_ONCE(p->__state) == TASK_NEW)
			continue;
		list_move_tail(&p->enoki.tasks_node, &es->tasks);
		return get_task_struct(p);
	}

	return NULL;
}

/* Look at @nr tasks once. Return: some have gone. */
static bool enoki_switch_some(struct enoki_sched *es, struct enoki_switch *sw, unsigned int nr)
{
	unsigned int before = sw->moved;
	struct task_struct *p;
	int ret;

	sw->stayed = 0;
	sw->ret = 0;
	while (nr-- && sw->moved < sw->max) {
		if (enoki_ejected(es)) {
			sw->ret = -ENODEV;
			break;
		}
		p = enoki_first_to_switch(es);
		if (!p)
			break;
		ret = enoki_switch_task(es, sw->to, p);
		put_task_struct(p);
		if (ret > 0) {
			sw->moved++;
		} else if (ret < 0) {
			sw->stayed++;
			sw->ret = ret;
		}
		/* It refuses nobody: it is not there any more. */
		if (ret == -ENODEV && enoki_ejected(sw->to))
			break;
		cond_resched();
	}

	return sw->moved != before;
}

/* The policy's worker is a real-time task, and goes before those that it moves. */
static void enoki_switch_fn(struct kthread_work *work)
{
	struct enoki_sched *es = container_of(work, struct enoki_sched, switch_work);
	struct enoki_switch *sw = es->switching;
	unsigned int nr, forks, waits = 0;

	do {
		nr = enoki_nr_to_switch(es, &forks);
		if (enoki_switch_some(es, sw, nr))
			continue;
		if (!forks || sw->ret == -ENODEV || ++waits > ENOKI_SWITCH_WAITS)
			break;
		schedule_timeout_uninterruptible(1);
	} while (sw->moved < sw->max);
}

/* With enoki_change_mutex, which keeps both policies registered. */
static int enoki_switch_to(struct enoki_sched *es, struct enoki_switch *sw)
{
	es->switching = sw;
	kthread_queue_work(es->eject_worker, &es->switch_work);
	kthread_flush_work(&es->switch_work);
	es->switching = NULL;
	if (sw->moved == sw->max)
		sw->ret = 0;

	if (sw->ret == -ENODEV && (enoki_ejected(es) || enoki_ejected(sw->to)))
		enoki_set_error("policy %s: %u tasks switched to %s, then policy %s was ejected",
				es->name, sw->moved, sw->to->name,
				enoki_ejected(es) ? es->name : sw->to->name);
	else if (sw->ret)
		enoki_set_error("policy %s: %u tasks switched to %s, but %u stay, which it refuses, one of them with error %d",
				es->name, sw->moved, sw->to->name, sw->stayed, sw->ret);
	if (sw->moved)
		pr_info("sched_enoki: policy %s: %u tasks switched to policy %s\n", es->name,
			sw->moved, sw->to->name);

	return sw->ret;
}

/**
 * enoki_switch - have a policy's tasks go over to another policy
 * @es: the policy
 * @name: the name of the other one
 * @max: so many of them at most
 *
 * Context: may sleep; its directory in sysfs is in use.
 * Return: 0, and all have, or so many. -ENOENT if there is no policy of that name; -EINVAL if
 *         it is this one; -ENODEV if one of them has been ejected or is being removed, or what
 *         the other one refused a task with. Those that have gone do not come back for that.
 *         last_error has it in words.
 */
int enoki_switch(struct enoki_sched *es, const char *name, unsigned int max)
{
	struct enoki_switch sw = { .max = max };

	guard(mutex)(&enoki_change_mutex);
	if (es->removed)
		return -ENODEV;
	sw.to = enoki_find_name(name);
	if (!sw.to) {
		enoki_set_error("policy %s: no policy %s is registered to switch to (load its module first)",
				es->name, name);
		return -ENOENT;
	}
	if (sw.to == es) {
		enoki_set_error("policy %s: its tasks are there already", es->name);
		return -EINVAL;
	}
	if (enoki_ejected(es) || enoki_ejected(sw.to)) {
		enoki_set_error("policy %s has been ejected: no tasks are switched",
				enoki_ejected(es) ? es->name : name);
		return -ENODEV;
	}

	return enoki_switch_to(es, &sw);
}

/**
 * enoki_switch_init - set up what it takes to switch
 * @es: the policy, new
 */
void enoki_switch_init(struct enoki_sched *es)
{
	kthread_init_work(&es->switch_work, enoki_switch_fn);
}
