// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs that fall idle take work from the others, and idle CPUs that are kicked
 * do look.
 *
 * A class below which fair is running never gets its balance callback called, so
 * stealing has to happen inside the pick; and the core has two short cuts (the
 * fair-only pick, the idle re-pick) that would hide it. Each leaves CPUs idle
 * beside a queue of waiting tasks, which is what these tests look for.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_EACH_POLICY
#include "fixture.h"

static uint64_t cpu_time_of_all(void)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < nr_workers(); i++)
		sum += cpu_time(nth_worker(i)->pid);
	return sum;
}

static int cpus_in_use(void)
{
	bool used[CPU_SETSIZE] = { false };
	int i, n = 0;

	for (i = 0; i < nr_workers(); i++) {
		int cpu = cpu_of(nth_worker(i)->pid);

		if (cpu >= 0 && !used[cpu]) {
			used[cpu] = true;
			n++;
		}
	}
	return n;
}

/* A backlog on one CPU spreads as soon as it may. */
TEST_EACH(backlog)
{
	int cpus = nr_cpus_online(), i;
	long long steals = policy_event(self->p, "steal");
	uint64_t start, began;

	NEED_CPUS(2);
	for (i = 0; i < 2 * cpus; i++)
		ASSERT_NE(NULL, worker_start_on(nth_cpu_online(0), W_SPIN, self->p->id));
	for (i = 0; i < 2 * cpus; i++)
		ASSERT_TRUE(worker_lives(nth_worker(i)));
	EXPECT_EQ(1, cpus_in_use());
	for (i = 0; i < 2 * cpus; i++)
		ASSERT_EQ(0, unpin(nth_worker(i)->pid));
	ASSERT_TRUE(AWAIT(cpus_in_use() == cpus));
	EXPECT_LT(steals, policy_event(self->p, "steal"));
	/* With twice as many tasks as CPUs no CPU has a reason to be idle. */
	start = cpu_time_of_all();
	began = now_ns();
	ASSERT_TRUE(AWAIT(cpu_time_of_all() - start > cpus * 200 * NSEC_PER_MSEC));
	began = now_ns() - began;
	start = cpu_time_of_all() - start;
	fprintf(stderr, "# %d CPUs: %llu ms of CPU time in %llu ms\n", cpus,
		(unsigned long long)(start / NSEC_PER_MSEC),
		(unsigned long long)(began / NSEC_PER_MSEC));
	EXPECT_LT(began * cpus * 7 / 10, start);
}

/* Tasks that end one after the other leave no CPU idle while others wait. */
TEST_EACH(as_they_end)
{
	int cpus = nr_cpus_online(), i, left;

	NEED_CPUS(2);
	for (i = 0; i < 3 * cpus; i++)
		ASSERT_NE(NULL, worker_start_on(-1, W_SPIN, self->p->id));
	for (left = 3 * cpus; left > cpus; left--) {
		worker_stop(nth_worker(left - 1));
		if (left % cpus == 1)
			ASSERT_TRUE(AWAIT(cpus_in_use() == cpus));
	}
}

/* A CPU whose ordinary task goes to sleep takes an attached one that waits elsewhere. */
TEST_EACH(after_an_ordinary_task)
{
	struct worker *ordinary, *a, *b;
	int late = 0, i;

	NEED_CPUS(2);
	/* Whenever a real-time task, such as this one, sleeps, its CPU looks for work. */
	ASSERT_EQ(0, pin(0, nth_cpu_online(0)));
	ordinary = worker_start_on(nth_cpu_online(1), W_SLEEP, 0);
	a = worker_start_on(nth_cpu_online(0), W_SPIN, self->p->id);
	b = worker_start_on(nth_cpu_online(0), W_SPIN, self->p->id);
	ASSERT_TRUE(ordinary && a && b);
	for (i = 0; i < 10; i++) {
		uint64_t began;

		worker_set(ordinary, W_SPIN);
		ASSERT_TRUE(worker_lives(ordinary));
		ASSERT_EQ(0, unpin(a->pid));
		ASSERT_EQ(0, unpin(b->pid));
		worker_set(ordinary, W_SLEEP);
		began = now_ns();
		ASSERT_TRUE(AWAIT(cpu_of(a->pid) != cpu_of(b->pid)));
		if (now_ns() - began > 500 * NSEC_PER_MSEC)
			late++;
		ASSERT_EQ(0, pin(a->pid, nth_cpu_online(0)));
		ASSERT_EQ(0, pin(b->pid, nth_cpu_online(0)));
	}
	/* A CPU that does not look is made to every 4 s, by the kernel's own watchdog. */
	EXPECT_GE(2, late);
	unpin(0);
}

/* Tasks that may not go there stay where they are. */
TEST_EACH(pinned_stay)
{
	int i, n;

	NEED_CPUS(2);
	for (i = 0; i < 4; i++)
		ASSERT_NE(NULL, worker_start_on(nth_cpu_online(0), W_SPIN, self->p->id));
	for (i = 0; i < 4; i++)
		ASSERT_NE(NULL, worker_start_on(nth_cpu_online(1), W_NAP, self->p->id));
	for (n = 0; n < 10; n++) {
		for (i = 0; i < 8; i++) {
			EXPECT_TRUE(worker_lives(nth_worker(i)));
			EXPECT_EQ(nth_cpu_online(i / 4), cpu_of(nth_worker(i)->pid));
		}
	}
}

/* An idle CPU wakes up for a task, every time. */
TEST_EACH(idle_cpu_is_kicked)
{
	struct worker *w;
	uint64_t worst = 0;
	int i;

	NEED_CPUS(2);
	w = worker_start_on(nth_cpu_online(1), W_SLEEP, self->p->id);
	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, pin(0, nth_cpu_online(0)));
	for (i = 0; i < 200; i++) {
		unsigned long turns = worker_turns(w);
		uint64_t began;

		ASSERT_TRUE(AWAIT(worker_asleep(w)));
		began = now_ns();
		worker_set(w, W_STEP);
		while (worker_turns(w) == turns && now_ns() - began < 20 * NSEC_PER_SEC)
			sched_yield();
		ASSERT_LT(turns, worker_turns(w));
		if (now_ns() - began > worst)
			worst = now_ns() - began;
	}
	fprintf(stderr, "# slowest of 200 wake-ups of an idle CPU: %llu us\n",
		(unsigned long long)(worst / 1000));
	/* A lost kick is found by the next tick or later; allow the host its share. */
	EXPECT_GT(10 * NSEC_PER_SEC, worst);
	unpin(0);
}

/* A high priority task measures itself while others are stolen to and fro. */
TEST_EACH(storm)
{
	int cpus = nr_cpus_online(), i;
	uint64_t worst = 0;

	NEED_CPUS(2);
	for (i = 0; i < 8 * cpus; i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 4 ? W_NAP : W_FORK, self->p->id));
	for (i = 0; i < 500; i++) {
		uint64_t began = now_ns(), late;

		nap(1000);
		late = now_ns() - began - NSEC_PER_MSEC;
		if (late > worst)
			worst = late;
	}
	fprintf(stderr, "# SCHED_FIFO latency in a steal storm: at worst %llu us\n",
		(unsigned long long)(worst / 1000));
	EXPECT_GT(NSEC_PER_SEC, worst);
	for (i = 0; i < 8 * cpus; i++)
		EXPECT_TRUE(worker_lives(nth_worker(i)));
}

ENOKI_HARNESS_MAIN
