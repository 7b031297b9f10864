// SPDX-License-Identifier: GPL-2.0
/*
 * Priority inheritance: an attached task that holds a lock a SCHED_FIFO task
 * waits for runs in the real-time class for a while, and is attached all the time.
 * The class sees the same callback as for leaving; taking it for leaving would let
 * go of the policy's module with a task still in it.
 */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_EACH_POLICY
#include "fixture.h"

#define BOOST_PRIO	30

struct shared {
	unsigned int lock;
	int held;
	int release;
	int nap;
	unsigned long turns;
};

static long futex(unsigned int *word, int op)
{
	return syscall(SYS_futex, word, op, 0, NULL, NULL, 0);
}

static int get(int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void set(int *word, int value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* Takes the lock and holds it until told, busy or napping. */
static void owner(struct shared *s)
{
	if (futex(&s->lock, FUTEX_LOCK_PI))
		_exit(1);
	set(&s->held, 1);
	while (!get(&s->release)) {
		if (get(&s->nap))
			nap(300);
		else
			burn(10000);
		__atomic_fetch_add(&s->turns, 1, __ATOMIC_RELAXED);
	}
	if (futex(&s->lock, FUTEX_UNLOCK_PI))
		_exit(2);
	set(&s->held, 0);
	for (;;) {
		burn(10000);
		__atomic_fetch_add(&s->turns, 1, __ATOMIC_RELAXED);
	}
}

static void waiter(struct shared *s)
{
	if (set_class(0, SCHED_FIFO, BOOST_PRIO))
		_exit(1);
	if (futex(&s->lock, FUTEX_LOCK_PI) || futex(&s->lock, FUTEX_UNLOCK_PI))
		_exit(2);
	_exit(0);
}

static bool turns_on(struct shared *s)
{
	unsigned long turns = __atomic_load_n(&s->turns, __ATOMIC_RELAXED);

	return AWAIT(__atomic_load_n(&s->turns, __ATOMIC_RELAXED) > turns);
}

/* 'prio' in /proc/PID/sched is the effective one, 120 for nice 0. */
static bool boosted(pid_t pid)
{
	return proc_sched_long(pid, "prio") == 99 - BOOST_PRIO;
}

/* Has it more of its CPU than a real-time task of a lower priority? */
static bool above_lesser(pid_t pid, struct worker *lesser)
{
	uint64_t had = cpu_time(pid), lesser_had = cpu_time(lesser->pid);

	if (set_class(lesser->pid, SCHED_FIFO, BOOST_PRIO - 1))
		return false;
	worker_set(lesser, W_SPIN);
	if (!AWAIT(cpu_time(pid) + cpu_time(lesser->pid) - had - lesser_had > 300 * NSEC_PER_MSEC))
		return false;
	/* When it gets that far. */
	worker_set(lesser, W_SLEEP);
	return cpu_time(pid) - had > cpu_time(lesser->pid) - lesser_had;
}

/**
 * enum meanwhile - what happens to the owner while it is boosted
 * @NOTHING: nothing
 * @NAPS: it sleeps and wakes
 * @DETACHED: it is taken from its policy
 * @MOVED: it is moved to the other policy
 * @ATTACHED: it is attached only then
 * @AFFINITY: its CPUs change
 * @EJECTED: its policy is put out of office
 */
enum meanwhile { NOTHING, NAPS, DETACHED, MOVED, ATTACHED, AFFINITY, EJECTED };

static void boost(struct __test_metadata *_metadata, const struct policy *p,
		  enum meanwhile what)
{
	const struct policy *to = other_policy(p);
	int cpu = nth_cpu_online(0), status, tasks = 1;
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct worker *hog = worker_start_on(cpu, W_SPIN, p->id), *lesser;
	pid_t own, wait;

	ASSERT_NE(MAP_FAILED, s);
	ASSERT_NE(NULL, hog);
	own = test_fork();
	ASSERT_LE(0, own);
	if (!own) {
		if (pin(0, cpu) || (what != ATTACHED && enoki_attach(0, p->id)))
			_exit(3);
		owner(s);
	}
	ASSERT_TRUE(AWAIT(get(&s->held)));
	wait = test_fork();
	ASSERT_LE(0, wait);
	if (!wait)
		waiter(s);
	ASSERT_TRUE(AWAIT(boosted(own)));
	if (what != ATTACHED) {
		EXPECT_EQ(SCHED_ENOKI, sched_getscheduler(own));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(p) == 2));
		EXPECT_TRUE(turns_on(s));
	}
	switch (what) {
	case NOTHING:
		break;
	case NAPS:
		set(&s->nap, 1);
		EXPECT_TRUE(turns_on(s));
		EXPECT_TRUE(turns_on(s));
		set(&s->nap, 0);
		break;
	case DETACHED:
		ASSERT_EQ(0, enoki_detach(own));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(p) == 1));
		tasks = 0;
		break;
	case MOVED:
		ASSERT_EQ(0, enoki_attach(own, to->id));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(p) == 1));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(to) == 1));
		break;
	case ATTACHED:
		ASSERT_EQ(0, enoki_attach(own, p->id));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(p) == 2));
		break;
	case AFFINITY:
		unpin(own);
		ASSERT_EQ(0, pin(own, nth_cpu_online(nr_cpus_online() - 1)));
		break;
	case EJECTED:
		ASSERT_EQ(0, policy_write(p, "eject", "1"));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(p) == 0));
		EXPECT_EQ(SCHED_OTHER, sched_getscheduler(own));
		lesser = worker_start_on(cpu, W_SLEEP, 0);
		ASSERT_NE(NULL, lesser);
		EXPECT_TRUE(above_lesser(own, lesser));
		tasks = 0;
		break;
	}
	EXPECT_TRUE(boosted(own));
	EXPECT_TRUE(turns_on(s));
	/* Not even now may the policy go away, unless it has no task any more. */
	if (what != EJECTED)
		EXPECT_EQ(-1, module_unload(p->module));
	if (what == MOVED)
		EXPECT_EQ(-1, module_unload(to->module));
	set(&s->release, 1);
	ASSERT_EQ(wait, waitpid(wait, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_TRUE(AWAIT(!get(&s->held)));
	EXPECT_EQ(120, proc_sched_long(own, "prio"));
	EXPECT_EQ(tasks ? SCHED_ENOKI : SCHED_OTHER, sched_getscheduler(own));
	/* Back in its class it runs, and shares with the others. */
	EXPECT_TRUE(turns_on(s));
	EXPECT_TRUE(worker_lives(hog));
	kill(own, SIGKILL);
	ASSERT_EQ(own, waitpid(own, &status, 0));
	worker_stop(hog);
	EXPECT_TRUE(AWAIT(policy_nr_tasks(p) == 0 && policy_nr_tasks(to) == 0));
	munmap(s, sizeof(*s));
}

TEST_EACH(boost)
{
	boost(_metadata, self->p, NOTHING);
}

TEST_EACH(boosted_sleeps)
{
	boost(_metadata, self->p, NAPS);
}

TEST_EACH(boosted_is_detached)
{
	boost(_metadata, self->p, DETACHED);
}

TEST_EACH(boosted_moves)
{
	boost(_metadata, self->p, MOVED);
}

TEST_EACH(boosted_is_attached)
{
	boost(_metadata, self->p, ATTACHED);
}

TEST_EACH(boosted_changes_cpu)
{
	boost(_metadata, self->p, AFFINITY);
}

TEST_EACH(boosted_is_ejected)
{
	boost(_metadata, self->p, EJECTED);
	ASSERT_TRUE(policy_reload(self->p));
}

/* Killed while boosted: the waiter gets the lock, the policy loses the task. */
TEST_EACH(boosted_is_killed)
{
	int cpu = nth_cpu_online(0), i, status;

	for (i = 0; i < 10; i++) {
		struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
					MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		pid_t own, wait;

		ASSERT_NE(MAP_FAILED, s);
		own = test_fork();
		ASSERT_LE(0, own);
		if (!own) {
			if (pin(0, cpu) || enoki_attach(0, self->p->id))
				_exit(3);
			owner(s);
		}
		ASSERT_TRUE(AWAIT(get(&s->held)));
		wait = test_fork();
		ASSERT_LE(0, wait);
		if (!wait)
			waiter(s);
		ASSERT_TRUE(AWAIT(boosted(own)));
		kill(own, SIGKILL);
		ASSERT_EQ(own, waitpid(own, &status, 0));
		/* The lock is not robust: its waiter gets ESRCH or stays. */
		kill(wait, SIGKILL);
		ASSERT_EQ(wait, waitpid(wait, &status, 0));
		munmap(s, sizeof(*s));
	}
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
}

ENOKI_HARNESS_MAIN
