// SPDX-License-Identifier: GPL-2.0
/*
 * A policy is replaced by another version of itself while its tasks run: nobody is lost or
 * leaves it, and if the new version does not do, the old one goes on.
 *
 * test_modules/enoki_relay_1 to 3 are versions of a policy that hands over what it knows,
 * enoki_fresh_1 and 2 of one that does not.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

static const struct policy relay = { "relay", "enoki_relay_1", 61 };
static const struct policy fresh = { "fresh", "enoki_fresh_1", 62 };

#define ROUNDS	40

static const char *const versions[] = {
	"enoki_relay_1", "enoki_relay_2", "enoki_relay_3", "enoki_fresh_1", "enoki_fresh_2",
};

FIXTURE(upgrade) {
	int unused;
};

FIXTURE_SETUP(upgrade)
{
	const char *problem = enoki_begin();

	ASSERT_EQ(NULL, problem) TH_LOG("%s", problem);
}

FIXTURE_TEARDOWN(upgrade)
{
	size_t i;

	EXPECT_TRUE(enoki_end());
	/* Once the memory of the last task is freed. */
	for (i = 0; i < ARRAY_SIZE(versions); i++)
		EXPECT_TRUE(AWAIT(!module_unload(versions[i]) || errno == ENOENT));
}

#define TEST_UPGRADE(name)	TEST_F_TIMEOUT(upgrade, name, TEST_SECONDS)

static bool standby_is(const struct policy *p, const char *words)
{
	char line[128];

	return policy_read(p, "standby", line, sizeof(line)) && !strcmp(line, words);
}

/* Tasks of all kinds, some of them in groups, attached to @p. */
static bool crowd(const struct policy *p)
{
	static const enum worker_mode modes[] = { W_SPIN, W_NAP, W_FORK, W_NAP, W_YIELD, W_NAP };
	int i;

	for (i = 0; i < 4 * nr_cpus_online() + 8; i++)
		if (!worker_start_on(-1, modes[i % 6], p->id))
			return false;
	return true;
}

/* Nobody was lost, doubly run, or sent to another class. */
static bool all_there(const struct policy *p)
{
	/* Whom a CPU steals may be gone; the others are no correct policy's answers. */
	static const char *const never[] = { "lost", "cpu", "state" };
	bool ok = true;
	int i;

	for (i = 0; i < nr_workers(); i++) {
		ok = sched_getscheduler(nth_worker(i)->pid) == SCHED_ENOKI && ok;
		ok = worker_lives(nth_worker(i)) && ok;
	}
	for (i = 0; i < (int)ARRAY_SIZE(never); i++)
		if (policy_rejected(p, never[i])) {
			fprintf(stderr, "# rejected: %lld %s\n",
				policy_rejected(p, never[i]), never[i]);
			ok = false;
		}
	return ok && policy_in_office(p);
}

#define LOAD_BOTH(p, second, params) do {						\
	LOAD_TEST_MODULE((p)->module, "");						\
	LOAD_TEST_MODULE(second, params);						\
} while (0)

/* What both versions know goes from one to the other, and no task is announced anew. */
TEST_UPGRADE(kept)
{
	long long announced;
	int i;

	LOAD_BOTH(&relay, "enoki_relay_2", "");
	EXPECT_TRUE(policy_version_is(&relay, "1"));
	EXPECT_TRUE(standby_is(&relay, "2 enoki_relay_2"));
	/* Who forks has new tasks all the time. */
	for (i = 0; i < 2 * nr_cpus_online() + 2; i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 3 ? W_NAP : W_SPIN, relay.id));
	ASSERT_TRUE(workers_live());
	announced = policy_event(&relay, "task_new");

	for (i = 1; i <= ROUNDS; i++) {
		ASSERT_EQ(0, policy_upgrade(&relay)) TH_LOG("%m: %s", last_error());
		EXPECT_TRUE(policy_version_is(&relay, i % 2 ? "2" : "1"));
	}
	EXPECT_TRUE(standby_is(&relay, "2 enoki_relay_2"));
	EXPECT_TRUE(all_there(&relay));
	EXPECT_EQ(announced, policy_event(&relay, "task_new"));
	EXPECT_EQ(ROUNDS, policy_upgrades(&relay, "done"));
	EXPECT_EQ(ROUNDS, policy_upgrades(&relay, "kept"));
	EXPECT_EQ(0, policy_upgrades(&relay, "refused"));
	EXPECT_LT(0, policy_upgrades(&relay, "blackout_ns"));
	fprintf(stderr, "# blackout %lld ns, waited %lld ns, %lld retries\n",
		policy_upgrades(&relay, "blackout_ns"), policy_upgrades(&relay, "waited_ns"),
		policy_upgrades(&relay, "retries"));
}

