// SPDX-License-Identifier: GPL-2.0
/*
 * For how long nobody can call a policy that is being replaced: the same with ten tasks and
 * with ten thousand, and not much longer with more CPUs, which are idle here. By instructions,
 * of all CPUs together; this is for a clock that counts them (ENOKI_STEADY_CLOCK=1).
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#include "fixture.h"

static const struct policy relay = { "relay", "enoki_relay_1", 61 };

#define STACK_SIZE	(32 * 1024)
/* Made and ended on an emulated CPU. */
#define BLACKOUT_SECONDS	700
/* Of which the shortest counts: an interrupt in between is not the upgrade's. */
#define UPGRADES	8

/* With one CPU, and how much more with one more. */
#define LIMIT_1		1000
#define LIMIT_A_CPU	300

static int *nr_asleep;

static void *sleeps(void *unused)
{
	__atomic_fetch_add(nr_asleep, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
	return NULL;
}

/* A process of so many threads, all attached, that sleep. */
static pid_t start_sleepers(int nr)
{
	pid_t pid = test_fork();
	pthread_attr_t attr;
	pthread_t thread;
	int i;

	if (pid)
		return pid;
	if (enoki_attach(0, relay.id) || pthread_attr_init(&attr) ||
	    pthread_attr_setstacksize(&attr, STACK_SIZE))
		_exit(1);
	for (i = 1; i < nr; i++)
		if (pthread_create(&thread, &attr, sleeps, NULL))
			_exit(2);
	sleeps(NULL);
	_exit(3);
}

/* The shortest of some upgrades with so many tasks; -1 if one failed. */
static long long shortest_with(int tasks)
{
	long long shortest = -1, ns;
	pid_t pid;
	int i;

	*nr_asleep = 0;
	pid = start_sleepers(tasks);
	if (pid < 0 || !AWAIT_FOR(BLACKOUT_SECONDS / 2,
				  __atomic_load_n(nr_asleep, __ATOMIC_ACQUIRE) == tasks))
		return -1;
	for (i = 0; i < UPGRADES; i++) {
		if (policy_upgrade(&relay)) {
			fprintf(stderr, "# %m: %s\n", last_error());
			return -1;
		}
		ns = policy_upgrades(&relay, "blackout_ns");
		if (shortest < 0 || ns < shortest)
			shortest = ns;
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!AWAIT_FOR(BLACKOUT_SECONDS / 2, policy_nr_tasks(&relay) == 0))
		return -1;
	fprintf(stderr, "# blackout: %lld instructions with %d CPUs and %d tasks\n", shortest,
		nr_cpus_online(), tasks);
	return shortest;
}

TEST_F_TIMEOUT(enoki, blackout, BLACKOUT_SECONDS)
{
	static const int tasks[] = { 10, 1000, 10000 };
	long long few = 0, ns;
	size_t i;

	if (!steady_clock())
		SKIP(return, "needs a clock that counts instructions");
	nr_asleep = mmap(NULL, sizeof(*nr_asleep), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, (void *)nr_asleep);
	LOAD_TEST_MODULE("enoki_relay_1", "");
	LOAD_TEST_MODULE("enoki_relay_2", "");
	for (i = 0; i < ARRAY_SIZE(tasks); i++) {
		ns = shortest_with(tasks[i]);
		ASSERT_LT(0, ns);
		EXPECT_GE(LIMIT_1 + LIMIT_A_CPU * (nr_cpus_online() - 1), ns);
		if (!i)
			few = ns;
		/* What is in the cache or not may differ, what is done may not. */
		EXPECT_GE(few + few / 20, ns);
	}
	EXPECT_TRUE(AWAIT(!module_unload("enoki_relay_2")));
	EXPECT_TRUE(AWAIT(!module_unload("enoki_relay_1")));
}

ENOKI_HARNESS_MAIN
