// SPDX-License-Identifier: GPL-2.0
/*
 * Ten thousand tasks on one CPU, all of them ready: each waits for its turn far longer
 * than a policy may let a task wait, and that is not the policy's fault. Nobody is
 * rescued, and the policy stays.
 *
 * Where the host stops a CPU that has a turn, the turn is as long as that, and no
 * bound holds: this is for a clock that counts instructions (ENOKI_STEADY_CLOCK=1).
 */
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#include "fixture.h"

/* With turns of 750 us a round of all takes 7.5 s. */
#define MANY		10000
/* The least that there is, and much less than a round. */
#define TIMEOUT_MS	"100"
#define STACK_SIZE	(32 * 1024)
/* Emulated, and each of them has to be made and ended as well. */
#define CROWD_SECONDS	900

struct crowd {
	int go;			/* a futex */
	int nr;			/* how many there are so far */
	unsigned int turns[];	/* grows as each of them works */
};

static struct crowd *crowd;

static void *member(void *arg)
{
	unsigned int *turns = arg;

	while (!__atomic_load_n(&crowd->go, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, &crowd->go, FUTEX_WAIT, 0, NULL, NULL, 0);
	for (;;) {
		burn(10000);
		__atomic_fetch_add(turns, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* A process of so many threads, all on a CPU, attached as it is itself. */
static void __noreturn gathers(int cpu)
{
	pthread_attr_t attr;
	pthread_t thread;
	int i;

	if (pin(0, cpu) || enoki_attach(0, wfq.id) || pthread_attr_init(&attr) ||
	    pthread_attr_setstacksize(&attr, STACK_SIZE))
		_exit(1);
	for (i = 0; i < MANY; i++) {
		if (pthread_create(&thread, &attr, member, &crowd->turns[i]))
			_exit(2);
		__atomic_store_n(&crowd->nr, i + 1, __ATOMIC_RELEASE);
	}
	for (;;)
		pause();
}

static bool all_had_turns(const unsigned int *before)
{
	int i;

	for (i = 0; i < MANY; i++)
		if (__atomic_load_n(&crowd->turns[i], __ATOMIC_RELAXED) == before[i])
			return false;
	return true;
}

TEST_F_TIMEOUT(enoki, is_no_stall, 2 * CROWD_SECONDS)
{
	unsigned int before[MANY] = { 0 };
	long long rescued;
	int status, i;
	pid_t pid;

	if (!steady_clock())
		SKIP(return, "needs a clock that counts instructions");
	crowd = mmap(NULL, sizeof(*crowd) + sizeof(before), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, crowd);
	rescued = policy_event(&wfq, "task_rescued");
	ASSERT_EQ(0, policy_write(&wfq, "timeout_ms", TIMEOUT_MS));
	pid = test_fork();
	ASSERT_LE(0, pid);
	if (!pid)
		gathers(nth_cpu_online(nr_cpus_online() - 1));
	ASSERT_TRUE(AWAIT_FOR(CROWD_SECONDS, crowd->nr == MANY || waitpid(pid, &status, WNOHANG)));
	ASSERT_EQ(MANY, crowd->nr);
	EXPECT_EQ(MANY + 1, policy_nr_tasks(&wfq));

	__atomic_store_n(&crowd->go, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &crowd->go, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	EXPECT_TRUE(AWAIT_FOR(CROWD_SECONDS, all_had_turns(before)));
	for (i = 0; i < MANY; i++)
		before[i] = __atomic_load_n(&crowd->turns[i], __ATOMIC_RELAXED);
	EXPECT_TRUE(AWAIT_FOR(CROWD_SECONDS, all_had_turns(before)));
	EXPECT_TRUE(policy_in_office(&wfq));
	EXPECT_EQ(rescued, policy_event(&wfq, "task_rescued"));

	ASSERT_EQ(0, kill(pid, SIGKILL));
	ASSERT_TRUE(AWAIT_FOR(CROWD_SECONDS, waitpid(pid, &status, WNOHANG) == pid));
	EXPECT_TRUE(AWAIT_FOR(CROWD_SECONDS, policy_nr_tasks(&wfq) == 0));
	EXPECT_EQ(0, policy_write(&wfq, "timeout_ms", "5000"));
	munmap(crowd, sizeof(*crowd) + sizeof(before));
}

ENOKI_HARNESS_MAIN
