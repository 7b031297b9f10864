// SPDX-License-Identifier: GPL-2.0
/*
 * samples/rust/enoki_arachne.rs: runtimes ask for cores, get them, and give them
 * back; a core is nobody else's meanwhile. Who has no task attached gets none.
 */
#include <errno.h>
#include <string.h>

#define ENOKI_ONCE
#include "client.h"
#include "fixture.h"

struct ask {
	uint32_t op;
	uint32_t value;
};

struct tell {
	uint32_t what;
	uint32_t core;
};

enum { REQUEST = 1, ENTER, LEAVE };
enum { GRANTED = 1, RECLAIM };

static int join_as(struct client *c, bool listens)
{
	struct enoki_queue asks = queue_of(ENOKI_QUEUE_HINTS, "arachne_ask", 1,
					   sizeof(struct ask), "op:u32,value:u32,", 64);
	struct enoki_queue tells = queue_of(ENOKI_QUEUE_MESSAGES, "arachne_tell", 1,
					    sizeof(struct tell), "what:u32,core:u32,", 64);

	return policy_load(&arachne) ? client_join(c, arachne.id, &asks,
						   listens ? &tells : NULL) : -1;
}

static int join(struct client *c)
{
	return join_as(c, true);
}

static int ask(struct client *c, pid_t tid, uint32_t op, uint32_t value)
{
	struct ask ask = { op, value };

	return client_say(c, tid, &ask);
}

/* The core of the next message, which must say that; else -1. */
static int told(struct client *c, uint32_t what)
{
	struct tell tell = { };

	if (!AWAIT(client_get(c, &tell)))
		return -1;
	return tell.what == what ? (int)tell.core : -1;
}

static bool told_nothing(struct client *c)
{
	return !client_get(c, &(struct tell){ });
}

/* Is it told that of so many cores, and nothing else? */
static bool told_of(struct client *c, uint32_t what, int cores)
{
	while (cores-- > 0)
		if (told(c, what) <= 0)
			return false;
	return told_nothing(c);
}

/* Has it run since, and where? */
static int where_it_wakes(struct worker *w)
{
	worker_set(w, W_STEP);
	return AWAIT(worker_asleep(w)) ? cpu_of(w->pid) : -1;
}

/* A thread of the policy. One that starts when there is a client has it open, too. */
static struct worker *asleep(void)
{
	struct worker *w = policy_load(&arachne) ? worker_start_on(-1, W_SLEEP, arachne.id) : NULL;

	return w && AWAIT(worker_asleep(w)) ? w : NULL;
}

/* All cores but the first one can be had, and who has one is alone there. */
TEST_ENOKI(cores_of_ones_own)
{
	int cores = nr_cpus_online() - 1, i, k, core;
	struct worker *w[8], *other;
	struct client c;

	other = asleep();
	ASSERT_NE(NULL, other);
	for (i = 0; i < cores && i < 8; i++) {
		w[i] = asleep();
		ASSERT_NE(NULL, w[i]);
	}
	ASSERT_EQ(0, join(&c)) TH_LOG("%s: %s", strerror(errno), last_error());
	ASSERT_EQ(0, ask(&c, other->pid, REQUEST, 99));
	for (i = 0; i < cores && i < 8; i++) {
		core = told(&c, GRANTED);
		ASSERT_LT(0, core);
		ASSERT_EQ(0, ask(&c, w[i]->pid, ENTER, core));
		for (k = 0; k < 3; k++) {
			EXPECT_EQ(core, where_it_wakes(w[i]));
			EXPECT_EQ(0, where_it_wakes(other));
		}
	}
	EXPECT_TRUE(told_nothing(&c));
	client_close(&c);
	/* Now the cores are nobody's. */
	for (k = 0; k < i; k++)
		EXPECT_EQ(0, where_it_wakes(w[k]));
}

