// SPDX-License-Identifier: GPL-2.0
/*
 * Time in the hands of a policy, see test_modules/enoki_clockwork.rs: slices far
 * shorter than a tick, timers, and CPUs that are told to pick again.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ENOKI_ONCE
#include "fixture.h"

static const struct policy clockwork = { "clockwork", "enoki_clockwork", 67 };

#define LOAD(params)	LOAD_TEST_MODULE("enoki_clockwork", params)

#define UNLOAD() do {								\
	int __i;								\
										\
	for (__i = 0; __i < nr_workers(); __i++)				\
		worker_stop(nth_worker(__i));					\
	EXPECT_TRUE(AWAIT(policy_nr_tasks(&clockwork) == 0));			\
	EXPECT_TRUE(policy_unload(&clockwork));					\
} while (0)

/*
 * How many slices end in a tick, over a thousand of them. Not how long they are by
 * the clock: an emulated CPU that waits for the host's gets no ticks either.
 */
static double slices_a_tick(void)
{
	long long ends = policy_event(&clockwork, "slice_end");
	long long ticks = policy_event(&clockwork, "task_tick");

	if (!AWAIT(policy_event(&clockwork, "slice_end") >= ends + 1000))
		return -1;
	ticks = policy_event(&clockwork, "task_tick") - ticks;
	return (double)(policy_event(&clockwork, "slice_end") - ends) / (ticks ?: 1);
}

/* The shortest slice there is; the class makes no shorter one of less. */
TEST_ENOKI(slices_of_5us)
{
	struct worker *a, *b, *alone;
	double slices;

	LOAD("slice_us=5");
	a = worker_start_on(0, W_SPIN, clockwork.id);
	b = worker_start_on(0, W_SPIN, clockwork.id);
	ASSERT_NE(NULL, a);
	ASSERT_NE(NULL, b);
	slices = slices_a_tick();
	printf("# slices of 5 µs: %.1f in a tick\n", slices);
	/* Where it is emulated and checked, one switch takes about as long as a tick. */
	EXPECT_LT(steady_clock() ? 5 : 0.5, slices);
	EXPECT_TRUE(worker_lives(a));
	EXPECT_TRUE(worker_lives(b));

	/* Alone on its CPU, a task is not stopped by slices. */
	worker_stop(b);
	alone = a;
	EXPECT_TRUE(worker_lives(alone));
	UNLOAD();
}

/* Far longer than a pick takes: the tasks have the CPU in between. */
#define KICK_US		"kick_us=3000"

/*
 * How often do the policy's timer and the event that its kicks are to cause happen, while
 * the timer fires a thousand times? It is seldom looked at, for that causes events, too.
 * Return: they did.
 */
static bool over_a_thousand_kicks(const char *event, long long *fired, long long *caused)
{
	bool came;

	*fired = policy_event(&clockwork, "timer_fired");
	*caused = policy_event(&clockwork, event);
	came = AWAIT(({
		nap(100000);
		policy_event(&clockwork, "timer_fired") > *fired + 1000;
	}));
	*caused = policy_event(&clockwork, event) - *caused;
	*fired = policy_event(&clockwork, "timer_fired") - *fired;
	printf("# kicked %lld times, %s %lld times\n", *fired, event, *caused);

	return came;
}

/*
 * Without slices and ticks, only the policy's timer makes the tasks take turns: each
 * time that it fires it has all CPUs pick again. Whenever the test wakes up on their
 * CPU they do so, too; so it stays away if there is another one.
 */
TEST_ENOKI(kicks)
{
	int cpus = nr_cpus_online(), i;
	long long fired, picks;

	LOAD(KICK_US);
	ASSERT_EQ(0, pin(0, nth_cpu_online(0)));
	for (i = 0; i < 2 * cpus; i++)
		ASSERT_NE(NULL, worker_start_on(nth_cpu_online(i % cpus), W_SPIN, clockwork.id));
	for (i = 0; i < 2 * cpus; i++)
		EXPECT_TRUE(worker_lives(nth_worker(i)));
	/* On the last CPU only, which is the test's if there is no other. */
	for (i = 0; i < 2 * cpus; i++)
		if (i % cpus != cpus - 1)
			worker_stop(nth_worker(i));
	EXPECT_TRUE(over_a_thousand_kicks("pick_next_task", &fired, &picks));
	/* Kicks that come close together are one. */
	EXPECT_LT(fired / 2, picks);
	EXPECT_EQ(0, policy_event(&clockwork, "slice_end"));
	unpin(0);
	UNLOAD();
}

/* A kick of an idle CPU, too, asks the policy: there may be something to steal. */
TEST_ENOKI(kicks_of_idle_cpus)
{
	long long fired, asked;

	LOAD(KICK_US);
	ASSERT_NE(NULL, worker_start_on(-1, W_SLEEP, clockwork.id));
	EXPECT_TRUE(over_a_thousand_kicks("balance", &fired, &asked));
	/* Without the kicks it is asked when the test falls asleep. */
	EXPECT_LT(fired / 2, asked);
	UNLOAD();
}

/* Nothing ends a turn: whoever has the CPU keeps it. */
TEST_ENOKI(no_clock)
{
	struct worker *a, *b;
	unsigned long turns;

	LOAD("");
	a = worker_start_on(0, W_SPIN, clockwork.id);
	ASSERT_NE(NULL, a);
	EXPECT_TRUE(worker_lives(a));
	b = worker_start_on(0, W_SLEEP, clockwork.id);
	ASSERT_NE(NULL, b);
	EXPECT_EQ(0, policy_event(&clockwork, "timer_fired"));
	turns = worker_turns(a);
	EXPECT_TRUE(AWAIT(worker_turns(a) > turns + 10));
	UNLOAD();
}

/* A policy goes while its timer is armed. */
TEST_ENOKI(unload_with_a_timer)
{
	struct worker *w;
	int i;

	for (i = 0; i < 5; i++) {
		LOAD("kick_us=100 slice_us=50");
		w = worker_start_on(-1, W_NAP, clockwork.id);
		ASSERT_NE(NULL, w);
		EXPECT_TRUE(AWAIT(policy_event(&clockwork, "timer_fired") > 10));
		UNLOAD();
	}
}

ENOKI_HARNESS_MAIN
