// SPDX-License-Identifier: GPL-2.0
/*
 * A policy is replaced by a version that has what it knows in another form: the newer one of
 * the two knows both, and brings it from one to the other, in either direction.
 *
 * test_modules/enoki_heir_1 to 3 are such versions. The second one has more for all tasks
 * together, the third one for each task and CPU. Neither knows the other one's form. Each looks
 * whether it has what the others knew, and refuses, or panics, if not.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

static const struct policy heir = { "heir", "enoki_heir_1", 63 };

#define ROUNDS	20

static const char *const versions[] = { "enoki_heir_1", "enoki_heir_2", "enoki_heir_3" };

FIXTURE(upgrade_forms) {
	int unused;
};

FIXTURE_SETUP(upgrade_forms)
{
	const char *problem = enoki_begin();

	ASSERT_EQ(NULL, problem) TH_LOG("%s", problem);
}

FIXTURE_TEARDOWN(upgrade_forms)
{
	size_t i;

	EXPECT_TRUE(enoki_end());
	for (i = 0; i < ARRAY_SIZE(versions); i++)
		EXPECT_TRUE(AWAIT(!module_unload(versions[i]) || errno == ENOENT));
}

#define TEST_FORMS(name)	TEST_F_TIMEOUT(upgrade_forms, name, TEST_SECONDS)

/* So that versions know something: tasks that run, sleep, and wait for each other. */
static bool have_tasks(void)
{
	int i;

	for (i = 0; i < 2 * nr_cpus_online() + 4; i++)
		if (!worker_start_on(-1, i % 3 ? W_NAP : W_SPIN, heir.id))
			return false;
	return workers_live();
}

/* @second takes over and gives back, until it refuses what so many versions have known. */
static bool back_and_forth(const char *second, const char *number)
{
	char params[32];
	int i;

	snprintf(params, sizeof(params), "refuse_at=%d", ROUNDS + 1);
	if (test_module_load(second, params))
		return false;
	for (i = 1; i <= ROUNDS; i++) {
		if (policy_upgrade(&heir) || !policy_version_is(&heir, i % 2 ? number : "1")) {
			fprintf(stderr, "# round %d: %m: %s\n", i, last_error());
			return false;
		}
	}
	return true;
}

/* After that it has been refused once, and given back: nobody else counts one more. */
static bool refused_once(void)
{
	if (!policy_upgrade(&heir) || errno != EPERM || !policy_version_is(&heir, "1")) {
		fprintf(stderr, "# not refused: %m: %s\n", last_error());
		return false;
	}
	return workers_live() && !policy_upgrade(&heir);
}

/* More for all tasks together: nothing happens to a task. */
TEST_FORMS(for_all)
{
	long long announced;

	LOAD_TEST_MODULE(heir.module, "");
	ASSERT_TRUE(have_tasks());
	announced = policy_event(&heir, "task_new");

	ASSERT_TRUE(back_and_forth("enoki_heir_2", "2"));
	EXPECT_TRUE(refused_once());
	EXPECT_TRUE(policy_version_is(&heir, "2"));
	EXPECT_TRUE(workers_live());
	EXPECT_EQ(announced, policy_event(&heir, "task_new"));
	EXPECT_EQ(ROUNDS + 1, policy_upgrades(&heir, "kept"));
	EXPECT_EQ(1, policy_upgrades(&heir, "refused"));
	EXPECT_EQ(0, policy_rejected(&heir, "lost"));
}

/* More for each: all get new tokens, but none is new. */
TEST_FORMS(for_each)
{
	long long announced;

	LOAD_TEST_MODULE(heir.module, "");
	ASSERT_TRUE(have_tasks());
	announced = policy_event(&heir, "task_new");

	ASSERT_TRUE(back_and_forth("enoki_heir_3", "3"));
	EXPECT_TRUE(refused_once());
	EXPECT_TRUE(policy_version_is(&heir, "3"));
	EXPECT_TRUE(workers_live());
	EXPECT_EQ(announced, policy_event(&heir, "task_new"));
	EXPECT_EQ(ROUNDS + 1, policy_upgrades(&heir, "kept"));
	EXPECT_EQ(0, policy_rejected(&heir, "lost"));
	EXPECT_TRUE(policy_in_office(&heir));
}

/* The same while tasks are forked and exit. */
TEST_FORMS(for_each_that_comes)
{
	int i;

	LOAD_TEST_MODULE(heir.module, "");
	for (i = 0; i < nr_cpus_online() + 2; i++)
		ASSERT_NE(NULL, worker_start_on(-1, i % 2 ? W_FORK : W_NAP, heir.id));
	ASSERT_TRUE(workers_live());
	ASSERT_TRUE(back_and_forth("enoki_heir_3", "3"));
	EXPECT_TRUE(workers_live());
	EXPECT_EQ(0, policy_rejected(&heir, "lost"));
	EXPECT_TRUE(policy_in_office(&heir));
}

/* The second and the third one have nothing in common: refused, and both are named. */
TEST_FORMS(unknown)
{
	long long picks;

	LOAD_TEST_MODULE("enoki_heir_2", "");
	ASSERT_TRUE(have_tasks());
	LOAD_TEST_MODULE("enoki_heir_3", "");
	picks = policy_event(&heir, "pick_next_task");
	EXPECT_EQ(-1, policy_upgrade(&heir));
	EXPECT_EQ(EPROTO, errno);
	EXPECT_NE(NULL, strstr(last_error(), "version 2 has the state heir version 2 ("))
		TH_LOG("%s", last_error());
	EXPECT_NE(NULL, strstr(last_error(), "version 3 takes over heir version 3 ("))
		TH_LOG("%s", last_error());
	EXPECT_TRUE(policy_version_is(&heir, "2"));
	EXPECT_TRUE(workers_live());
	EXPECT_LT(picks, policy_event(&heir, "pick_next_task"));
}

ENOKI_HARNESS_MAIN
