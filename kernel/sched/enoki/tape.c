// SPDX-License-Identifier: GPL-2.0
/*
 * Recordings: all that policies are asked and told, and what comes of it.
 *
 * What a policy does follows from what it is called with, from what it is told when it
 * asks for something, and from the order in which it takes its locks. With all that it can
 * be run again, by other means. It is written on tapes, one for each CPU, with interrupts off,
 * so that a record takes no lock. A program maps the tapes and takes what is there
 * (device.c); what finds no room is counted.
 *
 * The order of calls on different CPUs is that of the locks (each knows how often it was
 * taken) and that of the calls about one task (its slot counts them): nothing else leads
 * from one call to another. The times are of different clocks.
 *
 * include/uapi/linux/enoki.h has the format.
 */
#include <linux/vmalloc.h>

static_assert(sizeof(struct enoki_tape_header) == 128);
static_assert(sizeof(struct enoki_tape_header) <= ENOKI_TAPE_RECORDS);
static_assert((int)ENOKI_NR_EVENTS <= (int)ENOKI_RECORD_OFFICE);

struct enoki_taping enoki_taping = { .key = STATIC_KEY_FALSE_INIT };
EXPORT_SYMBOL_GPL(enoki_taping);

/**
 * struct enoki_tape - the tape of a CPU
 * @header: what the reader sees, with the records after it; as long as there are tapes
 * @head: how many bytes there have been
 * @limit: up to how many records can simply be put: 0 while there are @answers, else @room
 * @room: at how many it has to be looked whether there is room, and somebody to wake
 * @tail: how many bytes were read, when that was last looked at
 * @lost: for how many records there has been no room since the last one
 * @answers: what the policy was answered, a bit each, after a 1, and that is not on the tape yet
 * @answered: which call that was in
 * @answered_by: and of which policy
 * @cpu: whose it is
 * @on: likewise, so that both can be copied at once
 *
 * Each CPU has its own, with interrupts off.
 */
struct enoki_tape {
	struct enoki_tape_header	*header;
	u64				head;
	u64				limit;
	u64				room;
	u64				answers;
	u64				tail;
	u64				lost;
	u16				answered;
	u8				answered_by;
	u16				cpu;
	u16				on;
};

static DEFINE_PER_CPU(struct enoki_tape, enoki_tapes) = { .answers = 1 };

DEFINE_PER_CPU(u64, enoki_tape_with);

/* Bytes of each; a power of two. It stays while there are tapes. */
static u64 enoki_tape_size;

/* Nothing is written any more, and no policy is taped; but somebody may be about to write. */
static bool enoki_tapes_halted = true;

/* Of all that is below; outside enoki_change_mutex. */
static DEFINE_MUTEX(enoki_tape_mutex);

/**
 * struct enoki_recording_state - the recording that is being made
 * @owner: whose it is, NULL if there is none
 * @memory: of the tapes
 * @stride: how far they are from each other
 * @lossless: it ends where there is no room
 * @started: it has begun; it is not begun twice
 * @policies: which ones are to be recorded
 */
static struct enoki_recording_state {
	const struct enoki_client	*owner;
	char				*memory;
	u64				stride;
	bool				lossless;
	bool				started;
	DECLARE_BITMAP(policies, 128);
} enoki_recording_now;

/* Which policies are recorded that are loaded from now on; under enoki_change_mutex. */
static DECLARE_BITMAP(enoki_tape_policies, 128);

static DECLARE_WAIT_QUEUE_HEAD(enoki_tape_wait);

static void enoki_tape_wake_fn(struct irq_work *work)
{
	wake_up_interruptible(&enoki_tape_wait);
}

static DEFINE_IRQ_WORK(enoki_tape_wake, enoki_tape_wake_fn);

static struct enoki_tape_header *enoki_tape_header_of(int cpu)
{
	return (void *)(enoki_recording_now.memory + cpu * enoki_recording_now.stride);
}

/*
 * Writing.
 */

