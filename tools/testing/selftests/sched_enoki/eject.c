// SPDX-License-Identifier: GPL-2.0
/*
 * A policy is put out of office: its tasks go on as what they would be without it,
 * whatever they do at that moment, the other policy and its tasks notice nothing,
 * the report says what happened, and the module can be removed and loaded again.
 */
#include <errno.h>
#include <linux/enoki.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#define ENOKI_EACH_POLICY
#include "fixture.h"

#define NICE		7

/* Tasks of every kind, attached to @p. */
static bool crowd(const struct policy *p, int rounds)
{
	const enum worker_mode modes[] = { W_SPIN, W_NAP, W_FORK, W_YIELD, W_SLEEP, W_NAP };
	int i;

	for (i = 0; i < rounds * 6; i++)
		if (!worker_start_on(-1, modes[i % 6], p->id))
			return false;
	return true;
}

/* Is everybody alive, awake or not, and of no policy any more? */
static bool all_went_on(void)
{
	bool ok = true;
	int i;

	for (i = 0; i < nr_workers(); i++) {
		struct worker *w = nth_worker(i);

		if (!w->pid)
			continue;
		if (sched_getscheduler(w->pid) != SCHED_OTHER) {
			fprintf(stderr, "# worker %d has scheduling policy %d\n", i,
				sched_getscheduler(w->pid));
			ok = false;
		}
		if (w->mode == W_SLEEP)
			worker_set(w, W_SPIN);
	}
	return workers_live() && ok;
}

static bool eject(const struct policy *p)
{
	return !policy_write(p, "eject", "1") && AWAIT(policy_nr_tasks(p) == 0) &&
	       !policy_in_office(p);
}

TEST_EACH(on_request)
{
	struct worker *niced = worker_start_on(-1, W_NAP, self->p->id);
	char state[64], words[64];

	ASSERT_NE(NULL, niced);
	ASSERT_TRUE(crowd(self->p, 2));
	ASSERT_EQ(0, setpriority(PRIO_PROCESS, niced->pid, NICE));
	EXPECT_TRUE(worker_lives(niced));
	EXPECT_TRUE(policy_in_office(self->p));
	ASSERT_TRUE(eject(self->p));

	EXPECT_TRUE(all_went_on());
	EXPECT_EQ(NICE, getpriority(PRIO_PROCESS, niced->pid));
	ASSERT_TRUE(policy_read(self->p, "state", state, sizeof(state)));
	EXPECT_STREQ("ejected: request", state);
	snprintf(words, sizeof(words), "policy %s, ", self->p->name);
	EXPECT_TRUE(last_exit_says(words));
	EXPECT_TRUE(last_exit_says("\nreason: request: "));
	EXPECT_TRUE(last_exit_says("\nCPU 0: "));
	EXPECT_TRUE(last_exit_says("\ntask "));
	EXPECT_TRUE(last_exit_says(": pick_next_task, task "));

	/* It takes no tasks any more, and says what to do. */
	EXPECT_EQ(-1, enoki_attach(niced->pid, self->p->id));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_NE(NULL, strstr(last_error(), "ejected")) TH_LOG("%s", last_error());
	EXPECT_LT(0, policy_event(self->p, "pick_next_task"));

	ASSERT_TRUE(policy_reload(self->p));
	EXPECT_TRUE(policy_in_office(self->p));
	ASSERT_EQ(0, enoki_attach(niced->pid, self->p->id));
	EXPECT_TRUE(worker_lives(niced));
}

/* Twice is as good as once, and so is one without tasks. */
TEST_EACH(without_tasks)
{
	ASSERT_TRUE(eject(self->p));
	EXPECT_TRUE(eject(self->p));
	EXPECT_TRUE(last_exit_says("\nreason: request: "));
	ASSERT_TRUE(policy_reload(self->p));
}

