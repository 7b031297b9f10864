// SPDX-License-Identifier: GPL-2.0
/*
 * How a policy is replaced by another version of itself while its tasks run.
 *
 * Both versions are loaded, as modules of different names: the one in office, and one
 * that stands by. An upgrade makes the new version's data while everything goes on, then
 * closes a gate, so that nobody is in the policy and nobody enters it; moves over what
 * the old version knows; and opens the gate. If the new version refuses, what it got goes
 * back and the old one stays.
 *
 * The gate. Nearly every call is made with the run queue locked. So who has closed the gate
 * takes the lock of each run queue once, which waits for the calls under it, and marks the
 * run queue. Whoever locks a run queue that is marked waits at the gate; one that is not
 * marked yet is still the old version's, so that what is done under one hold of a lock is
 * all done with the same version. Calls without a run queue's lock say that they are there,
 * see enoki_enter().
 *
 * Who waits at the gate keeps the lock. Another CPU may have the lock of a run queue that
 * is not marked yet, and wait for that one: then nobody gets on. So the locks are waited
 * for only for some time. Then the gate is opened, nothing has happened, and it is tried
 * again. (There is a model of the gate, in all orders of memory accesses, with the programs
 * for user space: enoki-models/src/gate.rs. Keep them alike.)
 *
 * What the old version knows either is what the new one knows in the same form (both name
 * it, see enoki_ops::state): then it changes hands as it is, with all tokens in it, and
 * takes as long for many tasks as for few. The same goes for another form, if one of the two
 * versions knows both (see &struct enoki_older). Or the new version begins with nothing. Then
 * the class runs the tasks that are ready by itself, first come first served, until it has
 * given the new version a token of each, one task after the other. So it does, too, if what
 * the two keep for a task has different forms: then that is carried over with each task.
 */
#include <linux/delay.h>

#define CREATE_TRACE_POINTS
#include <trace/events/enoki.h>
#undef CREATE_TRACE_POINTS

/* How long the locks are waited for: the first time, and at most; but see enoki_patience_ns(). */
#define ENOKI_SWEEP_MIN_NS	(50ULL * NSEC_PER_USEC)
#define ENOKI_SWEEP_MAX_NS	(10ULL * NSEC_PER_MSEC)
/* So often it is tried. */
#define ENOKI_SWEEPS		100

/* How long anybody waits for a new version to come into office. */
#define ENOKI_MAX_BLACKOUT_MS	1000

/**
 * struct enoki_upgrade - an upgrade that is being made
 * @build: the new version
 * @priv: its data; afterwards that of the other version
 * @queued: for each CPU how many tokens the old version had, or -1
 * @keep: the new version takes over what the old one knows
 * @older: how, if that has another form; NULL if not
 * @back: it is the new version that has the older form
 * @anew: it is the same version, and recorded from then on
 * @ret: what came of it
 */
struct enoki_upgrade {
	struct enoki_build		*build;
	void				*priv;
	s64				*queued;
	bool				keep;
	const struct enoki_older	*older;
	bool				back;
	bool				anew;
	int				ret;
};

/* Do the tokens of the old version become the new one's? Otherwise that gets others. */
static bool enoki_keeps_tokens(const struct enoki_upgrade *up)
{
	return up->keep && !(up->older && up->older->task_from_older);
}

/* Numbers the closings of gates; see enoki_sched::gate_seq. */
static unsigned int enoki_gate_seq;

/* The last closing in which the CPU's run queue was locked; written with it locked. */
static DEFINE_PER_CPU(unsigned int, enoki_swept);

/* How long this CPU waited at a gate, since that was last asked, ns. */
static DEFINE_PER_CPU(u64, enoki_waited_ns);

/*
 * The gate.
 */

/*
 * It goes on with interrupts off. Where the clock that counts cycles is not to be relied on,
 * local_clock() stands still after a tick.
 */
static u64 enoki_gate_clock(void)
{
	return ktime_get_mono_fast_ns();
}

/**
 * enoki_wait_at_gate - wait until a policy has been replaced
 * @es: the policy
 *
 * Context: interrupts off; any lock but those that an upgrade takes.
 * Return: it may be called. Otherwise it has been ejected, perhaps for what this took.
 */
