// SPDX-License-Identifier: GPL-2.0
/*
 * Fault injection: what a policy answers is dropped, held back, replaced by an
 * earlier answer or by garbage, before the class looks at it.
 *
 * For each kind there is a directory in /sys/kernel/debug/sched_enoki with the files
 * of Documentation/fault-injection/fault-injection.rst. A token may be dropped, but
 * none is made up or handed out twice: that a policy cannot do that is what the
 * compiler proves of it, so that nothing behind it checks.
 */
#ifdef CONFIG_FAULT_INJECTION_DEBUG_FS
#include <linux/delay.h>
#include <linux/fault-inject.h>
#include <linux/hash.h>

/* So that a mistake in setting it does not look like a fault of ours. */
#define ENOKI_FAULT_MAX_DELAY_US	1000

static struct fault_attr enoki_faults[ENOKI_NR_FAULTS] = {
	[0 ... ENOKI_NR_FAULTS - 1] = FAULT_ATTR_INITIALIZER,
};

static const char * const enoki_fault_names[ENOKI_NR_FAULTS] = {
	[ENOKI_FAULT_DROP]	= "fail_drop",
	[ENOKI_FAULT_DELAY]	= "fail_delay",
	[ENOKI_FAULT_DUPLICATE]	= "fail_duplicate",
	[ENOKI_FAULT_GARBAGE]	= "fail_garbage",
};

static u32 enoki_fault_delay_us = 100;

/* The latest answer of each kind on a CPU, to be given again. */
struct enoki_answers {
	struct enoki_key	key;
	bool			named;
	u64			slice_ns;
	s64			nr_queued;
	s32			cpu;
	bool			yes;
};

static DEFINE_PER_CPU(struct enoki_answers, enoki_answers);

/**
 * enoki_fault - is a fault to be made now?
 * @kind: which
 *
 * Context: any; nothing is printed, a run queue may be locked.
 * Return: it is, and has been counted.
 */
bool enoki_fault(enum enoki_fault kind)
{
	struct fault_attr *attr = &enoki_faults[kind];

	/* Who lets a task's n-th allocation fail (fail-nth) does not mean answers. */
	return READ_ONCE(attr->probability) && should_fail_ex(attr, 1, FAULT_NOWARN);
}

static u64 enoki_garbage(void)
{
	return hash_64(sched_clock(), 64);
}

/**
 * enoki_fault_delay - hold an answer back for a while, perhaps
 *
 * Context: interrupts off.
 */
void enoki_fault_delay(void)
{
	if (enoki_fault(ENOKI_FAULT_DELAY))
		udelay(min(READ_ONCE(enoki_fault_delay_us), ENOKI_FAULT_MAX_DELAY_US));
}

/**
 * enoki_fault_bool - change a yes or no
 * @answer: the policy's
 *
 * Context: interrupts off.
 * Return: what the class is to take for it.
 */
bool enoki_fault_bool(bool answer)
{
	bool last = __this_cpu_read(enoki_answers.yes);

	__this_cpu_write(enoki_answers.yes, answer);
	if (enoki_fault(ENOKI_FAULT_DROP))
		return false;
	if (enoki_fault(ENOKI_FAULT_DUPLICATE))
		return last;
	if (enoki_fault(ENOKI_FAULT_GARBAGE))
		return enoki_garbage() & 1;

	return answer;
}

/**
 * enoki_fault_cpu - change where a task is placed
 * @answer: the policy's
 * @prev_cpu: where the task was
 *
 * Context: interrupts off.
 * Return: what the class is to take for it.
 */
s32 enoki_fault_cpu(s32 answer, s32 prev_cpu)
{
	s32 last = __this_cpu_read(enoki_answers.cpu);

	__this_cpu_write(enoki_answers.cpu, answer);
	if (enoki_fault(ENOKI_FAULT_DROP))
		return prev_cpu;
	if (enoki_fault(ENOKI_FAULT_DUPLICATE))
		return last;
	if (enoki_fault(ENOKI_FAULT_GARBAGE))
		return (s32)enoki_garbage();

	return answer;
}

