/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The calls of a policy. What is to see, alter or hold back every one of them
 * goes here, and nowhere else is a policy called with a context.
 *
 * A call that hands out a token or lends a task comes after enoki_grant() or
 * enoki_lend(), which have none to give for an ejected policy. The others ask for
 * themselves whether it is still there.
 *
 * A policy may be replaced while its tasks run (upgrade.c). Who replaces it closes a gate
 * and takes the lock of each run queue once: so a call with the run queue locked is over
 * when that was done, or has not begun. A call without one says that it is there, in
 * enoki_calling, and then looks whether the gate is open: enoki_enter().
 */
#ifndef _KERNEL_SCHED_ENOKI_CALL_H
#define _KERNEL_SCHED_ENOKI_CALL_H

/*
 * Which policy this CPU is in, and in which call: the address of its enoki_sched,
 * which is aligned so that its lowest bits are free, plus the enum enoki_event.
 */
DECLARE_PER_CPU(unsigned long, enoki_calling);

#define ENOKI_CALL_MASK	63UL

static_assert(ENOKI_NR_EVENTS <= ENOKI_CALL_MASK);
static_assert(__alignof__(struct enoki_sched) > ENOKI_CALL_MASK);

/* Has the policy been ejected? It is not to be called any more then. */
static __always_inline bool enoki_ejected(const struct enoki_sched *es)
{
	unsigned int out = READ_ONCE(es->out);

	return unlikely(out) && out < ENOKI_NR_EXITS;
}

/* Is the token one of the version that is in office? */
static __always_inline bool enoki_is_current(const struct enoki_sched *es,
					     const struct enoki_task *token)
{
	return likely(token->epoch == READ_ONCE(es->epoch));
}

/*
 * Must the policy not be called, with @rq locked, because it has been ejected, or because
 * @token is none of its own? Waits while it is being replaced. For calls that are about no
 * token @token is NULL; a policy that does not have all tokens yet does not get them.
 */
static __always_inline bool enoki_shut(struct enoki_sched *es, struct rq *rq,
				       const struct enoki_task *token)
{
	/* Pairs with the release in enoki_open_gate(): what is called then is what is new. */
	if (likely(!smp_load_acquire(&es->out)))
		return false;

	return __enoki_shut(es, rq, token);
}

/*
 * Begin a call without a run queue's lock; interrupts are off. Waits while the policy is
 * being replaced. Return: it may be called, and enoki_leave() is to follow.
 */
static __always_inline bool enoki_enter(struct enoki_sched *es, enum enoki_event ev)
{
	lockdep_assert_irqs_disabled();
	for (;;) {
		__this_cpu_write(enoki_calling, (unsigned long)es + ev);
		/* Pairs with the one in enoki_close_gate(): one of us sees the other. */
		smp_mb();
		/* It may have been closed and opened again before: as in enoki_shut(). */
		if (likely(!(smp_load_acquire(&es->out) & ~ENOKI_OUT_CHANGE)))
			return true;
		__this_cpu_write(enoki_calling, 0);
		if (!enoki_wait_at_gate(es))
			return false;
	}
}

/* The end of that call. What the policy did is done when it is seen that it is not called. */
static __always_inline void enoki_leave(void)
{
	/* Pairs with the acquire in enoki_await_call(). */
	smp_store_release(this_cpu_ptr(&enoki_calling), 0);
}

/* The policy that a CPU is in, NULL if none; it stays for as long as it is. */
static inline struct enoki_sched *enoki_called_on(int cpu)
{
	return (void *)(READ_ONCE(per_cpu(enoki_calling, cpu)) & ~ENOKI_CALL_MASK);
}

/* Is this CPU in that call? Interrupts are off. */
static inline bool enoki_is_called_for(enum enoki_event ev)
{
	return (__this_cpu_read(enoki_calling) & ENOKI_CALL_MASK) == ev;
}

static __always_inline void enoki_call_begin(struct enoki_sched *es, enum enoki_event ev)
{
	lockdep_assert_irqs_disabled();
	__this_cpu_write(enoki_calling, (unsigned long)es + ev);
	this_cpu_inc(es->stats->events[ev]);
}

static __always_inline void enoki_call_end(void)
{
	__this_cpu_write(enoki_calling, 0);
}

