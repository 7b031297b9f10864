// SPDX-License-Identifier: GPL-2.0
/*
 * A sched_ext scheduler beside Enoki, switching all tasks of the fair class and
 * some only: attached tasks stay attached and run, the others are its own, and
 * tasks go to and fro between the two classes.
 *
 * SCX_SIMPLE is the path of tools/sched_ext's scx_simple; without it, or in a kernel
 * without sched_ext, the tests are skipped.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#define ENOKI_EACH_POLICY
#include "fixture.h"

#define SCX_STATE	"/sys/kernel/sched_ext/state"

static bool scx_is(const char *state)
{
	char line[64];

	return read_line(SCX_STATE, line, sizeof(line)) && !strcmp(line, state);
}

static pid_t scx_start(const char *path)
{
	pid_t pid = test_fork();

	if (!pid) {
		/* Beside a hog on its only CPU, what is fair has a twentieth of it. */
		set_class(0, SCHED_FIFO, CONTROL_PRIO);
		if (!freopen("/dev/null", "w", stdout))
			_exit(126);
		execl(path, "scx_simple", NULL);
		_exit(127);
	}
	if (pid < 0 || !AWAIT(scx_is("enabled") || waitpid(pid, NULL, WNOHANG)))
		return -1;
	return scx_is("enabled") ? pid : -1;
}

static bool scx_stop(pid_t pid)
{
	kill(pid, SIGINT);
	waitpid(pid, NULL, 0);
	return AWAIT(scx_is("disabled"));
}

#define NEED_SCX(path) do {						\
	if (access(SCX_STATE, F_OK))					\
		SKIP(return, "this kernel has no sched_ext");		\
	if (!(path) || access((path), X_OK))				\
		SKIP(return, "SCX_SIMPLE does not name scx_simple");	\
} while (0)

static bool under_scx(pid_t pid)
{
	return proc_sched_long(pid, "ext.enabled") == 1;
}

/* It comes and goes while tasks of both are at work. */
TEST_EACH(comes_and_goes)
{
	const char *path = getenv("SCX_SIMPLE");
	struct worker *spin, *napper, *sleeper, *ordinary;
	int i;

	NEED_SCX(path);
	spin = worker_start_on(-1, W_SPIN, self->p->id);
	napper = worker_start_on(-1, W_NAP, self->p->id);
	sleeper = worker_start_on(-1, W_SLEEP, self->p->id);
	ordinary = worker_start_on(-1, W_NAP, 0);
	ASSERT_NE(NULL, spin);
	ASSERT_NE(NULL, napper);
	ASSERT_NE(NULL, sleeper);
	ASSERT_NE(NULL, ordinary);
	for (i = 0; i < 3; i++) {
		unsigned long turns = worker_turns(sleeper);
		pid_t scx = scx_start(path);

		ASSERT_LT(0, scx);
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 3));
		EXPECT_EQ(SCHED_ENOKI, sched_getscheduler(spin->pid));
		EXPECT_FALSE(under_scx(spin->pid));
		EXPECT_TRUE(under_scx(ordinary->pid));
		EXPECT_TRUE(worker_lives(spin));
		EXPECT_TRUE(worker_lives(napper));
		EXPECT_TRUE(worker_lives(ordinary));
		worker_set(sleeper, W_STEP);
		EXPECT_TRUE(AWAIT(worker_turns(sleeper) > turns));
		/*
		 * While sched_ext leaves, no deadline server guards its tasks. A hog
		 * on the only CPU, a SCHED_FIFO one on a kernel without Enoki as
		 * well, holds it up until the hog ends.
		 */
		worker_set(spin, W_NAP);
		EXPECT_TRUE(scx_stop(scx));
		worker_set(spin, W_SPIN);
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 3));
		EXPECT_TRUE(worker_lives(spin));
		EXPECT_TRUE(worker_lives(ordinary));
	}
}

