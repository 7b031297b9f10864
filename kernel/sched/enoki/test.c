// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit tests of the class's own books: the token table and the shares of
 * policies. What needs running tasks is in tools/testing/selftests/sched_enoki.
 */
#include <kunit/test.h>

static void enoki_test_lookup(struct kunit *test)
{
	struct task_struct *p = kunit_kzalloc(test, sizeof(*p), GFP_KERNEL);
	struct enoki_slot *slot, *other;
	enum enoki_err err = 0;

	KUNIT_ASSERT_NOT_NULL(test, p);
	KUNIT_ASSERT_EQ(test, enoki_slot_alloc(&slot), 0);
	KUNIT_ASSERT_EQ(test, enoki_slot_alloc(&other), 0);
	KUNIT_EXPECT_PTR_NE(test, slot, other);
	KUNIT_EXPECT_PTR_EQ(test, enoki_slot_of(slot->nr), slot);

	p->enoki.slot = slot;
	slot->task = p;
	slot->gen = 7;

	KUNIT_EXPECT_PTR_EQ(test, enoki_lookup(slot->nr, 7, &err), p);
	/* An old generation, one never given, another slot, none at all. */
	KUNIT_EXPECT_NULL(test, enoki_lookup(slot->nr, 6, &err));
	KUNIT_EXPECT_EQ(test, err, ENOKI_ERR_STALE);
	KUNIT_EXPECT_NULL(test, enoki_lookup(slot->nr, 8, &err));
	KUNIT_EXPECT_NULL(test, enoki_lookup(other->nr, 7, &err));
	KUNIT_EXPECT_NULL(test, enoki_lookup(U32_MAX, 7, &err));
	KUNIT_EXPECT_NULL(test, enoki_lookup(ENOKI_NR_CHUNKS * ENOKI_CHUNK_SIZE - 1, 7, &err));

	slot->task = NULL;
	KUNIT_EXPECT_NULL(test, enoki_lookup(slot->nr, 7, &err));

	enoki_slot_free(slot);
	enoki_slot_free(other);
}

static void enoki_test_slot_reuse(struct kunit *test)
{
	struct enoki_slot *slot, *again;
	u64 gen;

	KUNIT_ASSERT_EQ(test, enoki_slot_alloc(&slot), 0);
	gen = ++slot->gen;
	enoki_slot_free(slot);

	/* The next task of a slot never gets a generation that was given before. */
	KUNIT_ASSERT_EQ(test, enoki_slot_alloc(&again), 0);
	KUNIT_EXPECT_PTR_EQ(test, again, slot);
	KUNIT_EXPECT_GE(test, again->gen, gen);
	enoki_slot_free(again);
}

static void enoki_test_shares(struct kunit *test)
{
	struct enoki_prq a = { .vruntime = 100 }, b = { .vruntime = 50 }, c = { .vruntime = 70 };
	struct enoki_rq *erq = kunit_kzalloc(test, sizeof(*erq), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, erq);
	INIT_LIST_HEAD(&erq->active);
	erq->pick_seq = 1;
	KUNIT_EXPECT_NULL(test, enoki_next_prq(erq));

	enoki_activate_prq(erq, &a);
	KUNIT_EXPECT_EQ(test, a.vruntime, 100);
	/* Newcomers start where the others are. */
	enoki_activate_prq(erq, &b);
	KUNIT_EXPECT_EQ(test, b.vruntime, 100);
	a.vruntime = 150;
	enoki_activate_prq(erq, &c);
	KUNIT_EXPECT_EQ(test, c.vruntime, 100);
	KUNIT_EXPECT_EQ(test, erq->nr_active, 3);

	b.vruntime = 90;
	KUNIT_EXPECT_PTR_EQ(test, enoki_next_prq(erq), &b);
	/* One that had nothing to run is passed over until the next pick. */
	b.skip_seq = erq->pick_seq;
	KUNIT_EXPECT_PTR_EQ(test, enoki_next_prq(erq), &c);
	erq->pick_seq++;
	KUNIT_EXPECT_PTR_EQ(test, enoki_next_prq(erq), &b);
}

/* Over-use is paid for with what the others run, beside it or without it. */
static void enoki_test_debts(struct kunit *test)
{
	const unsigned long weight = scale_load_down(NICE_0_LOAD);
	struct enoki_prq a = { .weight = weight }, b = { .weight = weight };
	struct enoki_rq *erq = kunit_kzalloc(test, sizeof(*erq), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, erq);
	INIT_LIST_HEAD(&erq->active);
	enoki_activate_prq(erq, &a);
	enoki_activate_prq(erq, &b);

	enoki_charge(&b, 1000);
	enoki_deactivate_prq(erq, &b);
	enoki_activate_prq(erq, &b);
	KUNIT_EXPECT_EQ(test, b.vruntime - a.vruntime, 1000);

	/* While it is away the other one runs, alone and at half the speed. */
	enoki_deactivate_prq(erq, &b);
	a.weight = 2 * weight;
	erq->ran_ns += 1200;
	enoki_activate_prq(erq, &b);
	KUNIT_EXPECT_EQ(test, b.vruntime - a.vruntime, 400);
	enoki_deactivate_prq(erq, &b);
	erq->ran_ns += 1200;
	enoki_activate_prq(erq, &b);
	KUNIT_EXPECT_EQ(test, b.vruntime, a.vruntime);

	/* An empty queue forgives: both begin at the same point. */
	enoki_charge(&b, 1000);
	enoki_deactivate_prq(erq, &a);
	enoki_deactivate_prq(erq, &b);
	enoki_activate_prq(erq, &a);
	enoki_activate_prq(erq, &b);
	KUNIT_EXPECT_EQ(test, b.vruntime, a.vruntime);
}

#ifdef CONFIG_DEBUG_ENOKI
static void enoki_test_states(struct kunit *test)
{
	int state;

	for (state = 0; state < ENOKI_NR_STATES; state++) {
		KUNIT_EXPECT_NOT_NULL(test, enoki_state_names[state]);
		/* No state is a dead end, and a task leaves only when blocked. */
		KUNIT_EXPECT_NE(test, enoki_next_states[state], 0);
		KUNIT_EXPECT_EQ(test, !!(enoki_next_states[state] & BIT(ENOKI_NONE)),
				state == ENOKI_BLOCKED);
	}
}
#endif

static struct kunit_case enoki_test_cases[] = {
	KUNIT_CASE(enoki_test_lookup),
	KUNIT_CASE(enoki_test_slot_reuse),
	KUNIT_CASE(enoki_test_shares),
	KUNIT_CASE(enoki_test_debts),
#ifdef CONFIG_DEBUG_ENOKI
	KUNIT_CASE(enoki_test_states),
#endif
	{ }
};

static struct kunit_suite enoki_test_suite = {
	.name = "sched_enoki",
	.test_cases = enoki_test_cases,
};

kunit_test_suite(enoki_test_suite);