/* Where the record goes before which there were @head bytes. */
static __always_inline struct enoki_record *enoki_tape_at(struct enoki_tape_header *header,
							  u64 head)
{
	return (void *)((char *)header + ENOKI_TAPE_RECORDS + (head & (enoki_tape_size - 1)));
}

/* There are that many bytes now. */
static __always_inline void enoki_tape_done(struct enoki_tape *tape,
					    struct enoki_tape_header *header, u64 head)
{
	tape->head = head;
	/* Pairs with the acquire of the reader. */
	smp_store_release(&header->head, head);
}

static void enoki_tape_put(struct enoki_tape *tape, const struct enoki_record *record)
{
	*enoki_tape_at(tape->header, tape->head) = *record;
	enoki_tape_done(tape, tape->header, tape->head + sizeof(*record));
}

/* Write no more, on no CPU. Interrupts are off. */
static void enoki_tapes_halt(struct enoki_tape *tape)
{
	struct enoki_sched *es;

	WRITE_ONCE(tape->header->stopped, 1);
	WRITE_ONCE(enoki_tapes_halted, true);
	/* Pairs with the one in enoki_tape_instance(): that sees it, or this what was set there. */
	smp_mb();
	guard(rcu)();
	list_for_each_entry_rcu(es, &enoki_scheds, node)
		WRITE_ONCE(es->taped, 0);
}

/* For how many bytes is there room? Looks at what was read. */
static u64 enoki_tape_room(struct enoki_tape *tape)
{
	/* Pairs with the release of the reader: it is done with what was before. */
	u64 tail = smp_load_acquire(&tape->header->tail);

	if (tail - tape->tail > tape->head - tape->tail) {
		enoki_tapes_halt(tape);
		return 0;
	}
	tape->tail = tail;

	return tape->tail + enoki_tape_size - tape->head;
}

/*
 * At the limit: is there room for a record? If so, up to where; if not, that is noted. After a
 * part of the tape somebody is woken.
 */
static noinline bool enoki_tape_look(struct enoki_tape *tape, int cpu)
{
	u64 room = enoki_tape_room(tape), part = enoki_tape_size / 8;
	const size_t size = sizeof(struct enoki_record);

	irq_work_queue(&enoki_tape_wake);
	if (READ_ONCE(enoki_tapes_halted))
		return false;
	if (room < (tape->lost ? 2 : 1) * size) {
		tape->lost++;
		WRITE_ONCE(tape->header->lost, tape->header->lost + 1);
		if (enoki_recording_now.lossless)
			enoki_tapes_halt(tape);
		return false;
	}
	if (tape->lost) {
		enoki_tape_put(tape, &(struct enoki_record){
			.arg	= tape->lost,
			.cpu	= cpu,
			.on	= cpu,
			.event	= ENOKI_RECORD_LOST,
		});
		tape->lost = 0;
		room -= size;
	}
	tape->room = tape->head + min(room, part);
	if (tape->answers == 1)
		tape->limit = tape->room;

	return true;
}

/* Write a record, if there is room. */
static void enoki_tape_write(struct enoki_tape *tape, const struct enoki_record *record)
{
	if (likely(tape->head < tape->room) || enoki_tape_look(tape, record->on))
		enoki_tape_put(tape, record);
}

/* What the policy was answered in the call before goes on the tape of @cpu first. */
static noinline void enoki_tape_flush(struct enoki_tape *tape, int cpu)
{
	enoki_tape_write(tape, &(struct enoki_record){
		.arg	= tape->answers,
		.cpu	= cpu,
		.on	= cpu,
		.event	= ENOKI_RECORD_ANSWERS,
		.policy	= tape->answered_by,
		.nth	= tape->answered,
	});
	tape->answers = 1;
	tape->limit = tape->room;
}

/*
 * What is no call, but belongs to the one that this CPU is in, or to the next one. It is filled
 * where it goes, a field after the other, as that takes few registers.
 */
