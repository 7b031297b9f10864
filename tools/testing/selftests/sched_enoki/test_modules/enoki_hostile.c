// SPDX-License-Identifier: GPL-2.0
/*
 * A policy that errs on demand: first in, first out, but every so often it gives
 * the wrong answer that its parameter "wrong" names. Written in C, because most
 * of these answers cannot be written in safe Rust. ../hostile.c says what the
 * class must make of each.
 */
#include <linux/bitops.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/sched/enoki.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

/* In the order of the names in ../hostile.c. */
enum hostile_wrong {
	HOSTILE_NOTHING,	/* an honest policy */
	HOSTILE_NONE,		/* picks nothing although tasks wait */
	HOSTILE_AGAIN,		/* picks a task whose token it gave back */
	HOSTILE_OTHER_CPU,	/* picks a task of another CPU */
	HOSTILE_PAST,		/* picks by a token that it had "lost" */
	HOSTILE_FORGET,		/* has no token when the class wants it back */
	HOSTILE_LEAK,		/* likewise, and never gives it up either */
	HOSTILE_SWAP,		/* gives another task's token back */
	HOSTILE_DROP,		/* drops a token that it was given */
	HOSTILE_SELECT,		/* places a task where it may not run, or nowhere */
	HOSTILE_STEAL,		/* wants to steal what cannot be stolen */
	HOSTILE_REFUSE,		/* refuses new tasks */
	HOSTILE_NR
};

static unsigned int wrong;
module_param(wrong, uint, 0644);
MODULE_PARM_DESC(wrong, "Which wrong answer to give, 0 for none");

static unsigned int every = 16;
module_param(every, uint, 0644);
MODULE_PARM_DESC(every, "Give it every this many times");

static unsigned int error = ENOMEM;
module_param(error, uint, 0644);
MODULE_PARM_DESC(error, "What to refuse new tasks with");

/* How the registration is wrong. */
static unsigned int abi = ENOKI_ABI_VERSION;
module_param(abi, uint, 0444);
MODULE_PARM_DESC(abi, "ABI version to claim");

static unsigned int size = sizeof(struct enoki_ops);
module_param(size, uint, 0444);
MODULE_PARM_DESC(size, "Size of the ops table to claim");

static unsigned int task_size = sizeof(struct enoki_task);
module_param(task_size, uint, 0444);
MODULE_PARM_DESC(task_size, "Size of a token to claim");

static unsigned int id = 66;
module_param(id, uint, 0444);
MODULE_PARM_DESC(id, "Number of the policy");

static unsigned int nr_timers;
module_param(nr_timers, uint, 0444);
MODULE_PARM_DESC(nr_timers, "Timers to claim");

/* How often the class took a token back, by enum enoki_leave. */
static unsigned long leaves[ENOKI_LEAVE_RESCUE + 1];

static int leaves_get(char *text, const struct kernel_param *kp)
{
	int len = 0, why;

	for (why = 0; why < ARRAY_SIZE(leaves); why++)
		len += sysfs_emit_at(text, len, "%lu ", READ_ONCE(leaves[why]));
	return len;
}

static const struct kernel_param_ops leaves_ops = { .get = leaves_get };
module_param_cb(leaves, &leaves_ops, NULL, 0444);
MODULE_PARM_DESC(leaves, "How often tasks left, by the reason given");

static char *name = "hostile";
module_param(name, charp, 0444);
MODULE_PARM_DESC(name, "Name of the policy");

struct hostile_task {
	struct enoki_task head;
	struct list_head node;
};

static DEFINE_RAW_SPINLOCK(hostile_lock);
static DEFINE_PER_CPU(struct list_head, hostile_queue);
static struct hostile_task *hostile_past;
static struct enoki_build *hostile_build;
static atomic_t hostile_turn;

static bool hostile_now(enum hostile_wrong what)
{
	return READ_ONCE(wrong) == what &&
	       !(atomic_inc_return(&hostile_turn) % max(READ_ONCE(every), 1U));
}

static struct hostile_task *hostile_of(struct enoki_task *task)
{
	return container_of(task, struct hostile_task, head);
}

static void hostile_add(struct enoki_task *task)
{
	guard(raw_spinlock)(&hostile_lock);
	/* It may be in one still, see HOSTILE_AGAIN. */
	list_move_tail(&hostile_of(task)->node, per_cpu_ptr(&hostile_queue, task->cpu));
}

/* All it has is static. */
static int hostile_new_sched(void **sched)
{
	*sched = NULL;
	return 0;
}

static void hostile_free_sched(void *sched)
{
}

static int hostile_init_task(void *sched, const struct enoki_task_info *info,
			     struct enoki_task **task)
{
	struct hostile_task *ht;

	if (hostile_now(HOSTILE_REFUSE))
		return -(int)READ_ONCE(error);