/* Attaching takes a task from sched_ext, detaching gives it back. */
TEST_EACH(to_and_fro)
{
	static const enum worker_mode modes[] = { W_SPIN, W_NAP, W_SLEEP, W_FORK };
	const char *path = getenv("SCX_SIMPLE");
	int i, n = ARRAY_SIZE(modes);
	pid_t scx;

	NEED_SCX(path);
	scx = scx_start(path);
	ASSERT_LT(0, scx);
	for (i = 0; i < n; i++)
		ASSERT_NE(NULL, worker_start(modes[i]));
	for (i = 0; i < 15; i++) {
		int k;

		for (k = 0; k < n; k++)
			ASSERT_EQ(0, enoki_attach(nth_worker(k)->pid, self->p->id));
		EXPECT_FALSE(under_scx(nth_worker(0)->pid));
		EXPECT_TRUE(worker_lives(nth_worker(i % 2)));
		for (k = 0; k < n; k++)
			ASSERT_EQ(0, enoki_detach(nth_worker(k)->pid));
		EXPECT_TRUE(under_scx(nth_worker(0)->pid));
		EXPECT_TRUE(worker_lives(nth_worker(i % 2)));
	}
	worker_set(nth_worker(3), W_SLEEP);
	EXPECT_TRUE(AWAIT(worker_asleep(nth_worker(3))));
	EXPECT_EQ(0, worker_error(nth_worker(3)));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
	EXPECT_TRUE(scx_stop(scx));
}

/* Whose policy is ejected is a task of sched_ext then, as if it had never been attached. */
TEST_EACH(ejected)
{
	static const enum worker_mode modes[] = { W_SPIN, W_NAP, W_SLEEP, W_FORK };
	const char *path = getenv("SCX_SIMPLE");
	int i, n = ARRAY_SIZE(modes);
	pid_t scx;

	NEED_SCX(path);
	scx = scx_start(path);
	ASSERT_LT(0, scx);
	for (i = 0; i < n; i++)
		ASSERT_NE(NULL, worker_start_on(-1, modes[i], self->p->id));
	EXPECT_FALSE(under_scx(nth_worker(0)->pid));
	ASSERT_EQ(0, policy_write(self->p, "eject", "1"));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
	worker_set(nth_worker(2), W_NAP);
	for (i = 0; i < n; i++) {
		EXPECT_EQ(SCHED_OTHER, sched_getscheduler(nth_worker(i)->pid));
		EXPECT_TRUE(under_scx(nth_worker(i)->pid));
	}
	EXPECT_TRUE(scx_is("enabled"));
	EXPECT_TRUE(workers_live());
	workers_end(0);
	EXPECT_TRUE(scx_stop(scx));
	ASSERT_TRUE(policy_reload(self->p));
}

/* SCHED_EXT by name, from and to Enoki. */
TEST_ENOKI(class_by_number)
{
	const char *path = getenv("SCX_SIMPLE");
	struct worker *w;
	pid_t scx;
	int i;

	NEED_SCX(path);
	ASSERT_LT(0, policies_load());
	w = worker_start(W_SPIN);
	ASSERT_NE(NULL, w);
	scx = scx_start(path);
	ASSERT_LT(0, scx);
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, set_class(w->pid, 7, 0));	/* SCHED_EXT */
		ASSERT_EQ(0, enoki_attach(w->pid, nth_policy(i)->id));
		EXPECT_TRUE(worker_lives(w));
	}
	ASSERT_EQ(0, set_class(w->pid, 7, 0));
	EXPECT_TRUE(scx_stop(scx));
	EXPECT_TRUE(worker_lives(w));
}

/* Attached hogs on all CPUs leave sched_ext's tasks the deadline server's share. */
TEST_EACH(hogs_beside)
{
	const char *path = getenv("SCX_SIMPLE");
	struct worker *ordinary;
	pid_t scx;
	int i;

	NEED_SCX(path);
	scx = scx_start(path);
	ASSERT_LT(0, scx);
	ordinary = worker_start_on(nth_cpu_online(0), W_SPIN, 0);
	ASSERT_NE(NULL, ordinary);
	for (i = 0; i < nr_cpus_online(); i++)
		ASSERT_NE(NULL, worker_start_on(nth_cpu_online(i), W_SPIN, self->p->id));
	for (i = 0; i < 5; i++)
		EXPECT_TRUE(worker_lives(ordinary));
	EXPECT_TRUE(scx_is("enabled"));
	for (i = 1; i < nr_workers(); i++)
		worker_stop(nth_worker(i));
	EXPECT_TRUE(scx_stop(scx));
}

ENOKI_HARNESS_MAIN
