// SPDX-License-Identifier: GPL-2.0
/*
 * The flight recorder: the latest calls of policies on each CPU, always on.
 *
 * Each CPU has a ring and writes it with interrupts off, so that a record takes a
 * dozen instructions and no lock. At a rescue or an ejection all rings stop for as
 * long as it takes to copy them; the copy stays until the next time. include/uapi/
 * linux/enoki.h has the format.
 */
#include <linux/debugfs.h>
#include <linux/vmalloc.h>

static_assert(sizeof(struct enoki_record) == 32);
static_assert((int)ENOKI_EV_task_new == (int)ENOKI_RECORD_TASK_NEW);
static_assert((int)ENOKI_EV_pick_next_task == (int)ENOKI_RECORD_PICK_NEXT_TASK);
static_assert((int)ENOKI_EV_reregister_init == (int)ENOKI_RECORD_REREGISTER_INIT);

DEFINE_STATIC_KEY_FALSE(enoki_recording);

DEFINE_PER_CPU(struct enoki_ring, enoki_rings);

/* Where the rings are, for those that stand still. */
static DEFINE_PER_CPU(void *, enoki_ring_memory);

/* Of all that is below, and of who stops the rings. */
static DEFINE_MUTEX(enoki_recorder_mutex);
static struct enoki_record_header *enoki_incident;

/* The rings stand still for enoki_recorder_keep(), whoever else wants to copy them. */
static bool enoki_incident_waits;

/* Stands for the token where a call is about no task. */
const struct enoki_task enoki_no_token = { .slot = U32_MAX };

/**
 * enoki_record_task - note a call that is about a task, but not about its token
 * @es: the policy
 * @event: which call
 * @cx: its context
 * @task: the task's number, or 0
 * @arg: see &enum enoki_record_event
 *
 * Context: interrupts off.
 */
void enoki_record_task(struct enoki_sched *es, enum enoki_event event,
		       const struct enoki_ctx *cx, u64 task, u64 arg)
{
	struct enoki_task token = { .info.id = task, .slot = U32_MAX };

	enoki_record(es, event, cx, &token, arg);
}

static void enoki_rings_stop(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		WRITE_ONCE(per_cpu(enoki_rings, cpu).records, NULL);
		WRITE_ONCE(per_cpu(enoki_rings, cpu).shared, NULL);
	}
}

static void enoki_rings_start(void)
{
	bool taping = static_key_enabled(&enoki_taping.key);
	void *memory;
	int cpu;

	lockdep_assert_held(&enoki_recorder_mutex);
	for_each_possible_cpu(cpu) {
		memory = per_cpu(enoki_ring_memory, cpu);
		WRITE_ONCE(per_cpu(enoki_rings, cpu).records, taping ? NULL : memory);
		WRITE_ONCE(per_cpu(enoki_rings, cpu).shared, taping ? memory : NULL);
	}
	/* Pairs with that in enoki_recorder_freeze(): one of the two sees the other. */
	smp_mb();
	if (READ_ONCE(enoki_incident_waits))
		enoki_rings_stop();
}

/**
 * enoki_recorder_freeze - keep what led to this
 *
 * Until enoki_recorder_keep() has copied it.
 *
 * Context: any, NMIs included.
 */
void enoki_recorder_freeze(void)
{
	WRITE_ONCE(enoki_incident_waits, true);
	/* Pairs with that in enoki_rings_start(). */
	smp_mb();
	enoki_rings_stop();
}

/*
 * The records of all rings, in memory that the caller frees; NULL without memory.
 * Each ring's latest may be half written if its CPU does so at this moment. It is
 * not waited for: a CPU that is stuck in a policy would never be done.
 */
static struct enoki_record_header *enoki_rings_copy(void)
{
	struct enoki_record_header *header;
	struct enoki_record *to, *end;
	struct enoki_ring *ring;
	u64 nr = 0, i, first;
	int cpu;

	lockdep_assert_held(&enoki_recorder_mutex);
	enoki_rings_stop();
	for_each_possible_cpu(cpu)
		if (per_cpu(enoki_ring_memory, cpu))
			nr += min_t(u64, per_cpu(enoki_rings, cpu).head, ENOKI_RING_SIZE);
	nr /= sizeof(*to);

	header = vzalloc(sizeof(*header) + nr * sizeof(*to));
	if (!header) {
		enoki_rings_start();
		return NULL;
	}
	*header = (struct enoki_record_header){
		.magic		= ENOKI_RECORD_MAGIC,
		.version	= ENOKI_RECORD_VERSION,
		.record_size	= sizeof(*to),
		.nr_records	= nr,
		.time_ns	= local_clock(),
	};
	to = (struct enoki_record *)(header + 1);
	/* A CPU that has not seen yet that its ring stands still may add one. */
	end = to + nr;
	for_each_possible_cpu(cpu) {
		ring = &per_cpu(enoki_rings, cpu);
		if (!per_cpu(enoki_ring_memory, cpu))
			continue;
		first = ring->head - min_t(u64, ring->head, ENOKI_RING_SIZE);
		for (i = first; i < ring->head && to < end; i += sizeof(*to), to++) {
			*to = *(struct enoki_record *)(per_cpu(enoki_ring_memory, cpu) +
						       i % ENOKI_RING_SIZE);
			to->on = cpu;
		}
	}
	enoki_rings_start();

