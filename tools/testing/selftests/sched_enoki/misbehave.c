// SPDX-License-Identifier: GPL-2.0
/*
 * Every mistake that a policy in safe Rust can still make, see samples/rust/
 * enoki_bad.rs: the machine goes on, all of 64 tasks go on, so does one of another
 * policy, the report names the culprit, and its module can be removed. The README
 * has the list, with what becomes of each.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

#define NR_VICTIMS	64
#define MODE_REFUSE	23
#define TIMEOUT_MS	"500"

static const struct policy bad = { "bad", "enoki_bad", 13 };

/**
 * enum outcome - what becomes of the policy
 * @GOES_ON: it is odd but harmful to nobody
 * @REFUSED: its wrong answers are counted, and it stays or goes
 * @EJECTED: it is put out of office
 */
enum outcome { GOES_ON, REFUSED, EJECTED };

FIXTURE(bad) {
	struct worker *other;
	int offline;		/* this CPU, or 0 */
	int kmsg;		/* what the kernel says from now on */
};

FIXTURE_VARIANT(bad) {
	int mode;
	int cpus;		/* how many it takes */
	enum outcome outcome;
	const char *word;	/* why ejected, or what is counted as refused */
	bool offline;		/* one of them is offline */
};

FIXTURE_VARIANT_ADD(bad, none) { .mode = 0, .outcome = GOES_ON };
FIXTURE_VARIANT_ADD(bad, never) { .mode = 1, .outcome = EJECTED, .word = "stall" };
FIXTURE_VARIANT_ADD(bad, drop_woken) { .mode = 2, .outcome = EJECTED, .word = "lost" };
FIXTURE_VARIANT_ADD(bad, drop_stopped) { .mode = 3, .outcome = EJECTED, .word = "lost" };
FIXTURE_VARIANT_ADD(bad, drop_picked) { .mode = 4, .outcome = EJECTED, .word = "lost" };

FIXTURE_VARIANT_ADD(bad, drop_migrated) {
	.mode = 5, .outcome = EJECTED, .cpus = 2, .word = "lost",
};

FIXTURE_VARIANT_ADD(bad, starve) { .mode = 6, .outcome = EJECTED, .word = "stall" };
FIXTURE_VARIANT_ADD(bad, bury) { .mode = 7, .outcome = EJECTED, .word = "stall" };
FIXTURE_VARIANT_ADD(bad, one_queue) { .mode = 8, .outcome = EJECTED, .cpus = 2 };
FIXTURE_VARIANT_ADD(bad, pick_once) { .mode = 9, .outcome = EJECTED, .word = "stall" };
FIXTURE_VARIANT_ADD(bad, lifo) { .mode = 10, .outcome = EJECTED, .word = "stall" };
FIXTURE_VARIANT_ADD(bad, long_slice) { .mode = 11, .outcome = EJECTED, .word = "stall" };
FIXTURE_VARIANT_ADD(bad, yield_to_itself) { .mode = 12, .outcome = EJECTED, .word = "stall" };
FIXTURE_VARIANT_ADD(bad, deaf) { .mode = 13, .outcome = EJECTED, .cpus = 2, .word = "lost" };
FIXTURE_VARIANT_ADD(bad, swap) { .mode = 14, .outcome = EJECTED, .cpus = 2, .word = "lost" };

FIXTURE_VARIANT_ADD(bad, place_anywhere) {
	.mode = 15, .outcome = REFUSED, .cpus = 3, .word = "select_cpu",
};

FIXTURE_VARIANT_ADD(bad, place_on_one) { .mode = 16, .outcome = GOES_ON, .cpus = 2 };
FIXTURE_VARIANT_ADD(bad, thrash) { .mode = 17, .outcome = GOES_ON };
FIXTURE_VARIANT_ADD(bad, sliver) { .mode = 18, .outcome = GOES_ON };

FIXTURE_VARIANT_ADD(bad, steal_past) {
	.mode = 19, .outcome = REFUSED, .cpus = 2, .word = "stale",
};

FIXTURE_VARIANT_ADD(bad, steal_running) { .mode = 20, .outcome = REFUSED, .cpus = 2 };

FIXTURE_VARIANT_ADD(bad, steal_pinned) {
	.mode = 21, .outcome = REFUSED, .cpus = 2, .word = "affinity",
};

FIXTURE_VARIANT_ADD(bad, steal_here) {
	.mode = 22, .outcome = REFUSED, .cpus = 2, .word = "cpu",
};

