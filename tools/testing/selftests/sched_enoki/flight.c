// SPDX-License-Identifier: GPL-2.0
/*
 * The flight recorder: what a task goes through is in its records, in order; those
 * before an ejection stay as they were then, while others are made; and it can be
 * switched off.
 */
#include <errno.h>
#include <linux/enoki.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENOKI_ONCE
#define ENOKI_EACH_POLICY
#include "fixture.h"

#define DIRECTORY	DEBUGFS "/sched_enoki/"

/* A file of records, read whole. */
struct flight {
	struct enoki_record_header header;
	struct enoki_record *records;
};

static bool flight_read(const char *name, struct flight *f)
{
	FILE *file = fopen(name, "re");
	size_t nr;
	bool ok;

	if (!file)
		return false;
	ok = fread(&f->header, sizeof(f->header), 1, file) == 1;
	f->records = NULL;
	if (ok && f->header.record_size == sizeof(*f->records)) {
		f->records = calloc(f->header.nr_records + 1, sizeof(*f->records));
		nr = f->records ? fread(f->records, sizeof(*f->records),
					f->header.nr_records + 1, file) : 0;
		ok = nr == f->header.nr_records;
	}
	fclose(file);
	return ok && f->records && f->header.magic == ENOKI_RECORD_MAGIC &&
	       f->header.version == ENOKI_RECORD_VERSION;
}

/* How many records there are of @event, of task @task unless that is 0. */
static long count(const struct flight *f, enum enoki_record_event event, long task)
{
	long nr = 0;
	__u64 i;

	for (i = 0; i < f->header.nr_records; i++)
		nr += f->records[i].event == event &&
		      (!task || f->records[i].task == (__u64)task);
	return nr;
}

/* Is it of a run queue, and its time by that one's clock? */
static bool by_run_queue(const struct enoki_record *r)
{
	switch (r->event) {
	case ENOKI_RECORD_SELECT_TASK_RQ:
	case ENOKI_RECORD_CPU_ONLINE:
	case ENOKI_RECORD_CPU_OFFLINE:
	case ENOKI_RECORD_TIMER_FIRED:
	case ENOKI_RECORD_REGISTER_QUEUE:
	case ENOKI_RECORD_UNREGISTER_QUEUE:
	case ENOKI_RECORD_ENTER_QUEUE:
	case ENOKI_RECORD_PARSE_HINT:
		return false;
	default:
		return r->on == r->cpu;
	}
}

/* Does each run queue's time go forwards, and is every field what it may be? */
static bool sound(const struct flight *f)
{
	const struct enoki_record *r, *before = NULL;
	__u64 i;

	for (i = 0; i < f->header.nr_records; i++) {
		r = &f->records[i];
		if (r->event > ENOKI_RECORD_PARSE_HINT || !r->policy || r->nth ||
		    r->cpu >= CPU_SETSIZE || r->on >= CPU_SETSIZE) {
			fprintf(stderr, "# record %llu: event %u policy %u cpu %u on %u\n",
				(unsigned long long)i, r->event, r->policy, r->cpu, r->on);
			return false;
		}
		if (!by_run_queue(r))
			continue;
		if (before && before->on == r->on && before->time_ns > r->time_ns) {
			fprintf(stderr, "# record %llu: %llu after %llu\n", (unsigned long long)i,
				(unsigned long long)r->time_ns,
				(unsigned long long)before->time_ns);
			return false;
		}
		before = r;
	}
	return true;
}

static bool seen(const char *name, enum enoki_record_event event, long task)
{
	struct flight f;
	bool ok = flight_read(name, &f) && count(&f, event, task) > 0;

	free(f.records);
	return ok;
}

