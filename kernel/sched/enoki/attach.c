// SPDX-License-Identifier: GPL-2.0
/*
 * How a task comes to a policy and leaves it.
 *
 * Attachment is p->enoki.es, not p->sched_class: priority inheritance runs an
 * attached task in another class for a while. A task is attached if and only
 * if its policy is SCHED_ENOKI, from before it is visible (fork) or from inside
 * sched_change (setscheduler) until it leaves or is dead.
 */

static atomic64_t enoki_last_task_id;

/*
 * The number of the policy travels in sched_priority, so that plain
 * sched_setscheduler(2) reaches it from every language. To carry it elsewhere,
 * change these two.
 */
static u32 enoki_attr_id(const struct sched_attr *attr)
{
	return attr->sched_priority;
}

/**
 * enoki_attr_set_id - the number of a task's policy, for sched_getattr(2)
 * @attr: filled in
 * @p: a task with policy SCHED_ENOKI
 */
void enoki_attr_set_id(struct sched_attr *attr, struct task_struct *p)
{
	attr->sched_priority = p->enoki.id;
}

/*
 * Everything of an attachment that may fail or sleep. @es is pinned, and its calls are
 * read-locked.
 */
static int enoki_prepare(struct enoki_sched *es, struct task_struct *p,
			 struct enoki_attach *ea)
{
	struct enoki_task_info info;
	struct enoki_task *token;
	int ret;

	ret = enoki_slot_alloc(&ea->slot);
	if (ret)
		return ret;

	enoki_fill_info(p, &info);
	info.id = atomic64_inc_return(&enoki_last_task_id);
	ret = enoki_token_make(es, &info, &token);
	if (ret) {
		enoki_set_error("policy %s refused %s[%d] with error %d", es->name,
				p->comm, task_pid_nr(p), ret);
		enoki_slot_free(ea->slot);
		return ret;
	}

	token->info = info;
	token->es = es;
	token->slot = ea->slot->nr;
	enoki_tape_slot(ea->slot);
	ea->token = token;
	ea->task_id = info.id;
	ea->es = es;

	return 0;
}

/*
 * Make a prepared attachment; @ea is used up. @p is off the run queue, which is locked, or
 * is being forked, with @es's calls read-locked: either keeps other versions out.
 */
static void enoki_join(struct task_struct *p, struct enoki_attach *ea)
{
	struct sched_enoki_entity *ent = &p->enoki;
	struct enoki_sched *es = ea->es;

	ent->token = ea->token;
	if (unlikely(!enoki_is_current(es, ea->token))) {
		/* Another version is in office by now. The class has the task until that has. */
		ent->token = NULL;
		enoki_give_to_free(es, ea->token);
	}
	ent->slot = ea->slot;
	ent->task_id = ea->task_id;
	ent->gen = 0;
	ent->slice_ns = 0;
	ent->slice_end = 0;
	ent->ready_since = 0;
	ent->id = es->id;
	ent->flags = ENOKI_P_NEW | ENOKI_P_CHANGED;
	ent->state = ENOKI_BLOCKED;
	WRITE_ONCE(ent->slot->task, p);
	WRITE_ONCE(ent->es, es);

	scoped_guard (raw_spinlock_irqsave, &es->lock)
		list_add_tail(&ent->tasks_node, &es->tasks);
	if (likely(ent->token))
		enoki_token_placed(ent->token);

	*ea = (struct enoki_attach){ };
}

/* Undo enoki_join(), tell nobody. @p is off the run queue. */
static void enoki_part(struct task_struct *p)
{
	struct sched_enoki_entity *ent = &p->enoki;
	struct enoki_sched *es = ent->es;

	/* As soon as the slot is on its list only this keeps @es. */
	guard(rcu)();

	WARN_ON_ONCE(ent->flags & ENOKI_P_COUNTED);

	scoped_guard (raw_spinlock_irqsave, &es->lock)
		list_del_init(&ent->tasks_node);

	WRITE_ONCE(ent->slot->gen, ent->slot->gen + 1);
	WRITE_ONCE(ent->slot->task, NULL);
	ent->slot->passed = NULL;
	if (ent->token)
		llist_add(enoki_free_node(ent->token), &es->freed);
	llist_add(&ent->slot->free_node, &es->dead_slots);
	ent->token = NULL;
	ent->slot = NULL;
	ent->id = 0;
	ent->flags = 0;
	ent->state = ENOKI_NONE;
	WRITE_ONCE(ent->es, NULL);

	enoki_defer(es);
}

/* Does sched_setscheduler() have to attach @p? */
static bool enoki_wants_attach(struct task_struct *p, int policy,
			       const struct sched_attr *attr)
{
	if (!enoki_policy(policy) || (attr->sched_flags & SCHED_FLAG_KEEP_PARAMS))
		return false;

	return !READ_ONCE(p->enoki.es) || enoki_attr_id(attr) != p->enoki.id;
}

/**
 * enoki_attach_prepare - get ready to attach a task to a policy
 * @p: the task
 * @policy: the scheduling policy asked for
 * @attr: what else was asked for
 * @user: by a user, who needs CAP_SYS_NICE: the class goes before fair
 * @ea: set up, or left empty when there is nothing to attach
 *
 * Context: may sleep, no locks.
 * Return: 0; -EPERM without the privilege; -ENODEV if no such policy is
 *         registered; -EINVAL for a kernel thread that belongs to a CPU; else
 *         what the policy's init_task refused the task with.
 */