bool enoki_wait_at_gate(struct enoki_sched *es)
{
	u64 since = enoki_gate_clock(), most, waited = 0;
	struct enoki_offence offence;

	most = (u64)READ_ONCE(es->max_blackout_ms) * NSEC_PER_MSEC;
	while (READ_ONCE(es->out) == ENOKI_OUT_GATE) {
		cpu_relax();
		waited = enoki_gate_clock() - since;
		if (waited <= most)
			continue;
		offence = (struct enoki_offence){
			.amount = waited, .cpu = smp_processor_id(), .call = ENOKI_NR_EVENTS,
		};
		enoki_eject(es, ENOKI_EXIT_UPGRADE, &offence);
	}
	/* Pairs with the release in enoki_open_gate(). */
	smp_acquire__after_ctrl_dep();
	if (waited > __this_cpu_read(enoki_waited_ns))
		__this_cpu_write(enoki_waited_ns, waited);

	return !enoki_ejected(es);
}

/**
 * __enoki_shut - enoki_shut() of a policy that is not simply in office
 * @es: the policy
 * @rq: a run queue, locked
 * @token: what the call is about, or NULL
 *
 * Return: it is not to be called.
 */
bool __enoki_shut(struct enoki_sched *es, struct rq *rq, const struct enoki_task *token)
{
	/* Pairs with the release in enoki_open_gate(), each time. */
	unsigned int out = smp_load_acquire(&es->out);

	if (out == ENOKI_OUT_GATE) {
		/*
		 * Before its lock was taken: what is in office, as until now. If that is new
		 * since @out was read, the number pairs with the release in enoki_close_gate().
		 */
		if (per_cpu(enoki_swept, cpu_of(rq)) != smp_load_acquire(&es->gate_seq))
			return false;
		enoki_wait_at_gate(es);
		/* As above. */
		out = smp_load_acquire(&es->out);
	}
	if (out == ENOKI_OUT_CHANGE)
		return !token || !enoki_is_current(es, token);

	/* Or closed once more: this run queue's lock was taken before. */
	return out && out != ENOKI_OUT_GATE;
}

/* Mark @rq, and what is locked with it. */
static void enoki_mark_swept(struct rq *rq, unsigned int seq)
{
#ifdef CONFIG_SCHED_CORE
	int cpu;

	for_each_cpu(cpu, cpu_smt_mask(cpu_of(rq)))
		if (__rq_lockp(cpu_rq(cpu)) == __rq_lockp(rq))
			per_cpu(enoki_swept, cpu) = seq;
#endif
	per_cpu(enoki_swept, cpu_of(rq)) = seq;
}

/* Lock a run queue once, and mark it. Return: that was possible in time. */
static bool enoki_sweep(int cpu, unsigned int seq, u64 deadline)
{
	struct rq *rq = cpu_rq(cpu);

	while (!raw_spin_rq_trylock(rq)) {
		if ((s64)(enoki_gate_clock() - deadline) > 0)
			return false;
		cpu_relax();
	}
	enoki_mark_swept(rq, seq);
	raw_spin_rq_unlock(rq);

	return true;
}

/* Wait for a call on @cpu that is made without a run queue's lock. */
static bool enoki_await_call(struct enoki_sched *es, int cpu, u64 deadline)
{
	const unsigned long *calling = per_cpu_ptr(&enoki_calling, cpu);

	/* Pairs with the release in enoki_leave(). */
	while ((void *)(smp_load_acquire(calling) & ~ENOKI_CALL_MASK) == es) {
		if ((s64)(enoki_gate_clock() - deadline) > 0)
			return false;
		cpu_relax();
	}

	return true;
}

/*
 * Close the gate. Interrupts are off. Return: nobody is in the policy; otherwise somebody
 * may still be, and the gate must be opened again.
 */
static bool enoki_close_gate(struct enoki_sched *es, u64 patience_ns)
{
	u64 deadline;
	int cpu;

	/* Pairs with the acquire in __enoki_shut(): the gate was open since the last time. */
	smp_store_release(&es->gate_seq, ++enoki_gate_seq);
	if (cmpxchg(&es->out, 0, ENOKI_OUT_GATE))
		return false;
	/* Pairs with the one in enoki_enter(): one of us sees the other. */
	smp_mb();

	deadline = enoki_gate_clock() + patience_ns;
	for_each_possible_cpu(cpu)
		if (!enoki_sweep(cpu, es->gate_seq, deadline))
			return false;
	for_each_possible_cpu(cpu)
		if (!enoki_await_call(es, cpu, deadline))
			return false;

	return true;
}

