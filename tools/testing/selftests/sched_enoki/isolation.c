// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs set apart on the kernel's command line: isolcpus= keeps attached tasks away
 * that do not name them, nohz_full= lets the tick stop for an attached task that
 * is alone. Skipped where the command line sets nothing apart.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENOKI_EACH_POLICY
#include "fixture.h"

static int first_listed(const char *path)
{
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (cpu_online(cpu) && cpu_listed(path, cpu))
			return cpu;
	return -1;
}

TEST_EACH(isolated_cpu)
{
	int apart = first_listed("/sys/devices/system/cpu/isolated"), i, n;
	struct worker *w;

	if (apart < 0)
		SKIP(return, "no isolated CPU");
	for (i = 0; i < 2 * nr_cpus_online(); i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 2 ? W_NAP : W_SPIN, self->p->id));
	for (n = 0; n < 10; n++) {
		for (i = 0; i < nr_workers(); i++) {
			EXPECT_TRUE(worker_lives(nth_worker(i)));
			EXPECT_NE(apart, cpu_of(nth_worker(i)->pid));
		}
	}
	/* Who asks for it gets it. */
	w = worker_start_on(apart, W_SPIN, self->p->id);
	ASSERT_NE(NULL, w);
	EXPECT_TRUE(worker_lives(w));
	EXPECT_EQ(apart, cpu_of(w->pid));
}

/* Timer interrupts for each second of CPU time of @w. */
static double interrupts_beside(struct worker *w, int cpu)
{
	uint64_t began = cpu_time(w->pid);
	long long before = timer_interrupts(cpu);

	if (!AWAIT(cpu_time(w->pid) - began > 2 * NSEC_PER_SEC))
		return -1;
	return (double)(timer_interrupts(cpu) - before) * NSEC_PER_SEC /
	       (cpu_time(w->pid) - began);
}

TEST_EACH(tick_stops)
{
	int cpu = first_listed("/sys/devices/system/cpu/nohz_full");
	struct worker *alone, *second;
	double with_one, with_two;

	if (cpu < 0)
		SKIP(return, "no nohz_full CPU");
	alone = worker_start_on(cpu, W_SPIN, self->p->id);
	ASSERT_NE(NULL, alone);
	ASSERT_TRUE(worker_lives(alone));
	with_one = interrupts_beside(alone, cpu);
	/* With a second one beside it the tick must come back, or one would starve. */
	second = worker_start_on(cpu, W_SPIN, self->p->id);
	ASSERT_NE(NULL, second);
	EXPECT_TRUE(worker_lives(second));
	EXPECT_TRUE(worker_lives(alone));
	with_two = interrupts_beside(alone, cpu);
	fprintf(stderr, "# timer interrupts for a second of work: %.0f alone, %.0f with another\n",
		with_one, with_two);
	EXPECT_LE(0, with_one);
	EXPECT_GT(with_two / 2, with_one);
	worker_stop(second);
	EXPECT_TRUE(worker_lives(alone));
}

ENOKI_HARNESS_MAIN