static __always_inline void enoki_tape_fill(struct enoki_record *record,
					    const struct enoki_sched *es,
					    const struct enoki_tape *tape, unsigned int event,
					    u64 task, u64 arg)
{
	u16 cpu = tape->cpu, on = tape->on;

	record->time_ns = 0;
	record->task = task;
	record->arg = arg;
	record->cpu = cpu;
	record->on = on;
	record->event = event;
	record->policy = es->id;
	record->nth = __this_cpu_read(enoki_calling) & ENOKI_CALL_MASK;
}

/* Likewise, a call that is the @nth about its task. */
static __always_inline void enoki_tape_fill_call(struct enoki_record *record,
						 const struct enoki_sched *es,
						 const struct enoki_tape *tape,
						 enum enoki_event event,
						 const struct enoki_ctx *cx,
						 const struct enoki_task *token, u64 arg, u16 nth)
{
	record->time_ns = cx->now_ns;
	record->task = token->info.id;
	record->arg = arg;
	record->cpu = cx->cpu;
	record->on = tape->on;
	record->event = event;
	record->policy = es->id;
	record->nth = nth;
}

static void enoki_tape_write_piece(const struct enoki_sched *es, struct enoki_tape *tape,
				   unsigned int event, u64 task, u64 arg)
{
	struct enoki_record record;

	enoki_tape_fill(&record, es, tape, event, task, arg);
	enoki_tape_write(tape, &record);
}

/*
 * May the next @nr records simply be put? Otherwise the policy is not recorded, or there is
 * something to see to before. No instance has number 0.
 */
static __always_inline bool enoki_tape_ready(const struct enoki_sched *es,
					     const struct enoki_tape *tape, u64 head,
					     unsigned int nr)
{
	u64 last = head + (nr - 1) * sizeof(struct enoki_record);

	return likely(last < tape->limit &&
		      __this_cpu_read(es->stats->instance) == READ_ONCE(es->taped));
}

/* See to it, but for whether there is room. Return: the policy is recorded. */
static bool enoki_tape_prepare(struct enoki_sched *es, struct enoki_tape *tape)
{
	/* Whoever ends the recording meanwhile sets it to 0. */
	unsigned int taped = READ_ONCE(es->taped);

	if (!taped)
		return false;
	if (tape->answers != 1)
		enoki_tape_flush(tape, smp_processor_id());
	if (__this_cpu_read(es->stats->instance) != taped) {
		/* Another instance of the policy is in office. */
		__this_cpu_write(es->stats->instance, taped);
		enoki_tape_write_piece(es, tape, ENOKI_RECORD_OFFICE, es->instance, es->inherits);
	}

	return true;
}

static noinline void __enoki_tape(struct enoki_sched *es, unsigned int event, u64 task, u64 arg)
{
	struct enoki_tape *tape = this_cpu_ptr(&enoki_tapes);

	if (enoki_tape_prepare(es, tape))
		enoki_tape_write_piece(es, tape, event, task, arg);
}

static __always_inline void enoki_tape_piece(struct enoki_sched *es, unsigned int event,
					     u64 task, u64 arg)
{
	struct enoki_tape *tape = this_cpu_ptr(&enoki_tapes);
	struct enoki_tape_header *header = tape->header;
	u64 head = tape->head;

	if (!enoki_tape_ready(es, tape, head, 1)) {
		__enoki_tape(es, event, task, arg);
		return;
	}
	enoki_tape_fill(enoki_tape_at(header, head), es, tape, event, task, arg);
	enoki_tape_done(tape, header, head + sizeof(struct enoki_record));
}

/**
 * enoki_tape - record something that belongs to a call
 * @es: the policy
 * @event: what, of &enum enoki_record_event
 * @task: as that says
 * @arg: likewise
 *
 * Context: interrupts off.
 */
void enoki_tape(struct enoki_sched *es, unsigned int event, u64 task, u64 arg)
{
	enoki_tape_piece(es, event, task, arg);
}

/*
 * The slot of the task that a call is about, if @token is the present one: what it has of its
 * task can be relied on, and what is counted there is under a lock.
 */
