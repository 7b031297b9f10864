// SPDX-License-Identifier: GPL-2.0
/*
 * samples/rust/enoki_shinjuku.rs: short turns, so that a short task does not wait
 * for long ones, and tasks that wake up go where the fewest are.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define ENOKI_ONCE
#include "fixture.h"

#define SLICE_NS	10000

/* Five hogs on a CPU have a turn each in 50 us and what it takes to switch, not in 15 ms. */
TEST_ENOKI(turns)
{
	int cpu = nth_cpu_online(nr_cpus_online() - 1), i;
	long long ends;
	uint64_t ran;

	ASSERT_TRUE(policy_load(&shinjuku));
	for (i = 0; i < 5; i++)
		ASSERT_NE(NULL, worker_start_on(cpu, W_SPIN, shinjuku.id));
	EXPECT_TRUE(workers_live());
	ends = policy_event(&shinjuku, "slice_end");
	for (ran = 0, i = 0; i < 5; i++)
		ran -= cpu_time(nth_worker(i)->pid);
	ASSERT_TRUE(AWAIT(policy_event(&shinjuku, "slice_end") >= ends + 5000));
	for (i = 0; i < 5; i++)
		ran += cpu_time(nth_worker(i)->pid);
	ends = policy_event(&shinjuku, "slice_end") - ends;
	printf("# %lld turns, %.1f us of CPU time each\n", ends, ran / 1e3 / ends);
	/* A tenth is for the turns between two looks, and for what ends no slice. */
	EXPECT_LT(SLICE_NS * 0.9, (double)ran / ends);
	/* Where it is emulated and checked, the switch takes longer than the turn. */
	if (steady_clock())
		EXPECT_GT(SLICE_NS * 2, (double)ran / ends);
	EXPECT_TRUE(workers_live());
}

/* When a task was told to go on, and when it did. */
struct knock {
	int pipe[2];
	uint64_t *came;
	pid_t pid;
};

static void wait_for_knocks(struct knock *k)
{
	char c;

	close(k->pipe[1]);
	while (read(k->pipe[0], &c, 1) == 1)
		__atomic_store_n(k->came, now_ns(), __ATOMIC_RELEASE);
	_exit(0);
}

#define KNOCKS	31

/* How long a task waits that wakes beside three hogs on its CPU: the median; 0: it was lost. */
static uint64_t wait_beside_hogs(const struct policy *p)
{
	int cpu = nth_cpu_online(nr_cpus_online() - 1), first = nr_workers(), i;
	uint64_t waited[KNOCKS] = { 0 }, median = 0;
	struct knock k;

	k.came = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (k.came == MAP_FAILED || pipe(k.pipe))
		return 0;
	k.pid = test_fork();
	if (!k.pid)
		wait_for_knocks(&k);
	close(k.pipe[0]);
	if (k.pid < 0 || pin(k.pid, cpu) || enoki_attach(k.pid, p->id))
		goto out;
	for (i = 0; i < 3; i++)
		if (!worker_start_on(cpu, W_SPIN, p->id))
			goto out;
	for (i = first; i < nr_workers(); i++)
		if (!worker_lives(nth_worker(i)))
			goto out;
	for (i = 0; i < KNOCKS; i++) {
		uint64_t told;

		if (!AWAIT(proc_state(k.pid) == 'S'))
			break;
		*k.came = 0;
		told = now_ns();
		if (write(k.pipe[1], "", 1) != 1 ||
		    !AWAIT(__atomic_load_n(k.came, __ATOMIC_ACQUIRE)))
			break;
		waited[i] = *k.came - told;
	}
	median = median_of(waited, KNOCKS);
out:
	close(k.pipe[1]);
	workers_end(first);
	AWAIT(policy_nr_tasks(p) == 0);
	munmap(k.came, getpagesize());
	/* All were answered, or the least is 0. */
	return waited[0] ? median : 0;
}

TEST_ENOKI(short_beside_long)
{
	uint64_t ours, others;

	ASSERT_TRUE(policy_load(&shinjuku));
	ours = wait_beside_hogs(&shinjuku);
	others = wait_beside_hogs(&fifo);
	printf("# a task that wakes beside hogs waits %.1f us, under %s %.1f us\n",
	       ours / 1e3, fifo.name, others / 1e3);
	ASSERT_TRUE(ours && others);
	/* 3 turns of 3 ms to 3 of 10 us, where a switch is not longer than that. */
	if (steady_clock())
		EXPECT_GT(others / 20, ours);
}

/* A task that wakes up does not wait for a hog where it was if there is a CPU without one. */
TEST_ENOKI(goes_where_the_fewest_are)
{
	struct worker *hog, *nap;
	int busy, i, beside = 0;

	NEED_CPUS(2);
	ASSERT_TRUE(policy_load(&shinjuku));
	busy = nth_cpu_online(1);
	nap = worker_start_on(busy, W_SLEEP, shinjuku.id);
	ASSERT_NE(NULL, nap);
	hog = worker_start_on(busy, W_SPIN, shinjuku.id);
	ASSERT_NE(NULL, hog);
	ASSERT_TRUE(worker_lives(hog));
	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, pin(nap->pid, busy));
		worker_set(nap, W_STEP);
		ASSERT_TRUE(AWAIT(worker_asleep(nap)));
		ASSERT_EQ(busy, cpu_of(nap->pid));
		/* It was switched away from: one that was not is woken up where it is. */
		ASSERT_TRUE(worker_lives(hog));
		ASSERT_EQ(0, unpin(nap->pid));
		worker_set(nap, W_STEP);
		ASSERT_TRUE(AWAIT(worker_asleep(nap)));
		beside += cpu_of(nap->pid) == busy;
	}
	EXPECT_EQ(0, beside);
	EXPECT_TRUE(worker_lives(hog));
}

TEST_ENOKI(slices_out_of_range)
{
	static const char *const bad[] = { "slice_us=4", "slice_us=1001", "slice_us=0" };
	size_t i;

	ASSERT_TRUE(policy_unload(&shinjuku));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_NE(0, module_load_with(shinjuku.module, bad[i]));
	EXPECT_FALSE(module_loaded(shinjuku.module));
	ASSERT_EQ(0, module_load_with(shinjuku.module, "slice_us=5"));
	ASSERT_TRUE(policy_unload(&shinjuku));
}

ENOKI_HARNESS_MAIN
