// SPDX-License-Identifier: GPL-2.0
/*
 * Which policies there are, who uses them, and what is left of their tasks.
 *
 * Under a run queue's lock nothing can be freed, so tokens and slots that are
 * done with go to lock-free lists of their policy; a hard irq_work, the only
 * thing that can be started from there, starts a worker that empties them. A
 * policy's module is pinned until its last task's memory is freed.
 */

/* Tasks come and go; the code is not worth changing for each first and last one. */
DEFINE_STATIC_KEY_DEFERRED_FALSE(__enoki_enabled, 10 * HZ);

DEFINE_PER_CPU(unsigned long, enoki_calling);

LIST_HEAD(enoki_scheds);
/* Of the list, and of who keeps which module. */
DEFINE_MUTEX(enoki_mutex);

static struct enoki_sched *enoki_find(u32 id)
{
	struct enoki_sched *es;

	list_for_each_entry_rcu(es, &enoki_scheds, node, lockdep_is_held(&enoki_mutex)) {
		if (es->id == id)
			return es;
	}

	return NULL;
}

/*
 * Ejection ends when it has seen that there are no users. Whoever became one without
 * being seen sees the ejection here.
 */
static struct enoki_sched *enoki_unless_ejected(struct enoki_sched *es)
{
	/* Pairs with the one in enoki_eject_fn(). */
	smp_mb();
	if (likely(!enoki_ejected(es)))
		return es;

	enoki_put(es);
	return NULL;
}

/**
 * enoki_get_used - pin a policy for one more task, if it has any
 * @id: its number
 *
 * Context: any. Fork comes here with locks held under which neither the
 * registry's nor that of static keys can be taken.
 * Return: the policy, or NULL if there is none, no task is attached to it, or it has
 *         been ejected.
 */
struct enoki_sched *enoki_get_used(u32 id)
{
	struct enoki_sched *es;

	guard(rcu)();
	es = enoki_find(id);
	if (!es || enoki_ejected(es) || !atomic_inc_not_zero(&es->users))
		return NULL;

	return enoki_unless_ejected(es);
}

/**
 * enoki_get - pin a policy for one more task
 * @id: its number
 *
 * Context: may sleep, no locks.
 * Return: the policy, or NULL if there is none, its module is going, it is closed, or it has
 *         been ejected.
 */
struct enoki_sched *enoki_get(u32 id)
{
	struct enoki_sched *es = enoki_get_used(id);

	if (es && READ_ONCE(es->closed)) {
		enoki_put(es);
		return NULL;
	}
	if (es)
		return es;

	guard(mutex)(&enoki_mutex);
	es = enoki_find(id);
	if (!es || enoki_ejected(es) || es->closed)
		return NULL;

	if (!atomic_inc_not_zero(&es->users)) {
		struct module *owner = READ_ONCE(es->ops)->owner;

		if (!try_module_get(owner))
			return NULL;
		es->pinned = owner;
		static_branch_inc(&__enoki_enabled.key);
		atomic_set(&es->users, 1);
		enoki_watch();
	}

	return enoki_unless_ejected(es);
}

/* The worker's half of enoki_put(): takes the locks that its callers can't. */
static void enoki_put_locked(struct enoki_sched *es)
{
	guard(mutex)(&enoki_mutex);
	if (atomic_dec_and_test(&es->users)) {
		static_branch_slow_dec_deferred(&__enoki_enabled);
		module_put(es->pinned);
		es->pinned = NULL;
	}
}

/**
 * enoki_put - one task less
 * @es: may be gone afterwards
 *
 * Context: any.
 */
void enoki_put(struct enoki_sched *es)
{
	/* Once it is on the worker's account only this keeps @es. */
	guard(rcu)();
	if (atomic_add_unless(&es->users, -1, 1))
		return;

	atomic_inc(&es->puts);
	enoki_defer(es);
}

/**
 * enoki_reject - count an answer that could not be used
 * @es: whose
 * @why: what was wrong with it
 *
 * Context: any, interrupts off.
 */
void enoki_reject(struct enoki_sched *es, enum enoki_reject why)
{
	this_cpu_inc(es->stats->rejected[why]);
}