static __always_inline struct enoki_slot *enoki_tape_slot_of(const struct enoki_task *token)
{
	struct enoki_slot *slot = enoki_slot_of(token->slot);

	/* One that has no task any more is on its way to be freed. */
	return slot && slot->gen == token->gen && slot->task ? slot : NULL;
}

/* Which call about its task is this? If that has run since the one before, that comes first. */
static u16 enoki_tape_nth(struct enoki_sched *es, struct enoki_tape *tape,
			  const struct enoki_task *token)
{
	struct enoki_slot *slot = enoki_tape_slot_of(token);

	if (!slot)
		return 0;
	if (slot->taped_ns != token->info.runtime_ns) {
		slot->taped_ns = token->info.runtime_ns;
		enoki_tape_write_piece(es, tape, ENOKI_RECORD_RUNTIME, token->info.id,
				       slot->taped_ns);
	}

	return slot->calls++;
}

/* Calls about a task whose argument is its run time, if that has changed. */
#define ENOKI_TAPE_RUNTIME_CALLS						\
	(BIT(ENOKI_EV_task_new) | BIT(ENOKI_EV_task_preempt) | BIT(ENOKI_EV_task_yield) |	\
	 BIT(ENOKI_EV_task_blocked) | BIT(ENOKI_EV_task_dead) | BIT(ENOKI_EV_task_departed))

static noinline void __enoki_tape_call(struct enoki_sched *es, enum enoki_event event,
				       const struct enoki_ctx *cx,
				       const struct enoki_task *token, u64 arg)
{
	struct enoki_tape *tape = this_cpu_ptr(&enoki_tapes);
	struct enoki_record record;
	u16 nth;

	if (!enoki_tape_prepare(es, tape))
		return;
	nth = enoki_tape_nth(es, tape, token);
	enoki_tape_fill_call(&record, es, tape, event, cx, token, arg, nth);
	enoki_tape_write(tape, &record);
}

/*
 * A call that is about a task which has run since the one before: that comes first. There is
 * room for both.
 */
static noinline void enoki_tape_call_ran(const struct enoki_sched *es, enum enoki_event event,
					 const struct enoki_ctx *cx,
					 const struct enoki_task *token, u64 arg,
					 struct enoki_slot *slot)
{
	struct enoki_tape *tape = this_cpu_ptr(&enoki_tapes);
	const size_t size = sizeof(struct enoki_record);
	u64 head = tape->head;

	slot->taped_ns = token->info.runtime_ns;
	enoki_tape_fill(enoki_tape_at(tape->header, head), es, tape, ENOKI_RECORD_RUNTIME,
			token->info.id, slot->taped_ns);
	enoki_tape_fill_call(enoki_tape_at(tape->header, head + size), es, tape, event, cx,
			     token, arg, slot->calls++);
	enoki_tape_done(tape, tape->header, head + 2 * size);
}

/*
 * A call about @token, of which the class knows that it is no past one, or which is the call's
 * answer; or &enoki_no_token.
 */
static __always_inline void enoki_tape_call(struct enoki_sched *es, enum enoki_event event,
					    const struct enoki_ctx *cx,
					    const struct enoki_task *token, u64 arg)
{
	struct enoki_tape *tape = this_cpu_ptr(&enoki_tapes);
	struct enoki_tape_header *header = tape->header;
	u64 head = tape->head;
	struct enoki_slot *slot;

	slot = enoki_tape_slot_of(token);
	if (unlikely(!slot) || !enoki_tape_ready(es, tape, head, 2)) {
		__enoki_tape_call(es, event, cx, token, arg);
		return;
	}
	if (slot->taped_ns != token->info.runtime_ns) {
		if (!(BIT(event) & ENOKI_TAPE_RUNTIME_CALLS)) {
			enoki_tape_call_ran(es, event, cx, token, arg, slot);
			return;
		}
		slot->taped_ns = token->info.runtime_ns;
		arg = slot->taped_ns;
	}
	enoki_tape_fill_call(enoki_tape_at(header, head), es, tape, event, cx, token, arg,
			     slot->calls++);
	enoki_tape_done(tape, header, head + sizeof(struct enoki_record));
}

