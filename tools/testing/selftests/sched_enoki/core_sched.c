// SPDX-License-Identifier: GPL-2.0
/*
 * Core scheduling: tasks with different cookies never run at the same time on the
 * threads of one core. Attached tasks keep that rule, and run all the same: alone,
 * beside each other, and beside ordinary tasks.
 *
 * Needs CONFIG_SCHED_CORE and a machine with SMT; skipped otherwise. A kernel that
 * refuses core scheduling to attached tasks must do so with an errno.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define ENOKI_EACH_POLICY
#include "fixture.h"

#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE		62
#define PR_SCHED_CORE_GET	0
#define PR_SCHED_CORE_CREATE	1
#endif

#define SCOPE_THREAD	0

/* Another thread of the core that @cpu is of, or -1. */
static int sibling_of(int cpu)
{
	char path[96];
	int other;

	snprintf(path, sizeof(path),
		 "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
	for (other = 0; other < CPU_SETSIZE; other++)
		if (other != cpu && cpu_listed(path, other))
			return other;
	return -1;
}

static int sibling(void)
{
	return sibling_of(0);
}

static bool has_core_sched(void)
{
	unsigned long cookie;

	return !prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, 0, SCOPE_THREAD, &cookie);
}

#define NEED_SMT() do {							\
	if (sibling() < 0)						\
		SKIP(return, "no SMT: CPU 0 has no sibling");		\
	if (!has_core_sched())						\
		SKIP(return, "no CONFIG_SCHED_CORE: %s", strerror(errno)); \
} while (0)

static int cookie(struct worker *w)
{
	return prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, w->pid, SCOPE_THREAD, 0);
}

/*
 * The test is real-time and looks from time to time. On the core it looks at, it
 * would take its tasks' time, and its waiting and waking would do what a tick does.
 */
static int stay_away(int cpu)
{
	int other = sibling_of(cpu), away = 0;

	while (away == cpu || away == other)
		away++;
	return pin(0, away);
}

/* CPU time of both over the time that passed, in percent of one CPU. */
static double together(struct worker *a, struct worker *b)
{
	uint64_t before = cpu_time(a->pid) + cpu_time(b->pid), began = now_ns();

	if (!AWAIT(cpu_time(a->pid) + cpu_time(b->pid) - before > NSEC_PER_SEC))
		return -1;
	return 100.0 * (cpu_time(a->pid) + cpu_time(b->pid) - before) / (now_ns() - began);
}

/* What @w gets of the time that it and @beside get, over so much of it. */
static double share_over(uint64_t ns, struct worker *w, struct worker *beside)
{
	uint64_t its = cpu_time(w->pid), others = cpu_time(beside->pid);

	if (!AWAIT(cpu_time(w->pid) - its + cpu_time(beside->pid) - others > ns))
		return -1;
	its = cpu_time(w->pid) - its;
	others = cpu_time(beside->pid) - others;
	fprintf(stderr, "# %.1f %% and %.1f %% of the time of both\n",
		100.0 * its / (its + others), 100.0 * others / (its + others));
	return (double)its / (its + others);
}

static double share_of(struct worker *w, struct worker *beside)
{
	return share_over(NSEC_PER_SEC, w, beside);
}