/**
 * enoki_defer - have the policy's lists looked at soon
 * @es: the policy
 *
 * Context: any, run queue locks included.
 */
void enoki_defer(struct enoki_sched *es)
{
	irq_work_queue(&es->defer);
}

static struct llist_node *enoki_free_node(struct enoki_task *task)
{
	BUILD_BUG_ON(sizeof(task->free_next) != sizeof(struct llist_node));
	return (struct llist_node *)&task->free_next;
}

static struct enoki_task *enoki_of_node(struct llist_node *node)
{
	return container_of((struct enoki_task **)node, struct enoki_task, free_next);
}

/**
 * enoki_give_to_free - free a token once that is possible
 * @es: its policy
 * @task: nobody has it any more
 *
 * Context: any.
 */
void enoki_give_to_free(struct enoki_sched *es, struct enoki_task *task)
{
	llist_add(enoki_free_node(task), &es->freed);
	enoki_defer(es);
}

/**
 * enoki_token_make - have a policy make the memory of a task
 * @es: the policy
 * @info: the task
 * @tokenp: set to it
 *
 * Context: may sleep, with enoki_sched::calls read-locked.
 * Return: 0, or a negative errno: the policy's, with which it refuses the task, or -ENOMEM.
 */
int enoki_token_make(struct enoki_sched *es, const struct enoki_task_info *info,
		     struct enoki_task **tokenp)
{
	struct enoki_receipt *receipt = kzalloc_obj(*receipt);
	int ret;

	lockdep_assert_held_read(&es->calls);

	if (!receipt)
		return -ENOMEM;

	ret = es->ops->init_task(es->priv, info, &receipt->token);
	if (ret) {
		kfree(receipt);
		return ret;
	}
	receipt->token->receipt = receipt;
	receipt->token->epoch = es->epoch;
	*tokenp = receipt->token;

	guard(raw_spinlock_irqsave)(&es->lock);
	list_add_tail(&receipt->node, &es->receipts);
	if (enoki_is_taping())
		enoki_tape_made(es, info);

	return 0;
}

/**
 * enoki_token_placed - a task has a token from now on
 * @token: the token
 *
 * Until then somebody else leads to it.
 */
void enoki_token_placed(struct enoki_task *token)
{
	WRITE_ONCE(token->receipt->placed, true);
}

static void enoki_token_free_by(struct enoki_sched *es, const struct enoki_ops *ops,
				struct enoki_task *token)
{
	struct enoki_receipt *receipt = token->receipt;

	scoped_guard (raw_spinlock_irqsave, &es->lock)
		list_del(&receipt->node);
	kfree(receipt);
	if (enoki_is_taping())
		enoki_tape_freed(es, token);
	ops->free_task(token);
}

/**
 * enoki_token_free - free the memory of a task
 * @es: the policy
 * @token: nobody has it any more
 *
 * Context: may sleep.
 */
void enoki_token_free(struct enoki_sched *es, struct enoki_task *token)
{
	/* By the version that made it. */
	guard(rwsem_read)(&es->calls);
	enoki_token_free_by(es, enoki_is_current(es, token) ? es->ops : es->before, token);
}

/**
 * enoki_token_drop - the policy let go of a token without giving it back
 * @task: the token
 *
 * If it was the valid one of a queued task, the class runs that task by itself
 * until the next time it hands its token out.
 *
 * Context: any, run queue locks included.
 */
void enoki_token_drop(struct enoki_task *task)
{
	struct enoki_sched *es = task->es;

	if (enoki_is_taping())
		enoki_tape_asked(ENOKI_RECORD_DROP, task->info.id, 0);
	/* Without tasks it can be nobody's. Whoever removes the policy frees it. */
	if (unlikely(READ_ONCE(es->dying))) {
		llist_add(enoki_free_node(task), &es->freed);
		return;
	}

	llist_add(enoki_free_node(task), &es->lost);
	enoki_defer(es);
}
EXPORT_SYMBOL_GPL(enoki_token_drop);