/* The ring stands still. If there is no record of this one it may come too late to be right. */
static noinline void enoki_record_late(struct enoki_sched *es, enum enoki_event event,
				       const struct enoki_ctx *cx,
				       const struct enoki_task *token, u64 arg)
{
	this_cpu_write(es->stats->late_at, ktime_get_mono_fast_ns());
	if (enoki_is_taping())
		enoki_tape_call(es, event, cx, token, arg);
}

/**
 * enoki_record_slow - note a call when there is a recording, too, or the ring stands still
 * @es: the policy
 * @event: which call
 * @cx: its context
 * @token: that of the task that it is about, or &enoki_no_token
 * @arg: see &enum enoki_record_event
 *
 * Context: interrupts off.
 */
void enoki_record_slow(struct enoki_sched *es, enum enoki_event event,
		       const struct enoki_ctx *cx, const struct enoki_task *token, u64 arg)
{
	void *records = this_cpu_read(enoki_rings.shared);

	if (unlikely(!records)) {
		enoki_record_late(es, event, cx, token, arg);
		return;
	}
	enoki_ring_put(records, es, event, cx, token->info.id, arg);
	if (enoki_is_taping())
		enoki_tape_call(es, event, cx, token, arg);
}

/**
 * enoki_tape_prev - record that pick_next_task is given a token
 * @es: the policy
 * @prev: the token
 *
 * Context: interrupts off.
 */
void enoki_tape_prev(struct enoki_sched *es, const struct enoki_task *prev)
{
	struct enoki_tape *tape = this_cpu_ptr(&enoki_tapes);
	struct enoki_record record;

	if (!enoki_tape_prepare(es, tape))
		return;
	enoki_tape_fill(&record, es, tape, ENOKI_RECORD_WITH, prev->info.id, 0);
	record.cpu = prev->cpu;
	record.nth = enoki_tape_nth(es, tape, prev);
	enoki_tape_write(tape, &record);
}

/* The policy that asks; NULL if it is not called, but made. */
static __always_inline struct enoki_sched *enoki_in_call(void)
{
	/* In one piece: who may be moved to another CPU is in no call, on any. */
	return (void *)(this_cpu_read(enoki_calling) & ~ENOKI_CALL_MASK);
}

/**
 * enoki_tape_asked - record that a policy asks for something
 * @event: what, of &enum enoki_record_event
 * @task: as that says
 * @arg: likewise
 *
 * Context: any call of the policy, or none: then nothing is recorded.
 */
void enoki_tape_asked(unsigned int event, u64 task, u64 arg)
{
	struct enoki_sched *es = enoki_in_call();

	if (es)
		enoki_tape(es, event, task, arg);
}

/**
 * enoki_tape_answer - record what a policy is answered
 * @answer: to what it asked
 *
 * Context: any call of the policy, or none.
 * Return: @answer.
 */
bool enoki_tape_answer(bool answer)
{
	struct enoki_sched *es = enoki_in_call();
	struct enoki_tape *tape;
	u16 call;

	if (!es || !READ_ONCE(es->taped))
		return answer;
	tape = this_cpu_ptr(&enoki_tapes);
	call = __this_cpu_read(enoki_calling) & ENOKI_CALL_MASK;
	/* Those of a call before, or as many as there are bits. */
	if (unlikely(tape->answers != 1) &&
	    (tape->answered != call || tape->answers >> 62))
		enoki_tape_flush(tape, smp_processor_id());
	tape->answers = tape->answers << 1 | answer;
	tape->limit = 0;
	tape->answered = call;
	tape->answered_by = es->id;

	return answer;
}

static u64 enoki_tape_packed(const struct enoki_task_info *info)
{
	return info->weight | (u64)(u16)info->nr_cpus_allowed << 32 |
	       (u64)(u8)(info->nice + 20) << 48 | (u64)(u8)info->flags << 56;
}

