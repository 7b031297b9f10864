// SPDX-License-Identifier: GPL-2.0
/*
 * A policy is replaced over and over while everything goes on at once: tasks that run, sleep,
 * fork and exec, come to it and leave it, CPUs that go and come, and programs that send it
 * hints. Each time all tasks are there afterwards, and each hint is answered once.
 *
 * UPGRADE_CYCLES in the environment is how often; if it is set stress-ng runs beside. With
 * UPGRADE_RELOAD the module of the version that was replaced is removed and loaded each time.
 */
#include "echo.h"

#define NR_CYCLES	30
#define STORM_SECONDS	7200
#define NR_SENDERS	4

static int cycles(void)
{
	const char *n = getenv("UPGRADE_CYCLES");

	return n ? atoi(n) : 0;
}

static bool crowd(void)
{
	static const enum worker_mode modes[] = { W_SPIN, W_NAP, W_FORK, W_NAP, W_YIELD, W_NAP };
	int i;

	for (i = 0; i < 4 * nr_cpus_online() + 8; i++)
		if (!worker_start_on(-1, modes[i % 6], echo.id))
			return false;
	return workers_live();
}

/* Programs of stress-ng, each bounded, under the policy. */
static pid_t start_stress(void)
{
	static const char *const stress[] = {
		"stress-ng", "--quiet", "--fork", "2", "--fork-ops", "40", "--switch", "1",
		"--switch-ops", "400", "--futex", "1", "--futex-ops", "100", "--msg", "1",
		"--msg-ops", "2000", NULL,
	};
	pid_t pid = test_fork(), child;

	if (pid)
		return pid;
	for (;;) {
		child = test_fork();
		if (!child) {
			enoki_attach(0, echo.id);
			execvp(stress[0], (char *const *)stress);
			_exit(1);
		}
		while (child > 0 && waitpid(child, NULL, 0) != child)
			;
	}
}

/* The module of the version that was replaced goes, and comes again. */
static bool reload(const char *module)
{
	return AWAIT(!module_unload(module)) && !test_module_load(module, "");
}

/* Once; the odd ones put the second version into office. Return: all is as it should be. */
static bool upgrade_once(int i)
{
	if (policy_upgrade(&echo) || !policy_version_is(&echo, i % 2 ? "2" : "1")) {
		fprintf(stderr, "# upgrade %d: %m: %s\n", i, last_error());
		return false;
	}
	return !getenv("UPGRADE_RELOAD") || reload(i % 2 ? "enoki_echo" : "enoki_echo_2");
}

/* Nobody was lost or ran twice. */
static bool nothing_wrong(void)
{
	return !policy_rejected(&echo, "lost") && !policy_rejected(&echo, "cpu") &&
	       !policy_rejected(&echo, "state") && policy_in_office(&echo);
}

TEST_F_TIMEOUT(hints, storm, STORM_SECONDS)
{
	int nr = cycles() ?: NR_CYCLES, stop[2], status, i;
	pid_t senders[NR_SENDERS], disturbing, stress = 0;
	struct regular r = { };

	prng_seed();
	/* Stalls are others' subject, and a host that stops a CPU makes some. */
	ASSERT_EQ(0, policy_write(&echo, "timeout_ms", "60000"));
	ASSERT_EQ(0, policy_write(&echo, "max_blackout_ms", "60000"));
	LOAD_TEST_MODULE("enoki_echo_2", "");
	ASSERT_TRUE(crowd());
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, stop));
	for (i = 0; i < NR_SENDERS; i++)
		ASSERT_LT(0, senders[i] = start_sender(stop[1]));
	ASSERT_TRUE(AWAIT(nr_clients() == NR_SENDERS + 1));
	disturbing = disturb(echo.id, echo.id);
	ASSERT_LT(0, disturbing);
	if (cycles())
		ASSERT_LT(0, stress = start_stress());

	for (i = 1; i <= nr; i++) {
		ASSERT_TRUE(upgrade_once(i));
		ASSERT_TRUE(regular_goes_on(&self->c, &r));
		if (i % 16 == 0) {
			ASSERT_TRUE(nothing_wrong());
			ASSERT_EQ(NR_SENDERS + 1, nr_clients());
		}
		nap(prng_below(5000));
	}

	disturbed_enough(disturbing);
	if (stress) {
		kill(stress, SIGKILL);
		waitpid(stress, NULL, 0);
	}
	for (i = 0; i < nr_workers(); i++)
		if (attached_to(nth_worker(i)->pid) != echo.id)
			ASSERT_EQ(0, enoki_attach(nth_worker(i)->pid, echo.id));
	EXPECT_TRUE(workers_live());
	EXPECT_TRUE(regular_ends(&self->c, &r));
	EXPECT_NE(0U, r.sent);
	shutdown(stop[0], SHUT_RDWR);
	for (i = 0; i < NR_SENDERS; i++) {
		ASSERT_EQ(senders[i], waitpid(senders[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	EXPECT_TRUE(nothing_wrong());
	EXPECT_EQ(nr, policy_upgrades(&echo, "done"));
	EXPECT_EQ(nr, policy_upgrades(&echo, "kept"));
	fprintf(stderr, "# %d upgrades, %lld retries, the last one's blackout %lld ns\n", nr,
		policy_upgrades(&echo, "retries"), policy_upgrades(&echo, "blackout_ns"));
}

ENOKI_HARNESS_MAIN
