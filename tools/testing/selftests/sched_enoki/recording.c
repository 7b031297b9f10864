// SPDX-License-Identifier: GPL-2.0
/*
 * Recordings: all that a policy is called with is on the tapes, once and in an order that
 * the counters of tasks and locks prove; what finds no room is counted; and who asks for
 * what there is not, or writes where the kernel does, gets an error and harms nobody.
 */
#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#define ENOKI_EACH_POLICY
#include "fixture.h"
#include "tape.h"

/* Records of all tapes, those of one after those of another. */
struct records {
	struct enoki_record *records;
	size_t nr;
};

static void tapes_close(struct tapes *t)
{
	munmap(t->mapped, t->recording.size);
	close(t->fd);
}

/* Reads what is on the tapes, in their order; what was there before is forgotten. */
static bool tapes_read(const struct tapes *t, struct records *r)
{
	const struct enoki_record *records;
	__u64 at, head, size = t->recording.tape_size;
	unsigned int cpu;

	r->nr = 0;
	r->records = realloc(r->records, t->recording.nr_tapes * size);
	if (!r->records)
		return false;
	for (cpu = 0; cpu < t->recording.nr_tapes; cpu++) {
		records = tape_records(t, cpu);
		head = tape_head(t, cpu);
		for (at = tape(t, cpu)->tail; at != head; at += sizeof(*records))
			r->records[r->nr++] = records[at % size / sizeof(*records)];
		tape_read_to(t, cpu, head);
	}
	return true;
}

static bool tapes_stopped(const struct tapes *t)
{
	unsigned int cpu;

	for (cpu = 0; cpu < t->recording.nr_tapes; cpu++)
		if (__atomic_load_n(&tape(t, cpu)->stopped, __ATOMIC_RELAXED))
			return true;
	return false;
}

static long count(const struct records *t, unsigned int event)
{
	long nr = 0;
	size_t i;

	for (i = 0; i < t->nr; i++)
		nr += t->records[i].event == event;
	return nr;
}

static bool has_nth(const struct enoki_record *r)
{
	switch (r->event) {
	case ENOKI_RECORD_BALANCE:
	case ENOKI_RECORD_BALANCE_ERR:
	case ENOKI_RECORD_TASK_RESCUED:
		return false;
	case ENOKI_RECORD_WITH:
		return r->task && !r->arg;
	default:
		return r->event < ENOKI_RECORD_OFFICE && r->task;
	}
}

/*
 * Sorts what is counted: calls by their tasks, and locks, each by which one it is and how
 * often that was before.
 */
static int by_count(const void *a, const void *b)
{
	const struct enoki_record *x = a, *y = b;

	if (x->task != y->task)
		return x->task < y->task ? -1 : 1;
	return (x->arg > y->arg) - (x->arg < y->arg);
}

/* Is each of those counted from 0 on, without a gap? @nr is set to how many there are. */
static bool counted(const struct records *t, bool locks, long *nr)
{
	struct enoki_record *list = calloc(t->nr + 1, sizeof(*list));
	bool ok = true;
	__u64 next = 0;
	size_t i;
	long j;

	*nr = 0;
	for (i = 0; list && i < t->nr; i++) {
		if (locks ? t->records[i].event != ENOKI_RECORD_LOCK : !has_nth(&t->records[i]))
			continue;
		list[*nr] = t->records[i];
		if (!locks)
			list[*nr].arg = t->records[i].nth;
		++*nr;
	}
	if (list)
		qsort(list, *nr, sizeof(*list), by_count);
	for (j = 0; list && ok && j < *nr; j++) {
		next = j && list[j].task == list[j - 1].task ? next + 1 : 0;
		ok = list[j].arg == next;
		if (!ok)
			fprintf(stderr, "# %s %llu: number %llu where %llu should be\n",
				locks ? "lock" : "task", (unsigned long long)list[j].task,
				(unsigned long long)list[j].arg, (unsigned long long)next);
	}
	free(list);
	return ok && list;
}

static const char *const calls[] = {
	"task_new", "task_wakeup", "task_preempt", "task_yield", "task_migrated",
	"task_blocked", "task_dead", "task_departed", "select_task_rq", "pick_next_task",
	"pnt_err", "task_tick", "wakeup_preempt", "balance", "balance_err", "migrate_task_rq",
	"task_rescued", "task_prio_changed", "task_affinity_changed", "cpu_online",
	"cpu_offline", "timer_fired", "nr_queued",
};

#define NR_CALLS	(sizeof(calls) / sizeof(*calls))