/* The same again and again is too much of it. */
FIXTURE_VARIANT_ADD(bad, place_anywhere_often) {
	.mode = 15, .outcome = EJECTED, .cpus = 3, .word = "rejects",
};

FIXTURE_VARIANT_ADD(bad, steal_past_often) {
	.mode = 19, .outcome = EJECTED, .cpus = 2, .word = "rejects",
};

FIXTURE_VARIANT_ADD(bad, steal_pinned_often) {
	.mode = 21, .outcome = EJECTED, .cpus = 2, .word = "rejects",
};

FIXTURE_VARIANT_ADD(bad, steal_here_often) {
	.mode = 22, .outcome = EJECTED, .cpus = 2, .word = "rejects",
};

FIXTURE_VARIANT_ADD(bad, refuse) { .mode = 23, .outcome = GOES_ON };
FIXTURE_VARIANT_ADD(bad, slow) { .mode = 24, .outcome = GOES_ON };
FIXTURE_VARIANT_ADD(bad, hold) { .mode = 25, .outcome = GOES_ON };
FIXTURE_VARIANT_ADD(bad, chatter) { .mode = 26, .outcome = GOES_ON };
FIXTURE_VARIANT_ADD(bad, kick) { .mode = 27, .outcome = GOES_ON };
FIXTURE_VARIANT_ADD(bad, timers) { .mode = 28, .outcome = GOES_ON };

FIXTURE_VARIANT_ADD(bad, place_offline) {
	.mode = 32, .outcome = GOES_ON, .cpus = 2, .offline = true,
};

FIXTURE_VARIANT_ADD(bad, spin) { .mode = 33, .outcome = GOES_ON };

FIXTURE_VARIANT_ADD(bad, miscount) { .mode = 29, .outcome = EJECTED, .word = "miscount" };
FIXTURE_VARIANT_ADD(bad, hold_all) { .mode = 30, .outcome = EJECTED, .cpus = 2, .word = "lock" };

FIXTURE_SETUP(bad)
{
	const char *problem = enoki_begin();
	char mode[64];

	ASSERT_EQ(NULL, problem) TH_LOG("%s", problem);
	self->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, lseek(self->kmsg, 0, SEEK_END));
	if (nr_cpus_online() < variant->cpus)
		SKIP(return, "needs %d CPUs", variant->cpus);
	snprintf(mode, sizeof(mode), "mode=%d", variant->mode);
	if (module_loaded(bad.module))
		ASSERT_TRUE(policy_unload(&bad));
	/* Two parameters: modprobe takes each as a word. */
	ASSERT_EQ(0, module_load_with(bad.module, mode));
	ASSERT_EQ(0, policy_write(&bad, "timeout_ms", TIMEOUT_MS));
	if (variant->word && !strcmp(variant->word, "lock"))
		ASSERT_EQ(0, policy_write(&bad, "max_hold_ms", "1"));
	if (variant->word && !strcmp(variant->word, "rejects"))
		ASSERT_EQ(0, policy_write(&bad, "max_rejects", "0"));
	self->other = worker_start_on(-1, W_NAP, fifo.id);
	ASSERT_NE(NULL, self->other);
	self->offline = variant->offline ? nth_cpu_online(nr_cpus_online() - 1) : 0;
	if (self->offline)
		ASSERT_EQ(0, cpu_set_online(self->offline, false));
}

FIXTURE_TEARDOWN(bad)
{
	if (self->offline)
		EXPECT_EQ(0, cpu_set_online(self->offline, true));
	EXPECT_TRUE(enoki_end());
	close(self->kmsg);
	if (!module_loaded(bad.module))
		return;
	EXPECT_TRUE(AWAIT(policy_nr_tasks(&bad) == 0));
	EXPECT_TRUE(policy_unload(&bad));
}

/* Who may run on one CPU only cannot be placed, stolen or moved at will. */
static void pin_some(void)
{
	int i;

	for (i = 0; i < nr_workers(); i += 4)
		pin(nth_worker(i)->pid, nth_cpu_online(i / 4 % nr_cpus_online()));
}

/* It may choose between the first CPU and the last. */
static int allow_two(pid_t pid)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(nth_cpu_online(0), &cpus);
	CPU_SET(nth_cpu_online(nr_cpus_online() - 1), &cpus);
	return sched_setaffinity(pid, sizeof(cpus), &cpus);
}

/* Moves some tasks, so that the policy has to give tokens back. */
static void stir(void)
{
	int i;

	for (i = 0; i < 8; i++)
		pin(nth_worker(1 + prng_below(nr_workers() - 1))->pid,
		    nth_cpu_online(prng_below(nr_cpus_online())));
}