/* Either adopt a dropped token's task or leave the token to be freed. */
static void enoki_take_lost(struct enoki_sched *es, struct enoki_task *token)
{
	enum enoki_err err;
	struct task_struct *p;

	guard(rcu)();
	p = enoki_lookup(token->slot, token->gen, &err);
	if (p) {
		CLASS(task_rq_lock, rq_guard)(p);

		if (p->enoki.token == token && p->enoki.gen == token->gen &&
		    p->enoki.state == ENOKI_QUEUED &&
		    p->enoki.slot->gen == token->gen) {
			update_rq_clock(rq_guard.rq);
			enoki_lost(rq_guard.rq, p);
			WRITE_ONCE(p->enoki.slot->gen, token->gen + 1);
			enoki_set_state(p, ENOKI_ORPHAN);
			if (!sched_class_above(rq_guard.rq->donor->sched_class,
					       &enoki_sched_class))
				resched_curr(rq_guard.rq);
			return;
		}
	}
	llist_add(enoki_free_node(token), &es->freed);
}

static void enoki_defer_fn(struct irq_work *irq_work)
{
	struct enoki_sched *es = container_of(irq_work, struct enoki_sched, defer);
	struct llist_node *node, *next;

	llist_for_each_safe(node, next, llist_del_all(&es->lost))
		enoki_take_lost(es, enoki_of_node(node));

	queue_work(system_dfl_wq, &es->work);
}

static struct task_struct *enoki_first_without_token(struct enoki_sched *es)
{
	struct task_struct *p;

	guard(raw_spinlock_irqsave)(&es->lock);
	list_for_each_entry(p, &es->tasks, enoki.tasks_node) {
		/* Racy, checked again under the run queue's lock. */
		if (!READ_ONCE(p->enoki.token))
			return get_task_struct(p);
	}

	return NULL;
}

/* Make new tokens for tasks whose policy lost theirs. */
static void enoki_renew_tokens(struct enoki_sched *es)
{
	struct enoki_task_info info;
	struct enoki_task *token;
	struct task_struct *p;
	int ret;

	/* While it is replaced that is done by who replaces it. */
	while (!READ_ONCE(es->out) && (p = enoki_first_without_token(es))) {
		enoki_fill_info(p, &info);
		scoped_guard (rwsem_read, &es->calls)
			ret = enoki_token_make(es, &info, &token);
		if (ret) {
			put_task_struct(p);
			break;
		}

		scoped_guard (task_rq_lock, p) {
			if (p->enoki.es == es && !p->enoki.token &&
			    !READ_ONCE(es->out) && enoki_is_current(es, token)) {
				token->es = es;
				token->slot = p->enoki.slot->nr;
				enoki_token_placed(token);
				p->enoki.token = token;
				p->enoki.flags |= ENOKI_P_CHANGED;
				token = NULL;
			}
		}
		if (token)
			enoki_token_free(es, token);
		put_task_struct(p);
	}
}

/* A token of the version that was replaced, if one is left. @*flying: one that has no task yet. */
static struct enoki_task *enoki_forgotten_token(struct enoki_sched *es, bool *flying)
{
	struct enoki_receipt *receipt;

	*flying = false;
	guard(raw_spinlock_irqsave)(&es->lock);
	list_for_each_entry(receipt, &es->receipts, node) {
		if (enoki_is_current(es, receipt->token))
			continue;
		if (READ_ONCE(receipt->placed))
			return receipt->token;
		*flying = true;
	}

	return NULL;
}

/*
 * No task has a token of the version that was replaced, its data is gone, and what was on
 * the lists has been freed: nothing leads to those that are left, but for those that were
 * made in the last moment.
 */
static void enoki_free_forgotten(struct enoki_sched *es)
{
	struct enoki_task *token;
	bool flying;

	while ((token = enoki_forgotten_token(es, &flying)))
		enoki_token_free_by(es, es->before, token);
	if (!flying)
		WRITE_ONCE(es->retiring, false);
}

static void enoki_work_fn(struct work_struct *work)
{
	struct enoki_sched *es = container_of(work, struct enoki_sched, work);
	struct llist_node *slots, *node, *next;
	struct enoki_slot *slot, *tmp;
	/* What was put on the lists before that is on them now: pairs with enoki_retire(). */
	bool retiring = smp_load_acquire(&es->retiring);
	int puts;

	/* First the users: each one's token was put on its list before. */
	puts = atomic_xchg(&es->puts, 0);
	slots = llist_del_all(&es->dead_slots);

	llist_for_each_safe(node, next, llist_del_all(&es->freed))
		enoki_token_free(es, enoki_of_node(node));

	if (retiring)
		enoki_free_forgotten(es);
	enoki_renew_tokens(es);

	llist_for_each_entry_safe(slot, tmp, slots, free_node) {
		enoki_slot_free(slot);
		puts++;
	}
	while (puts--)
		enoki_put_locked(es);
}