/* A version that knows nothing gets them all, one after the other. */
TEST_UPGRADE(anew)
{
	long long announced;
	int i;

	LOAD_BOTH(&fresh, "enoki_fresh_2", "");
	for (i = 0; i < 2 * nr_cpus_online() + 2; i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 3 ? W_NAP : W_SPIN, fresh.id));
	ASSERT_TRUE(workers_live());
	announced = policy_event(&fresh, "task_new");
	for (i = 1; i <= ROUNDS; i++) {
		ASSERT_EQ(0, policy_upgrade(&fresh)) TH_LOG("%m: %s", last_error());
		EXPECT_TRUE(policy_version_is(&fresh, i % 2 ? "2" : "1"));
	}
	EXPECT_TRUE(all_there(&fresh));
	EXPECT_LT(announced + nr_workers(), policy_event(&fresh, "task_new"));
	EXPECT_EQ(ROUNDS, policy_upgrades(&fresh, "done"));
	EXPECT_EQ(0, policy_upgrades(&fresh, "kept"));
}

/*
 * Until the new version has made up its mind nobody calls either of them, be it for long: tasks
 * that wake up and sleep meanwhile would be lost to both.
 */
TEST_UPGRADE(nobody_calls)
{
	int i;

	NEED_CPUS(2);
	LOAD_BOTH(&relay, "enoki_relay_2", "mode=3 slow_ms=10");
	ASSERT_EQ(0, policy_write(&relay, "max_blackout_ms", "60000"));
	for (i = 0; i < 4 * nr_cpus_online(); i++)
		ASSERT_NE(NULL, worker_start_on(-1, W_NAP, relay.id));
	ASSERT_TRUE(workers_live());
	for (i = 1; i <= ROUNDS; i++) {
		ASSERT_EQ(0, policy_upgrade(&relay)) TH_LOG("%m: %s", last_error());
		EXPECT_TRUE(policy_version_is(&relay, i % 2 ? "2" : "1"));
	}
	EXPECT_TRUE(all_there(&relay));
}

/* Whatever the tasks do, and whoever comes, goes, or is moved meanwhile. */
static bool storm(const struct policy *p, int rounds)
{
	pid_t pid;
	bool ok;
	int i;

	if (!crowd(p))
		return false;
	pid = disturb(p->id, p->id);
	ok = pid > 0;
	for (i = 0; ok && i < rounds; i++) {
		if (policy_upgrade(p)) {
			fprintf(stderr, "# round %d: %m: %s\n", i, last_error());
			ok = false;
		}
		nap(prng_below(5000));
	}
	disturbed_enough(pid);
	for (i = 0; i < nr_workers(); i++)
		if (sched_getscheduler(nth_worker(i)->pid) != SCHED_ENOKI)
			ok = !enoki_attach(nth_worker(i)->pid, p->id) && ok;

	return all_there(p) && ok;
}

TEST_UPGRADE(kept_in_a_storm)
{
	prng_seed();
	LOAD_BOTH(&relay, "enoki_relay_2", "");
	EXPECT_TRUE(storm(&relay, 2 * ROUNDS));
	EXPECT_EQ(2 * ROUNDS, policy_upgrades(&relay, "kept"));
}

TEST_UPGRADE(anew_in_a_storm)
{
	prng_seed();
	LOAD_BOTH(&fresh, "enoki_fresh_2", "");
	EXPECT_TRUE(storm(&fresh, 2 * ROUNDS));
	EXPECT_EQ(2 * ROUNDS, policy_upgrades(&fresh, "done"));
}

