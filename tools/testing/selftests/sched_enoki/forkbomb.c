// SPDX-License-Identifier: GPL-2.0
/*
 * Attached tasks that fork as fast as they can, most of whose clones fail: at the
 * limit of processes, at a cgroup's limit, at a pid that is taken, at a signal.
 * A child is a copy of its parent until the class has given it a state of its own,
 * and a clone may fail after that; none may share the parent's, and none may stay.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_EACH_POLICY
#include "fixture.h"

#define NR_FORKS	300

static long clone3(struct clone_args *args)
{
	return syscall(SYS_clone3, args, sizeof(*args));
}

/* Forks children that stay until the limit, then ends them; several times. */
static int bomb(int forks)
{
	int failed = 0, alive = 0, i;

	for (i = 0; i < forks; i++) {
		pid_t pid = fork();

		if (!pid) {
			burn(2000);
			if (i % 3)
				pause();
			_exit(0);
		}
		if (pid > 0) {
			alive++;
			continue;
		}
		if (errno != EAGAIN)
			return -errno;
		failed++;
		if (failed % 10 == 0) {
			signal(SIGTERM, SIG_IGN);
			kill(0, SIGTERM);
			while (waitpid(-1, NULL, 0) > 0)
				alive--;
			signal(SIGTERM, SIG_DFL);
		}
	}
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (waitpid(-1, NULL, 0) > 0)
		;
	return failed;
}

/* Runs bomb() in a process group of its own, as an ordinary user if so asked. */
static void run_bomb(struct __test_metadata *_metadata, const struct policy *p,
		     bool as_user, const char *cgroup)
{
	struct rlimit limit = { 20, 20 };
	int status;
	pid_t pid = test_fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		setpgid(0, 0);
		if (cgroup && cgroup_enter(cgroup, getpid()))
			_exit(1);
		if (enoki_attach(0, p->id))
			_exit(2);
		if (as_user && (setrlimit(RLIMIT_NPROC, &limit) || setgroups(0, NULL) ||
				setgid(65534) || setuid(65534)))
			_exit(3);
		_exit(bomb(NR_FORKS) > 0 ? 0 : 4);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("step %d", WEXITSTATUS(status));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(p) == 0));
}

TEST_EACH(limit_of_processes)
{
	run_bomb(_metadata, self->p, true, NULL);
}

/* Refused after the class has set the child up. */
TEST_EACH(limit_of_a_cgroup)
{
	const char *cgroup = cgroup_make("pids", "+pids +cpu");

	if (!cgroup)
		SKIP(return, "no cgroup2 with pids");
	ASSERT_EQ(0, cgroup_write(cgroup, "pids.max", "12"));
	run_bomb(_metadata, self->p, false, cgroup);
}

/* A pid that is taken: refused late in clone, every time. */
TEST_EACH(taken_pid)
{
	int status;
	pid_t pid = test_fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		long long born;
		pid_t taken = getpid();
		struct clone_args args = {
			.exit_signal = SIGCHLD,
			.set_tid = (uintptr_t)&taken,
			.set_tid_size = 1,
		};
		int i;

		if (enoki_attach(0, self->p->id))
			_exit(1);
		born = policy_event(self->p, "task_new");
		for (i = 0; i < NR_FORKS; i++)
			if (clone3(&args) != -1 || errno != EEXIST)
				_exit(2);
		/* The policy has heard of none of them. */
		if (policy_event(self->p, "task_new") != born)
			_exit(3);
		/* A child that was refused leaves the parent able to have others. */
		pid = test_fork();
		if (!pid)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			_exit(4);
		_exit(policy_event(self->p, "task_new") == born + 1 ? 0 : 5);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("step %d", WEXITSTATUS(status));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
}

/* Into a cgroup that is full: the last step at which clone may be refused. */
TEST_EACH(into_a_full_cgroup)
{
	const char *cgroup = cgroup_make("full", "+pids +cpu");
	int status;
	pid_t pid;

	if (!cgroup)
		SKIP(return, "no cgroup2 with pids");
	ASSERT_EQ(0, cgroup_write(cgroup, "pids.max", "0"));
	pid = test_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		int dir = open(cgroup, O_RDONLY | O_DIRECTORY), i;
		struct clone_args args = {
			.flags = CLONE_INTO_CGROUP,
			.exit_signal = SIGCHLD,
			.cgroup = dir,
		};

		if (dir < 0 || enoki_attach(0, self->p->id))
			_exit(1);
		for (i = 0; i < NR_FORKS; i++)
			if (clone3(&args) != -1 || errno != EAGAIN)
				_exit(2);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("step %d", WEXITSTATUS(status));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
}

/* Bombs that are killed while they go off, and detached at the same time. */
TEST_EACH(killed)
{
	int i, status;

	for (i = 0; i < 12; i++) {
		long long born = policy_event(self->p, "task_new");
		pid_t pid = test_fork();

		ASSERT_LE(0, pid);
		if (!pid) {
			setpgid(0, 0);
			if (enoki_attach(0, self->p->id))
				_exit(1);
			for (;;) {
				pid = fork();
				if (!pid)
					_exit(0);
				waitpid(-1, NULL, prng_below(2) ? WNOHANG : 0);
			}
		}
		ASSERT_TRUE(AWAIT(policy_event(self->p, "task_new") > born + 5 + i));
		if (i % 3 == 1)
			EXPECT_EQ(0, enoki_detach(pid));
		if (i % 3 == 2)
			EXPECT_EQ(0, enoki_attach(pid, other_policy(self->p)->id));
		ASSERT_EQ(0, kill(-pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status));
		EXPECT_TRUE(AWAIT(policies_nr_tasks() == 0));
	}
}

ENOKI_HARNESS_MAIN