/* Open the gate, to @out. Return: it was closed, that is, the policy was not ejected. */
static bool enoki_open_gate(struct enoki_sched *es, unsigned int out)
{
	/* Whoever sees that it is open sees which version is in office. */
	return cmpxchg_release(&es->out, ENOKI_OUT_GATE, out) == ENOKI_OUT_GATE;
}

/*
 * Moving over.
 */

static void enoki_swap_words(void *a, void *b, size_t size)
{
	u64 *x = a, *y = b;
	size_t i;

	for (i = 0; i < size / sizeof(*x); i++)
		swap(x[i], y[i]);
}

static struct enoki_ctx enoki_upgrade_ctx(struct enoki_sched *es)
{
	int cpu = smp_processor_id();

	return (struct enoki_ctx){
		.now_ns	= sched_clock_cpu(cpu),
		.cpu	= cpu,
		.es	= es,
	};
}

/* Nobody else calls it: should it not come back it is known where it is. */
#define ENOKI_UPGRADE_CALL(_es, _ops, _op, ...)					\
({										\
	enoki_call_begin((_es), ENOKI_EV_##_op);				\
	__auto_type __answer = (_ops)->_op(__VA_ARGS__);			\
	enoki_call_end();							\
	__answer;								\
})

/* The policy took its locks for that. The flight recorder does without: everybody waits. */
static void enoki_upgrade_note_count(struct enoki_sched *es, const struct enoki_ctx *cx, s64 nr)
{
	if (enoki_is_taping())
		enoki_note_task(es, ENOKI_EV_nr_queued, cx, 0, nr);
}

/* How many tokens the old version has on each CPU. */
static void enoki_upgrade_count(struct enoki_sched *es, struct enoki_upgrade *up,
				struct enoki_ctx *cx)
{
	const struct enoki_ops *old = es->ops;
	s64 nr;

	for_each_possible_cpu(cx->cpu) {
		nr = ENOKI_UPGRADE_CALL(es, old, nr_queued, es->priv, cx);
		enoki_upgrade_note_count(es, cx, nr);
		up->queued[cx->cpu] = nr;
	}
}

/* Has the new one those? */
static int enoki_upgrade_compare(struct enoki_sched *es, struct enoki_upgrade *up,
				 struct enoki_ctx *cx)
{
	const struct enoki_ops *new = up->build->ops;
	s64 nr;

	for_each_possible_cpu(cx->cpu) {
		nr = ENOKI_UPGRADE_CALL(es, new, nr_queued, up->priv, cx);
		enoki_upgrade_note_count(es, cx, nr);
		if (nr >= 0 && up->queued[cx->cpu] >= 0 && nr != up->queued[cx->cpu])
			return -EBADE;
	}

	return 0;
}

/* What the two versions know changes hands. */
static void enoki_exchange(struct enoki_sched *es, struct enoki_upgrade *up, void *from,
			   void *to)
{
	if (!up->older) {
		enoki_swap_words(from, to, es->ops->state.size);
		return;
	}
	enoki_call_begin(es, ENOKI_EV_reregister_prep);
	if (up->back)
		up->older->exchange(from, to);
	else
		up->older->exchange(to, from);
	enoki_call_end();
}

/* Give the new version what the old one knows. Return: 0, or it has it back. */
static int enoki_hand_over(struct enoki_sched *es, struct enoki_upgrade *up)
{
	const struct enoki_ops *old = es->ops, *new = up->build->ops;
	struct enoki_ctx cx = enoki_upgrade_ctx(es), each = cx;
	void *from, *to;
	int ret;

	enoki_upgrade_count(es, up, &each);

	enoki_note_task(es, ENOKI_EV_reregister_prep, &cx, 0, 0);
	from = ENOKI_UPGRADE_CALL(es, old, reregister_prep, es->priv, &cx);
	to = ENOKI_UPGRADE_CALL(es, new, reregister_prep, up->priv, &cx);
	enoki_exchange(es, up, from, to);
	ret = ENOKI_UPGRADE_CALL(es, new, reregister_init, up->priv, &cx);
	enoki_note_task(es, ENOKI_EV_reregister_init, &cx, 0, ret);
	if (!ret && enoki_keeps_tokens(up))
		ret = enoki_upgrade_compare(es, up, &each);
	if (!ret)
		return 0;

	enoki_exchange(es, up, from, to);
	ENOKI_UPGRADE_CALL(es, old, reregister_init, es->priv, &cx);

	return ret;
}

/**
 * enoki_number_instance - a policy has new data
 * @es: the policy
 * @inherits: they have what was known before
 *
 * Context: with enoki_change_mutex; nobody calls the policy.
 */
void enoki_number_instance(struct enoki_sched *es, bool inherits)
{
	static unsigned int last;

	es->instance = ++last;
	es->inherits = inherits;
	enoki_tape_instance(es, es->taped);
}

/* The gate is closed. Return: 0, and the new version is in office; or it refused. */
static int enoki_swap(struct enoki_sched *es, struct enoki_upgrade *up)
{
	struct enoki_build *old = es->build;
	int ret;

	if (up->keep) {
		ret = enoki_hand_over(es, up);
		if (ret)
			return ret;
	}
	if (!enoki_keeps_tokens(up))
		WRITE_ONCE(es->epoch, es->epoch + 1);
	es->before = old->ops;
	WRITE_ONCE(es->ops, up->build->ops);
	if (!enoki_same_layouts(old->ops, es->ops)) {
		/* Who joins, sees it, and compares does so with the layouts of the new version. */
		smp_store_release(&es->layouts, es->layouts + 1);
	}
	swap(es->priv, up->priv);
	enoki_number_instance(es, up->keep);
	if (up->anew) {
		enoki_tape_instance(es, true);
		return 0;
	}
	es->build = up->build;
	es->standby = old;

	return 0;
}

/* Close the gate, swap, open it. Return: 0 or why not; -EAGAIN if somebody kept a lock. */
static int enoki_try_swap(struct enoki_sched *es, struct enoki_upgrade *up, u64 patience_ns)
{
	unsigned int out = 0;
	int ret = -EAGAIN;
	u64 since;

	guard(irqsave)();
	since = enoki_gate_clock();
	if (enoki_close_gate(es, patience_ns)) {
		ret = enoki_swap(es, up);
		if (!ret && !enoki_keeps_tokens(up))
			out = ENOKI_OUT_CHANGE;
	}
	if (!enoki_open_gate(es, out) && ret)
		return -ENODEV;
	if (!ret)
		es->upgrades.blackout_ns = enoki_gate_clock() - since;

	return ret;
}

/*
 * Afterwards: the tokens.
 */

/* Has @p a token of the old version, or none, of which the new one does not know? Racy. */
static bool enoki_token_passed(struct enoki_sched *es, struct task_struct *p)
{
	struct enoki_task *token = READ_ONCE(p->enoki.token);

	return token ? !enoki_is_current(es, token) : !(p->enoki.flags & ENOKI_P_NEW);
}

/*
 * The first of these tasks; one that is being forked has no reference to take, and is
 * only counted. @none is set if there is not even such a one.
 */
static struct task_struct *enoki_first_passed(struct enoki_sched *es, bool *none)
{
	struct task_struct *p;

	*none = true;
	guard(raw_spinlock_irqsave)(&es->lock);
	list_for_each_entry(p, &es->tasks, enoki.tasks_node) {
		if (!enoki_token_passed(es, p))
			continue;
		*none = false;
		if (READ_ONCE(p->__state) == TASK_NEW)
			continue;
		/* So that the next one is found at once. */
		list_move_tail(&p->enoki.tasks_node, &es->tasks);
		return get_task_struct(p);
	}

	return NULL;
}

/*
 * Have the new token of a task know what the old one does, if they differ only in form. The
 * policy may have the old one; but the version that has it is not called any more.
 */
static bool enoki_carry_over(struct enoki_sched *es, struct enoki_task *token,
			     const struct enoki_task *old)
{
	const struct enoki_upgrade *up = es->upgrade;

	if (!old || !up->keep)
		return false;
	enoki_call_begin(es, ENOKI_EV_reregister_init);
	if (up->back)
		up->older->task_to_older(token, old);
	else
		up->older->task_from_older(token, old);
	enoki_call_end();

	return true;
}

/*
 * Exchange the token of @p, whose run queue is locked, for one of the new version, or for
 * none: then the class runs the task, until there is one.
 */
static void enoki_exchange_token(struct rq *rq, struct task_struct *p, struct enoki_task *token)
{
	struct sched_enoki_entity *ent = &p->enoki;

	if (!token || !enoki_carry_over(ent->es, token, ent->token ?: ent->slot->passed))
		ent->flags |= ENOKI_P_NEW;
	ent->slot->passed = NULL;
	/* What is queued the old version has; that is freed with the rest of it. */
	if (ent->token && ent->state != ENOKI_QUEUED)
		enoki_give_to_free(ent->es, ent->token);
	WRITE_ONCE(ent->slot->gen, ent->slot->gen + 1);
	enoki_tape_slot(ent->slot);
	ent->token = token;
	ent->flags |= ENOKI_P_CHANGED;
	if (ent->state == ENOKI_BLOCKED)
		return;

	update_rq_clock(rq);
	if (ent->state == ENOKI_QUEUED)
		enoki_set_state(p, ENOKI_ORPHAN);
	if (token) {
		if (rq->enoki.picked == p)
			rq->enoki.picked = NULL;
		enoki_announce(rq, p, 0);
	} else {
		/* Perhaps there is one later. */
		enoki_defer(ent->es);
	}
	if (!sched_class_above(rq->donor->sched_class, &enoki_sched_class))
		resched_curr(rq);
}

/* Give @p the token, or none. Return: it has it. */
static bool enoki_change_over(struct enoki_sched *es, struct task_struct *p,
			      struct enoki_task *token)
{
	CLASS(task_rq_lock, rq_guard)(p);

	if (p->enoki.es != es || enoki_ejected(es) || !enoki_token_passed(es, p))
		return false;
	if (token) {
		token->es = es;
		token->slot = p->enoki.slot->nr;
		enoki_token_placed(token);
	}
	enoki_exchange_token(rq_guard.rq, p, token);

	return true;
}

/* Give the new version its tokens, one task after the other. */
static void enoki_change_all(struct enoki_sched *es)
{
	struct enoki_task_info info;
	struct enoki_task *token;
	struct task_struct *p;
	bool none;

	for (;;) {
		p = enoki_first_passed(es, &none);
		if (none || enoki_ejected(es))
			break;
		if (!p) {
			schedule_timeout_uninterruptible(1);
			continue;
		}
		enoki_fill_info(p, &info);
		/* If it refuses the task, or there is no memory, the class has it meanwhile. */
		scoped_guard (rwsem_read, &es->calls)
			if (enoki_token_make(es, &info, &token))
				token = NULL;
		if (!enoki_change_over(es, p, token) && token)
			enoki_token_free(es, token);
		put_task_struct(p);
		cond_resched();
	}
	if (p)
		put_task_struct(p);
	/* Nobody has an old one any more. Pairs with the acquire in enoki_shut(). */
	cmpxchg_release(&es->out, ENOKI_OUT_CHANGE, 0);
	/* Those for whom there was none. */
	enoki_defer(es);
}

/* Who waits at the gate must not be kept so long for this that it ejects the policy. */
static u64 enoki_patience_ns(struct enoki_sched *es, int nth)
{
	u64 most = (u64)READ_ONCE(es->max_blackout_ms) * NSEC_PER_MSEC / 4;

	return min3(ENOKI_SWEEP_MIN_NS << min(nth, 8), ENOKI_SWEEP_MAX_NS, most);
}

/*
 * The policy's worker is a real-time task, and goes before those that the policy has.
 */
static void enoki_upgrade_fn(struct kthread_work *work)
{
	struct enoki_sched *es = container_of(work, struct enoki_sched, upgrade_work);
	struct enoki_upgrade *up = es->upgrade;
	int i;

	for (i = 0; i < ENOKI_SWEEPS; i++) {
		/* CPUs come and go, and calls sleep, before or afterwards. */
		scoped_guard (cpus_read_lock) {
			guard(rwsem_write)(&es->calls);
			up->ret = enoki_try_swap(es, up, enoki_patience_ns(es, i));
		}
		if (up->ret != -EAGAIN)
			break;
		es->upgrades.retries++;
		usleep_range(50, 1000);
	}
	if (!up->ret && !enoki_keeps_tokens(up))
		enoki_change_all(es);
}

/*
 * Afterwards: the old version.
 */

/* Has a task a token of the old version? */
static bool enoki_has_old_tokens(struct enoki_sched *es)
{
	struct enoki_task *token;
	struct task_struct *p;

	guard(raw_spinlock_irqsave)(&es->lock);
	list_for_each_entry(p, &es->tasks, enoki.tasks_node) {
		token = READ_ONCE(p->enoki.token);
		if (token && !enoki_is_current(es, token))
			return true;
	}

	return false;
}

/* Its data goes, with the tokens that it had, and with those that it has forgotten. */
static void enoki_retire(struct enoki_sched *es, const struct enoki_ops *old, void *priv)
{
	/* If the policy has been ejected its tasks take their tokens with them. */
	while (enoki_has_old_tokens(es))
		schedule_timeout_uninterruptible(1);
	/* Those who looked at what it is like have done so. */
	synchronize_rcu();
	old->free_sched(priv);
	irq_work_sync(&es->defer);
	/* Pairs with the acquire in enoki_work_fn(). */
	smp_store_release(&es->retiring, true);
	while (READ_ONCE(es->retiring)) {
		queue_work(system_dfl_wq, &es->work);
		flush_work(&es->work);
		if (READ_ONCE(es->retiring))
			schedule_timeout_uninterruptible(1);
	}
	/* Who frees one of its tokens may still be in its code. */
	guard(rwsem_write)(&es->calls);
	es->before = NULL;
}

/* The policy's users keep the module in memory of the version that is in office. */
static void enoki_move_pin(struct enoki_sched *es)
{
	struct module *owner = es->ops->owner;

	guard(mutex)(&enoki_mutex);
	if (!es->pinned || es->pinned == owner)
		return;
	__module_get(owner);
	module_put(es->pinned);
	es->pinned = owner;
}

/*
 * Before.
 */

static bool enoki_same_layout(const struct enoki_layout *a, const struct enoki_layout *b)
{
	return !memcmp(a, b, sizeof(*a));
}

/* How version @ops exchanges what it knows with @other, which has it in another form. */
static const struct enoki_older *enoki_find_older(const struct enoki_ops *ops,
						  const struct enoki_ops *other)
{
	const struct enoki_older *older;

	for (older = ops->older; older < ops->older + ops->nr_older; older++)
		if (enoki_same_layout(&older->state, &other->state) &&
		    enoki_same_layout(&older->task_state, &other->task_state))
			return older;

	return NULL;
}

/* How does the new version come to what the old one knows? -EPROTO if they do not agree. */
static int enoki_check_state_layout(struct enoki_sched *es, struct enoki_upgrade *up)
{
	const struct enoki_ops *old = es->ops, *new = up->build->ops;
	const struct enoki_layout *ours = &old->state, *theirs = &new->state;

	up->keep = ours->size && theirs->size;
	if (!up->keep || (enoki_same_layout(ours, theirs) &&
			  enoki_same_layout(&old->task_state, &new->task_state)))
		return 0;
	up->older = enoki_find_older(new, old);
	if (up->older)
		return 0;
	up->older = enoki_find_older(old, new);
	up->back = true;
	if (up->older)
		return 0;

	enoki_set_error("policy %s: version %s has the state %s version %u (%u bytes, hash %#llx, tasks %#llx), version %s takes over %s version %u (%u bytes, hash %#llx, tasks %#llx): not replaced",
			es->name, old->version, ours->name, ours->version, ours->size,
			ours->hash, old->task_state.hash, new->version, theirs->name,
			theirs->version, theirs->size, theirs->hash, new->task_state.hash);
	return -EPROTO;
}

static void enoki_say_refused(struct enoki_sched *es, const struct enoki_ops *new, int ret)
{
	if (ret == -EBADE)
		enoki_set_error("policy %s: version %s does not have the tasks that version %s had: not replaced",
				es->name, new->version, es->ops->version);
	else if (ret == -EAGAIN)
		enoki_set_error("policy %s: a run queue was locked for too long, %u times: not replaced, try again",
				es->name, ENOKI_SWEEPS);
	else if (enoki_ejected(es))
		enoki_set_error("policy %s has been ejected: not replaced", es->name);
	else
		enoki_set_error("policy %s: version %s refused to take over from version %s, with error %d: not replaced",
				es->name, new->version, es->ops->version, ret);
}

/* Longest wait of any CPU since the last time. */
static u64 enoki_longest_wait(void)
{
	u64 longest = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		longest = max(longest, READ_ONCE(per_cpu(enoki_waited_ns, cpu)));
		WRITE_ONCE(per_cpu(enoki_waited_ns, cpu), 0);
	}

	return longest;
}

