// SPDX-License-Identifier: GPL-2.0
/*
 * All tasks of a policy go over to another policy while they run, and none of them is ever
 * seen in another class; or so many of them; or nothing happens, and it is said why.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#include "fixture.h"

#define ROUNDS	8

/* 0, or -1 with errno. */
static int switch_to(const struct policy *from, const char *words)
{
	return policy_write(from, "switch", words);
}

static bool crowd(const struct policy *p)
{
	static const enum worker_mode modes[] = { W_SPIN, W_NAP, W_FORK, W_NAP, W_YIELD, W_SLEEP };
	int i;

	for (i = 0; i < 4 * nr_cpus_online() + 8; i++)
		if (!worker_start_on(-1, modes[i % 6], p->id))
			return false;
	return true;
}

/* Those who are not asleep. */
static bool all_live(void)
{
	int i;

	for (i = 0; i < nr_workers(); i++)
		if (i % 6 != 5 && !worker_lives(nth_worker(i)))
			return false;
	return true;
}

TEST_ENOKI(there_and_back)
{
	const struct policy *const ways[] = { &fifo, &wfq, &shinjuku, &locality };
	const struct policy *from, *to;
	pid_t looking;
	int i;

	for (i = 0; i < 4; i++)
		ASSERT_TRUE(policy_load(ways[i]));
	ASSERT_TRUE(crowd(&fifo));
	looking = workers_watch();
	ASSERT_LT(0, looking);
	for (i = 0; i < ROUNDS; i++) {
		from = ways[i % 4];
		to = ways[(i + 1) % 4];
		ASSERT_EQ(0, switch_to(from, to->name)) TH_LOG("%m: %s", last_error());
		ASSERT_EQ(nr_workers(), nr_attached(to));
		/* Of those that are dead the memory goes later. */
		ASSERT_TRUE(AWAIT(policy_nr_tasks(from) == 0));
		ASSERT_TRUE(all_live());
	}
	EXPECT_TRUE(watch_saw_nothing(looking));
	/* Those who slept all the time wake up there. */
	for (i = 5; i < nr_workers(); i += 6)
		worker_set(nth_worker(i), W_NAP);
	EXPECT_TRUE(workers_live());
	/* The one that all have left can be removed. */
	EXPECT_TRUE(policy_unload(&wfq));
	EXPECT_TRUE(policy_load(&wfq));
}

TEST_ENOKI(so_many)
{
	int i;

	ASSERT_TRUE(policy_load(&fifo));
	ASSERT_TRUE(policy_load(&wfq));
	for (i = 0; i < 20; i++)
		ASSERT_NE(NULL, worker_start_on(-1, W_NAP, fifo.id));
	ASSERT_EQ(0, switch_to(&fifo, "wfq 1"));
	EXPECT_EQ(1, nr_attached(&wfq));
	ASSERT_EQ(0, switch_to(&fifo, "wfq 6\n"));
	EXPECT_EQ(7, nr_attached(&wfq));
	EXPECT_EQ(13, nr_attached(&fifo));
	ASSERT_EQ(0, switch_to(&fifo, "wfq 1000"));
	EXPECT_EQ(20, nr_attached(&wfq));
	/* There is nobody left, and that is no error. */
	EXPECT_EQ(0, switch_to(&fifo, "wfq"));
	EXPECT_TRUE(workers_live());
}

/* Priority inheritance, groups and affinities are the task's own, and stay. */
TEST_ENOKI(what_they_are_stays)
{
	struct worker *w;
	struct enoki_attr attr;
	int cpu = nth_cpu_online(nr_cpus_online() - 1);

	ASSERT_TRUE(policy_load(&wfq));
	ASSERT_TRUE(policy_load(&shinjuku));
	w = worker_start_on(cpu, W_SPIN, wfq.id);
	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, setpriority(PRIO_PROCESS, w->pid, 7));
	ASSERT_EQ(0, switch_to(&wfq, "shinjuku"));
	ASSERT_EQ(0, attr_get(w->pid, &attr));
	EXPECT_EQ(7, attr.sched_nice);
	EXPECT_EQ((uint32_t)shinjuku.id, attr.sched_priority);
	EXPECT_EQ(cpu, cpu_of(w->pid));
	EXPECT_TRUE(worker_lives(w));
	EXPECT_EQ(cpu, cpu_of(w->pid));
}

/* Whom the other policy refuses stays: that one refuses all, by its parameter. */
TEST_ENOKI(refused)
{
	ASSERT_TRUE(policy_load(&fifo));
	LOAD_TEST_MODULE("enoki_fresh_1", "mode=5");
	ASSERT_TRUE(crowd(&fifo));
	EXPECT_EQ(-1, switch_to(&fifo, "fresh"));
	EXPECT_EQ(EPERM, errno);
	EXPECT_NE(NULL, strstr(last_error(), "0 tasks switched to fresh, but"))
		TH_LOG("%s", last_error());
	EXPECT_EQ(nr_workers(), nr_attached(&fifo));
	EXPECT_TRUE(all_live());
	ASSERT_EQ(0, module_unload("enoki_fresh_1"));
}

TEST_ENOKI(nonsense)
{
	static const struct {
		const char *words;
		int error;
		const char *says;
	} bad[] = {
		{ "\n", EINVAL, "write a policy's name" },
		{ "wfq 0", EINVAL, "write a policy's name" },
		{ "wfq many", EINVAL, "write a policy's name" },
		{ "wfq 1 2", EINVAL, "write a policy's name" },
		{ "wfq -1", EINVAL, "write a policy's name" },
		{ "fifo", EINVAL, "there already" },
		{ "a_name_longer_than_any_policy_may_have", EINVAL, "write a policy's name" },
		{ "nobody", ENOENT, "no policy nobody is registered" },
	};
	size_t i;

	ASSERT_TRUE(policy_load(&fifo));
	ASSERT_TRUE(policy_load(&wfq));
	ASSERT_TRUE(crowd(&fifo));
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		EXPECT_EQ(-1, switch_to(&fifo, bad[i].words)) TH_LOG("%s", bad[i].words);
		EXPECT_EQ(bad[i].error, errno) TH_LOG("%s", bad[i].words);
		EXPECT_NE(NULL, strstr(last_error(), bad[i].says)) TH_LOG("%s", last_error());
	}
	EXPECT_EQ(nr_workers(), nr_attached(&fifo));
	ASSERT_EQ(0, policy_write(&wfq, "eject", "1"));
	EXPECT_EQ(-1, switch_to(&fifo, "wfq"));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_NE(NULL, strstr(last_error(), "policy wfq has been ejected"));
	EXPECT_EQ(nr_workers(), nr_attached(&fifo));
	EXPECT_TRUE(all_live());
	EXPECT_TRUE(policy_reload(&wfq));
}

/* While tasks leave, come and fork, and CPUs go and come. */
TEST_ENOKI(in_a_storm)
{
	pid_t pid;
	int i;

	prng_seed();
	ASSERT_TRUE(policy_load(&fifo));
	ASSERT_TRUE(policy_load(&wfq));
	ASSERT_TRUE(crowd(&fifo));
	pid = disturb(fifo.id, wfq.id);
	ASSERT_LT(0, pid);
	for (i = 0; i < 5 * ROUNDS; i++) {
		EXPECT_EQ(0, switch_to(i % 2 ? &wfq : &fifo, i % 2 ? "fifo" : "wfq"))
			TH_LOG("%m: %s", last_error());
		nap(prng_below(5000));
	}
	disturbed_enough(pid);
	EXPECT_TRUE(all_live());
}

ENOKI_HARNESS_MAIN