TEST_EACH(beside_the_other)
{
	const struct policy *to = other_policy(self->p);
	struct worker *there[4];
	int i;

	for (i = 0; i < 4; i++) {
		there[i] = worker_start_on(-1, i % 2 ? W_NAP : W_SPIN, to->id);
		ASSERT_NE(NULL, there[i]);
	}
	for (i = 0; i < 3; i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 2 ? W_NAP : W_SPIN, self->p->id));
	ASSERT_TRUE(eject(self->p));
	EXPECT_TRUE(policy_in_office(to));
	EXPECT_EQ(4, policy_nr_tasks(to));
	for (i = 0; i < 4; i++) {
		EXPECT_EQ(SCHED_ENOKI, sched_getscheduler(there[i]->pid));
		EXPECT_TRUE(worker_lives(there[i]));
	}
	ASSERT_TRUE(policy_reload(self->p));
}

TEST_ENOKI(by_sysrq)
{
	int nr = policies_load(), i;

	ASSERT_LT(0, nr);
	for (i = 0; i < nr; i++)
		ASSERT_TRUE(crowd(nth_policy(i), 1));
	ASSERT_EQ(0, write_str("/proc/sysrq-trigger", "E"));
	EXPECT_TRUE(AWAIT(policies_nr_tasks() == 0));
	EXPECT_TRUE(all_went_on());
	EXPECT_TRUE(last_exit_says("\nreason: sysrq: "));
	for (i = 0; i < nr; i++) {
		EXPECT_FALSE(policy_in_office(nth_policy(i)));
		ASSERT_TRUE(policy_reload(nth_policy(i)));
	}
}

#define NR_LATE		20
#define LATE_ROUNDS	10

/* Attaches itself in each round; what is too late is refused. */
static void __noreturn attaches_itself(const int *round, int id)
{
	int seen = 0, now;

	for (;;) {
		now = __atomic_load_n(round, __ATOMIC_ACQUIRE);
		if (now != seen)
			enoki_attach(0, id);
		seen = now;
		nap(1000);
	}
}

/* Who is on the way to a policy when it is ejected does not stay with it. */
TEST_EACH(latecomers)
{
	int *round = mmap(NULL, sizeof(*round), PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t late[NR_LATE];
	int i, k;

	prng_seed();
	ASSERT_NE(MAP_FAILED, round);
	for (k = 0; k < NR_LATE; k++) {
		late[k] = test_fork();
		ASSERT_LE(0, late[k]);
		if (!late[k])
			attaches_itself(round, self->p->id);
	}
	for (i = 1; i <= LATE_ROUNDS; i++) {
		__atomic_store_n(round, i, __ATOMIC_RELEASE);
		nap(prng_below(4000));
		ASSERT_TRUE(eject(self->p));
		for (k = 0; k < NR_LATE; k++)
			ASSERT_TRUE(AWAIT(sched_getscheduler(late[k]) == SCHED_OTHER));
		ASSERT_TRUE(policy_reload(self->p));
	}
	for (k = 0; k < NR_LATE; k++) {
		kill(late[k], SIGKILL);
		ASSERT_EQ(late[k], waitpid(late[k], NULL, 0));
	}
}

static const struct setting {
	const char *file, *text;
} refused[] = {
	{ "eject", "0" }, { "eject", "please" },
	{ "timeout_ms", "99" }, { "timeout_ms", "60001" }, { "timeout_ms", "-1" },
	{ "timeout_ms", "soon" }, { "budget", "-1" }, { "budget", "many" },
	{ "max_rejects", "4294967296" },
};

TEST_ENOKI(bad_settings)
{
	struct worker *w = worker_start_on(-1, W_SPIN, fifo.id);
	char before[32], after[32];
	size_t i;

	ASSERT_NE(NULL, w);
	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		const char *file = refused[i].file, *text = refused[i].text;
		/* There is nothing to read in it. */
		bool order = !strcmp(file, "eject");

		if (!order)
			ASSERT_TRUE(policy_read(&fifo, file, before, sizeof(before)));
		EXPECT_EQ(-1, policy_write(&fifo, file, text)) TH_LOG("%s: %s", file, text);
		EXPECT_EQ(EINVAL, errno);
		EXPECT_NE(NULL, strstr(last_error(), file)) TH_LOG("%s", last_error());
		if (!order) {
			ASSERT_TRUE(policy_read(&fifo, file, after, sizeof(after)));
			EXPECT_STREQ(before, after);
		}
	}
	EXPECT_TRUE(policy_in_office(&fifo));
	EXPECT_TRUE(worker_lives(w));

	EXPECT_NE(0, module_unload(fifo.module));
	worker_stop(w);
	ASSERT_TRUE(policy_unload(&fifo));
	EXPECT_NE(0, module_load_with(fifo.module, "timeout_ms=99"));
	EXPECT_NE(NULL, strstr(last_error(), "timeout_ms 99")) TH_LOG("%s", last_error());
	ASSERT_EQ(0, module_load_with(fifo.module, "timeout_ms=700"));
	ASSERT_TRUE(policy_read(&fifo, "timeout_ms", after, sizeof(after)));
	EXPECT_STREQ("700", after);
	ASSERT_TRUE(policy_reload(&fifo));
}