/* Who is in office by now is another one perhaps; both are kept by the caller. */
static void enoki_trace_upgrade(struct enoki_sched *es, const struct enoki_upgrade *up,
				const struct enoki_ops *old, const struct enoki_ops *new,
				u64 retries)
{
	trace_enoki_upgrade(es->name, old->version, new->version, up->keep, up->ret,
			    es->upgrades.retries - retries, es->upgrades.blackout_ns,
			    es->upgrades.waited_ns);
}

/* All is prepared: do it. */
static int enoki_replace_by(struct enoki_sched *es, struct enoki_upgrade *up)
{
	const struct enoki_ops *old = es->ops, *new = up->build->ops;
	u64 retries = es->upgrades.retries;

	enoki_longest_wait();
	es->upgrade = up;
	kthread_queue_work(es->eject_worker, &es->upgrade_work);
	kthread_flush_work(&es->upgrade_work);
	es->upgrade = NULL;
	if (up->ret) {
		es->upgrades.refused++;
		enoki_say_refused(es, new, up->ret);
		enoki_trace_upgrade(es, up, old, new, retries);
		return up->ret;
	}

	es->upgrades.waited_ns = enoki_longest_wait();
	enoki_trace_upgrade(es, up, old, new, retries);
	es->upgrades.kept += up->keep;
	es->upgrades.done += !up->anew;
	enoki_move_pin(es);
	enoki_clients_changed(es, old, up->keep);
	/* Afterwards it is the new one's that is to be freed, should there be one more. */
	enoki_retire(es, old, up->priv);
	up->priv = NULL;
	if (up->anew)
		pr_info("sched_enoki: policy %s: version %s begins anew, to be recorded; nobody could call it for %llu ns\n",
			es->name, new->version, es->upgrades.blackout_ns);
	else
		pr_info("sched_enoki: policy %s: version %s replaced by version %s of module %s, %s; nobody could call it for %llu ns\n",
			es->name, old->version, new->version, module_name(new->owner),
			up->keep ? "which knows what it knew" : "which begins anew",
			es->upgrades.blackout_ns);

	return enoki_ejected(es) ? -ENODEV : 0;
}

