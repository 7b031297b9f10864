// SPDX-License-Identifier: GPL-2.0
/*
 * The token table and the life of a token.
 *
 * A task may run when its token has come back from its policy. The policy's
 * word is not enough for that: the class keeps for each attached task a slot
 * with the generation of the latest grant, and a token counts only if its slot
 * still has the generation that the token bears. Slots live in chunks that are
 * never freed, so that looking one up needs no lock, and generations only
 * grow, so that a token of a past task can't pass for one of its slot's present
 * task.
 */

#define ENOKI_CHUNK_SHIFT	12
#define ENOKI_CHUNK_SIZE	BIT(ENOKI_CHUNK_SHIFT)
#define ENOKI_NR_CHUNKS		1024

static struct enoki_slot *enoki_chunks[ENOKI_NR_CHUNKS];
static DEFINE_MUTEX(enoki_chunk_mutex);
static DEFINE_IDA(enoki_slot_ida);

static __always_inline struct enoki_slot *enoki_slot_of(u32 nr)
{
	struct enoki_slot *chunk;

	if (unlikely(nr >= ENOKI_NR_CHUNKS * ENOKI_CHUNK_SIZE))
		return NULL;

	/* Pairs with the release in enoki_slot_alloc(). */
	chunk = smp_load_acquire(&enoki_chunks[nr >> ENOKI_CHUNK_SHIFT]);
	if (unlikely(!chunk))
		return NULL;

	return &chunk[nr & (ENOKI_CHUNK_SIZE - 1)];
}

/**
 * enoki_slot_alloc - get a free slot
 * @slotp: set to it
 *
 * Context: may sleep.
 * Return: 0, or -ENOMEM, or -ENOSPC when there are four million already.
 */
int enoki_slot_alloc(struct enoki_slot **slotp)
{
	struct enoki_slot *chunk;
	int nr, i;

	nr = ida_alloc_max(&enoki_slot_ida, ENOKI_NR_CHUNKS * ENOKI_CHUNK_SIZE - 1,
			   GFP_KERNEL);
	if (nr < 0)
		return nr;

	scoped_guard (mutex, &enoki_chunk_mutex) {
		if (enoki_chunks[nr >> ENOKI_CHUNK_SHIFT])
			break;

		chunk = kvcalloc(ENOKI_CHUNK_SIZE, sizeof(*chunk), GFP_KERNEL);
		if (!chunk) {
			ida_free(&enoki_slot_ida, nr);
			return -ENOMEM;
		}
		for (i = 0; i < ENOKI_CHUNK_SIZE; i++)
			chunk[i].nr = (nr & ~(ENOKI_CHUNK_SIZE - 1)) + i;
		/* Whoever sees the chunk sees its numbers. */
		smp_store_release(&enoki_chunks[nr >> ENOKI_CHUNK_SHIFT], chunk);
	}

	*slotp = enoki_slot_of(nr);
	return 0;
}

/**
 * enoki_slot_free - give a slot back
 * @slot: it has no task any more
 *
 * Context: process context.
 */
void enoki_slot_free(struct enoki_slot *slot)
{
	ida_free(&enoki_slot_ida, slot->nr);
}

/* See enoki_lookup(); in line where a task is picked. */
static __always_inline struct task_struct *__enoki_lookup(u32 nr, u64 gen)
{
	struct enoki_slot *slot = enoki_slot_of(nr);
	struct task_struct *p;

	if (unlikely(!slot || READ_ONCE(slot->gen) != gen))
		return NULL;

	p = READ_ONCE(slot->task);
	/* The slot may have changed hands between the two reads. */
	if (unlikely(!p || READ_ONCE(p->enoki.slot) != slot))
		return NULL;

	return p;
}

/**
 * enoki_lookup - whose token is this?
 * @nr: the slot it names
 * @gen: the generation it bears
 * @err: set when there is no such task
 *
 * Context: interrupts off, which keeps the task's memory. That the generation
 * is the latest is stable only under the lock of the task's run queue.
 * Return: the task, or NULL.
 */
struct task_struct *enoki_lookup(u32 nr, u64 gen, enum enoki_err *err)
{
	*err = ENOKI_ERR_STALE;

	return __enoki_lookup(nr, gen);
}

/**
 * enoki_slot_task_id - whose slot is this?
 * @nr: the slot, perhaps of a key that has passed
 *
 * Context: interrupts off, which keeps the task's memory.
 * Return: the number of the task that has it now, 0 if none has.
 */
u64 enoki_slot_task_id(u32 nr)
{
	struct enoki_slot *slot = enoki_slot_of(nr);
	struct task_struct *p = slot ? READ_ONCE(slot->task) : NULL;

	return p ? READ_ONCE(p->enoki.task_id) : 0;
}

/**
 * enoki_rq_trylock - lock a run queue, unless somebody has it
 * @rq: the run queue
 * @rf: for rq_unlock()
 *
 * For those who look after policies: a CPU that never leaves one may have the lock of
 * any run queue, and whoever waits for it is lost as well.
 *
 * Context: interrupts off.
 * Return: it is locked.
 */