/* Its tasks have gone, and the last calls about them are over. */
static bool quiet(const struct policy *p)
{
	return policy_nr_tasks(p) == 0;
}

/* Every call that was counted is on the tapes, and every one that is there was counted. */
TEST_EACH(everything)
{
	const struct policy *p = self->p;
	long long before[NR_CALLS];
	struct worker *w[4];
	struct records r = { };
	struct tapes t;
	size_t i;
	long nr;

	ASSERT_TRUE(tapes_open(&t, p->id, 0, ENOKI_RECORDING_LOSSLESS));
	EXPECT_EQ(ENOKI_TAPE_SIZE, t.recording.tape_size);
	for (i = 0; i < NR_CALLS; i++)
		before[i] = policy_event(p, calls[i]);
	ASSERT_EQ(1, ioctl(t.fd, ENOKI_IOC_RECORD_START));

	for (i = 0; i < 4; i++) {
		w[i] = worker_start_on(-1, i == 3 ? W_YIELD : W_NAP, p->id);
		ASSERT_NE(NULL, w[i]);
	}
	for (i = 0; i < 4; i++)
		EXPECT_TRUE(worker_lives(w[i]));
	EXPECT_EQ(0, pin(w[0]->pid, 0));
	EXPECT_TRUE(worker_lives(w[0]));
	workers_end(0);
	ASSERT_TRUE(AWAIT(quiet(p)));
	ASSERT_EQ(0, ioctl(t.fd, ENOKI_IOC_RECORD_STOP));

	ASSERT_TRUE(tapes_read(&t, &r));
	EXPECT_EQ(0, tapes_lost(&t));
	EXPECT_FALSE(tapes_stopped(&t));
	for (i = 0; i < NR_CALLS; i++) {
		nr = count(&r, i);
		/* No tasks: calls without one may come before it begins, and after it. */
		if (i == ENOKI_RECORD_BALANCE)
			continue;
		EXPECT_EQ(before[i] + nr, policy_event(p, calls[i]))
			TH_LOG("%s: %ld on the tapes", calls[i], nr);
	}
	EXPECT_LT(0, count(&r, ENOKI_RECORD_TASK_WAKEUP));
	EXPECT_EQ(4, count(&r, ENOKI_RECORD_INIT_TASK));
	EXPECT_TRUE(counted(&r, false, &nr));
	EXPECT_LT(0, nr);
	EXPECT_TRUE(counted(&r, true, &nr));
	EXPECT_LT(0, nr);
	tapes_close(&t);
	free(r.records);
}

/* A policy that has tasks begins anew with all of them, and goes on afterwards. */
TEST_EACH(anew)
{
	const struct policy *p = self->p;
	struct worker *spin = worker_start_on(-1, W_SPIN, p->id);
	struct worker *nap = worker_start_on(-1, W_NAP, p->id);
	struct worker *asleep = worker_start_on(-1, W_SLEEP, p->id);
	long long upgrades = policy_upgrades(p, "done");
	struct records r = { };
	struct tapes t;
	long nr;

	ASSERT_NE(NULL, spin);
	ASSERT_NE(NULL, nap);
	ASSERT_NE(NULL, asleep);
	ASSERT_TRUE(AWAIT(worker_asleep(asleep)));
	ASSERT_TRUE(tapes_open(&t, p->id, 0, 0));
	ASSERT_EQ(1, ioctl(t.fd, ENOKI_IOC_RECORD_START));
	EXPECT_TRUE(worker_lives(spin));
	EXPECT_TRUE(worker_lives(nap));
	ASSERT_TRUE(tapes_read(&t, &r));
	EXPECT_EQ(3, count(&r, ENOKI_RECORD_INIT_TASK));
	EXPECT_LE(2, count(&r, ENOKI_RECORD_TASK_NEW));
	EXPECT_TRUE(counted(&r, false, &nr));
	EXPECT_TRUE(counted(&r, true, &nr));
	/* It is the same version. */
	EXPECT_EQ(upgrades, policy_upgrades(p, "done"));
	EXPECT_EQ(3, policy_nr_tasks(p));
	EXPECT_EQ(-1, write_str(DEBUGFS "/sched_enoki/recorder", "0"));
	EXPECT_EQ(EBUSY, errno);

	/* Who closes the file while it is recorded ends that. */
	tapes_close(&t);
	EXPECT_TRUE(worker_lives(spin));
	EXPECT_TRUE(worker_lives(nap));
	ASSERT_TRUE(tapes_open(&t, p->id, 0, 0));
	tapes_close(&t);
	free(r.records);
}