	ht = kzalloc_obj(*ht);
	if (!ht)
		return -ENOMEM;
	INIT_LIST_HEAD(&ht->node);
	*task = &ht->head;
	return 0;
}

static void hostile_free_task(struct enoki_task *task)
{
	scoped_guard (raw_spinlock_irqsave, &hostile_lock)
		list_del(&hostile_of(task)->node);
	kfree(hostile_of(task));
}

static void hostile_task_new(void *sched, const struct enoki_ctx *cx, struct enoki_task *task)
{
	if (hostile_now(HOSTILE_DROP))
		enoki_token_drop(task);
	else
		hostile_add(task);
}

static void hostile_task_wakeup(void *sched, const struct enoki_ctx *cx,
				struct enoki_task *task, u32 flags)
{
	hostile_task_new(sched, cx, task);
}

static void hostile_task_migrated(void *sched, const struct enoki_ctx *cx,
				  struct enoki_task *task, s32 from)
{
	hostile_task_new(sched, cx, task);
}

static void hostile_lent(void *sched, const struct enoki_ctx *cx, struct enoki_task *task)
{
}

static s32 hostile_select_task_rq(void *sched, const struct enoki_ctx *cx,
				  struct enoki_task *task, s32 prev_cpu, u32 flags)
{
	static const s32 nowhere[] = { -1, INT_MIN, INT_MAX, 1 << 20 };
	unsigned int turn = atomic_read(&hostile_turn);
	s32 cpu;

	if (!hostile_now(HOSTILE_SELECT))
		return prev_cpu;

	if (turn & 1)
		return nowhere[turn / 2 % ARRAY_SIZE(nowhere)];
	for (cpu = 0; cpu < nr_cpu_ids; cpu++)
		if (!enoki_task_allowed(task, cpu))
			return cpu;
	return -1;
}

/* A task of another CPU, which stays queued there. */
static struct enoki_task *hostile_of_another(s32 here)
{
	struct hostile_task *ht;
	int cpu;

	for_each_possible_cpu(cpu) {
		ht = list_first_entry_or_null(per_cpu_ptr(&hostile_queue, cpu),
					      struct hostile_task, node);
		if (cpu != here && ht)
			return &ht->head;
	}
	return NULL;
}

static struct enoki_task *hostile_pick_next_task(void *sched, const struct enoki_ctx *cx,
						 struct enoki_task *prev, u64 *slice_ns)
{
	struct list_head *queue = per_cpu_ptr(&hostile_queue, cx->cpu);
	struct enoki_task *other;
	struct hostile_task *ht;

	guard(raw_spinlock)(&hostile_lock);
	if (prev)
		list_move_tail(&hostile_of(prev)->node, queue);

	if (hostile_past && hostile_now(HOSTILE_PAST)) {
		other = &hostile_past->head;
		hostile_past = NULL;
		return other;
	}
	if (hostile_now(HOSTILE_OTHER_CPU)) {
		other = hostile_of_another(cx->cpu);
		if (other)
			return other;
	}
	if (hostile_now(HOSTILE_NONE))
		return NULL;

	ht = list_first_entry_or_null(queue, struct hostile_task, node);
	if (!ht)
		return NULL;
	/* Still in the queue, it is picked again even if it sleeps by then. */
	if (!hostile_now(HOSTILE_AGAIN))
		list_del_init(&ht->node);
	*slice_ns = NSEC_PER_MSEC;
	return &ht->head;
}

static void hostile_pnt_err(void *sched, const struct enoki_ctx *cx,
			    struct enoki_task *task, u32 err)
{
	guard(raw_spinlock)(&hostile_lock);
	/* A task of another CPU never left its queue, any other is not ours. */
	if (err != ENOKI_ERR_CPU)
		list_del_init(&hostile_of(task)->node);
}

static bool hostile_task_tick(void *sched, const struct enoki_ctx *cx, struct enoki_task *task)
{
	guard(raw_spinlock)(&hostile_lock);
	return !list_empty(per_cpu_ptr(&hostile_queue, cx->cpu));
}

static bool hostile_wakeup_preempt(void *sched, const struct enoki_ctx *cx,
				   struct enoki_task *curr, u64 woken_id)
{
	return false;
}

/* In turn: nowhere, no slot, here, a past generation, one that runs, one that is pinned. */
static bool hostile_balance(void *sched, const struct enoki_ctx *cx, struct enoki_key *key)
{
	unsigned int turn = atomic_read(&hostile_turn);
	struct enoki_task *other;

	if (!hostile_now(HOSTILE_STEAL))
		return false;

	guard(raw_spinlock)(&hostile_lock);
	other = hostile_of_another(cx->cpu);
	*key = (struct enoki_key){ .gen = 1, .slot = U32_MAX, .cpu = !cx->cpu };
	switch (turn % 5) {
	case 0:
		key->cpu = turn & 8 ? -1 : INT_MAX;
		break;
	case 1:
		key->cpu = cx->cpu;
		break;
	case 2:
		break;
	case 3:
		if (other)
			*key = (struct enoki_key){ other->gen - 1, other->slot, other->cpu };
		break;
	default:
		if (other)
			*key = (struct enoki_key){ other->gen, other->slot, other->cpu };
		break;
	}
	return true;
}