TEST_EACH(life_of_a_task)
{
	struct worker *nap = worker_start_on(-1, W_NAP, self->p->id);
	struct flight f;
	long task;

	ASSERT_NE(NULL, nap);
	task = proc_sched_long(nap->pid, "enoki.task_id");
	ASSERT_LT(0, task);
	EXPECT_TRUE(AWAIT(seen(DIRECTORY "flight", ENOKI_RECORD_TASK_WAKEUP, task)));
	ASSERT_TRUE(worker_lives(nap));
	ASSERT_EQ(0, enoki_detach(nap->pid));
	ASSERT_TRUE(flight_read(DIRECTORY "flight", &f));
	EXPECT_TRUE(sound(&f));
	EXPECT_LT(0, count(&f, ENOKI_RECORD_TASK_WAKEUP, task));
	EXPECT_LT(0, count(&f, ENOKI_RECORD_PICK_NEXT_TASK, task));
	EXPECT_LT(0, count(&f, ENOKI_RECORD_TASK_BLOCKED, task));
	EXPECT_EQ(1, count(&f, ENOKI_RECORD_TASK_DEPARTED, task));
	free(f.records);
}

TEST_EACH(incident)
{
	const struct policy *to = other_policy(self->p);
	struct worker *nap = worker_start_on(-1, W_NAP, self->p->id);
	struct worker *other = worker_start_on(-1, W_NAP, to->id);
	struct flight was, is, now;
	long task;

	ASSERT_NE(NULL, nap);
	ASSERT_NE(NULL, other);
	task = proc_sched_long(nap->pid, "enoki.task_id");
	EXPECT_TRUE(AWAIT(seen(DIRECTORY "flight", ENOKI_RECORD_PICK_NEXT_TASK, task)));
	ASSERT_EQ(0, policy_write(self->p, "eject", "1"));
	ASSERT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));

	ASSERT_TRUE(flight_read(DIRECTORY "incident", &was));
	EXPECT_TRUE(sound(&was));
	EXPECT_LT(0, count(&was, ENOKI_RECORD_PICK_NEXT_TASK, task));
	/* The other policy's tasks go on, and so does the recorder, but not in there. */
	ASSERT_TRUE(worker_lives(other));
	ASSERT_TRUE(worker_lives(other));
	ASSERT_TRUE(flight_read(DIRECTORY "incident", &is));
	EXPECT_EQ(0, memcmp(&was.header, &is.header, sizeof(was.header)));
	EXPECT_EQ(0, memcmp(was.records, is.records,
			    was.header.nr_records * sizeof(*was.records)));
	ASSERT_TRUE(flight_read(DIRECTORY "flight", &now));
	EXPECT_LT(is.header.time_ns, now.header.time_ns);
	task = proc_sched_long(other->pid, "enoki.task_id");
	EXPECT_LT(count(&was, ENOKI_RECORD_TASK_WAKEUP, task),
		  count(&now, ENOKI_RECORD_TASK_WAKEUP, task));
	free(was.records);
	free(is.records);
	free(now.records);
	ASSERT_TRUE(policy_reload(self->p));
}

TEST_ENOKI(switch_off)
{
	struct worker *nap = worker_start_on(-1, W_NAP, fifo.id);
	struct flight before, after;

	ASSERT_NE(NULL, nap);
	EXPECT_EQ(1, read_long(DIRECTORY "recorder"));
	EXPECT_EQ(-1, write_str(DIRECTORY "recorder", "2"));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(1, read_long(DIRECTORY "recorder"));

	ASSERT_EQ(0, write_str(DIRECTORY "recorder", "0"));
	ASSERT_TRUE(flight_read(DIRECTORY "flight", &before));
	ASSERT_TRUE(worker_lives(nap));
	ASSERT_TRUE(worker_lives(nap));
	ASSERT_TRUE(flight_read(DIRECTORY "flight", &after));
	EXPECT_EQ(before.header.nr_records, after.header.nr_records);
	EXPECT_EQ(0, memcmp(before.records, after.records,
			    before.header.nr_records * sizeof(*before.records)));
	ASSERT_EQ(0, write_str(DIRECTORY "recorder", "1"));
	free(after.records);
	ASSERT_TRUE(worker_lives(nap));
	ASSERT_TRUE(flight_read(DIRECTORY "flight", &after));
	EXPECT_TRUE(before.header.nr_records != after.header.nr_records ||
		    memcmp(before.records, after.records,
			   before.header.nr_records * sizeof(*before.records)));
	free(before.records);
	free(after.records);
}

ENOKI_HARNESS_MAIN