/* As many as are asked for, and at most that many afterwards. */
TEST_ENOKI(up_and_down)
{
	int cores = nr_cpus_online() - 1, round, i, core;
	struct worker *w;
	struct client c;

	NEED_CPUS(2);
	w = asleep();
	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, join(&c));
	for (round = 0; round < 5; round++) {
		for (i = 1; i <= cores; i++) {
			ASSERT_EQ(0, ask(&c, w->pid, REQUEST, i));
			ASSERT_LT(0, told(&c, GRANTED));
			ASSERT_TRUE(told_nothing(&c));
		}
		for (i = cores - 1; i >= 0; i--) {
			ASSERT_EQ(0, ask(&c, w->pid, REQUEST, i));
			core = told(&c, RECLAIM);
			ASSERT_LT(0, core);
			ASSERT_TRUE(told_nothing(&c));
			ASSERT_EQ(0, ask(&c, 0, LEAVE, core));
		}
	}
	client_close(&c);
}

/* Runtimes that want more than there is get as much as the others. */
TEST_ENOKI(fair_shares)
{
	int cores = nr_cpus_online() - 1, i, core;
	struct client a, b;
	struct worker *w;

	NEED_CPUS(3);
	w = asleep();
	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, join(&a));
	ASSERT_EQ(0, join(&b));
	ASSERT_EQ(0, ask(&a, w->pid, REQUEST, cores));
	for (i = 0; i < cores; i++)
		ASSERT_LT(0, told(&a, GRANTED));
	ASSERT_EQ(0, ask(&b, w->pid, REQUEST, cores));
	for (i = 0; i < cores / 2; i++) {
		core = told(&a, RECLAIM);
		ASSERT_LT(0, core);
		ASSERT_TRUE(told_nothing(&b));
		ASSERT_EQ(0, ask(&a, 0, LEAVE, core));
		EXPECT_EQ(core, told(&b, GRANTED));
	}
	EXPECT_TRUE(told_nothing(&a));
	/* One that ends leaves all that it has to the others. */
	client_close(&b);
	for (i = 0; i < cores / 2; i++)
		ASSERT_LT(0, told(&a, GRANTED));
	client_close(&a);
}

/* Who does not give a core back loses it, and its thread runs on elsewhere. */
TEST_ENOKI(grace_ends)
{
	struct worker *stays, *next;
	int cores = nr_cpus_online() - 1, core, i;
	struct client a, b;

	NEED_CPUS(3);
	ASSERT_EQ(0, join(&a));
	ASSERT_EQ(0, join(&b));
	stays = asleep();
	ASSERT_NE(NULL, stays);
	ASSERT_EQ(0, ask(&b, stays->pid, REQUEST, cores - 1));
	for (i = 0; i < cores - 1; i++)
		ASSERT_LT(0, told(&b, GRANTED));
	ASSERT_EQ(0, ask(&a, stays->pid, REQUEST, 1));
	core = told(&a, GRANTED);
	ASSERT_LT(0, core);
	ASSERT_EQ(0, ask(&a, stays->pid, ENTER, core));
	EXPECT_EQ(core, where_it_wakes(stays));
	worker_set(stays, W_SPIN);
	ASSERT_TRUE(worker_lives(stays));

	ASSERT_EQ(0, ask(&b, stays->pid, REQUEST, cores));
	ASSERT_EQ(0, ask(&a, stays->pid, REQUEST, 0));
	EXPECT_EQ(core, told(&a, RECLAIM));
	EXPECT_EQ(core, told(&b, GRANTED));
	EXPECT_EQ(-1, ask(&a, 0, LEAVE, core));
	EXPECT_EQ(EPERM, errno);

	/* The one whose core it is now drives it away. */
	next = asleep();
	ASSERT_NE(NULL, next);
	ASSERT_EQ(0, ask(&b, next->pid, ENTER, core));
	worker_set(next, W_SPIN);
	EXPECT_TRUE(AWAIT(cpu_of(stays->pid) == 0));
	EXPECT_TRUE(AWAIT(cpu_of(next->pid) == core));
	EXPECT_TRUE(worker_lives(stays) && worker_lives(next));
	client_close(&a);
	client_close(&b);
}