/**
 * enoki_tape_info - record what a policy may see of a task from now on
 * @es: the policy
 * @info: the task
 *
 * Context: interrupts off.
 */
void enoki_tape_info(struct enoki_sched *es, const struct enoki_task_info *info)
{
	enoki_tape(es, ENOKI_RECORD_INFO, info->id, enoki_tape_packed(info));
	enoki_tape(es, ENOKI_RECORD_RUNTIME, info->id, info->runtime_ns);
}

/**
 * enoki_tape_hint - record a hint that a policy is to be given
 * @es: the policy
 * @info: the task that it is about, if the policy has its token; else NULL
 * @hint: as large as the policy wants it
 *
 * Context: interrupts off.
 */
void enoki_tape_hint(struct enoki_sched *es, const struct enoki_task_info *info,
		     const void *hint)
{
	u32 at, size = es->ops->hint.size;
	u64 data[2];

	if (!READ_ONCE(es->taped))
		return;
	if (info)
		enoki_tape_info(es, info);
	enoki_tape(es, ENOKI_RECORD_WITH, info ? info->id : 0, size);
	for (at = 0; at < size; at += sizeof(data)) {
		data[1] = 0;
		memcpy(data, hint + at, min_t(u32, size - at, sizeof(data)));
		enoki_tape(es, ENOKI_RECORD_DATA, data[0], data[1]);
	}
}

/**
 * enoki_tape_made - record that a policy made the memory of a task
 * @es: the policy
 * @info: the task
 *
 * Context: process context, with enoki_sched::calls read-locked.
 */
void enoki_tape_made(struct enoki_sched *es, const struct enoki_task_info *info)
{
	guard(irqsave)();
	enoki_tape(es, ENOKI_RECORD_INIT_TASK, info->id, enoki_tape_packed(info));
	enoki_tape(es, ENOKI_RECORD_RUNTIME, info->id, info->runtime_ns);
}

/**
 * enoki_tape_freed - record that the memory of a task is to be freed
 * @es: the policy
 * @token: its token
 *
 * Context: process context.
 */
void enoki_tape_freed(struct enoki_sched *es, const struct enoki_task *token)
{
	guard(irqsave)();
	/* Those of instances before are freed with them. */
	if (enoki_is_current(es, token))
		enoki_tape(es, ENOKI_RECORD_FREE_TASK, token->info.id, 0);
}

/**
 * enoki_tape_lock - record that a policy took one of its locks
 * @es: the policy, NULL in unit tests
 * @lock: number of the lock
 * @nth: how often it was taken before, as long as that was recorded
 *
 * Context: a call of the policy, with the lock held.
 */
void enoki_tape_lock(struct enoki_sched *es, u64 lock, u64 nth)
{
	if (es)
		enoki_tape_piece(es, ENOKI_RECORD_LOCK, lock, nth);
}
EXPORT_SYMBOL_GPL(enoki_tape_lock);

/*
 * What is recorded, and for whom.
 */

/**
 * enoki_tape_slot - a task gets its token, or another one
 * @slot: its slot
 *
 * Context: nobody else uses it, or the task's run queue is locked.
 */
void enoki_tape_slot(struct enoki_slot *slot)
{
	slot->calls = 0;
	/* What no task has had. */
	slot->taped_ns = U64_MAX;
}

/**
 * enoki_tape_instance - a policy has another instance
 * @es: the policy
 * @taped: it is recorded; from the new instance on, if it was not
 *
 * Context: with enoki_change_mutex; nobody calls the policy.
 */
void enoki_tape_instance(struct enoki_sched *es, bool taped)
{
	WRITE_ONCE(es->taped, taped ? es->instance : 0);
	/* Pairs with the one in enoki_tapes_halt(). */
	smp_mb();
	if (READ_ONCE(enoki_tapes_halted))
		WRITE_ONCE(es->taped, 0);
}

