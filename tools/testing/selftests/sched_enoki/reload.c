// SPDX-License-Identifier: GPL-2.0
/*
 * Policies come and go: load, attach, detach, unload, over and over, alone, all at
 * a time, beside the other policy's tasks, and with somebody attaching meanwhile.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#define ENOKI_EACH_POLICY
#include "fixture.h"

#define ROUNDS	8

TEST_EACH(loop)
{
	struct worker *spin = worker_start(W_SPIN), *sleep = worker_start(W_SLEEP);
	int i;

	ASSERT_NE(NULL, spin);
	ASSERT_NE(NULL, sleep);
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(policy_unload(self->p));
		EXPECT_EQ(-1, policy_nr_tasks(self->p));
		ASSERT_EQ(0, module_load(self->p->module));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
		ASSERT_EQ(0, enoki_attach(spin->pid, self->p->id));
		ASSERT_EQ(0, enoki_attach(sleep->pid, self->p->id));
		EXPECT_TRUE(worker_lives(spin));
		ASSERT_EQ(0, enoki_detach(spin->pid));
		ASSERT_EQ(0, enoki_detach(sleep->pid));
	}
}

/* The other policy and its tasks notice nothing. */
TEST_EACH(beside_the_other)
{
	const struct policy *to = other_policy(self->p);
	int i, k;

	for (i = 0; i < nr_cpus_online() + 2; i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 2 ? W_NAP : W_SPIN, to->id));
	for (i = 0; i < ROUNDS / 2; i++) {
		ASSERT_TRUE(policy_unload(self->p));
		ASSERT_EQ(0, module_load(self->p->module));
		for (k = 0; k < nr_workers(); k++)
			EXPECT_TRUE(worker_lives(nth_worker(k)));
	}
}

/* All at once, from a process each. */
TEST_ENOKI(all_at_once)
{
	int nr = policies_load(), i, round, status;
	pid_t pids[NR_POLICIES];

	ASSERT_LT(1, nr);
	for (i = 0; i < nr; i++) {
		pids[i] = test_fork();
		ASSERT_LE(0, pids[i]);
		if (pids[i])
			continue;
		for (round = 0; round < ROUNDS; round++)
			if (!policy_reload(nth_policy(i)))
				_exit(1);
		_exit(0);
	}
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
		EXPECT_EQ(0, status) TH_LOG("policy %s", nth_policy(i)->name);
		EXPECT_TRUE(policy_in_office(nth_policy(i)));
	}
}

/*
 * Somebody attaches and detaches as fast as he can. Either the policy is there
 * and stays, or it is not; attaching to a policy that is going must not succeed.
 */
TEST_EACH(attach_races_with_unload)
{
	struct worker *w = worker_start(W_SPIN);
	int i, refused = 0, gone = 0, status;
	pid_t pid;

	ASSERT_NE(NULL, w);
	pid = test_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		for (;;) {
			if (enoki_attach(w->pid, self->p->id)) {
				if (errno != ENODEV)
					_exit(errno);
			} else if (enoki_detach(w->pid)) {
				_exit(100);
			}
			nap(prng_below(300));
		}
	}
	for (i = 0; i < 150 && gone < 4; i++) {
		if (!module_unload(self->p->module)) {
			gone++;
			nap(2000);
			ASSERT_EQ(0, module_load(self->p->module));
		} else {
			EXPECT_TRUE(errno == EWOULDBLOCK || errno == EBUSY) TH_LOG("%m");
			refused++;
		}
		nap(prng_below(2000));
	}
	fprintf(stderr, "# unloaded %d times, refused %d times\n", gone, refused);
	EXPECT_EQ(0, waitpid(pid, &status, WNOHANG)) TH_LOG("errno %d", status >> 8);
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	EXPECT_TRUE(worker_lives(w));
	ASSERT_EQ(0, enoki_detach(w->pid));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
}

/* What was counted before an unload is not counted after the next load. */
TEST_EACH(fresh_counters)
{
	struct worker *w = worker_start_on(-1, W_SPIN, self->p->id);

	ASSERT_NE(NULL, w);
	EXPECT_TRUE(worker_lives(w));
	EXPECT_LT(0, policy_event(self->p, "pick_next_task"));
	worker_stop(w);
	ASSERT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
	ASSERT_TRUE(policy_unload(self->p));
	ASSERT_EQ(0, module_load(self->p->module));
	EXPECT_EQ(0, policy_event(self->p, "pick_next_task"));
}

ENOKI_HARNESS_MAIN
