// SPDX-License-Identifier: GPL-2.0
/*
 * Everything that can be changed about a task, changed at random, on tasks that
 * spin, sleep, nap, yield and fork: nice, affinity, class, policy, cgroup, cpuset,
 * stop and continue. All policies that there are take part. SEED=number repeats a
 * run; the seed is printed. At the end every task must still do its work, and its
 * policy must know it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#include "fixture.h"

#define NR_TASKS	10
#define NR_ACTIONS	1500
#define MAX_SECONDS	8

static const char *cgroups[2];

static void random_affinity(struct worker *w)
{
	int cpus = nr_cpus_online(), i;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(nth_cpu_online(prng_below(cpus)), &set);
	for (i = 0; i < cpus; i++)
		if (prng_below(2))
			CPU_SET(nth_cpu_online(i), &set);
	sched_setaffinity(w->pid, sizeof(set), &set);
}

static void random_class(struct worker *w)
{
	switch (prng_below(8)) {
	case 0:
		set_class(w->pid, SCHED_BATCH, 0);
		break;
	case 1:
		set_class(w->pid, SCHED_IDLE, 0);
		break;
	case 2:
		set_class(w->pid, SCHED_FIFO, 1 + prng_below(5));
		/* For a moment only: it would keep its CPU for itself. */
		nap(200);
		enoki_detach(w->pid);
		break;
	case 3:
		enoki_detach(w->pid);
		break;
	default:
		enoki_attach(w->pid, nth_policy(prng())->id);
		break;
	}
}

static void random_cpuset(void)
{
	char cpus[32];
	int n = nr_cpus_online();
	int first = prng_below(n), last = first + prng_below(n - first);

	snprintf(cpus, sizeof(cpus), "%d-%d", nth_cpu_online(first), nth_cpu_online(last));
	cgroup_write(cgroups[0], "cpuset.cpus", cpus);
}

static void random_action(struct worker *w)
{
	static const enum worker_mode modes[] = {
		W_SPIN, W_SPIN, W_SLEEP, W_STEP, W_NAP, W_YIELD, W_FORK,
	};

	switch (prng_below(10)) {
	case 0:
		setpriority(PRIO_PROCESS, w->pid, (int)prng_below(40) - 20);
		break;
	case 1:
	case 2:
		random_affinity(w);
		break;
	case 3:
	case 4:
	case 5:
		random_class(w);
		break;
	case 6:
		if (cgroups[0])
			cgroup_enter(cgroups[prng_below(2)], w->pid);
		break;
	case 7:
		if (cgroups[0])
			random_cpuset();
		break;
	case 8:
		worker_set(w, modes[prng_below(ARRAY_SIZE(modes))]);
		break;
	case 9:
		kill(w->pid, prng_below(2) ? SIGSTOP : SIGCONT);
		break;
	}
}

TEST_ENOKI(changes)
{
	uint64_t end;
	int i, n;

	ASSERT_LT(0, policies_load());
	prng_seed();
	cgroups[0] = cgroup_make("fuzz-a", "+cpuset +cpu");
	cgroups[1] = cgroups[0] ? cgroup_make("fuzz-b", "+cpuset +cpu") : NULL;
	for (i = 0; i < NR_TASKS; i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 2 ? W_SPIN : W_NAP,
						nth_policy(prng())->id));
	end = now_ns() + MAX_SECONDS * NSEC_PER_SEC;
	for (n = 0; n < NR_ACTIONS && now_ns() < end; n++) {
		random_action(nth_worker(prng_below(NR_TASKS)));
		if (!prng_below(4))
			nap(prng_below(1500));
	}
	fprintf(stderr, "# %d random changes\n", n);
	for (i = 0; i < NR_TASKS; i++) {
		struct worker *w = nth_worker(i);

		cgroup_enter(NULL, w->pid);
		ASSERT_EQ(0, kill(w->pid, SIGCONT));
		unpin(w->pid);
		setpriority(PRIO_PROCESS, w->pid, 0);
		if (sched_getscheduler(w->pid) != SCHED_ENOKI)
			ASSERT_EQ(0, enoki_attach(w->pid, nth_policy(i)->id));
		worker_set(w, W_SPIN);
	}
	for (i = 0; i < NR_TASKS; i++) {
		EXPECT_TRUE(worker_lives(nth_worker(i)));
		EXPECT_EQ(0, worker_error(nth_worker(i)));
	}
	EXPECT_TRUE(AWAIT(policies_nr_tasks() == NR_TASKS));
}

/* Affinity alone, at full speed from two sides: tokens of the past must not run. */
TEST_ENOKI(affinity)
{
	uint64_t end;
	pid_t pid;
	int i;

	NEED_CPUS(2);
	ASSERT_LT(0, policies_load());
	prng_seed();
	for (i = 0; i < NR_TASKS; i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 3 ? W_SPIN : W_NAP,
						nth_policy(i)->id));
	end = now_ns() + 4 * NSEC_PER_SEC;
	pid = test_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		set_class(0, SCHED_FIFO, 50);
		prng_seed();
	}
	while (now_ns() < end) {
		random_affinity(nth_worker(prng_below(NR_TASKS)));
		if (!prng_below(8))
			nap(300);
	}
	if (!pid)
		_exit(0);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	for (i = 0; i < NR_TASKS; i++) {
		unpin(nth_worker(i)->pid);
		EXPECT_TRUE(worker_lives(nth_worker(i)));
	}
}

ENOKI_HARNESS_MAIN