/* Prepare it, do it, and free what remains. */
static int enoki_replace_with(struct enoki_sched *es, struct enoki_upgrade *up)
{
	const struct enoki_ops *new = up->build->ops;
	int ret;

	up->queued = kcalloc(nr_cpu_ids, sizeof(*up->queued), GFP_KERNEL);
	if (!up->queued)
		return -ENOMEM;

	ret = new->new_sched(&up->priv);
	if (ret)
		enoki_say_refused(es, new, ret);
	else
		ret = enoki_replace_by(es, up);
	if (up->priv)
		new->free_sched(up->priv);
	kfree(up->queued);

	return ret;
}

/* With enoki_change_mutex, which keeps both versions. */
static int enoki_replace(struct enoki_sched *es)
{
	struct enoki_upgrade up = { .build = es->standby };
	int ret;

	if (!up.build) {
		enoki_set_error("policy %s: no other version stands by (load its module first)",
				es->name);
		return -ENOENT;
	}
	if (enoki_ejected(es)) {
		enoki_set_error("policy %s has been ejected and cannot be replaced: remove its module",
				es->name);
		return -ENODEV;
	}

	ret = enoki_check_state_layout(es, &up);

	return ret ?: enoki_replace_with(es, &up);
}

/**
 * enoki_begin_anew - have a policy forget all that it knows, and be told of its tasks again
 * @es: the policy, which has not been ejected; it is recorded from then on
 *
 * Context: may sleep, with enoki_change_mutex.
 * Return: 0; or as enoki_upgrade(), and nothing has changed.
 */