/**
 * enoki_tape_new - a policy comes into office
 * @es: the policy, which has its first data, and which nobody calls yet
 *
 * Context: may sleep, with enoki_change_mutex.
 */
void enoki_tape_new(struct enoki_sched *es)
{
	enoki_number_instance(es, false);
	enoki_tape_instance(es, test_bit(es->id, enoki_tape_policies));
}

/* Nobody writes any more. */
static void enoki_tapes_stop(void)
{
	struct enoki_tape *tape;
	struct enoki_sched *es;
	int cpu;

	lockdep_assert_held(&enoki_tape_mutex);
	scoped_guard (mutex, &enoki_change_mutex) {
		bitmap_zero(enoki_tape_policies, 128);
		list_for_each_entry(es, &enoki_scheds, node)
			WRITE_ONCE(es->taped, 0);
	}
	/* Those that saw it recorded have written what they would: the tapes are ours. */
	synchronize_rcu();
	for_each_possible_cpu(cpu) {
		tape = per_cpu_ptr(&enoki_tapes, cpu);
		if (!enoki_tapes_halted && tape->answers != 1)
			enoki_tape_flush(tape, cpu);
	}
	WRITE_ONCE(enoki_tapes_halted, true);
	if (static_key_enabled(&enoki_taping.key)) {
		static_branch_disable(&enoki_taping.key);
		enoki_recorder_taping();
	}
	synchronize_rcu();
	irq_work_sync(&enoki_tape_wake);
	wake_up_interruptible(&enoki_tape_wait);
}

/* What machine it is. */
static void enoki_tape_machine(void)
{
	struct enoki_topology topo;
	int cpu;

	guard(irqsave)();
	for_each_possible_cpu(cpu) {
		enoki_topology(cpu, &topo);
		enoki_tape_write(this_cpu_ptr(&enoki_tapes), &(struct enoki_record){
			.task	= (u32)topo.smt | (u64)topo.llc << 32,
			.arg	= (u32)cpu | (u64)topo.node << 32,
			.cpu	= smp_processor_id(),
			.on	= smp_processor_id(),
			.event	= ENOKI_RECORD_TOPOLOGY,
		});
	}
}

/* Have the policies that are to be recorded begin anew. Return: how many, or an error. */
static int enoki_tapes_begin(void)
{
	struct enoki_sched *es;
	int ret, nr = 0;

	guard(mutex)(&enoki_change_mutex);
	bitmap_copy(enoki_tape_policies, enoki_recording_now.policies, 128);
	list_for_each_entry(es, &enoki_scheds, node) {
		if (!test_bit(es->id, enoki_tape_policies) || enoki_ejected(es))
			continue;
		ret = enoki_begin_anew(es);
		if (ret)
			return ret;
		nr++;
	}

	return nr;
}

/**
 * enoki_recording_open - get tapes
 * @client: whose they will be
 * @recording: as ENOKI_IOC_RECORD has it; filled in
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int enoki_recording_open(const struct enoki_client *client, struct enoki_recording *recording)
{
	u32 size = recording->tape_size ?: ENOKI_TAPE_SIZE;
	u64 stride = ENOKI_TAPE_RECORDS + size;

	if (!capable(CAP_SYS_NICE) || !perfmon_capable())
		return -EPERM;
	if (!is_power_of_2(size) || size < PAGE_SIZE || size > ENOKI_MAX_TAPE_SIZE ||
	    recording->flags & ~ENOKI_RECORDING_LOSSLESS || recording->reserved)
		return -EINVAL;

	guard(mutex)(&enoki_tape_mutex);
	if (enoki_recording_now.owner)
		return -EBUSY;
	stride = ALIGN(stride, PAGE_SIZE);
	enoki_recording_now.memory = vmalloc_user(nr_cpu_ids * stride);
	if (!enoki_recording_now.memory)
		return -ENOMEM;

	enoki_recording_now.stride = stride;
	enoki_recording_now.lossless = recording->flags & ENOKI_RECORDING_LOSSLESS;
	bitmap_from_arr64(enoki_recording_now.policies, recording->policies, 128);
	if (bitmap_empty(enoki_recording_now.policies, 128))
		bitmap_fill(enoki_recording_now.policies, 128);
	enoki_tape_size = size;
	/* Pairs with the acquire in enoki_recording_poll(). */
	smp_store_release(&enoki_recording_now.owner, client);
	recording->tape_size = size;
	recording->nr_tapes = nr_cpu_ids;
	recording->stride = stride;
	recording->offset = ENOKI_TAPES_OFFSET;
	recording->size = nr_cpu_ids * stride;

	return 0;
}