/* The module of the version that was replaced can be removed, and loaded again. */
TEST_UPGRADE(the_old_one_goes)
{
	const struct policy *both[] = { &relay, &fresh };
	static const char *const second[] = { "enoki_relay_2", "enoki_fresh_2" };
	int i, k;

	for (i = 0; i < 2; i++) {
		LOAD_BOTH(both[i], second[i], "");
		ASSERT_TRUE(crowd(both[i]));
		for (k = 0; k < 4; k++) {
			ASSERT_EQ(0, policy_upgrade(both[i])) TH_LOG("%m: %s", last_error());
			EXPECT_TRUE(policy_version_is(both[i], k % 2 ? "1" : "2"));
			ASSERT_EQ(0, module_unload(k % 2 ? second[i] : both[i]->module))
				TH_LOG("%m");
			EXPECT_TRUE(standby_is(both[i], "none"));
			EXPECT_TRUE(all_there(both[i]));
			ASSERT_EQ(0, test_module_load(k % 2 ? second[i] : both[i]->module, ""));
		}
		workers_end(0);
	}
}

/* Nothing happens, and who asked is told why. */
TEST_UPGRADE(refused)
{
	struct {
		const char *module, *params;
		int error;
		const char *words;
	} refusals[] = {
		{ "enoki_relay_2", "mode=1", EPERM, "refused to take over" },
		{ "enoki_relay_2", "mode=2", EBADE, "does not have the tasks" },
		{ "enoki_relay_2", "mode=4", ENODEV, "refused to take over" },
		{ "enoki_relay_3", "", EPROTO, "takes over relay version 1 (" },
	};
	long long picks;
	unsigned int i;

	LOAD_TEST_MODULE(relay.module, "");
	EXPECT_EQ(-1, policy_upgrade(&relay));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_NE(NULL, strstr(last_error(), "no other version stands by"));
	EXPECT_EQ(-1, policy_write(&relay, "upgrade", "0"));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_TRUE(crowd(&relay));

	for (i = 0; i < ARRAY_SIZE(refusals); i++) {
		LOAD_TEST_MODULE(refusals[i].module, refusals[i].params);
		picks = policy_event(&relay, "pick_next_task");
		/* To lose something it must have something. */
		if (refusals[i].error == EBADE)
			AWAIT(policy_upgrade(&relay) == -1 && errno == EBADE);
		else
			EXPECT_EQ(-1, policy_upgrade(&relay));
		if (refusals[i].error == EBADE && policy_version_is(&relay, "2"))
			ASSERT_EQ(0, policy_upgrade(&relay));
		EXPECT_EQ(refusals[i].error, errno) TH_LOG("%s", last_error());
		EXPECT_NE(NULL, strstr(last_error(), refusals[i].words))
			TH_LOG("%s", last_error());
		EXPECT_TRUE(policy_version_is(&relay, "1"));
		EXPECT_LE(picks, policy_event(&relay, "pick_next_task"));
		ASSERT_EQ(0, module_unload(refusals[i].module));
		EXPECT_TRUE(workers_live());
	}
}

/* A second one cannot stand by, nor one of another policy's number. */
TEST_UPGRADE(one_stands_by)
{
	LOAD_BOTH(&relay, "enoki_relay_2", "");
	EXPECT_EQ(-1, test_module_load("enoki_relay_3", ""));
	EXPECT_NE(NULL, strstr(last_error(), "stands by already")) TH_LOG("%s", last_error());
	EXPECT_EQ(-1, test_module_load("enoki_fresh_1", "id=61"));
	EXPECT_NE(NULL, strstr(last_error(), "number 61 is taken")) TH_LOG("%s", last_error());
}

/* If the version in office goes the other one takes over, without tasks. */
TEST_UPGRADE(takes_over_from_who_goes)
{
	struct worker *w;

	LOAD_BOTH(&relay, "enoki_relay_2", "");
	ASSERT_EQ(0, module_unload("enoki_relay_1"));
	EXPECT_TRUE(policy_version_is(&relay, "2"));
	EXPECT_TRUE(standby_is(&relay, "none"));
	w = worker_start_on(-1, W_SPIN, relay.id);
	ASSERT_NE(NULL, w);
	EXPECT_TRUE(worker_lives(w));
	/* It has a task. */
	EXPECT_EQ(-1, module_unload("enoki_relay_2"));
}