int enoki_begin_anew(struct enoki_sched *es)
{
	struct enoki_upgrade up = { .build = es->build, .anew = true };
	struct module *owner = es->ops->owner;
	int ret;

	if (!try_module_get(owner))
		return -EBUSY;
	ret = enoki_replace_with(es, &up);
	module_put(owner);

	return ret;
}

/* Likewise; if the new version was tried before, its tasks join those of the policy. */
static int enoki_replace_with_canary(struct enoki_sched *es, struct enoki_sched **canaryp)
{
	struct enoki_sched *canary = es->standby ? es->standby->canary : NULL;
	int ret;

	if (canary && enoki_ejected(canary)) {
		enoki_set_error("policy %s: version %s was ejected where it was tried (write 0 to canary): not replaced",
				es->name, es->standby->ops->version);
		return -ECANCELED;
	}
	ret = enoki_replace(es);
	if (ret)
		return ret;

	canary = enoki_canary_join(es);
	if (IS_ERR(canary))
		return PTR_ERR(canary);
	*canaryp = canary;

	return 0;
}

/**
 * enoki_upgrade - put the version of a policy into office that stands by
 * @es: the policy
 *
 * Context: may sleep; its directory in sysfs is in use.
 * Return: 0, and the other version stands by now. -ENOENT if none does; -ENODEV if the
 *         policy has been ejected or is being removed; -EPROTO if what it knows is of
 *         another form for the new version; -EBADE if this one loses tasks; -EAGAIN if run
 *         queues were locked for too long; -EBUSY if a module is being removed; -ECANCELED if
 *         the new version was ejected where it was tried; or what it refused with, the policy or,
 *         if it is in office by then, a task of those that it was tried on. last_error has it
 *         in words.
 */