/* One upgrade, or removal of a policy, at a time. */
DEFINE_MUTEX(enoki_change_mutex);

/* A policy's name is also that of a directory, and stands in lines of text. */
static bool enoki_name_usable(const char *name)
{
	const char *c;

	for (c = name; *c; c++)
		if (!isalnum(*c) && *c != '_' && *c != '-')
			return false;

	return *name && !enoki_sysfs_has(name);
}

/* It is compared as bytes, so what follows its name must be zero. */
static bool enoki_layout_usable(const struct enoki_layout *layout, u32 max)
{
	size_t len = strnlen(layout->name, sizeof(layout->name));

	if (len == sizeof(layout->name) ||
	    memchr_inv(layout->name + len, 0, sizeof(layout->name) - len))
		return false;

	return len ? layout->size && layout->size <= max &&
		     IS_ALIGNED(layout->size, sizeof(u64)) : !layout->size;
}

/* Other forms of what is handed over have all calls, and are of something. */
static bool enoki_older_usable(const struct enoki_ops *ops)
{
	const struct enoki_older *older;

	if (!ops->nr_older)
		return true;
	if (!ops->older || !ops->state.size)
		return false;
	for (older = ops->older; older < ops->older + ops->nr_older; older++)
		if (!older->state.size || !older->exchange ||
		    !older->task_from_older != !older->task_to_older)
			return false;

	return true;
}

static int enoki_check_ops(const struct enoki_ops *ops)
{
	if (ops->abi_version != ENOKI_ABI_VERSION || ops->size != sizeof(*ops) ||
	    ops->task_size != sizeof(struct enoki_task)) {
		enoki_set_error("policy built for ABI %u (%u and %u bytes), this kernel has %u (%zu and %zu): rebuild it against this kernel",
				ops->abi_version, ops->size, ops->task_size,
				ENOKI_ABI_VERSION, sizeof(*ops),
				sizeof(struct enoki_task));
		return -ENOEXEC;
	}
	if (strnlen(ops->name, ENOKI_NAME_LEN) == ENOKI_NAME_LEN ||
	    strnlen(ops->version, ENOKI_NAME_LEN) == ENOKI_NAME_LEN) {
		enoki_set_error("policy with number %u: name and version must have less than %u bytes",
				ops->id, ENOKI_NAME_LEN);
		return -EINVAL;
	}
	if (!enoki_name_usable(ops->name)) {
		enoki_set_error("policy %s: a name has letters, digits, _ and -, and is none of the files in /sys/kernel/sched_enoki",
				ops->name);
		return -EINVAL;
	}
	if (!ops->id || ops->id > ENOKI_MAX_ID) {
		enoki_set_error("policy %s: number %u is not in 1..%u", ops->name, ops->id,
				ENOKI_MAX_ID);
		return -EINVAL;
	}
	if (ops->timeout_ms && (ops->timeout_ms < ENOKI_MIN_TIMEOUT_MS ||
				ops->timeout_ms > ENOKI_MAX_TIMEOUT_MS)) {
		enoki_set_error("policy %s: timeout_ms %u is not in %u..%u", ops->name,
				ops->timeout_ms, ENOKI_MIN_TIMEOUT_MS,
				ENOKI_MAX_TIMEOUT_MS);
		return -EINVAL;
	}
	if (ops->flags & ~ENOKI_OPS_WEIGHTED) {
		enoki_set_error("policy %s: flags %#x are not known", ops->name, ops->flags);
		return -EINVAL;
	}
	if (!enoki_layout_usable(&ops->hint, ENOKI_MAX_HINT_SIZE) ||
	    !enoki_layout_usable(&ops->message, ENOKI_MAX_HINT_SIZE)) {
		enoki_set_error("policy %s: a hint or a message has a name and 8 to %u bytes, a multiple of 8",
				ops->name, ENOKI_MAX_HINT_SIZE);
		return -EINVAL;
	}
	if ((ops->hint.size || ops->message.size) &&
	    (!ops->register_queue || !ops->unregister_queue || !ops->enter_queue ||
	     !ops->parse_hint)) {
		enoki_set_error("policy %s: it has hints or messages, but not all calls for their queues",
				ops->name);
		return -EINVAL;
	}
	/* It is not copied to anywhere, so it may have any size. */
	if (!enoki_layout_usable(&ops->state, U32_MAX) ||
	    (ops->state.size && (!ops->reregister_prep || !ops->reregister_init)) ||
	    !enoki_older_usable(ops)) {
		enoki_set_error("policy %s: what it hands over has a name and a size, a multiple of 8, and calls for it",
				ops->name);
		return -EINVAL;
	}
	if (ops->nr_timers > ENOKI_MAX_TIMERS) {
		enoki_set_error("policy %s: %u timers, at most %u", ops->name,
				ops->nr_timers, ENOKI_MAX_TIMERS);
		return -EINVAL;
	}

	return 0;
}