#define enoki_count(_es, _ev)							\
	this_cpu_inc((_es)->stats->events[ENOKI_EV_##_ev])

/* Note a call in this CPU's ring. Interrupts are off. */
static __always_inline void enoki_ring_put(void *records, const struct enoki_sched *es,
					   enum enoki_event event, const struct enoki_ctx *cx,
					   u64 task, u64 arg)
{
	u64 head = this_cpu_read(enoki_rings.head);
	struct enoki_record *record = records + head % ENOKI_RING_SIZE;

	this_cpu_write(enoki_rings.head, head + sizeof(*record));
	record->time_ns = cx->now_ns;
	record->task = task;
	record->arg = arg;
	record->cpu = cx->cpu;
	record->event = event;
	record->policy = es->id;
}

/* In line: what is not known there is little. */
static __always_inline void enoki_record(struct enoki_sched *es, enum enoki_event event,
					 const struct enoki_ctx *cx,
					 const struct enoki_task *token, u64 arg)
{
	void *records = this_cpu_read(enoki_rings.records);

	if (likely(records))
		enoki_ring_put(records, es, event, cx, token->info.id, arg);
	else
		enoki_record_slow(es, event, cx, token, arg);
}

/* For the flight recorder and recordings. */
static __always_inline void enoki_note(struct enoki_sched *es, enum enoki_event ev,
				       const struct enoki_ctx *cx,
				       const struct enoki_task *token, u64 arg)
{
	if (static_branch_unlikely(&enoki_recording))
		enoki_record(es, ev, cx, token, arg);
}

/*
 * What a call is given is in its record beside the answer if there is a recording. So that it
 * need not be kept until then if there is none, it goes here; interrupts are off.
 */
static __always_inline void enoki_set_with(u64 arg)
{
	if (enoki_is_taping())
		__this_cpu_write(enoki_tape_with, arg);
}

static __always_inline u64 enoki_take_with(void)
{
	u64 with = 0;

	if (enoki_is_taping()) {
		with = __this_cpu_read(enoki_tape_with);
		__this_cpu_write(enoki_tape_with, 0);
	}

	return with;
}

static __always_inline void enoki_note_with(struct enoki_sched *es, enum enoki_event ev,
					    const struct enoki_ctx *cx,
					    const struct enoki_task *token, u64 answer)
{
	if (static_branch_unlikely(&enoki_recording))
		enoki_record(es, ev, cx, token, answer | enoki_take_with());
}

/* Likewise, of a call that is about a task, but not about its token. */
static __always_inline void enoki_note_task(struct enoki_sched *es, enum enoki_event ev,
					    const struct enoki_ctx *cx, u64 task, u64 arg)
{
	if (static_branch_unlikely(&enoki_recording))
		enoki_record_task(es, ev, cx, task, arg);
}

/* For recordings only: what belongs to a call. */
static __always_inline void enoki_note_more(struct enoki_sched *es,
					    enum enoki_record_event ev, u64 task, u64 arg)
{
	if (enoki_is_taping())
		enoki_tape(es, ev, task, arg);
}

/* A call that answers nothing. It is noted before: the policy may keep what it is given. */
#define ENOKI_TELL_BY(_note, _es, _op, _cx, _about, _arg, ...)			\
do {										\
	struct enoki_sched *__es = (_es);					\
										\
	_note(__es, ENOKI_EV_##_op, (_cx), (_about), (_arg));			\
	enoki_call_begin(__es, ENOKI_EV_##_op);					\
	__es->ops->_op(__es->priv, (_cx), ##__VA_ARGS__);			\
	enoki_call_end();							\
} while (0)

/* About a token, or about a task, but not about its token. */
#define ENOKI_TELL(...)		ENOKI_TELL_BY(enoki_note, __VA_ARGS__)
#define ENOKI_TELL_TASK(...)	ENOKI_TELL_BY(enoki_note_task, __VA_ARGS__)

/* A call whose answer is this expression's value. Who makes it notes it, with the answer. */
#define ENOKI_ASK(_es, _op, _cx, ...)						\
({										\
	struct enoki_sched *__es = (_es);					\
										\
	enoki_call_begin(__es, ENOKI_EV_##_op);					\
	__auto_type __answer = __es->ops->_op(__es->priv, (_cx), ##__VA_ARGS__); \
	enoki_fault_delay();							\
	enoki_call_end();							\
	__answer;								\
})

/* The same of a call that has been begun by enoki_enter(). */
#define ENOKI_ASK_INSIDE(_es, _op, _cx, ...)					\
({										\
	struct enoki_sched *__es = (_es);					\
										\
	enoki_count(__es, _op);							\
	__auto_type __answer = __es->ops->_op(__es->priv, (_cx), ##__VA_ARGS__); \
	enoki_fault_delay();							\
	__answer;								\
})

#define ENOKI_TELL_INSIDE(_es, _op, _cx, _arg)					\
do {										\
	struct enoki_sched *__es = (_es);					\
										\
	enoki_note_task(__es, ENOKI_EV_##_op, (_cx), 0, (_arg));			\
	enoki_count(__es, _op);							\
	__es->ops->_op(__es->priv, (_cx), (_arg));				\
} while (0)

/* The context of a call under @rq's lock. */
static inline struct enoki_ctx enoki_rq_ctx(struct enoki_sched *es, struct rq *rq)
{
	return (struct enoki_ctx){
		/* Who grants a token or accounts run time has looked whether that is current. */
		.now_ns	= IS_ENABLED(CONFIG_DEBUG_ENOKI) ? rq_clock(rq) : rq->clock,
		.cpu	= cpu_of(rq),
		.es	= es,
	};
}

/* The context of a call without a run queue; interrupts are off. */
static inline struct enoki_ctx enoki_local_ctx(struct enoki_sched *es)
{
	return (struct enoki_ctx){
		.now_ns	= sched_clock_cpu(smp_processor_id()),
		.cpu	= smp_processor_id(),
		.es	= es,
	};
}

/* Tokens that pass to the policy. */

#define ENOKI_TASK_CALL(_op)							\
static inline void enoki_call_##_op(struct enoki_sched *es, struct rq *rq,	\
				    struct enoki_task *token)			\
{										\
	struct enoki_ctx cx = enoki_rq_ctx(es, rq);				\
										\
	ENOKI_TELL(es, _op, &cx, token, 0, token);				\
}

ENOKI_TASK_CALL(task_new)
ENOKI_TASK_CALL(task_preempt)
ENOKI_TASK_CALL(task_yield)

#define ENOKI_TASK_ARG_CALL(_op, _type)						\
static inline void enoki_call_##_op(struct enoki_sched *es, struct rq *rq,	\
				    struct enoki_task *token, _type arg)	\
{										\
	struct enoki_ctx cx = enoki_rq_ctx(es, rq);				\
										\
	ENOKI_TELL(es, _op, &cx, token, arg, token, arg);			\
}

ENOKI_TASK_ARG_CALL(task_wakeup, u32)
ENOKI_TASK_ARG_CALL(task_migrated, s32)
ENOKI_TASK_ARG_CALL(pnt_err, enum enoki_err)

/* Tasks that are lent to it. */

ENOKI_TASK_CALL(task_blocked)
ENOKI_TASK_CALL(task_dead)
ENOKI_TASK_CALL(task_departed)

static inline bool enoki_call_task_tick(struct enoki_sched *es, struct rq *rq,
					struct enoki_task *token)
{
	struct enoki_ctx cx = enoki_rq_ctx(es, rq);
	bool again = enoki_fault_bool(ENOKI_ASK(es, task_tick, &cx, token));

	enoki_note(es, ENOKI_EV_task_tick, &cx, token, again);

	return again;
}

static inline bool enoki_call_wakeup_preempt(struct enoki_sched *es, struct rq *rq,
					     struct enoki_task *token, u64 woken_id)
{
	struct enoki_ctx cx = enoki_rq_ctx(es, rq);
	bool again;

	enoki_set_with(woken_id << 1);
	again = enoki_fault_bool(ENOKI_ASK(es, wakeup_preempt, &cx, token, woken_id));
	enoki_note_with(es, ENOKI_EV_wakeup_preempt, &cx, token, again);

	return again;
}

/* Between enoki_enter() and enoki_leave(). */
static inline s32 enoki_call_select_task_rq(struct enoki_sched *es,
					    struct enoki_task *token, s32 prev_cpu,
					    u32 flags)
{
	struct enoki_ctx cx = enoki_local_ctx(es);
	s32 cpu;

	enoki_set_with((u64)(u16)prev_cpu << 32 | (u64)flags << 48);
	cpu = ENOKI_ASK_INSIDE(es, select_task_rq, &cx, token, prev_cpu, flags);
	cpu = enoki_fault_cpu(cpu, prev_cpu);
	enoki_note_with(es, ENOKI_EV_select_task_rq, &cx, token, (u32)cpu);

	return cpu;
}

/* Decisions. */

static inline struct enoki_task *enoki_call_pick_next_task(struct enoki_sched *es,
							   struct rq *rq,
							   struct enoki_task *prev,
							   u64 *slice_ns)
{
	struct enoki_ctx cx = enoki_rq_ctx(es, rq);
	const struct enoki_task *picked;
	struct enoki_task *token;

	if (enoki_is_taping() && prev)
		enoki_tape_prev(es, prev);
	token = ENOKI_ASK(es, pick_next_task, &cx, prev, slice_ns);
	token = enoki_fault_pick(token, slice_ns);
	/* What a past token says of its task nobody writes any more. */
	if (static_branch_unlikely(&enoki_recording)) {
		picked = token;
		/* It is not chosen where nothing is noted. */
		OPTIMIZER_HIDE_VAR(picked);
		enoki_record(es, ENOKI_EV_pick_next_task, &cx, picked ?: &enoki_no_token,
			     *slice_ns);
	}

	return token;
}

/* How many it says it has queued on @rq, or -1. */
static inline s64 enoki_call_nr_queued(struct enoki_sched *es, struct rq *rq)
{
	struct enoki_ctx cx = enoki_rq_ctx(es, rq);
	s64 nr = enoki_fault_count(ENOKI_ASK(es, nr_queued, &cx));

	enoki_note_task(es, ENOKI_EV_nr_queued, &cx, 0, nr);

	return nr;
}

static inline bool enoki_call_balance(struct enoki_sched *es, struct rq *rq,
				      struct enoki_key *key)
{
	struct enoki_ctx cx = enoki_rq_ctx(es, rq);
	bool named = ENOKI_ASK(es, balance, &cx, key);

	named = enoki_fault_key(named, key);
	enoki_note_task(es, ENOKI_EV_balance, &cx, named ? enoki_slot_task_id(key->slot) : 0,
			named ? (u32)key->cpu : 0);

	return named;
}

static inline void enoki_call_balance_err(struct enoki_sched *es, struct rq *rq,
					  const struct enoki_key *key, u32 err)
{
	struct enoki_ctx cx = enoki_rq_ctx(es, rq);

	if (!enoki_shut(es, rq, NULL))
		ENOKI_TELL_TASK(es, balance_err, &cx, enoki_slot_task_id(key->slot), err, key,
				err);
}

/* Bit 8 of what is noted of a token that was wanted back: it came. */
#define ENOKI_NOTE_CAME	BIT(8)

static inline struct enoki_task *enoki_call_migrate_task_rq(struct enoki_sched *es,
							    struct rq *rq,
							    struct task_struct *p,
							    enum enoki_leave why)
{
	struct enoki_task *token = p->enoki.token, *back;
	struct enoki_ctx cx = enoki_rq_ctx(es, rq);

	back = enoki_fault_back(ENOKI_ASK(es, migrate_task_rq, &cx, token, why));
	enoki_note(es, ENOKI_EV_migrate_task_rq, &cx, token,
		   why | (back == token ? ENOKI_NOTE_CAME : 0));

	return back;
}

static inline void enoki_call_task_rescued(struct enoki_sched *es, struct rq *rq, u64 id,
					   u64 waited_ns)
{
	struct enoki_ctx cx = enoki_rq_ctx(es, rq);

	ENOKI_TELL_TASK(es, task_rescued, &cx, id, waited_ns, id, waited_ns);
}

/* Changes. */

#define ENOKI_CHANGE_CALL(_op, _field)						\
static inline void enoki_call_##_op(struct enoki_sched *es, struct rq *rq,	\
				    struct enoki_task *token,			\
				    const struct enoki_task_info *info)		\
{										\
	struct enoki_ctx cx = enoki_rq_ctx(es, rq);				\
										\
	if (enoki_shut(es, rq, token))						\
		return;								\
	if (enoki_is_taping())							\
		enoki_tape_info(es, info);					\
	ENOKI_TELL(es, _op, &cx, token, info->_field, token, info);		\
}

ENOKI_CHANGE_CALL(task_prio_changed, weight)
ENOKI_CHANGE_CALL(task_affinity_changed, nr_cpus_allowed)

/* CPUs and time. */

#define ENOKI_EVENT_CALL(_op, _type)						\
static inline void enoki_call_##_op(struct enoki_sched *es, _type arg)		\
{										\
	struct enoki_ctx cx = enoki_local_ctx(es);				\
										\
	if (!enoki_enter(es, ENOKI_EV_##_op))					\
		return;								\
	ENOKI_TELL_INSIDE(es, _op, &cx, arg);					\
	enoki_leave();								\
}

ENOKI_EVENT_CALL(cpu_online, s32)
ENOKI_EVENT_CALL(cpu_offline, s32)

static inline void enoki_call_timer_fired(struct enoki_sched *es, u32 timer)
{
	struct enoki_ctx cx = enoki_local_ctx(es);

	if (!enoki_enter(es, ENOKI_EV_timer_fired))
		return;
	/* Another version may have armed it, that had more of them. */
	if (es->timers[timer].epoch == es->epoch && timer < es->ops->nr_timers)
		ENOKI_TELL_INSIDE(es, timer_fired, &cx, timer);
	enoki_leave();
}

/* Queues: the policy has layouts for them, which are those of the client. */

static inline int enoki_call_register_queue(struct enoki_sched *es,
					    const struct enoki_client *client, u32 kind)
{
	struct enoki_ctx cx = enoki_local_ctx(es);
	int ret = -ENODEV;

	if (!enoki_enter(es, ENOKI_EV_register_queue))
		return -ENODEV;

	if (enoki_understands(es, client)) {
		enoki_note_more(es, ENOKI_RECORD_WITH, kind, 0);
		enoki_note_task(es, ENOKI_EV_register_queue, &cx, 0, client->id);
		ret = ENOKI_ASK_INSIDE(es, register_queue, &cx, client->id, kind);
		enoki_note_more(es, ENOKI_RECORD_RETURNED, 0, ret);
	}
	enoki_leave();

	return ret;
}

static inline void enoki_call_unregister_queue(struct enoki_sched *es,
					       const struct enoki_client *client)
{
	struct enoki_ctx cx = enoki_local_ctx(es);

	if (!enoki_enter(es, ENOKI_EV_unregister_queue))
		return;

	if (enoki_understands(es, client))
		ENOKI_TELL_INSIDE(es, unregister_queue, &cx, client->id);
	enoki_leave();
}

static inline u32 enoki_call_enter_queue(struct enoki_sched *es,
					 const struct enoki_client *client, u32 nr)
{
	struct enoki_ctx cx = enoki_local_ctx(es);
	u32 wanted = 0;

	if (!enoki_enter(es, ENOKI_EV_enter_queue))
		return 0;

	if (enoki_understands(es, client)) {
		enoki_note_more(es, ENOKI_RECORD_WITH, client->id, nr);
		wanted = ENOKI_ASK_INSIDE(es, enter_queue, &cx, client->id, nr);
		enoki_note_task(es, ENOKI_EV_enter_queue, &cx, 0, wanted);
	}
	enoki_leave();

	return wanted;
}

/* With @rq, which is locked, if the hint is about a task: @info is NULL if that is lent. */
static inline int enoki_call_parse_hint(struct enoki_sched *es, struct rq *rq,
					const struct enoki_client *client,
					struct enoki_task *task,
					const struct enoki_task_info *info, const void *hint)
{
	struct enoki_ctx cx = rq ? enoki_rq_ctx(es, rq) : enoki_local_ctx(es);
	u64 queue = client->id;
	int ret = -ENODEV;

	if (rq) {
		if (enoki_shut(es, rq, task) || !enoki_understands(es, client))
			return -ENODEV;
		if (enoki_is_taping())
			enoki_tape_hint(es, info, hint);
		enoki_note(es, ENOKI_EV_parse_hint, &cx, task, queue);
		ret = ENOKI_ASK(es, parse_hint, &cx, queue, task, info, hint);
		enoki_note_more(es, ENOKI_RECORD_RETURNED, 0, ret);
		return ret;
	}

	if (!enoki_enter(es, ENOKI_EV_parse_hint))
		return -ENODEV;
	if (enoki_understands(es, client)) {
		if (enoki_is_taping())
			enoki_tape_hint(es, NULL, hint);
		enoki_note_task(es, ENOKI_EV_parse_hint, &cx, 0, queue);
		ret = ENOKI_ASK_INSIDE(es, parse_hint, &cx, queue, task, info, hint);
		enoki_note_more(es, ENOKI_RECORD_RETURNED, 0, ret);
	}
	enoki_leave();

	return ret;
}

#endif /* _KERNEL_SCHED_ENOKI_CALL_H */
