// SPDX-License-Identifier: GPL-2.0
/*
 * Attaching and detaching: tasks that run, sleep, are stopped, exit and fork;
 * what is inherited; what the system calls say of an attached task; moves
 * between policies and from and to every other class.
 *
 * A sleeping task sees only the class-switch callbacks, a running one is taken
 * off and put back, an exiting one may be gone in the middle: each way in and
 * out must leave the policy's count of tasks right, for it is what keeps the
 * policy's module in memory.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENOKI_ONCE
#define ENOKI_EACH_POLICY
#include "fixture.h"

static int prio_of(pid_t pid)
{
	struct sched_param param = { .sched_priority = -1 };

	sched_getparam(pid, &param);
	return param.sched_priority;
}

TEST_EACH(what_the_kernel_says)
{
	struct worker *w = worker_start(W_SPIN);
	struct enoki_attr attr;
	char text[64];

	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
	EXPECT_EQ(SCHED_ENOKI, sched_getscheduler(w->pid));
	EXPECT_EQ(self->p->id, prio_of(w->pid));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
	ASSERT_EQ(0, attr_get(w->pid, &attr));
	EXPECT_EQ(SCHED_ENOKI, (int)attr.sched_policy);
	EXPECT_EQ(self->p->id, (int)attr.sched_priority);
	EXPECT_EQ(0, attr.sched_nice);
	EXPECT_EQ(SCHED_ENOKI, proc_sched_long(w->pid, "policy"));
	EXPECT_EQ(self->p->id, proc_sched_long(w->pid, "enoki.id"));
	ASSERT_TRUE(proc_sched(w->pid, "enoki.policy", text, sizeof(text)));
	EXPECT_STREQ(self->p->name, text);
	EXPECT_LT(0, proc_sched_long(w->pid, "enoki.task_id"));
	EXPECT_TRUE(proc_sched(w->pid, "enoki.state", text, sizeof(text)));
	EXPECT_TRUE(proc_sched(w->pid, "enoki.gen", text, sizeof(text)));
	EXPECT_TRUE(worker_lives(w));
	ASSERT_EQ(0, enoki_detach(w->pid));
	EXPECT_FALSE(proc_sched(w->pid, "enoki.id", text, sizeof(text)));
}

TEST_EACH(sysfs)
{
	char path[PATH_MAX], text[64];

	EXPECT_LT(0, read_long(SYSFS_ENOKI "/abi_version"));
	snprintf(path, sizeof(path), SYSFS_ENOKI "/%s/id", self->p->name);
	EXPECT_EQ(self->p->id, read_long(path));
	snprintf(path, sizeof(path), SYSFS_ENOKI "/%s/name", self->p->name);
	ASSERT_TRUE(read_line(path, text, sizeof(text)));
	EXPECT_STREQ(self->p->name, text);
	snprintf(path, sizeof(path), SYSFS_ENOKI "/%s/module", self->p->name);
	ASSERT_TRUE(read_line(path, text, sizeof(text)));
	EXPECT_STREQ(self->p->module, text);
	snprintf(path, sizeof(path), SYSFS_ENOKI "/%s/version", self->p->name);
	ASSERT_TRUE(read_line(path, text, sizeof(text)));
	EXPECT_NE('\0', text[0]);
}

TEST_EACH(running)
{
	long long picks = policy_event(self->p, "pick_next_task");
	struct worker *w = worker_start(W_SPIN);
	int i;

	ASSERT_NE(NULL, w);
	ASSERT_TRUE(worker_lives(w));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
		if (!(i % 5))
			EXPECT_TRUE(worker_lives(w));
		ASSERT_EQ(0, enoki_detach(w->pid));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
		EXPECT_EQ(SCHED_OTHER, sched_getscheduler(w->pid));
	}
	EXPECT_TRUE(worker_lives(w));
	EXPECT_LT(picks, policy_event(self->p, "pick_next_task"));
}

/* Both sleeping while it comes and while it goes, with and without a turn between. */
TEST_EACH(sleeping)
{
	struct worker *w = worker_start(W_SLEEP);
	unsigned long turns;
	int i;

	ASSERT_NE(NULL, w);
	for (i = 0; i < 20; i++) {
		ASSERT_TRUE(AWAIT(worker_asleep(w)));
		ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
		if (i % 2) {
			turns = worker_turns(w);
			worker_set(w, W_STEP);
			ASSERT_TRUE(AWAIT(worker_turns(w) > turns && worker_asleep(w)));
		}
		ASSERT_EQ(0, enoki_detach(w->pid));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
	}
	turns = worker_turns(w);
	worker_set(w, W_STEP);
	EXPECT_TRUE(AWAIT(worker_turns(w) > turns));
}