static struct enoki_sched *enoki_find_name(const char *name)
{
	struct enoki_sched *es;

	list_for_each_entry(es, &enoki_scheds, node)
		if (!strcmp(es->name, name))
			return es;

	return NULL;
}

/*
 * Reserve, or give back, the time that the deadline server has for attached
 * tasks, so that real-time tasks can't starve them.
 */
static int enoki_attach_servers(bool attach)
{
	struct rq *rq;
	int cpu, ret;

	for_each_possible_cpu(cpu) {
		rq = cpu_rq(cpu);
		guard(rq_lock_irqsave)(rq);
		update_rq_clock(rq);
		if (!attach) {
			dl_server_detach_bw(&rq->enoki_server);
			continue;
		}
		if (!rq->enoki_server.dl_server)
			continue;
		ret = dl_server_attach_bw(&rq->enoki_server);
		if (ret)
			return ret;
	}

	return 0;
}

static void enoki_sched_free(struct enoki_sched *es)
{
	enoki_eject_free(es);
	free_percpu(es->prq);
	free_percpu(es->stats);
	kfree(es->timers);
	kfree(es->log);
	kfree(es);
}

static struct enoki_sched *enoki_sched_alloc(struct enoki_build *build, const char *name, u32 id)
{
	struct enoki_sched *es = kzalloc_obj(*es);
	struct enoki_prq *prq;
	int cpu;

	if (!es)
		return NULL;

	es->ops = build->ops;
	es->build = build;
	strscpy(es->name, name);
	es->id = id;
	raw_spin_lock_init(&es->lock);
	INIT_LIST_HEAD(&es->tasks);
	INIT_LIST_HEAD(&es->receipts);
	init_llist_head(&es->freed);
	init_llist_head(&es->lost);
	init_llist_head(&es->dead_slots);
	es->defer = IRQ_WORK_INIT_HARD(enoki_defer_fn);
	INIT_WORK(&es->work, enoki_work_fn);
	raw_spin_lock_init(&es->log_lock);
	ratelimit_state_init(&es->log_limit, ENOKI_LOG_INTERVAL, ENOKI_LOG_LINES);
	enoki_watch_init(es);
	enoki_queues_init(es);
	enoki_upgrade_init(es);
	enoki_switch_init(es);
	es->log_kick = IRQ_WORK_INIT_HARD(enoki_log_kick);
	INIT_WORK(&es->log_work, enoki_log_fn);
	init_completion(&es->released);
	es->prq = alloc_percpu(struct enoki_prq);
	es->stats = alloc_percpu(struct enoki_stats);
	es->log = kmalloc(ENOKI_LOG_SIZE, GFP_KERNEL);
	if (!es->prq || !es->stats || !es->log || enoki_timers_init(es) ||
	    enoki_eject_init(es)) {
		enoki_sched_free(es);
		return NULL;
	}
	for_each_possible_cpu(cpu) {
		prq = enoki_prq_of(es, cpu);
		prq->es = es;
		INIT_LIST_HEAD(&prq->node);
		/* No instance, and not what enoki_sched::taped is without a recording. */
		per_cpu_ptr(es->stats, cpu)->instance = U32_MAX;
	}

