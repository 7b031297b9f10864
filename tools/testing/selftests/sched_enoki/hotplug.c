// SPDX-License-Identifier: GPL-2.0
/*
 * CPUs go and come while attached tasks run on them. A task on a CPU that goes
 * must be picked once more there to be pushed off, so a policy that stops giving
 * tasks to a CPU it heard is going would hang the unplug; and a token taken before
 * must not bring a task back.
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

#define NEED_HOTPLUG() do {						\
	NEED_CPUS(2);							\
	if (access("/sys/devices/system/cpu/cpu1/online", W_OK))	\
		SKIP(return, "CPU 1 cannot be unplugged");		\
} while (0)

TEST_EACH(both_ways)
{
	long long gone, came;
	struct worker *pinned, *asleep;
	int i, rounds = 6;

	NEED_HOTPLUG();
	gone = policy_event(self->p, "cpu_offline");
	came = policy_event(self->p, "cpu_online");
	for (i = 0; i < 2 * nr_cpus_online(); i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 3 ? W_SPIN : W_NAP, self->p->id));
	pinned = worker_start_on(1, W_SPIN, self->p->id);
	asleep = worker_start_on(1, W_SLEEP, self->p->id);
	ASSERT_NE(NULL, pinned);
	ASSERT_NE(NULL, asleep);
	for (i = 0; i < rounds; i++) {
		unsigned long turns = worker_turns(asleep);

		ASSERT_EQ(0, cpu_set_online(1, false)) TH_LOG("%m");
		/* Their only CPU is gone: they run somewhere else rather than not. */
		EXPECT_TRUE(worker_lives(pinned));
		EXPECT_NE(1, cpu_of(pinned->pid));
		worker_set(asleep, W_STEP);
		EXPECT_TRUE(AWAIT(worker_turns(asleep) > turns));
		ASSERT_EQ(0, cpu_set_online(1, true)) TH_LOG("%m");
		ASSERT_EQ(0, pin(pinned->pid, 1));
		ASSERT_EQ(0, pin(asleep->pid, 1));
		EXPECT_TRUE(AWAIT(cpu_of(pinned->pid) == 1));
		EXPECT_TRUE(worker_lives(pinned));
	}
	EXPECT_EQ(gone + rounds, policy_event(self->p, "cpu_offline"));
	EXPECT_EQ(came + rounds, policy_event(self->p, "cpu_online"));
	for (i = 0; i < nr_workers(); i++) {
		worker_set(nth_worker(i), W_SPIN);
		EXPECT_TRUE(worker_lives(nth_worker(i)));
	}
}

/* All policies, forks, naps and pins, whichever CPU comes next. */
TEST_ENOKI(loop_under_load)
{
	int cpus = nr_cpus_online(), i, n;
	uint64_t end;

	NEED_HOTPLUG();
	ASSERT_LT(0, policies_load());
	prng_seed();
	for (i = 0; i < 4 * cpus; i++) {
		static const enum worker_mode modes[] = { W_SPIN, W_NAP, W_FORK, W_YIELD };
		int cpu = i % 5 ? -1 : (int)prng_below(cpus);

		ASSERT_NE(NULL, worker_start_on(cpu, modes[i % 4],
						nth_policy(i + i / 5)->id));
	}
	end = now_ns() + 8 * NSEC_PER_SEC;
	for (n = 0; now_ns() < end; n++) {
		int cpu = 1 + prng_below(cpus - 1);

		ASSERT_EQ(0, cpu_set_online(cpu, !cpu_online(cpu))) TH_LOG("%m");
	}
	for (i = 1; i < cpus; i++)
		if (!cpu_online(i))
			ASSERT_EQ(0, cpu_set_online(i, true));
	fprintf(stderr, "# %d changes\n", n);
	for (i = 0; i < nr_workers(); i++) {
		EXPECT_TRUE(worker_lives(nth_worker(i)));
		EXPECT_EQ(0, worker_error(nth_worker(i)));
	}
}

/* A policy that comes while a CPU is away uses it when it is back. */
TEST_EACH(policy_loaded_meanwhile)
{
	struct worker *w;

	NEED_HOTPLUG();
	ASSERT_TRUE(policy_unload(self->p));
	ASSERT_EQ(0, cpu_set_online(1, false));
	EXPECT_EQ(0, module_load(self->p->module));
	w = worker_start_on(-1, W_SPIN, self->p->id);
	ASSERT_NE(NULL, w);
	EXPECT_TRUE(worker_lives(w));
	ASSERT_EQ(0, cpu_set_online(1, true));
	ASSERT_EQ(0, pin(w->pid, 1));
	EXPECT_TRUE(AWAIT(cpu_of(w->pid) == 1));
	EXPECT_TRUE(worker_lives(w));
}

ENOKI_HARNESS_MAIN