static void hostile_balance_err(void *sched, const struct enoki_ctx *cx,
				const struct enoki_key *key, u32 err)
{
}

static struct enoki_task *hostile_migrate_task_rq(void *sched, const struct enoki_ctx *cx,
						  struct enoki_task *task, u32 why)
{
	struct hostile_task *ht = hostile_of(task), *other;

	guard(raw_spinlock)(&hostile_lock);
	if (why < ARRAY_SIZE(leaves))
		WRITE_ONCE(leaves[why], leaves[why] + 1);
	/* It was dropped, and the class does not know yet. */
	if (list_empty(&ht->node))
		return NULL;
	list_del_init(&ht->node);

	if (hostile_now(HOSTILE_FORGET)) {
		enoki_token_drop(task);
		return NULL;
	}
	if (hostile_now(HOSTILE_LEAK))
		return NULL;
	if (!hostile_past && hostile_now(HOSTILE_PAST)) {
		hostile_past = ht;
		return NULL;
	}
	if (hostile_now(HOSTILE_SWAP)) {
		other = list_first_entry_or_null(per_cpu_ptr(&hostile_queue, cx->cpu),
						 struct hostile_task, node);
		if (other) {
			list_del_init(&other->node);
			enoki_token_drop(task);
			return &other->head;
		}
	}
	return task;
}

static void hostile_changed(void *sched, const struct enoki_ctx *cx, struct enoki_task *task,
			    const struct enoki_task_info *info)
{
}

static void hostile_cpu(void *sched, const struct enoki_ctx *cx, s32 cpu)
{
}

static void hostile_timer_fired(void *sched, const struct enoki_ctx *cx, u32 timer)
{
}

static void hostile_rescued(void *sched, const struct enoki_ctx *cx, u64 id, u64 waited_ns)
{
}

static s64 hostile_nr_queued(void *sched, const struct enoki_ctx *cx)
{
	return -1;
}

static struct enoki_ops hostile_ops = {
	.version		= "1",
	.owner			= THIS_MODULE,
	.new_sched		= hostile_new_sched,
	.free_sched		= hostile_free_sched,
	.init_task		= hostile_init_task,
	.free_task		= hostile_free_task,
	.task_new		= hostile_task_new,
	.task_wakeup		= hostile_task_wakeup,
	.task_preempt		= hostile_task_new,
	.task_yield		= hostile_task_new,
	.task_migrated		= hostile_task_migrated,
	.task_blocked		= hostile_lent,
	.task_dead		= hostile_lent,
	.task_departed		= hostile_lent,
	.select_task_rq		= hostile_select_task_rq,
	.pick_next_task		= hostile_pick_next_task,
	.pnt_err		= hostile_pnt_err,
	.task_tick		= hostile_task_tick,
	.wakeup_preempt		= hostile_wakeup_preempt,
	.balance		= hostile_balance,
	.balance_err		= hostile_balance_err,
	.migrate_task_rq	= hostile_migrate_task_rq,
	.task_rescued		= hostile_rescued,
	.nr_queued		= hostile_nr_queued,
	.task_prio_changed	= hostile_changed,
	.task_affinity_changed	= hostile_changed,
	.cpu_online		= hostile_cpu,
	.cpu_offline		= hostile_cpu,
	.timer_fired		= hostile_timer_fired,
};

static int __init hostile_init(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		INIT_LIST_HEAD(per_cpu_ptr(&hostile_queue, cpu));

	hostile_ops.abi_version = abi;
	hostile_ops.size = size;
	hostile_ops.task_size = task_size;
	hostile_ops.id = id;
	hostile_ops.nr_timers = nr_timers;
	/* One that fills the field leaves no room for its end, as it is meant. */
	memcpy(hostile_ops.name, name, min(strlen(name), sizeof(hostile_ops.name)));

	hostile_build = enoki_register(&hostile_ops);
	return PTR_ERR_OR_ZERO(hostile_build);
}
module_init(hostile_init);

static void __exit hostile_exit(void)
{
	enoki_unregister(hostile_build);
	/* A token that was never given back is nobody's but ours. */
	kfree(hostile_past);
}
module_exit(hostile_exit);

MODULE_DESCRIPTION("An Enoki policy that errs on demand");
MODULE_LICENSE("GPL");