	return header;
}

/**
 * enoki_recorder_keep - copy what enoki_recorder_freeze() kept, and record on
 *
 * Context: may sleep.
 */
void enoki_recorder_keep(void)
{
	struct enoki_record_header *copy;

	guard(mutex)(&enoki_recorder_mutex);
	if (!READ_ONCE(enoki_incident_waits))
		return;
	WRITE_ONCE(enoki_incident_waits, false);
	copy = enoki_rings_copy();
	if (!copy)
		return;
	vfree(enoki_incident);
	enoki_incident = copy;
}

/**
 * enoki_recorder_last - the latest records of what enoki_recorder_keep() copied
 * @last: where to, the oldest of them first
 * @max: how many at most
 * @task: number of the task that they are about, 0 for all records
 *
 * Context: may sleep.
 * Return: how many there are.
 */
unsigned int enoki_recorder_last(struct enoki_record *last, unsigned int max, u64 task)
{
	const struct enoki_record *record;
	unsigned int nr = 0, at;
	u64 i;

	guard(mutex)(&enoki_recorder_mutex);
	if (!enoki_incident)
		return 0;

	record = (struct enoki_record *)(enoki_incident + 1);
	for (i = 0; i < enoki_incident->nr_records; i++, record++) {
		if ((task && record->task != task) ||
		    (nr == max && record->time_ns <= last[0].time_ns))
			continue;
		if (nr == max)
			memmove(last, last + 1, --nr * sizeof(*last));
		for (at = nr++; at && last[at - 1].time_ns > record->time_ns; at--)
			last[at] = last[at - 1];
		last[at] = *record;
	}

	return nr;
}

/**
 * enoki_recorder_start - get ready to record
 *
 * With the first policy; without memory nothing is recorded.
 *
 * Context: may sleep.
 */
void enoki_recorder_start(void)
{
	static bool started;
	int cpu;

	guard(mutex)(&enoki_recorder_mutex);
	if (started)
		return;

	for_each_possible_cpu(cpu)
		per_cpu(enoki_ring_memory, cpu) = vzalloc_node(ENOKI_RING_SIZE,
							       cpu_to_node(cpu));
	enoki_rings_start();
	static_branch_enable(&enoki_recording);
	started = true;
}

/**
 * enoki_recorder_taping - a recording begins, or is over
 *
 * It gets what the flight recorder does, which is on then.
 *
 * Context: may sleep; the static key has been changed.
 */
void enoki_recorder_taping(void)
{
	guard(mutex)(&enoki_recorder_mutex);
	enoki_rings_start();
	if (static_key_enabled(&enoki_taping.key))
		static_branch_enable(&enoki_recording);
}

/*
 * debugfs.
 */

struct enoki_record_file {
	size_t	size;
	char	data[];
};

/* What was there when the file was opened. */
static int enoki_record_open(struct inode *inode, struct file *file)
{
	bool incident = inode->i_private;
	struct enoki_record_header *from;
	struct enoki_record_file *copy;
	size_t size = 0;

	guard(mutex)(&enoki_recorder_mutex);
	from = incident ? enoki_incident : enoki_rings_copy();
	if (from)
		size = sizeof(*from) + from->nr_records * from->record_size;
	copy = vmalloc(sizeof(*copy) + size);
	if (copy) {
		copy->size = size;
		memcpy(copy->data, from, size);
	}
	if (!incident)
		vfree(from);
	if (!copy)
		return -ENOMEM;
	file->private_data = copy;

	return 0;
}

static ssize_t enoki_record_read(struct file *file, char __user *buf, size_t count,
				 loff_t *pos)
{
	struct enoki_record_file *copy = file->private_data;

	return simple_read_from_buffer(buf, count, pos, copy->data, copy->size);
}

static int enoki_record_release(struct inode *inode, struct file *file)
{
	vfree(file->private_data);

	return 0;
}

static const struct file_operations enoki_record_fops = {
	.open		= enoki_record_open,
	.read		= enoki_record_read,
	.release	= enoki_record_release,
	.llseek		= default_llseek,
};

static int enoki_recorder_get(void *data, u64 *value)
{
	*value = static_key_enabled(&enoki_recording);

	return 0;
}

static int enoki_recorder_set(void *data, u64 value)
{
	if (value > 1)
		return -EINVAL;
	/* By which recordings get what they have. */
	if (!value && static_key_enabled(&enoki_taping.key))
		return -EBUSY;
	if (value)
		static_branch_enable(&enoki_recording);
	else
		static_branch_disable(&enoki_recording);

	return 0;
}

DEFINE_DEBUGFS_ATTRIBUTE(enoki_recorder_fops, enoki_recorder_get, enoki_recorder_set,
			 "%llu\n");

static int __init enoki_recorder_setup(void)
{
	struct dentry *dir = debugfs_create_dir("sched_enoki", NULL);

	debugfs_create_file("flight", 0400, dir, NULL, &enoki_record_fops);
	debugfs_create_file("incident", 0400, dir, (void *)1, &enoki_record_fops);
	debugfs_create_file_unsafe("recorder", 0600, dir, NULL, &enoki_recorder_fops);

	return 0;
}
late_initcall(enoki_recorder_setup);
