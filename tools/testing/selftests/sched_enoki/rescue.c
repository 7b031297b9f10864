// SPDX-License-Identifier: GPL-2.0
/*
 * A task that its policy forgets is rescued, and the policy goes on. If it has to be
 * helped too often it is ejected.
 */
#include <stdio.h>

#define ENOKI_ONCE
#include "fixture.h"

static const struct policy bad = { "bad", "enoki_bad", 13 };

/* One that never wakes up. */
static bool spins_on(int cpu)
{
	struct worker *w = worker_start(W_SPIN);

	return w && !pin(w->pid, cpu) && AWAIT(worker_turns(w) > 0) &&
	       !enoki_attach(w->pid, bad.id);
}

/*
 * A policy that forgets so many tasks, each as it wakes up, and may be helped so often.
 * Where a CPU had nothing else to do the class would look for them at once.
 */
static bool forgets(int times, const char *budget, const char *timeout_ms)
{
	char word[32];
	const char *const argv[] = { "modprobe", bad.module, "mode=31", word, NULL };
	int i;

	snprintf(word, sizeof(word), "times=%d", times);
	/* On an emulated machine a lock may be held for long by a CPU that stands still. */
	if (!policy_unload(&bad) || run_cmd(argv) || policy_write(&bad, "timeout_ms", timeout_ms) ||
	    policy_write(&bad, "max_hold_ms", "60000") || policy_write(&bad, "budget", budget))
		return false;
	for (i = 0; i < nr_cpus_online(); i++)
		if (!spins_on(nth_cpu_online(i)))
			return false;
	for (i = 0; i < times; i++)
		if (!worker_start_on(-1, W_NAP, bad.id))
			return false;
	return true;
}

static int nr_of_class(int class)
{
	int i, nr = 0;

	for (i = 0; i < nr_workers(); i++)
		nr += sched_getscheduler(nth_worker(i)->pid) == class;
	return nr;
}

/* So many were rescued, and all goes on. */
static bool stays(int rescued)
{
	return AWAIT(policy_event(&bad, "task_rescued") >= rescued) && workers_live() &&
	       policy_event(&bad, "task_rescued") == rescued && policy_in_office(&bad) &&
	       nr_of_class(SCHED_ENOKI) == nr_workers();
}

static bool goes(int rescued)
{
	return AWAIT(!policy_in_office(&bad)) && AWAIT(policy_nr_tasks(&bad) == 0) &&
	       policy_event(&bad, "task_rescued") == rescued && workers_live() &&
	       nr_of_class(SCHED_OTHER) == nr_workers();
}

TEST_ENOKI(once)
{
	/* Soon, so that its last call is recorded still. */
	ASSERT_TRUE(forgets(1, "8", "300"));
	EXPECT_TRUE(stays(1));
	EXPECT_TRUE(AWAIT(last_exit_says("enoki_bad: a task was rescued, the policy goes on")));
	EXPECT_TRUE(last_exit_says("\nreason: stall: task "));
	EXPECT_TRUE(last_exit_says("\nlast call about the task: task_wakeup, on CPU "));
	EXPECT_TRUE(last_exit_says(" ms old"));
	workers_end(0);
	EXPECT_TRUE(policy_unload(&bad));
}

TEST_ENOKI(as_often_as_it_may)
{
	ASSERT_TRUE(forgets(8, "8", "1000"));
	EXPECT_TRUE(stays(8));
	workers_end(0);
	EXPECT_TRUE(policy_unload(&bad));
}

TEST_ENOKI(once_too_often)
{
	ASSERT_TRUE(forgets(9, "8", "1000"));
	EXPECT_TRUE(goes(8));
	EXPECT_TRUE(last_exit_says("module enoki_bad: ejected"));
	EXPECT_TRUE(last_exit_says("\nreason: stall: task "));
	workers_end(0);
	EXPECT_TRUE(policy_unload(&bad));
}

TEST_ENOKI(never)
{
	ASSERT_TRUE(forgets(1, "0", "1000"));
	EXPECT_TRUE(goes(0));
	workers_end(0);
	EXPECT_TRUE(policy_unload(&bad));
}

ENOKI_HARNESS_MAIN