/* Attached asleep, it ends without ever having run under the policy. */
TEST_EACH(sleeping_and_killed)
{
	struct worker *w = worker_start(W_SLEEP);

	ASSERT_NE(NULL, w);
	ASSERT_TRUE(AWAIT(worker_asleep(w)));
	ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
	worker_stop(w);
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
}

TEST_EACH(stopped)
{
	struct worker *w = worker_start(W_SPIN);

	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, kill(w->pid, SIGSTOP));
	ASSERT_TRUE(AWAIT(proc_state(w->pid) == 'T'));
	ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
	ASSERT_EQ(0, kill(w->pid, SIGCONT));
	EXPECT_TRUE(worker_lives(w));
	ASSERT_EQ(0, kill(w->pid, SIGSTOP));
	ASSERT_TRUE(AWAIT(proc_state(w->pid) == 'T'));
	ASSERT_EQ(0, enoki_detach(w->pid));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
	ASSERT_EQ(0, kill(w->pid, SIGCONT));
	EXPECT_TRUE(worker_lives(w));
}

/* The task exits at any point of a stream of attaches and detaches. */
TEST_EACH(exiting)
{
	int i, k;

	for (i = 0; i < 40; i++) {
		struct worker *w = worker_start(W_SPIN);

		ASSERT_NE(NULL, w);
		if (i % 2)
			ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
		for (k = 0; k < i; k++)
			sched_yield();
		worker_set(w, W_EXIT);
		for (k = 0; proc_state(w->pid) != 'Z' && k < 100000; k++) {
			int err = k % 2 ? enoki_detach(w->pid) :
					  enoki_attach(w->pid, self->p->id);

			if (err)
				EXPECT_EQ(ESRCH, errno);
			if (k % 4 == 3)
				nap(100);
		}
		/* A zombie has nothing to schedule; either answer leaves it one. */
		if (enoki_attach(w->pid, self->p->id))
			EXPECT_EQ(ESRCH, errno);
		worker_stop(w);
		EXPECT_EQ(-1, enoki_attach(w->pid ?: INT_MAX, self->p->id));
	}
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
}

TEST_EACH(forking)
{
	struct worker *w = worker_start(W_FORK);
	unsigned long turns;
	int i;

	ASSERT_NE(NULL, w);
	for (i = 0; i < 60; i++) {
		ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
		nap(prng_below(2000));
		ASSERT_EQ(0, enoki_detach(w->pid));
		nap(prng_below(1000));
	}
	turns = worker_turns(w);
	EXPECT_TRUE(AWAIT(worker_turns(w) > turns + 3));
	EXPECT_EQ(0, worker_error(w));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
}

/* A child belongs to its parent's policy, unless the parent says otherwise. */
TEST_EACH(inheritance)
{
	static const int flags[] = { 0, SCHED_RESET_ON_FORK };
	int to_child[2], status;
	struct {
		int class;
		int id;
	} seen;
	pid_t pid;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(flags); i++) {
		int flag = flags[i];

		ASSERT_EQ(0, pipe(to_child));
		pid = test_fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			if (set_class(0, SCHED_ENOKI | flag, self->p->id))
				_exit(1);
			pid = test_fork();
			if (!pid) {
				seen.class = sched_getscheduler(0);
				seen.id = prio_of(0);
				_exit(write(to_child[1], &seen, sizeof(seen)) < 0);
			}
			_exit(pid < 0 || waitpid(pid, NULL, 0) != pid);
		}
		ASSERT_EQ((ssize_t)sizeof(seen), read(to_child[0], &seen, sizeof(seen)));
		EXPECT_EQ(flag ? SCHED_OTHER : SCHED_ENOKI, seen.class);
		EXPECT_EQ(flag ? 0 : self->p->id, seen.id);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		close(to_child[0]);
		close(to_child[1]);
	}
}