	return es;
}

/* What may be changed of a policy @es has as @like has it. */
static void enoki_set_up_like(struct enoki_sched *es, const struct enoki_sched *like)
{
	es->timeout_ms = READ_ONCE(like->timeout_ms);
	es->budget = READ_ONCE(like->budget);
	es->max_hold_ms = READ_ONCE(like->max_hold_ms);
	es->max_blackout_ms = READ_ONCE(like->max_blackout_ms);
	es->max_rejects = READ_ONCE(like->max_rejects);
	es->hint_quota = READ_ONCE(like->hint_quota);
}

/* Put a policy that is set up into the registry. */
static int enoki_add(struct enoki_sched *es)
{
	struct enoki_sched *other;
	int ret;

	guard(mutex)(&enoki_mutex);
	other = enoki_find(es->id);
	if (other) {
		enoki_set_error("policy %s: number %u is taken by policy %s", es->name, es->id,
				other->name);
		return -EEXIST;
	}

	if (list_empty(&enoki_scheds)) {
		ret = enoki_attach_servers(true);
		if (ret) {
			enoki_set_error("policy %s: deadline tasks leave no bandwidth for enoki_server (see /sys/kernel/debug/sched/enoki_server)",
					es->name);
			goto err_servers;
		}
	}

	ret = enoki_sysfs_add(es);
	if (ret)
		goto err_servers;

	list_add_tail_rcu(&es->node, &enoki_scheds);

	return 0;

err_servers:
	if (list_empty(&enoki_scheds))
		enoki_attach_servers(false);
	return ret;
}

/* Make a policy of that code; @like: one that it is to be set up like, or NULL. */
static struct enoki_sched *enoki_put_into_office(struct enoki_build *build, const char *name,
						 u32 id, const struct enoki_sched *like)
{
	struct enoki_sched *es = enoki_sched_alloc(build, name, id);
	const struct enoki_ops *ops = build->ops;
	int ret;

	if (!es)
		return ERR_PTR(-ENOMEM);
	if (like)
		enoki_set_up_like(es, like);

	ret = ops->new_sched(&es->priv);
	if (ret)
		goto err_free;

	enoki_recorder_start();
	enoki_tape_new(es);
	ret = enoki_add(es);
	if (ret)
		goto err_sched;

	return es;

err_sched:
	ops->free_sched(es->priv);
err_free:
	enoki_sched_free(es);
	return ERR_PTR(ret);
}

/* The first version of a policy that is loaded goes into office. */
static int enoki_take_office(struct enoki_build *build)
{
	const struct enoki_ops *ops = build->ops;
	struct enoki_sched *es = enoki_put_into_office(build, ops->name, ops->id, NULL);

	if (IS_ERR(es))
		return PTR_ERR(es);

	build->es = es;
	pr_info("sched_enoki: policy %s %s registered as number %u\n", es->name, ops->version,
		es->id);

	return 0;
}

/* Every other one, which has the same number, stands by. */
static int enoki_stand_by(struct enoki_sched *es, struct enoki_build *build)
{
	const struct enoki_ops *ops = build->ops;

	if (es->build->es != es) {
		enoki_set_error("policy %s: the name is taken, by a version of policy %s that is tried",
				ops->name, es->ops->name);
		return -EEXIST;
	}
	if (ops->id != es->id) {
		enoki_set_error("policy %s: the name is taken, by number %u (if it is another version of that, load it with id=%u)",
				ops->name, es->id, es->id);
		return -EEXIST;
	}
	if (es->standby) {
		enoki_set_error("policy %s: version %s of module %s stands by already; remove that before",
				es->name, es->standby->ops->version,
				module_name(es->standby->ops->owner));
		return -EEXIST;
	}
	es->standby = build;
	build->es = es;
	pr_info("sched_enoki: policy %s: version %s of module %s stands by for version %s; to upgrade: echo 1 > /sys/kernel/sched_enoki/%s/upgrade\n",
		es->name, ops->version, module_name(ops->owner), es->ops->version, es->name);

	return 0;
}

