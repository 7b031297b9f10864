// SPDX-License-Identifier: GPL-2.0
/*
 * Two policies on one CPU share its time by the sum of the weights of their
 * runnable tasks, whatever each does with its part.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define ENOKI_EACH_POLICY
#include "fixture.h"

struct side {
	const struct policy *p;
	int tasks;
	int nice;
};

static uint64_t time_of(int first, int n)
{
	uint64_t sum = 0;
	int i;

	for (i = first; i < first + n; i++)
		sum += cpu_time(nth_worker(i)->pid);
	return sum;
}

/* Percent of the CPU's time that @a gets beside @b. */
static double share(struct __test_metadata *_metadata, const struct side *a,
		    const struct side *b, uint64_t total)
{
	int cpu = nth_cpu_online(nr_cpus_online() - 1), first = nr_workers(), i;
	uint64_t began_a, began_b, had_a, had_b;
	const struct side *s;

	for (s = a; s; s = s == a ? b : NULL) {
		for (i = 0; i < s->tasks; i++) {
			struct worker *w = worker_start_on(cpu, W_SLEEP, s->p->id);

			ASSERT_NE(NULL, w);
			ASSERT_EQ(0, setpriority(PRIO_PROCESS, w->pid, s->nice));
		}
	}
	for (i = first; i < nr_workers(); i++)
		worker_set(nth_worker(i), W_SPIN);
	/* Each runs once before the account begins. */
	for (i = first; i < nr_workers(); i++)
		EXPECT_TRUE(worker_lives(nth_worker(i)));
	began_a = time_of(first, a->tasks);
	began_b = time_of(first + a->tasks, b->tasks);
	EXPECT_TRUE(AWAIT_FOR(180, time_of(first, a->tasks) - began_a +
			      time_of(first + a->tasks, b->tasks) - began_b > total));
	had_a = time_of(first, a->tasks) - began_a;
	had_b = time_of(first + a->tasks, b->tasks) - began_b;
	for (i = first; i < nr_workers(); i++)
		worker_stop(nth_worker(i));
	fprintf(stderr, "# %s %d tasks nice %d: %.2f %%, %s %d tasks nice %d: %.2f %%\n",
		a->p->name, a->tasks, a->nice, 100.0 * had_a / (had_a + had_b),
		b->p->name, b->tasks, b->nice, 100.0 * had_b / (had_a + had_b));
	return 100.0 * had_a / (had_a + had_b);
}

/*
 * Of two policies that have each other for the other one, each is the first one in its own
 * variant. One that has not must be both in its own.
 */
static int nr_ways(const struct policy *p)
{
	return other_policy(other_policy(p)) == p ? 1 : 2;
}

static void swap_policies(struct side *a, struct side *b)
{
	const struct policy *p = a->p;

	a->p = b->p;
	b->p = p;
}

#define EXPECT_NEAR(expected, tolerance, value) do {			\
	double __value = (value);					\
									\
	EXPECT_LE((expected) - (tolerance), __value);			\
	EXPECT_GE((expected) + (tolerance), __value);			\
} while (0)

TEST_EACH(one_each)
{
	struct side a = { self->p, 1, 0 }, b = { other_policy(self->p), 1, 0 };

	EXPECT_NEAR(50, 4, share(_metadata, &a, &b, 3 * NSEC_PER_SEC));
}

TEST_EACH(one_and_three)
{
	struct side a = { self->p, 1, 0 }, b = { other_policy(self->p), 3, 0 };
	int i;

	for (i = 0; i < nr_ways(self->p); i++) {
		EXPECT_NEAR(25, 4, share(_metadata, &a, &b, 3 * NSEC_PER_SEC));
		swap_policies(&a, &b);
	}
}

/* Nice 5 weighs 335 where nice 0 weighs 1024. */
TEST_EACH(by_weight)
{
	struct side a = { self->p, 2, 5 }, b = { other_policy(self->p), 1, 0 };
	int i;

	for (i = 0; i < nr_ways(self->p); i++) {
		EXPECT_NEAR(100.0 * 2 * 335 / (2 * 335 + 1024), 4,
			    share(_metadata, &a, &b, 3 * NSEC_PER_SEC));
		swap_policies(&a, &b);
	}
	a.nice = 0;
	b.nice = 5;
	EXPECT_NEAR(100.0 * 2 * 1024 / (2 * 1024 + 335), 4,
		    share(_metadata, &a, &b, 3 * NSEC_PER_SEC));
}

TEST_EACH(five_percent)
{
	struct side a = { self->p, 1, 0 }, b = { other_policy(self->p), 19, 0 };
	int i;

	for (i = 0; i < nr_ways(self->p); i++) {
		EXPECT_NEAR(5, 2, share(_metadata, &a, &b, 6 * NSEC_PER_SEC));
		swap_policies(&a, &b);
	}
}

/* One side sleeps and wakes: it gets no more than it asks for, and loses nothing. */
TEST_EACH(a_sleeper_beside)
{
	struct side a = { self->p, 1, 0 }, b = { other_policy(self->p), 1, 0 };
	int cpu = nth_cpu_online(0), way, i;

	for (way = 0; way < nr_ways(self->p); way++) {
		struct worker *hog = worker_start_on(cpu, W_SPIN, a.p->id);
		struct worker *napper = worker_start_on(cpu, W_NAP, b.p->id);

		ASSERT_NE(NULL, hog);
		ASSERT_NE(NULL, napper);
		for (i = 0; i < 20; i++) {
			EXPECT_TRUE(worker_lives(napper));
			EXPECT_TRUE(worker_lives(hog));
		}
		worker_stop(hog);
		worker_stop(napper);
		swap_policies(&a, &b);
	}
}

/* Tasks move between the two all the time; none gets lost between them. */
TEST_EACH(moving)
{
	const struct policy *to = other_policy(self->p);
	int i, n = 8;

	prng_seed();
	for (i = 0; i < n; i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 2 ? W_SPIN : W_NAP, self->p->id));
	for (i = 0; i < 400; i++) {
		struct worker *w = nth_worker(prng_below(n));

		ASSERT_EQ(0, enoki_attach(w->pid, prng_below(2) ? self->p->id : to->id));
		if (!prng_below(8))
			nap(1000);
	}
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) + policy_nr_tasks(to) == n));
	for (i = 0; i < n; i++)
		EXPECT_TRUE(worker_lives(nth_worker(i)));
}

ENOKI_HARNESS_MAIN
