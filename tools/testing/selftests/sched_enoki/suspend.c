// SPDX-License-Identifier: GPL-2.0
/*
 * The machine is suspended and resumed under load: all tasks are frozen wherever they
 * are, wait for as long as it takes, which nobody may call a stall, and go on. Devices
 * stay awake, because the file system of the tests' machine is behind one that cannot
 * sleep.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ENOKI_ONCE
#include "fixture.h"

#define POWER		"/sys/power/"
#define DELAY		"/sys/module/suspend/parameters/pm_test_delay"
#define TIMES		50
/* Tasks that are frozen for as long as this would be in trouble if they counted. */
#define TIMEOUT_MS	"900"

static bool suspend(void)
{
	long before = read_long(POWER "suspend_stats/success");

	if (write_str(POWER "state", "freeze")) {
		fprintf(stderr, "# suspend: %m; the last error was %ld\n",
			read_long(POWER "suspend_stats/last_failed_errno"));
		return false;
	}
	return read_long(POWER "suspend_stats/success") == before + 1;
}

static bool crowd(void)
{
	const enum worker_mode modes[] = { W_SPIN, W_NAP, W_FORK, W_YIELD };
	int i;

	for (i = 0; i < 4 * nr_cpus_online() + 4; i++)
		if (!worker_start_on(i % 5 ? -1 : nth_cpu_online(i % nr_cpus_online()),
				     modes[i % 4], nth_policy(i + i / 5)->id))
			return false;
	return true;
}

TEST_ENOKI(many_times)
{
	int nr, i;

	if (access(POWER "pm_test", W_OK))
		SKIP(return, "the kernel has no CONFIG_SUSPEND or no CONFIG_PM_DEBUG");
	nr = policies_load();
	ASSERT_LT(0, nr);
	ASSERT_EQ(0, write_str(POWER "pm_test", "freezer"));
	ASSERT_EQ(0, write_str(DELAY, "0"));
	ASSERT_TRUE(crowd());
	for (i = 0; i < TIMES; i++)
		ASSERT_TRUE(suspend()) TH_LOG("suspend %d", i);
	EXPECT_TRUE(workers_live());

	/* Three times for longer than a task may wait. */
	for (i = 0; i < nr; i++)
		ASSERT_EQ(0, policy_write(nth_policy(i), "timeout_ms", TIMEOUT_MS));
	ASSERT_EQ(0, write_str(DELAY, "1"));
	for (i = 0; i < 3; i++)
		ASSERT_TRUE(suspend());
	EXPECT_TRUE(workers_live());
	for (i = 0; i < nr; i++) {
		EXPECT_EQ(0, policy_event(nth_policy(i), "task_rescued"));
		EXPECT_TRUE(policy_in_office(nth_policy(i)));
		ASSERT_EQ(0, policy_write(nth_policy(i), "timeout_ms", "5000"));
	}
	ASSERT_EQ(0, write_str(POWER "pm_test", "none"));
}

ENOKI_HARNESS_MAIN