/**
 * enoki_register - offer a policy to tasks, or a version of one to upgrade it to
 * @ops: its calls; must stay until enoki_unregister()
 *
 * If there is a policy of that name and number already it is another version of it, and
 * stands by.
 *
 * Context: may sleep; from a module's init function.
 * Return: the registration, or an ERR_PTR(); last_error in sysfs then says in
 *         words what is wrong.
 */
struct enoki_build *enoki_register(const struct enoki_ops *ops)
{
	struct enoki_build *build;
	struct enoki_sched *es;
	int ret;

	ret = enoki_check_ops(ops);
	if (ret)
		return ERR_PTR(ret);

	build = kzalloc_obj(*build);
	if (!build)
		return ERR_PTR(-ENOMEM);
	build->ops = ops;

	guard(mutex)(&enoki_change_mutex);
	es = enoki_find_name(ops->name);
	ret = es ? enoki_stand_by(es, build) : enoki_take_office(build);
	if (ret) {
		kfree(build);
		return ERR_PTR(ret);
	}

	return build;
}
EXPORT_SYMBOL_GPL(enoki_register);

/* The policy is gone, and with it all that could lead to one of its tokens. */
static void enoki_free_tokens(struct enoki_sched *es)
{
	struct llist_node *list, *node, *next;
	struct enoki_receipt *receipt;
	unsigned int forgotten = 0;

	for (;;) {
		/* What a policy kept for a task may have held another token. */
		while ((list = llist_del_all(&es->freed)))
			llist_for_each_safe(node, next, list)
				enoki_token_free(es, enoki_of_node(node));
		receipt = list_first_entry_or_null(&es->receipts, struct enoki_receipt, node);
		if (!receipt)
			break;
		enoki_token_free(es, receipt->token);
		forgotten++;
	}
	if (forgotten)
		pr_warn("sched_enoki: policy %s had forgotten %u tokens (core::mem::forget()?)\n",
			es->name, forgotten);
}

/* No task is attached, and no other version takes over. */
static void enoki_leave_office(struct enoki_sched *es)
{
	int pass;

	enoki_clients_part(es);
	enoki_sysfs_del(es);
	WRITE_ONCE(es->dying, true);
	/* Calls without a task (balance, CPUs) end with their RCU section. */
	synchronize_rcu();
	/* Twice, for what was begun in the first round before @dying was seen. */
	for (pass = 0; pass < 2; pass++) {
		enoki_timers_cancel(es);
		irq_work_sync(&es->defer);
		irq_work_sync(&es->log_kick);
		irq_work_sync(&es->hints_kick);
		enoki_eject_sync(es);
		/* They may run on two CPUs at once, and only one was waited for. */
		synchronize_rcu();
		flush_work(&es->work);
	}
	es->ops->free_sched(es->priv);
	enoki_free_tokens(es);
	flush_work(&es->log_work);
	pr_info("sched_enoki: policy %s unregistered\n", es->name);
	enoki_sched_free(es);
}

/* Nobody finds the policy any more. Return: that is so; otherwise it has users. */
static bool enoki_strike_off(struct enoki_sched *es)
{
	guard(mutex)(&enoki_mutex);
	if (atomic_read(&es->users))
		return false;
	list_del_rcu(&es->node);
	if (list_empty(&enoki_scheds))
		enoki_attach_servers(false);
	es->removed = true;

	return true;
}

/**
 * enoki_unregister - take a policy, or a version of one, back
 * @build: what enoki_register() returned; if it is in office no task is attached to it
 *
 * If another version stands by that takes over.
 *
 * Context: may sleep; from a module's exit function, which runs only when the
 * module is not pinned any more.
 */
void enoki_unregister(struct enoki_build *build)
{
	struct enoki_sched *es, *canary;

	scoped_guard (mutex, &enoki_change_mutex) {
		es = build->es;
		canary = enoki_canary_leaves(build);
		if (es && es->build == build && !enoki_give_up_office(es, &canary)) {
			WARN_ON_ONCE(!enoki_strike_off(es));
			if (es->standby)
				enoki_canary_alone(es->standby);
		} else {
			if (es)
				es->standby = NULL;
			es = NULL;
		}
	}
	if (canary)
		enoki_canary_free(canary);
	if (es)
		enoki_leave_office(es);
	kfree(build);
}
EXPORT_SYMBOL_GPL(enoki_unregister);