/* A policy that is loaded later is recorded from its first call. */
TEST_ENOKI(loaded_later)
{
	struct worker *nap;
	struct records r = { };
	struct tapes t;
	long nr;

	ASSERT_TRUE(policy_unload(&fifo));
	ASSERT_TRUE(tapes_open(&t, fifo.id, 0, 0));
	ASSERT_EQ(0, ioctl(t.fd, ENOKI_IOC_RECORD_START));
	ASSERT_TRUE(policy_load(&fifo));
	nap = worker_start_on(-1, W_NAP, fifo.id);
	ASSERT_NE(NULL, nap);
	ASSERT_TRUE(worker_lives(nap));
	ASSERT_EQ(0, ioctl(t.fd, ENOKI_IOC_RECORD_STOP));
	ASSERT_TRUE(tapes_read(&t, &r));
	EXPECT_EQ(1, count(&r, ENOKI_RECORD_TASK_NEW));
	EXPECT_LT(0, count(&r, ENOKI_RECORD_TASK_BLOCKED));
	EXPECT_TRUE(counted(&r, false, &nr));
	tapes_close(&t);
	free(r.records);
}

/* Records and what was lost, of one tape, by what it says itself. */
static bool lost_are_counted(const struct tapes *t, const struct records *r, long *lost)
{
	long said = 0;
	size_t i;

	*lost = tapes_lost(t);
	for (i = 0; i < r->nr; i++)
		if (r->records[i].event == ENOKI_RECORD_LOST)
			said += r->records[i].arg;
	return said == *lost;
}

/* A tape that nobody empties fills, and goes on when somebody does. */
TEST_ENOKI(overflow)
{
	struct worker *nap = worker_start_on(0, W_NAP, fifo.id);
	long lost, head;
	struct records r = { };
	struct tapes t;

	ASSERT_NE(NULL, nap);
	ASSERT_TRUE(tapes_open(&t, fifo.id, 4096, 0));
	ASSERT_EQ(1, ioctl(t.fd, ENOKI_IOC_RECORD_START));
	ASSERT_TRUE(AWAIT(tape(&t, 0)->lost > 1000));
	head = tape(&t, 0)->head;
	/* Nothing that was not read was written over. */
	EXPECT_EQ(4096, head);
	EXPECT_FALSE(tapes_stopped(&t));

	/* What comes next says what is missing before it. */
	ASSERT_TRUE(tapes_read(&t, &r));
	ASSERT_TRUE(AWAIT((long)tape(&t, 0)->head > head));
	ASSERT_EQ(0, ioctl(t.fd, ENOKI_IOC_RECORD_STOP));
	lost = tapes_lost(&t);
	ASSERT_TRUE(tapes_read(&t, &r));
	EXPECT_EQ(lost, tapes_lost(&t));
	EXPECT_LE(1, count(&r, ENOKI_RECORD_LOST));
	EXPECT_TRUE(worker_lives(nap));
	tapes_close(&t);

	/* Or it is over with the first one. */
	ASSERT_TRUE(tapes_open(&t, fifo.id, 4096, ENOKI_RECORDING_LOSSLESS));
	ASSERT_EQ(1, ioctl(t.fd, ENOKI_IOC_RECORD_START));
	ASSERT_TRUE(AWAIT(tapes_stopped(&t)));
	ASSERT_TRUE(worker_lives(nap));
	ASSERT_TRUE(worker_lives(nap));
	EXPECT_LE(1, tapes_lost(&t));
	EXPECT_GE((long)t.recording.nr_tapes, tapes_lost(&t));
	ASSERT_TRUE(tapes_read(&t, &r));
	EXPECT_EQ(0, count(&r, ENOKI_RECORD_LOST));
	tapes_close(&t);

	/* All that was lost is said, if there is a record after it. */
	ASSERT_TRUE(tapes_open(&t, fifo.id, 4096, 0));
	ASSERT_EQ(1, ioctl(t.fd, ENOKI_IOC_RECORD_START));
	ASSERT_TRUE(AWAIT(tape(&t, 0)->lost > 100));
	ASSERT_EQ(0, pin(nap->pid, 0));
	ASSERT_TRUE(tapes_read(&t, &r));
	ASSERT_TRUE(AWAIT(tapes_read(&t, &r) && count(&r, ENOKI_RECORD_LOST) &&
			  lost_are_counted(&t, &r, &lost)));
	EXPECT_LT(100, lost);
	tapes_close(&t);
	free(r.records);
}