int enoki_attach_prepare(struct task_struct *p, int policy, const struct sched_attr *attr,
			 bool user, struct enoki_attach *ea)
{
	struct enoki_sched *es;
	int ret;

	if (!enoki_wants_attach(p, policy, attr))
		return 0;

	if (user && !capable(CAP_SYS_NICE))
		return -EPERM;

	/* The kernel waits for these where no policy may delay it. */
	if ((p->flags & PF_KTHREAD) &&
	    ((p->flags & PF_NO_SETAFFINITY) || kthread_is_per_cpu(p))) {
		enoki_set_error("%s[%d] is a kernel thread bound to its CPUs, which can't be attached",
				p->comm, task_pid_nr(p));
		return -EINVAL;
	}

	es = enoki_get(enoki_attr_id(attr));
	if (!es) {
		enoki_set_error("no policy in office is registered as number %u (load its module first; if it was ejected, remove that before)",
				enoki_attr_id(attr));
		return -ENODEV;
	}

	scoped_guard (rwsem_read, &es->calls)
		ret = enoki_prepare(es, p, ea);
	if (ret)
		enoki_put(es);

	return ret;
}

/**
 * enoki_attach_stale - has the task changed since enoki_attach_prepare()?
 * @p: the task, its run queue locked
 * @policy: as there
 * @attr: as there
 * @ea: as there
 *
 * Return: it needs an attachment and none is prepared, so start again.
 */
bool enoki_attach_stale(struct task_struct *p, int policy,
			const struct sched_attr *attr, struct enoki_attach *ea)
{
	return !ea->es && enoki_wants_attach(p, policy, attr);
}

/**
 * enoki_attach_commit - make the change that was prepared
 * @rq: the task's run queue, locked
 * @p: the task, inside sched_change, its policy already the new one
 * @ea: what was prepared; emptied if it was used
 */
void enoki_attach_commit(struct rq *rq, struct task_struct *p, struct enoki_attach *ea)
{
	struct sched_enoki_entity *ent = &p->enoki;
	struct enoki_task *token;
	bool dead;

	if (ent->es && (!enoki_policy(p->policy) || ea->es)) {
		token = enoki_lend(rq, p);
		if (token && !(ent->flags & ENOKI_P_NEW))
			enoki_call_task_departed(ent->es, rq, token);
		enoki_part(p);
	}

	/*
	 * A dead task that nobody has reaped yet would never leave again:
	 * enoki_dead() has passed.
	 */
	dead = READ_ONCE(p->__state) == TASK_DEAD && !task_on_cpu(rq, p);
	if (ea->es && enoki_policy(p->policy) && !dead) {
		enoki_join(p, ea);
		enoki_look_at_hints(ent->es);
	}
}

/**
 * enoki_attach_cancel - drop what was prepared but not used
 * @ea: may be empty
 *
 * Context: may sleep, no locks.
 */
void enoki_attach_cancel(struct enoki_attach *ea)
{
	if (!ea->es)
		return;

	enoki_token_free(ea->es, ea->token);
	enoki_slot_free(ea->slot);
	enoki_put(ea->es);
	*ea = (struct enoki_attach){ };
}

/**
 * enoki_init_entity - give a task that is being forked an empty entity
 * @p: the child, still a copy of its parent; keeps the policy's number
 */
void enoki_init_entity(struct task_struct *p)
{
	p->enoki = (struct sched_enoki_entity){ .id = p->enoki.id };
	INIT_LIST_HEAD(&p->enoki.run_node);
	INIT_LIST_HEAD(&p->enoki.tasks_node);
}

/**
 * enoki_fork - attach the child of an attached task to the same policy
 * @p: the child, not visible to anyone yet
 *
 * If the policy has gone since the parent was copied the child starts in the
 * default class.
 *
 * Context: may sleep.
 * Return: 0, or what the policy's init_task refused the child with.
 */
int enoki_fork(struct task_struct *p)
{
	struct enoki_attach ea = { };
	struct enoki_sched *es;
	int ret;

	if (!enoki_policy(p->policy)) {
		p->enoki.id = 0;
		return 0;
	}

	/* The parent is a user; if it has left meanwhile, so does the child, to where that is. */
	es = enoki_get_used(p->enoki.id);
	while (!es) {
		u32 id = READ_ONCE(current->enoki.id);

		if (!id || id == p->enoki.id)
			break;
		p->enoki.id = id;
		es = enoki_get_used(id);
	}
	if (!es) {
		p->enoki.id = 0;
		p->policy = SCHED_NORMAL;
		p->sched_class = __setscheduler_class(p->policy, p->prio);
		return 0;
	}

	scoped_guard (rwsem_read, &es->calls) {
		ret = enoki_prepare(es, p, &ea);
		if (!ret)
			enoki_join(p, &ea);
	}
	if (ret)
		enoki_put(es);

	return ret;
}

/**
 * enoki_cancel_fork - the fork failed later on
 * @p: the child, never visible; attached or not
 */
void enoki_cancel_fork(struct task_struct *p)
{
	if (p->enoki.es)
		enoki_part(p);
}

/**
 * enoki_dead - an attached task has been switched away from for the last time
 * @p: the task
 *
 * Context: finish_task_switch(), no locks, preemption off.
 */
void enoki_dead(struct task_struct *p)
{
	struct enoki_task *token;

	/* Written last while it was on a CPU, see enoki_attach_commit(). */
	if (likely(!p->enoki.es))
		return;

	CLASS(task_rq_lock, rq_guard)(p);
	if (!p->enoki.es)
		return;

	update_rq_clock(rq_guard.rq);
	token = enoki_lend(rq_guard.rq, p);
	if (token && !(p->enoki.flags & ENOKI_P_NEW))
		enoki_call_task_dead(p->enoki.es, rq_guard.rq, token);
	enoki_part(p);
}