/* Is the sum of all refusals but for races more than 0? */
static bool refuses_something(void)
{
	const char *const why[] = { "stale", "cpu", "state", "affinity", "race" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(why); i++)
		if (policy_rejected(&bad, why[i]) > 0)
			return true;
	return false;
}

/* Has the kernel said so by now? What it says is read line by line. */
static bool kernel_said(int kmsg, const char *words)
{
	char line[1024];
	ssize_t len;

	/* EPIPE: some lines were lost, and what comes next is later. */
	while ((len = read(kmsg, line, sizeof(line) - 1)) > 0 || (len < 0 && errno == EPIPE)) {
		line[len > 0 ? len : 0] = '\0';
		if (strstr(line, words))
			return true;
	}
	return false;
}

/* What a refused task got, and did not need. */
static bool joins(struct worker *w)
{
	return !enoki_attach(w->pid, bad.id) || errno == ENOMEM || errno == ENODEV;
}

TEST_F_TIMEOUT(bad, goes_on, TEST_SECONDS)
{
	const enum worker_mode modes[] = { W_SPIN, W_NAP, W_YIELD, W_NAP };
	/* What is refused, if it is, until the policy goes. */
	bool often = variant->word && !strcmp(variant->word, "rejects");
	/* A CPU looks for work elsewhere when it has none: most sleep then. */
	bool idle = variant->outcome == REFUSED || often;
	/* Tokens are wanted back from a policy when its tasks are moved. */
	bool moves = variant->word && !strcmp(variant->word, "lost");
	int i, moved = 0, refused = 0;
	char words[64];

	for (i = 0; i < NR_VICTIMS; i++) {
		struct worker *w = worker_start(idle && i >= 8 ? W_SLEEP : modes[i % 4]);

		ASSERT_NE(NULL, w);
		EXPECT_TRUE(joins(w)) TH_LOG("%m; %s", last_error());
		refused += policy_in_office(&bad) && sched_getscheduler(w->pid) == SCHED_OTHER;
		if (!idle)
			continue;
		EXPECT_EQ(0, i < 8 && modes[i % 4] != W_NAP ? pin(w->pid, nth_cpu_online(0)) :
							      allow_two(w->pid));
	}
	if (!idle)
		pin_some();

	switch (variant->outcome) {
	case EJECTED:
		EXPECT_TRUE(AWAIT(({
			if (moves)
				stir();
			!policy_in_office(&bad);
		})));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(&bad) == 0));
		EXPECT_TRUE(last_exit_says("policy bad, "));
		EXPECT_TRUE(last_exit_says("module enoki_bad: ejected"));
		snprintf(words, sizeof(words), "\nreason: %s", variant->word ?: "");
		EXPECT_TRUE(last_exit_says(words));
		/* By what it did to whom. */
		if (!strcmp(words, "\nreason: stall") || !strcmp(words, "\nreason: lost"))
			EXPECT_TRUE(last_exit_says("\nlast call about the task: "));
		if (often)
			for (i = 1; i < nr_workers(); i++)
				worker_set(nth_worker(i), W_NAP);
		for (i = 1; i < nr_workers(); i++)
			moved += sched_getscheduler(nth_worker(i)->pid) == SCHED_OTHER;
		EXPECT_EQ(NR_VICTIMS, moved);
		break;
	case REFUSED:
		EXPECT_TRUE(AWAIT(variant->word ? policy_rejected(&bad, variant->word) > 0 :
						  refuses_something()));
		for (i = 1; i < nr_workers(); i++)
			worker_set(nth_worker(i), W_NAP);
		break;
	case GOES_ON:
		EXPECT_TRUE(policy_in_office(&bad));
		/* Was the mistake made at all? */
		EXPECT_TRUE(!variant->mode || (variant->mode == MODE_REFUSE ? refused > 0 :
			AWAIT(kernel_said(self->kmsg, "bad: the mistake is made"))));
	}

	EXPECT_TRUE(workers_live());
	if (variant->outcome == GOES_ON)
		EXPECT_TRUE(policy_in_office(&bad));
	EXPECT_TRUE(policy_in_office(&fifo));
	EXPECT_EQ(SCHED_ENOKI, sched_getscheduler(self->other->pid));

	/* All of them end, attached or not, and the module can go: see the teardown. */
	workers_end(0);
}

ENOKI_HARNESS_MAIN