/* A reader that says it has read what was never written loses its recording, no more. */
TEST_ENOKI(wrong_tail)
{
	struct worker *nap = worker_start_on(0, W_NAP, fifo.id);
	static const __u64 wrong[] = { 1ULL << 40, ~0ULL, 8192 + 4096 };
	struct tapes t;
	size_t i;

	ASSERT_NE(NULL, nap);
	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		ASSERT_TRUE(tapes_open(&t, fifo.id, 4096, 0));
		ASSERT_EQ(1, ioctl(t.fd, ENOKI_IOC_RECORD_START));
		tape(&t, 0)->tail = wrong[i];
		ASSERT_TRUE(AWAIT(tapes_stopped(&t)));
		EXPECT_GE(4096, (long)tape(&t, 0)->head);
		EXPECT_TRUE(worker_lives(nap));
		tapes_close(&t);
	}

	/* What the kernel writes it does not read. */
	ASSERT_TRUE(tapes_open(&t, fifo.id, 4096, 0));
	ASSERT_EQ(1, ioctl(t.fd, ENOKI_IOC_RECORD_START));
	memset(tape(&t, 0), 0xff, sizeof(struct enoki_tape_header));
	memset((char *)tape(&t, 0) + ENOKI_TAPE_RECORDS, 0xff, 4096);
	EXPECT_TRUE(worker_lives(nap));
	EXPECT_TRUE(worker_lives(nap));
	tapes_close(&t);
}

static int record(int fd, struct enoki_recording r)
{
	return ioctl(fd, ENOKI_IOC_RECORD, &r) ? errno : 0;
}

/* As somebody without that capability: 0, or the error of ENOKI_IOC_RECORD. */
static int without(int capability)
{
	int status;
	pid_t pid = test_fork();

	if (pid == 0) {
		struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct data[2];
		int fd;

		if (syscall(SYS_capget, &header, data))
			_exit(255);
		data[capability / 32].effective &= ~(1U << capability % 32);
		/* Which stands for it. */
		data[0].effective &= ~(1U << CAP_SYS_ADMIN);
		if (syscall(SYS_capset, &header, data))
			_exit(255);
		fd = open("/dev/enoki", O_RDWR);
		_exit(fd < 0 ? 255 : record(fd, (struct enoki_recording){ }));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

TEST_ENOKI(refused)
{
	int fd = open("/dev/enoki", O_RDWR | O_CLOEXEC);
	int other = open("/dev/enoki", O_RDWR | O_CLOEXEC);
	struct enoki_recording r = { .tape_size = 4096 };
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };

	ASSERT_LE(0, fd);
	ASSERT_LE(0, other);
	EXPECT_EQ(EINVAL, record(fd, (struct enoki_recording){ .tape_size = 4097 }));
	EXPECT_EQ(EINVAL, record(fd, (struct enoki_recording){ .tape_size = 2048 }));
	EXPECT_EQ(EINVAL, record(fd, (struct enoki_recording){ .tape_size = 1U << 31 }));
	EXPECT_EQ(EINVAL, record(fd, (struct enoki_recording){ .flags = 2 }));
	EXPECT_EQ(EINVAL, record(fd, (struct enoki_recording){ .reserved = 1 }));
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_RECORD, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(EPERM, without(CAP_SYS_NICE));
	EXPECT_EQ(EPERM, without(CAP_PERFMON));
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_RECORD_START));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_RECORD_STOP));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0x20000000));

	ASSERT_EQ(0, ioctl(fd, ENOKI_IOC_RECORD, &r));
	EXPECT_EQ(EBUSY, record(fd, (struct enoki_recording){ }));
	EXPECT_EQ(EBUSY, record(other, (struct enoki_recording){ }));
	EXPECT_EQ(-1, ioctl(other, ENOKI_IOC_RECORD_START));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, other, r.offset));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, r.size + 4096, PROT_READ, MAP_SHARED, fd, r.offset));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, r.size, PROT_READ, MAP_PRIVATE, fd, r.offset));
	EXPECT_EQ(0, poll(&poll_fd, 1, 0));
	EXPECT_LE(0, ioctl(fd, ENOKI_IOC_RECORD_START));
	EXPECT_EQ(1, poll(&poll_fd, 1, 0));
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_RECORD_START));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
	EXPECT_EQ(0, record(other, (struct enoki_recording){ }));
	close(other);
}

ENOKI_HARNESS_MAIN