TEST_EACH(itself)
{
	int status;
	pid_t pid = test_fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		int i;

		for (i = 0; i < 50; i++)
			if (enoki_attach(0, self->p->id) || enoki_detach(0))
				_exit(1);
		_exit(enoki_attach(0, self->p->id) ? 1 : 0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
}

/* Attached twice is attached once. */
TEST_EACH(again)
{
	struct worker *w = worker_start_on(-1, W_SPIN, self->p->id);
	long id;

	ASSERT_NE(NULL, w);
	id = proc_sched_long(w->pid, "enoki.task_id");
	ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
	EXPECT_EQ(id, proc_sched_long(w->pid, "enoki.task_id"));
	EXPECT_TRUE(worker_lives(w));
}

/* sched_setparam() on an attached task: another id is another policy. */
TEST_EACH(setparam_moves)
{
	static const enum worker_mode modes[] = { W_SPIN, W_SLEEP };
	const struct policy *to = other_policy(self->p);
	struct sched_param param = { .sched_priority = to->id };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		struct worker *w = worker_start_on(-1, modes[i], self->p->id);

		ASSERT_NE(NULL, w);
		if (modes[i] == W_SLEEP)
			ASSERT_TRUE(AWAIT(worker_asleep(w)));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
		ASSERT_EQ(0, sched_setparam(w->pid, &param));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(to) == 1));
		EXPECT_EQ(SCHED_ENOKI, sched_getscheduler(w->pid));
		EXPECT_EQ(to->id, prio_of(w->pid));
		worker_set(w, W_SPIN);
		EXPECT_TRUE(worker_lives(w));
		worker_stop(w);
		EXPECT_TRUE(AWAIT(policy_nr_tasks(to) == 0));
	}
}

/* From every class and back to it, running and asleep. */
TEST_EACH(classes)
{
	static const struct {
		int class;
		int prio;
	} classes[] = {
		{ SCHED_OTHER, 0 }, { SCHED_BATCH, 0 }, { SCHED_IDLE, 0 },
		{ SCHED_FIFO, 3 }, { SCHED_RR, 3 },
	};
	struct worker *spin = worker_start(W_SPIN);
	struct worker *sleep = worker_start(W_SLEEP);
	size_t i;

	ASSERT_NE(NULL, spin);
	ASSERT_NE(NULL, sleep);
	ASSERT_TRUE(AWAIT(worker_asleep(sleep)));
	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		ASSERT_EQ(0, set_class(spin->pid, classes[i].class, classes[i].prio));
		ASSERT_EQ(0, set_class(sleep->pid, classes[i].class, classes[i].prio));
		ASSERT_EQ(0, enoki_attach(spin->pid, self->p->id));
		ASSERT_EQ(0, enoki_attach(sleep->pid, self->p->id));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 2));
		EXPECT_TRUE(worker_lives(spin));
		if (i % 2) {
			worker_set(sleep, W_STEP);
			ASSERT_TRUE(AWAIT(worker_asleep(sleep)));
		}
		ASSERT_EQ(0, set_class(spin->pid, classes[i].class, classes[i].prio));
		ASSERT_EQ(0, set_class(sleep->pid, classes[i].class, classes[i].prio));
		EXPECT_EQ(classes[i].class, sched_getscheduler(spin->pid));
		EXPECT_EQ(classes[i].prio, prio_of(spin->pid));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
		EXPECT_TRUE(worker_lives(spin));
	}
}

TEST_EACH(deadline_class)
{
	struct enoki_attr attr = {
		.sched_policy = 6,	/* SCHED_DEADLINE */
		.sched_runtime = 5 * NSEC_PER_MSEC,
		.sched_deadline = 50 * NSEC_PER_MSEC,
		.sched_period = 50 * NSEC_PER_MSEC,
	};
	struct worker *w = worker_start_on(-1, W_SPIN, self->p->id);

	ASSERT_NE(NULL, w);
	if (attr_set(w->pid, &attr)) {
		EXPECT_EQ(EBUSY, errno);
		EXPECT_EQ(SCHED_ENOKI, sched_getscheduler(w->pid));
		EXPECT_TRUE(worker_lives(w));
		SKIP(return, "no bandwidth for a deadline task");
	}
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
	EXPECT_TRUE(worker_lives(w));
	ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
	EXPECT_TRUE(worker_lives(w));
}