/* Does the tick of a CPU stop that runs @w alone? */
static bool tick_stops(int cpu, struct worker *w)
{
	long long before;
	uint64_t began;

	return AWAIT(({
		before = timer_interrupts(cpu);
		began = cpu_time(w->pid);
		AWAIT(cpu_time(w->pid) - began > 100 * NSEC_PER_MSEC) &&
		timer_interrupts(cpu) - before < 10;
	}));
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Without cookies both run at once; with two different ones they take turns. */
TEST_EACH(two_cookies)
{
	struct worker *a, *b;
	double percent;

	NEED_SMT();
	a = worker_start_on(0, W_SPIN, self->p->id);
	b = worker_start_on(sibling(), W_SPIN, self->p->id);
	ASSERT_NE(NULL, a);
	ASSERT_NE(NULL, b);
	if (cookie(a)) {
		EXPECT_NE(EFAULT, errno);
		EXPECT_TRUE(worker_lives(a));
		EXPECT_TRUE(worker_lives(b));
		SKIP(return, "attached tasks cannot have a cookie: %s", strerror(errno));
	}
	ASSERT_EQ(0, cookie(b));
	EXPECT_TRUE(worker_lives(a));
	EXPECT_TRUE(worker_lives(b));
	percent = together(a, b);
	fprintf(stderr, "# two cookies on one core: %.1f %% of one CPU\n", percent);
	EXPECT_GE(110, percent);
	EXPECT_LT(0, percent);
	EXPECT_TRUE(worker_lives(a));
	EXPECT_TRUE(worker_lives(b));
}

/*
 * A CPU without a tick (nohz_full=) runs a task alone when another with a different
 * cookie comes to wait on the other thread: it must have half of the core, and not
 * only what its deadline server gives it.
 */
TEST_EACH(two_cookies_and_no_tick)
{
	int cpu, other = -1;
	struct worker *a, *b;
	double share[7];
	size_t i;

	NEED_SMT();
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!cpu_listed("/sys/devices/system/cpu/nohz_full", cpu))
			continue;
		other = sibling_of(cpu);
		if (other >= 0)
			break;
	}
	if (other < 0)
		SKIP(return, "no nohz_full CPU with a sibling");
	if (stay_away(cpu))
		SKIP(return, "needs a second core");
	a = worker_start_on(cpu, W_SPIN, self->p->id);
	ASSERT_NE(NULL, a);
	ASSERT_EQ(0, cookie(a));
	EXPECT_TRUE(worker_lives(a));
	b = worker_start_on(other, W_SPIN, 0);
	ASSERT_NE(NULL, b);
	ASSERT_EQ(0, cookie(b));
	/*
	 * If anything else wakes the tick, it stays for as long as one waits. So it
	 * is the beginning that counts, and not each one of them.
	 */
	for (i = 0; i < ARRAY_SIZE(share); i++) {
		ASSERT_TRUE(tick_stops(cpu, a));
		ASSERT_EQ(0, enoki_attach(b->pid, self->p->id));
		share[i] = share_over(200 * NSEC_PER_MSEC, b, a);
		EXPECT_TRUE(worker_lives(b));
		ASSERT_EQ(0, enoki_detach(b->pid));
	}
	qsort(share, ARRAY_SIZE(share), sizeof(share[0]), by_value);
	EXPECT_LT(0.3, share[ARRAY_SIZE(share) / 2]);
	EXPECT_GT(0.7, share[ARRAY_SIZE(share) / 2]);
}

/*
 * While one waits for the other thread of its core, its own CPU is not idle: it
 * runs an ordinary task that has the right cookie.
 */
TEST_EACH(two_cookies_and_a_third)
{
	struct worker *a, *b, *third;
	double share;

	NEED_SMT();
	if (stay_away(0))
		SKIP(return, "needs a second core");
	/* Those that are started from now on have it, too. */
	ASSERT_EQ(0, prctl(PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, SCOPE_THREAD, 0));
	a = worker_start_on(0, W_SPIN, self->p->id);
	third = worker_start_on(sibling(), W_SPIN, 0);
	b = worker_start_on(sibling(), W_SPIN, 0);
	ASSERT_NE(NULL, a);
	ASSERT_NE(NULL, b);
	ASSERT_NE(NULL, third);
	ASSERT_EQ(0, cookie(b));
	ASSERT_EQ(0, enoki_attach(b->pid, self->p->id));
	EXPECT_TRUE(worker_lives(b));
	share = share_of(b, a);
	EXPECT_LT(0.3, share);
	EXPECT_GT(0.7, share);
	EXPECT_TRUE(worker_lives(third));
}

/* The cookie first, then the policy; and an ordinary task on the other thread. */
TEST_EACH(cookie_then_attach)
{
	struct worker *a, *b;
	int i;

	NEED_SMT();
	a = worker_start_on(0, W_SPIN, 0);
	b = worker_start_on(sibling(), W_SPIN, 0);
	ASSERT_NE(NULL, a);
	ASSERT_NE(NULL, b);
	ASSERT_EQ(0, cookie(a));
	ASSERT_EQ(0, cookie(b));
	for (i = 0; i < 6; i++) {
		if (enoki_attach(a->pid, self->p->id)) {
			EXPECT_NE('\0', last_error()[0]);
			SKIP(return, "a task with a cookie cannot attach: %s", last_error());
		}
		EXPECT_TRUE(worker_lives(a));
		EXPECT_TRUE(worker_lives(b));
		ASSERT_EQ(0, enoki_detach(a->pid));
		EXPECT_TRUE(worker_lives(a));
	}
}

/* A crowd with cookies of its own each, on all CPUs, that also sleeps and forks. */
TEST_EACH(crowd)
{
	static const enum worker_mode modes[] = { W_SPIN, W_NAP, W_FORK, W_YIELD };
	int i;

	NEED_SMT();
	for (i = 0; i < 16; i++) {
		struct worker *w = worker_start_on(-1, modes[i % 4], self->p->id);

		ASSERT_NE(NULL, w);
		if (i % 3 && cookie(w))
			SKIP(return, "attached tasks cannot have a cookie");
	}
	for (i = 0; i < 16; i++)
		EXPECT_TRUE(worker_lives(nth_worker(i)));
}

ENOKI_HARNESS_MAIN