/* If it refuses to, the policy goes, and it can only be removed. */
TEST_UPGRADE(does_not_take_over)
{
	LOAD_BOTH(&relay, "enoki_relay_2", "mode=4");
	ASSERT_EQ(0, module_unload("enoki_relay_1"));
	EXPECT_EQ(-1, policy_nr_tasks(&relay));
	EXPECT_TRUE(module_loaded("enoki_relay_2"));
	ASSERT_EQ(0, module_unload("enoki_relay_2"));
}

/* The class has the tasks that the new version does not want, until there is one that does. */
TEST_UPGRADE(wants_no_tasks)
{
	LOAD_BOTH(&fresh, "enoki_fresh_2", "mode=5");
	ASSERT_TRUE(crowd(&fresh));
	ASSERT_EQ(0, policy_upgrade(&fresh)) TH_LOG("%m: %s", last_error());
	EXPECT_TRUE(policy_version_is(&fresh, "2"));
	EXPECT_TRUE(workers_live());
	ASSERT_EQ(0, policy_upgrade(&fresh)) TH_LOG("%m: %s", last_error());
	EXPECT_TRUE(policy_version_is(&fresh, "1"));
	EXPECT_TRUE(workers_live());
}

/*
 * One that takes too long is ejected by whoever waits for it, and its tasks go on. With one
 * CPU nobody waits; nor with two, if the other one happens to wait for this one to answer an
 * interrupt, or to have something else to run. Then it was not too long for anybody.
 */
TEST_UPGRADE(too_slow)
{
	int i;

	NEED_CPUS(2);
	LOAD_BOTH(&relay, "enoki_relay_2", "mode=3 slow_ms=300");
	ASSERT_EQ(0, policy_write(&relay, "max_blackout_ms", "20"));
	ASSERT_TRUE(crowd(&relay));
	EXPECT_TRUE(AWAIT(policy_upgrade(&relay)));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_FALSE(policy_in_office(&relay));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(&relay) == 0));
	for (i = 0; i < nr_workers(); i++)
		EXPECT_EQ(SCHED_OTHER, sched_getscheduler(nth_worker(i)->pid));
	EXPECT_TRUE(workers_live());
	EXPECT_TRUE(last_exit_says("while another version was to take over"));
}

/* A policy that was ejected is not replaced. */
TEST_UPGRADE(not_if_ejected)
{
	LOAD_BOTH(&relay, "enoki_relay_2", "");
	ASSERT_TRUE(crowd(&relay));
	ASSERT_EQ(0, policy_write(&relay, "eject", "1"));
	EXPECT_EQ(-1, policy_upgrade(&relay));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_TRUE(AWAIT(policy_nr_tasks(&relay) == 0));
	EXPECT_TRUE(workers_live());
}

/* Many tasks, of which most sleep, and those who wake up meanwhile. */
TEST_UPGRADE(while_they_wake)
{
	int i, k;

	LOAD_BOTH(&relay, "enoki_relay_2", "");
	LOAD_BOTH(&fresh, "enoki_fresh_2", "");
	for (i = 0; i < 60; i++)
		ASSERT_NE(NULL, worker_start_on(-1, W_SLEEP, i % 2 ? relay.id : fresh.id));
	for (k = 0; k < ROUNDS; k++) {
		for (i = 0; i < nr_workers(); i++)
			worker_set(nth_worker(i), W_STEP);
		ASSERT_EQ(0, policy_upgrade(&relay)) TH_LOG("%m: %s", last_error());
		ASSERT_EQ(0, policy_upgrade(&fresh)) TH_LOG("%m: %s", last_error());
		for (i = 0; i < nr_workers(); i++)
			ASSERT_TRUE(AWAIT(worker_asleep(nth_worker(i))));
	}
}

ENOKI_HARNESS_MAIN