/**
 * enoki_recording_start - record
 * @client: whose tapes they are
 *
 * Context: may sleep.
 * Return: how many policies are recorded, or a negative errno.
 */
int enoki_recording_start(const struct enoki_client *client)
{
	int cpu, ret;

	guard(mutex)(&enoki_tape_mutex);
	if (enoki_recording_now.owner != client || enoki_recording_now.started)
		return -EINVAL;

	enoki_recording_now.started = true;
	for_each_possible_cpu(cpu) {
		per_cpu(enoki_tapes, cpu) = (struct enoki_tape){
			.header		= enoki_tape_header_of(cpu),
			.answers	= 1,
			.cpu		= cpu,
			.on		= cpu,
		};
	}
	enoki_tapes_halted = false;
	static_branch_enable(&enoki_taping.key);
	enoki_recorder_taping();
	enoki_tape_machine();
	ret = enoki_tapes_begin();
	if (ret < 0)
		enoki_tapes_stop();

	return ret;
}

/**
 * enoki_recording_stop - record no more
 * @client: whose tapes they are
 *
 * Context: may sleep.
 * Return: 0, or -EINVAL if it has none.
 */
int enoki_recording_stop(const struct enoki_client *client)
{
	guard(mutex)(&enoki_tape_mutex);
	if (enoki_recording_now.owner != client)
		return -EINVAL;
	enoki_tapes_stop();

	return 0;
}

/**
 * enoki_recording_close - give the tapes back, if there are any
 * @client: whose they are; it has them mapped no more
 *
 * Context: may sleep.
 */
void enoki_recording_close(const struct enoki_client *client)
{
	guard(mutex)(&enoki_tape_mutex);
	if (enoki_recording_now.owner != client)
		return;
	enoki_tapes_stop();
	vfree(enoki_recording_now.memory);
	enoki_recording_now = (struct enoki_recording_state){ };
}

/**
 * enoki_recording_map - have a program see the tapes
 * @client: whose they are
 * @vma: where
 *
 * Context: may sleep.
 * Return: 0 or a negative errno.
 */
int enoki_recording_map(const struct enoki_client *client, struct vm_area_struct *vma)
{
	guard(mutex)(&enoki_tape_mutex);
	if (enoki_recording_now.owner != client ||
	    vma->vm_end - vma->vm_start > nr_cpu_ids * enoki_recording_now.stride ||
	    !(vma->vm_flags & VM_SHARED))
		return -EINVAL;

	vm_flags_set(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP);
	return remap_vmalloc_range(vma, enoki_recording_now.memory, 0);
}

/**
 * enoki_recording_poll - is there something to take?
 * @client: whose tapes they are; it may have none
 * @file: as poll() has it
 * @table: likewise
 *
 * Context: may sleep.
 * Return: some tape has records that were not read.
 */
bool enoki_recording_poll(const struct enoki_client *client, struct file *file,
			  poll_table *table)
{
	struct enoki_tape_header *header;
	int cpu;

	/* Pairs with the release in enoki_recording_open(): there is the memory. */
	if (smp_load_acquire(&enoki_recording_now.owner) != client)
		return false;
	poll_wait(file, &enoki_tape_wait, table);
	for_each_possible_cpu(cpu) {
		header = enoki_tape_header_of(cpu);
		if (READ_ONCE(header->head) != READ_ONCE(header->tail))
			return true;
	}

	return false;
}