TEST_EACH(nice)
{
	struct worker *w = worker_start_on(-1, W_SPIN, self->p->id);
	struct enoki_attr attr;
	int i;

	ASSERT_NE(NULL, w);
	for (i = -20; i < 20; i += 13) {
		ASSERT_EQ(0, setpriority(PRIO_PROCESS, w->pid, i));
		errno = 0;
		EXPECT_EQ(i, getpriority(PRIO_PROCESS, w->pid));
		EXPECT_EQ(SCHED_ENOKI, sched_getscheduler(w->pid));
		EXPECT_EQ(self->p->id, prio_of(w->pid));
		EXPECT_TRUE(worker_lives(w));
	}
	/* sched_setattr() changes nice and policy in one call, and nice alone. */
	memset(&attr, 0, sizeof(attr));
	attr.sched_policy = SCHED_ENOKI;
	attr.sched_priority = self->p->id;
	attr.sched_nice = 5;
	ASSERT_EQ(0, attr_set(w->pid, &attr));
	EXPECT_EQ(5, getpriority(PRIO_PROCESS, w->pid));
	memset(&attr, 0, sizeof(attr));
	attr.sched_flags = ATTR_KEEP_POLICY;
	attr.sched_priority = self->p->id;
	attr.sched_nice = -5;
	ASSERT_EQ(0, attr_set(w->pid, &attr));
	EXPECT_EQ(-5, getpriority(PRIO_PROCESS, w->pid));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
	/* KEEP_PARAMS with the same policy leaves the class and comes back. */
	memset(&attr, 0, sizeof(attr));
	attr.sched_policy = SCHED_ENOKI;
	attr.sched_flags = ATTR_KEEP_PARAMS;
	attr.sched_priority = self->p->id;
	if (!attr_set(w->pid, &attr))
		EXPECT_EQ(self->p->id, prio_of(w->pid));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
	EXPECT_TRUE(worker_lives(w));
	/* Leaving the class keeps the nice level. */
	ASSERT_EQ(0, enoki_detach(w->pid));
	EXPECT_EQ(-5, getpriority(PRIO_PROCESS, w->pid));
}

TEST_EACH(uclamp)
{
	struct worker *w = worker_start_on(-1, W_SPIN, self->p->id);
	struct enoki_attr attr = {
		.sched_flags = ATTR_KEEP_POLICY | ATTR_KEEP_PARAMS |
			       ATTR_UTIL_CLAMP_MIN | ATTR_UTIL_CLAMP_MAX,
		.sched_util_min = 200,
		.sched_util_max = 800,
	};

	ASSERT_NE(NULL, w);
	if (attr_set(w->pid, &attr)) {
		EXPECT_EQ(EOPNOTSUPP, errno);
		SKIP(return, "no CONFIG_UCLAMP_TASK");
	}
	EXPECT_EQ(200, proc_sched_long(w->pid, "uclamp.min"));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
	EXPECT_TRUE(worker_lives(w));
	worker_set(w, W_SLEEP);
	ASSERT_TRUE(AWAIT(worker_asleep(w)));
	attr.sched_util_min = 0;
	attr.sched_util_max = 1024;
	ASSERT_EQ(0, attr_set(w->pid, &attr));
	worker_set(w, W_SPIN);
	EXPECT_TRUE(worker_lives(w));
}

TEST_EACH(rr_get_interval)
{
	struct worker *w = worker_start_on(-1, W_SLEEP, self->p->id);
	struct timespec ts = { -1, -1 };

	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, sched_rr_get_interval(w->pid, &ts));
	EXPECT_LE(0, ts.tv_sec);
	EXPECT_GT(10, ts.tv_sec);
	EXPECT_LE(0, ts.tv_nsec);
}

TEST_ENOKI(priority_range)
{
	EXPECT_EQ(1, sched_get_priority_min(SCHED_ENOKI));
	EXPECT_EQ(99, sched_get_priority_max(SCHED_ENOKI));
}

struct thread {
	pthread_t handle;
	pid_t tid;
	bool stop;
};

static void *thread_spin(void *arg)
{
	struct thread *t = arg;

	__atomic_store_n(&t->tid, gettid(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&t->stop, __ATOMIC_ACQUIRE))
		burn(1000);
	return NULL;
}

/* One thread of a process is a task of its own. */
TEST_EACH(one_thread)
{
	struct thread t = { 0 };

	ASSERT_EQ(0, pthread_create(&t.handle, NULL, thread_spin, &t));
	ASSERT_TRUE(AWAIT(__atomic_load_n(&t.tid, __ATOMIC_ACQUIRE)));
	ASSERT_EQ(0, enoki_attach(t.tid, self->p->id));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
	EXPECT_NE(SCHED_ENOKI, sched_getscheduler(0));
	__atomic_store_n(&t.stop, true, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(t.handle, NULL));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
}

/* Many at once, all at the same time, and not one forgotten. */
TEST_EACH(crowd)
{
	int i;

	for (i = 0; i < 60; i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 3 ? W_NAP : W_SPIN, self->p->id));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 60));
	for (i = 0; i < 60; i++)
		EXPECT_TRUE(worker_lives(nth_worker(i)));
	for (i = 0; i < 60; i += 2)
		ASSERT_EQ(0, enoki_detach(nth_worker(i)->pid));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 30));
}

ENOKI_HARNESS_MAIN