/* A thread that waits for its turn on the first core when it enters its own is fetched. */
TEST_ENOKI(fetched)
{
	struct worker *w[3];
	struct client c;
	int core, i;

	NEED_CPUS(2);
	ASSERT_EQ(0, join(&c));
	for (i = 0; i < 3; i++) {
		w[i] = asleep();
		ASSERT_NE(NULL, w[i]);
	}
	ASSERT_EQ(0, ask(&c, w[0]->pid, REQUEST, 1));
	core = told(&c, GRANTED);
	ASSERT_LT(0, core);
	for (i = 0; i < 3; i++)
		worker_set(w[i], W_SPIN);
	for (i = 0; i < 3; i++)
		EXPECT_TRUE(AWAIT(cpu_of(w[i]->pid) == 0) && worker_lives(w[i]));
	ASSERT_EQ(0, ask(&c, w[0]->pid, ENTER, core));
	EXPECT_TRUE(AWAIT(cpu_of(w[0]->pid) == core));
	for (i = 0; i < 3; i++)
		EXPECT_TRUE(worker_lives(w[i]));
	EXPECT_EQ(core, cpu_of(w[0]->pid));
	EXPECT_EQ(0, cpu_of(w[1]->pid));
	EXPECT_EQ(0, cpu_of(w[2]->pid));
	/* And back. */
	ASSERT_EQ(0, ask(&c, w[0]->pid, LEAVE, core));
	worker_set(w[0], W_SLEEP);
	ASSERT_TRUE(AWAIT(worker_asleep(w[0])));
	EXPECT_EQ(0, where_it_wakes(w[0]));
	client_close(&c);
}

/* A core that goes offline is taken back, and can be had again afterwards. */
TEST_ENOKI(offline)
{
	int cores = nr_cpus_online() - 1, i, core = -1;
	struct worker *w;
	struct client c;

	NEED_CPUS(2);
	ASSERT_EQ(0, join(&c));
	w = asleep();
	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, ask(&c, w->pid, REQUEST, cores));
	for (i = 0; i < cores; i++) {
		core = told(&c, GRANTED);
		ASSERT_LT(0, core);
	}
	ASSERT_EQ(0, ask(&c, w->pid, ENTER, core));
	worker_set(w, W_SPIN);
	ASSERT_TRUE(AWAIT(cpu_of(w->pid) == core));
	if (cpu_set_online(core, false))
		SKIP(client_close(&c); return, "CPU %d cannot go offline", core);
	EXPECT_EQ(core, told(&c, RECLAIM));
	EXPECT_TRUE(worker_lives(w));
	EXPECT_EQ(-1, ask(&c, w->pid, ENTER, core));
	EXPECT_EQ(0, cpu_set_online(core, true));
	EXPECT_EQ(core, told(&c, GRANTED));
	ASSERT_EQ(0, ask(&c, w->pid, ENTER, core));
	worker_set(w, W_SLEEP);
	ASSERT_TRUE(AWAIT(worker_asleep(w)));
	EXPECT_EQ(core, where_it_wakes(w));
	client_close(&c);
}