/* Each costs the debug kernel a lot. */
#define MANY	(steady_clock() ? 1000 : 200)

/* Starts so many tasks, half of which are always ready, in a process group of its own. */
static pid_t herd(int id)
{
	pid_t pid = test_fork();
	int i;

	if (pid)
		return pid;
	/* Or else it would have to wait for its own children's turns. */
	if (set_class(0, SCHED_FIFO | SCHED_RESET_ON_FORK, 10) || setpgid(0, 0))
		_exit(1);
	for (i = 0; i < MANY; i++) {
		pid = fork();
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			while (i % 2)
				burn(10000);
			for (;;)
				nap(50000);
		}
		if (pid < 0 || enoki_attach(pid, id))
			_exit(2);
	}
	for (;;)
		pause();
}

/* When was the last call of the policy recorded? In s, by the clock of the records. */
static double last_call(int id)
{
	struct enoki_record_header header;
	struct enoki_record record;
	FILE *file = fopen(DEBUGFS "/sched_enoki/flight", "re");
	double last = -1;

	if (!file)
		return -1;
	if (fread(&header, sizeof(header), 1, file) == 1)
		while (fread(&record, sizeof(record), 1, file) == 1)
			if (record.policy == id && record.time_ns / 1e9 > last)
				last = record.time_ns / 1e9;
	fclose(file);
	return last;
}

/* The policy is out of it at once, and all its tasks are soon. */
TEST_EACH(many)
{
	double decided, called, late, moved;
	pid_t pid = herd(self->p->id);

	ASSERT_LE(0, pid);
	ASSERT_TRUE(AWAIT_FOR(200, policy_nr_tasks(self->p) == MANY));
	ASSERT_EQ(0, policy_write(self->p, "eject", "1"));
	ASSERT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
	EXPECT_TRUE(AWAIT(last_exit_number("\nmoved: ") == MANY));

	decided = last_exit_number("\ntime: ");
	called = last_call(self->p->id);
	/* Those that came while the recorder stood still, and are not recorded. */
	late = last_exit_number("\nlast call: ");
	moved = last_exit_number(" tasks, the last after ");
	ASSERT_LT(0, decided);
	ASSERT_LT(0, called);
	ASSERT_LE(0, late);
	fprintf(stderr, "# last call %.0f or %.0f us after the decision, all moved after %.0f us\n",
		(called - decided) * 1e6, late, moved);
	if (steady_clock()) {
		EXPECT_GT(1000, (called - decided) * 1e6);
		EXPECT_GT(1000, late);
		EXPECT_GT(1000000, moved);
	}
	/* Some may not have had a turn yet since they were forked. */
	ASSERT_EQ(0, kill(-pid, SIGKILL));
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	ASSERT_TRUE(AWAIT_FOR(200, kill(-pid, 0) && errno == ESRCH));
	ASSERT_TRUE(policy_reload(self->p));
}

ENOKI_HARNESS_MAIN