int enoki_upgrade(struct enoki_sched *es)
{
	struct enoki_sched *canary = NULL;
	struct module *old, *new;
	int ret = -EBUSY;

	scoped_guard (mutex, &enoki_change_mutex) {
		if (es->removed)
			return -ENODEV;
		old = es->build->ops->owner;
		new = es->standby ? es->standby->ops->owner : NULL;
		/* Without one there is an error to say. A module that goes waits for the mutex. */
		if (!try_module_get(old))
			return -EBUSY;
		if (!new || try_module_get(new))
			ret = enoki_replace_with_canary(es, &canary);
		else
			new = NULL;
	}
	if (canary)
		enoki_canary_free(canary);
	module_put(new);
	module_put(old);

	return ret;
}

/**
 * enoki_give_up_office - have the version that stands by replace a policy that goes
 * @es: the policy, whose module is being removed
 * @canaryp: set to one for enoki_canary_free(), if it ends with that
 *
 * Context: may sleep, with enoki_change_mutex.
 * Return: it has, and the other one stands by.
 */
bool enoki_give_up_office(struct enoki_sched *es, struct enoki_sched **canaryp)
{
	struct module *new;
	bool done;

	if (!es->standby)
		return false;
	new = es->standby->ops->owner;
	if (!try_module_get(new))
		return false;
	enoki_replace_with_canary(es, canaryp);
	done = es->build->ops->owner == new;
	module_put(new);

	return done;
}

/**
 * enoki_standby_show - which version of a policy stands by, for sysfs
 * @es: the policy
 * @buf: a page; filled with "VERSION MODULE", or "none"
 *
 * Context: may sleep.
 * Return: how many bytes.
 */
ssize_t enoki_standby_show(struct enoki_sched *es, char *buf)
{
	const struct enoki_ops *ops;

	guard(mutex)(&enoki_change_mutex);
	if (!es->standby)
		return sysfs_emit(buf, "none\n");
	ops = es->standby->ops;

	return sysfs_emit(buf, "%s %s\n", ops->version, module_name(ops->owner));
}

/**
 * enoki_upgrade_init - set up what it takes to replace a policy
 * @es: the policy, new
 */
void enoki_upgrade_init(struct enoki_sched *es)
{
	es->max_blackout_ms = ENOKI_MAX_BLACKOUT_MS;
	init_rwsem(&es->calls);
	kthread_init_work(&es->upgrade_work, enoki_upgrade_fn);
}