/* Who has no task attached gets no core, and is in nobody's way. */
TEST_ENOKI(for_nobody)
{
	struct worker *attached, *fair, *stranger;
	int cores = nr_cpus_online() - 1;
	struct ask all = { REQUEST, cores };
	struct client outside, inside;

	NEED_CPUS(2);
	attached = asleep();
	ASSERT_NE(NULL, attached);
	fair = worker_start(W_SLEEP);
	ASSERT_NE(NULL, fair);
	stranger = worker_start_on(-1, W_SLEEP, fifo.id);
	ASSERT_NE(NULL, stranger);
	ASSERT_EQ(0, join(&outside));
	ASSERT_EQ(0, join(&inside));

	EXPECT_EQ(-1, ask(&outside, 0, REQUEST, cores));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ask(&outside, fair->pid, REQUEST, cores));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ(-1, ask(&outside, stranger->pid, REQUEST, cores));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_TRUE(told_nothing(&outside));
	/* In the ring, it is counted. */
	ASSERT_TRUE(client_put(&outside, 0, &all));
	EXPECT_TRUE(AWAIT(doorbell(&outside) >= 0 && taken(&outside)));
	EXPECT_EQ(1U, outside.hints.ring->dropped);
	EXPECT_TRUE(told_nothing(&outside));

	/* All of them are still free, and nobody has asked for a part of them. */
	ASSERT_EQ(0, ask(&inside, attached->pid, REQUEST, cores));
	EXPECT_TRUE(told_of(&inside, GRANTED, cores));
	/* What one has does not change, either. */
	EXPECT_EQ(-1, ask(&inside, 0, REQUEST, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_TRUE(told_nothing(&inside));
	client_close(&inside);
	/* Who has been refused may ask again as soon as a task of its own is attached. */
	ASSERT_EQ(0, enoki_attach(fair->pid, arachne.id));
	ASSERT_EQ(0, ask(&outside, fair->pid, REQUEST, cores));
	EXPECT_TRUE(told_of(&outside, GRANTED, cores));
	client_close(&outside);
}

/* Whoever asks may run or wait, and may go afterwards: the cores are the client's. */
TEST_ENOKI(asked_and_gone)
{
	int cores = nr_cpus_online() - 1, core, i;
	struct worker *w[3], *other;
	struct client a, b;

	NEED_CPUS(2);
	other = asleep();
	ASSERT_NE(NULL, other);
	for (i = 0; i < 3; i++) {
		w[i] = asleep();
		ASSERT_NE(NULL, w[i]);
	}
	ASSERT_EQ(0, join(&a));
	ASSERT_EQ(0, join(&b));
	for (i = 0; i < 3; i++)
		worker_set(w[i], W_SPIN);
	for (i = 0; i < 3; i++)
		ASSERT_TRUE(worker_lives(w[i]));
	/* They share the first core, so at most one of them runs. */
	ASSERT_EQ(0, ask(&a, w[0]->pid, REQUEST, cores));
	EXPECT_TRUE(told_of(&a, GRANTED, cores));
	ASSERT_EQ(0, ask(&a, w[1]->pid, REQUEST, 0));
	EXPECT_TRUE(told_of(&a, RECLAIM, cores));
	ASSERT_EQ(0, ask(&a, w[2]->pid, REQUEST, cores));
	EXPECT_TRUE(told_of(&a, GRANTED, cores));

	worker_stop(w[0]);
	worker_stop(w[1]);
	ASSERT_EQ(0, enoki_detach(w[2]->pid));
	EXPECT_EQ(-1, ask(&a, w[2]->pid, REQUEST, 0));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_TRUE(told_nothing(&a));
	/* It has all of them, and wants each back that it gives up. */
	for (i = 1; i <= cores; i++) {
		core = nth_cpu_online(i);
		ASSERT_EQ(0, ask(&a, 0, LEAVE, core));
		EXPECT_EQ(core, told(&a, GRANTED));
	}
	client_close(&a);
	ASSERT_EQ(0, ask(&b, other->pid, REQUEST, cores));
	EXPECT_TRUE(told_of(&b, GRANTED, cores));
	client_close(&b);
}

TEST_ENOKI(refused)
{
	struct client a, deaf;
	struct worker *w;
	int core = 0;

	ASSERT_EQ(0, join(&a));
	ASSERT_EQ(0, join_as(&deaf, false));
	w = asleep();
	ASSERT_NE(NULL, w);
	EXPECT_EQ(-1, ask(&a, w->pid, 9, 0));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ask(&deaf, w->pid, REQUEST, 1));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_EQ(0, ask(&a, w->pid, REQUEST, 1));
	if (nr_cpus_online() > 1) {
		core = told(&a, GRANTED);
		EXPECT_EQ(-1, ask(&a, 0, ENTER, core));
		EXPECT_EQ(EINVAL, errno);
	}
	/* Not its own, the first one, none at all. */
	EXPECT_EQ(-1, ask(&deaf, w->pid, ENTER, core));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ask(&a, w->pid, ENTER, 0));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, ask(&a, w->pid, ENTER, 1 << 20));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ask(&deaf, 0, LEAVE, core));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(0, where_it_wakes(w));
	client_close(&a);
	client_close(&deaf);
}

ENOKI_HARNESS_MAIN