/**
 * enoki_fault_count - change how many tokens the policy says it has
 * @answer: the policy's; negative if it does not count them
 *
 * Context: the run queue locked.
 * Return: what the class is to take for it.
 */
s64 enoki_fault_count(s64 answer)
{
	s64 last = __this_cpu_read(enoki_answers.nr_queued);

	__this_cpu_write(enoki_answers.nr_queued, answer);
	if (enoki_fault(ENOKI_FAULT_DROP))
		return -1;
	if (enoki_fault(ENOKI_FAULT_DUPLICATE))
		return last;
	if (enoki_fault(ENOKI_FAULT_GARBAGE))
		return (s64)enoki_garbage();

	return answer;
}

/**
 * enoki_fault_key - change which task is to be stolen
 * @named: did the policy name one?
 * @key: which, and what the class is to take for it
 *
 * The CPU stays one that there is: the policy hears of the key again when it is
 * refused.
 *
 * Context: interrupts off.
 * Return: is one named?
 */
bool enoki_fault_key(bool named, struct enoki_key *key)
{
	struct enoki_answers *answers = this_cpu_ptr(&enoki_answers);
	struct enoki_answers last = *answers;
	u64 garbage;

	answers->named = named;
	if (named)
		answers->key = *key;
	if (enoki_fault(ENOKI_FAULT_DROP))
		return false;
	if (enoki_fault(ENOKI_FAULT_DUPLICATE)) {
		*key = last.key;
		return last.named;
	}
	if (enoki_fault(ENOKI_FAULT_GARBAGE)) {
		garbage = enoki_garbage();
		*key = (struct enoki_key){
			.gen	= garbage >> 32,
			.slot	= garbage & 0xfff,
			.cpu	= cpumask_any_distribute(cpu_possible_mask),
		};
		return true;
	}

	return named;
}

/**
 * enoki_fault_pick - change what is picked
 * @token: the policy's answer, or NULL
 * @slice_ns: the slice it gave, and what the class is to take for it
 *
 * Context: the run queue locked.
 * Return: the token; NULL if it was NULL, or was dropped.
 */
struct enoki_task *enoki_fault_pick(struct enoki_task *token, u64 *slice_ns)
{
	u64 last = __this_cpu_read(enoki_answers.slice_ns);

	__this_cpu_write(enoki_answers.slice_ns, *slice_ns);
	if (token && enoki_fault(ENOKI_FAULT_DROP)) {
		enoki_token_drop(token);
		return NULL;
	}
	if (enoki_fault(ENOKI_FAULT_DUPLICATE))
		*slice_ns = last;
	else if (enoki_fault(ENOKI_FAULT_GARBAGE))
		*slice_ns = enoki_garbage();

	return token;
}

/**
 * enoki_fault_back - lose a token that was wanted back
 * @token: the policy's answer, or NULL
 *
 * Context: the run queue locked.
 * Return: the token; NULL if it was NULL, or was dropped.
 */
struct enoki_task *enoki_fault_back(struct enoki_task *token)
{
	if (!token || !enoki_fault(ENOKI_FAULT_DROP))
		return token;

	enoki_token_drop(token);

	return NULL;
}

/* After the recorder has made the directory. */
static int __init enoki_fault_setup(void)
{
	struct dentry *dir = debugfs_lookup("sched_enoki", NULL);
	int i;

	for (i = 0; i < ENOKI_NR_FAULTS; i++)
		fault_create_debugfs_attr(enoki_fault_names[i], dir, &enoki_faults[i]);
	debugfs_create_u32("fail_delay_us", 0600, dir, &enoki_fault_delay_us);
	dput(dir);

	return 0;
}
late_initcall_sync(enoki_fault_setup);

#endif /* CONFIG_FAULT_INJECTION_DEBUG_FS */