bool enoki_rq_trylock(struct rq *rq, struct rq_flags *rf)
{
	if (!raw_spin_rq_trylock(rq))
		return false;

	rq_pin_lock(rq, rf);
	return true;
}

/**
 * enoki_fill_info - describe a task to its policy
 * @p: the task
 * @info: filled in
 *
 * Context: its run queue or pi_lock locked, or the task not visible yet.
 */
void enoki_fill_info(struct task_struct *p, struct enoki_task_info *info)
{
	info->id = p->enoki.task_id;
	info->runtime_ns = p->se.sum_exec_runtime;
	info->weight = enoki_weight(p, scale_load_down(p->se.load.weight));
	info->nice = task_nice(p);
	info->nr_cpus_allowed = p->nr_cpus_allowed;
	info->flags = 0;
	if (p->flags & PF_KTHREAD)
		info->flags |= ENOKI_TASK_KTHREAD;
	if (p->nr_cpus_allowed == 1)
		info->flags |= ENOKI_TASK_PINNED;
}

/* Before the policy sees a token that the class owns: is what it says still so? */
static __always_inline void enoki_refresh(struct task_struct *p, struct enoki_task *token)
{
	if (unlikely(p->enoki.flags & ENOKI_P_CHANGED)) {
		p->enoki.flags &= ~ENOKI_P_CHANGED;
		enoki_fill_info(p, &token->info);
		if (enoki_is_taping())
			enoki_tape_info(p->enoki.es, &token->info);
	} else {
		token->info.runtime_ns = p->se.sum_exec_runtime;
	}
}

static const char * const enoki_state_names[ENOKI_NR_STATES] = {
	[ENOKI_NONE]		= "none",
	[ENOKI_BLOCKED]		= "blocked",
	[ENOKI_QUEUED]		= "queued",
	[ENOKI_ORPHAN]		= "orphan",
	[ENOKI_PICKED]		= "picked",
	[ENOKI_RUNNING]		= "running",
	[ENOKI_MIGRATING]	= "migrating",
};

/**
 * enoki_state_name - what state is the task in, in a word
 * @p: the task
 *
 * Return: a static string.
 */
const char *enoki_state_name(struct task_struct *p)
{
	unsigned int state = READ_ONCE(p->enoki.state);

	if (state == ENOKI_BLOCKED && enoki_throttled(p))
		return "throttled";

	return state < ENOKI_NR_STATES ? enoki_state_names[state] : "?";
}

#ifdef CONFIG_DEBUG_ENOKI
/* Which states may follow each. */
static const u8 enoki_next_states[ENOKI_NR_STATES] = {
	[ENOKI_NONE]		= BIT(ENOKI_BLOCKED),
	[ENOKI_BLOCKED]		= BIT(ENOKI_QUEUED) | BIT(ENOKI_ORPHAN) |
				  BIT(ENOKI_RUNNING) | BIT(ENOKI_NONE),
	[ENOKI_QUEUED]		= BIT(ENOKI_PICKED) | BIT(ENOKI_RUNNING) |
				  BIT(ENOKI_ORPHAN) | BIT(ENOKI_MIGRATING) |
				  BIT(ENOKI_BLOCKED),
	[ENOKI_ORPHAN]		= BIT(ENOKI_PICKED) | BIT(ENOKI_RUNNING) |
				  BIT(ENOKI_QUEUED) | BIT(ENOKI_MIGRATING) |
				  BIT(ENOKI_BLOCKED),
	[ENOKI_PICKED]		= BIT(ENOKI_RUNNING) | BIT(ENOKI_QUEUED) |
				  BIT(ENOKI_ORPHAN) | BIT(ENOKI_MIGRATING) |
				  BIT(ENOKI_BLOCKED),
	[ENOKI_RUNNING]		= BIT(ENOKI_QUEUED) | BIT(ENOKI_ORPHAN) |
				  BIT(ENOKI_BLOCKED),
	[ENOKI_MIGRATING]	= BIT(ENOKI_QUEUED) | BIT(ENOKI_ORPHAN) |
				  BIT(ENOKI_BLOCKED),
};

static void enoki_check_state(struct task_struct *p, enum enoki_state state)
{
	lockdep_assert(lockdep_is_held(&p->pi_lock) ||
		       lockdep_is_held(__rq_lockp(task_rq(p))));
	WARN_ONCE(!(enoki_next_states[p->enoki.state] & BIT(state)),
		  "enoki: %s[%d] goes from %s to %s\n", p->comm, p->pid,
		  enoki_state_name(p), enoki_state_names[state]);
	/* All but the queued ones are the class's, and it must have them. */
	WARN_ONCE(state == ENOKI_QUEUED && !p->enoki.token,
		  "enoki: %s[%d] is queued without a token\n", p->comm, p->pid);
}
#else
static inline void enoki_check_state(struct task_struct *p, enum enoki_state state) { }
#endif

static noinline void enoki_count_orphan(struct task_struct *p, int change)
{
	enoki_prq_of(p->enoki.es, task_cpu(p))->nr_orphans += change;
}

/*
 * Move a task's token on: from now on it is in @state. The task's run queue is
 * locked. In line, as is enoki_lend(): both are done many times in each switch.
 */
static __always_inline void enoki_set_state(struct task_struct *p, enum enoki_state state)
{
	struct sched_enoki_entity *ent = &p->enoki;

	enoki_check_state(p, state);
	if (unlikely(ent->state == ENOKI_ORPHAN))
		enoki_count_orphan(p, -1);
	if (unlikely(state == ENOKI_ORPHAN))
		enoki_count_orphan(p, 1);
	ent->state = state;
}

/**
 * enoki_grant - hand a task's token to its policy
 * @rq: the task's run queue, locked
 * @p: the task, whose token the class owns
 *
 * Return: the token, to be passed on at once; NULL if it was lost earlier, or the
 *         policy has been ejected, then the class is to run the task by itself.
 */
struct enoki_task *enoki_grant(struct rq *rq, struct task_struct *p)
{
	struct sched_enoki_entity *ent = &p->enoki;
	struct enoki_task *token = ent->token;
	struct enoki_slot *slot = ent->slot;
	u64 gen;

	if (unlikely(!token || enoki_shut(ent->es, rq, token))) {
		enoki_set_state(p, ENOKI_ORPHAN);
		/* Again, if there was no memory for a new one. */
		if (!token)
			enoki_defer(ent->es);
		return NULL;
	}

	enoki_set_state(p, ENOKI_QUEUED);
	enoki_refresh(p, token);
	gen = slot->gen + 1;
	ent->gen = gen;
	WRITE_ONCE(slot->gen, gen);
	slot->granted_at = rq_clock(rq);
	token->gen = gen;
	token->cpu = cpu_of(rq);
	ent->flags &= ~(ENOKI_P_NEW | ENOKI_P_SEEN);

	return token;
}

/* Make the token of a task, which the class owns, what the policy may see for one call. */
static __always_inline struct enoki_task *enoki_lend_begun(struct task_struct *p)
{
	struct enoki_task *token = p->enoki.token;

	enoki_refresh(p, token);
	/* So that services know whose it is. The next grant has another. */
	token->gen = p->enoki.slot->gen;
	token->cpu = task_cpu(p);

	return token;
}

/*
 * Let the policy see a task whose token the class owns. Its run queue @rq is locked.
 * Return: the token for the length of one call, or NULL if it was lost or the policy has
 * been ejected.
 */
static __always_inline struct enoki_task *enoki_lend(struct rq *rq, struct task_struct *p)
{
	struct enoki_task *token = p->enoki.token;

	if (unlikely(!token || enoki_shut(p->enoki.es, rq, token)))
		return NULL;

	return enoki_lend_begun(p);
}

/**
 * enoki_lost - the policy has lost the token of a task
 * @rq: the task's run queue, locked
 * @p: the task
 */
void enoki_lost(struct rq *rq, struct task_struct *p)
{
	struct enoki_offence offence = {
		.time_ns = rq_clock(rq),
		.task_id = p->enoki.task_id,
		.cpu = cpu_of(rq),
		.pid = task_pid_nr(p),
		.call = ENOKI_NR_EVENTS,
	};

	strscpy(offence.comm, p->comm);
	enoki_reject(p->enoki.es, ENOKI_REJ_lost);
	enoki_offend(p->enoki.es, ENOKI_EXIT_LOST, &offence);
}

/**
 * enoki_reclaim - take the token of a queued task back from its policy
 * @rq: the task's run queue, locked
 * @p: the task, in state ENOKI_QUEUED
 * @why: what the policy is told
 *
 * The state is left for the caller to change. If the policy has lost the token
 * the task goes on without one; a worker makes it a new one.
 *
 * Return: the policy gave it back.
 */
bool enoki_reclaim(struct rq *rq, struct task_struct *p, enum enoki_leave why)
{
	struct sched_enoki_entity *ent = &p->enoki;
	struct enoki_task *token = ent->token, *back = NULL;
	bool shut = enoki_shut(ent->es, rq, token);

	if (likely(!shut))
		back = enoki_call_migrate_task_rq(ent->es, rq, p, why);
	/* From here on the last grant is worth nothing, whoever has it. */
	WRITE_ONCE(ent->slot->gen, ent->slot->gen + 1);
	if (likely(back == token))
		return true;

	ent->token = NULL;
	if (back)
		enoki_token_drop(back);
	/* Whoever has it cannot be asked, and keeps it. */
	if (shut) {
		ent->slot->passed = enoki_ejected(ent->es) ? NULL : token;
		return false;
	}

	/* A rescue is an offence already, and counted. */
	if (why != ENOKI_LEAVE_RESCUE)
		enoki_lost(rq, p);
	enoki_defer(ent->es);

	return false;
}
