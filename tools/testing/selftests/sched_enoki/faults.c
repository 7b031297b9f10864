// SPDX-License-Identifier: GPL-2.0
/*
 * Faults are injected into what the policies answer, each kind now and then, often
 * and always, while hackbench and tasks of other kinds are attached: all of them go
 * on and end, whether the policy is still in office by then or not.
 *
 * FAULT_SECONDS in the environment is how long each of them takes.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_EACH_POLICY
#include "fixture.h"

#define DIRECTORY	DEBUGFS "/sched_enoki/"
#define SECONDS		1
/* More than will be made. */
#define TIMES		1000000000L
/* Some take long where each answer does. */
#define HACKBENCH_SECONDS	400

static const char *const kinds[] = { "drop", "delay", "duplicate", "garbage" };

static int fault_set(const char *kind, const char *file, long value)
{
	char path[128], number[32];

	snprintf(path, sizeof(path), DIRECTORY "fail_%s/%s", kind, file);
	snprintf(number, sizeof(number), "%ld", value);
	return write_str(path, number);
}

static long faults_made(const char *kind)
{
	char path[128];

	snprintf(path, sizeof(path), DIRECTORY "fail_%s/times", kind);
	return TIMES - read_long(path);
}

static void faults_off(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(kinds); i++)
		fault_set(kinds[i], "probability", 0);
}

static uint64_t duration_ns(void)
{
	const char *seconds = getenv("FAULT_SECONDS");

	return (seconds ? strtoul(seconds, NULL, 10) : SECONDS) * NSEC_PER_SEC;
}

/* Forty tasks that send each other messages, until all have come. */
static bool hackbench(int id)
{
	pid_t pid = test_fork();
	int status;

	if (pid < 0)
		return false;
	if (!pid) {
		/* It may be out of office by now. */
		if (enoki_attach(0, id) && (errno != ENODEV || set_class(0, SCHED_OTHER, 0)))
			_exit(127);
		if (!freopen("/dev/null", "w", stdout))
			_exit(127);
		execlp("hackbench", "hackbench", "-g", "1", "-l", "5", NULL);
		_exit(127);
	}
	if (!AWAIT_FOR(HACKBENCH_SECONDS, waitpid(pid, &status, WNOHANG) == pid))
		return false;
	if (status)
		fprintf(stderr, "# hackbench: status %x\n", status);
	return !status;
}

/* Half of it in a group, where slices are scaled. */
static bool crowd(int id, const char *group)
{
	const enum worker_mode modes[] = { W_SPIN, W_NAP, W_FORK, W_YIELD };
	struct worker *w;
	size_t i;

	for (i = 0; i < 2 * ARRAY_SIZE(modes); i++) {
		w = worker_start_on(-1, modes[i % ARRAY_SIZE(modes)], id);
		if (!w || (i >= ARRAY_SIZE(modes) && cgroup_enter(group, w->pid)))
			return false;
	}
	return true;
}

/* In office again, if it was ejected, with tasks of its own: else nothing is spoilt. */
static bool again(const struct policy *p, const char *group)
{
	if (policy_in_office(p))
		return true;

	workers_end(0);
	return AWAIT(policy_nr_tasks(p) == 0) && policy_reload(p) && crowd(p->id, group);
}

static bool survives(const struct policy *p, const char *group, const char *kind, int percent)
{
	int rounds = 0, ejected = 0;
	uint64_t end;
	bool ok;

	if (!crowd(p->id, group) || fault_set(kind, "times", TIMES) ||
	    fault_set(kind, "probability", percent))
		return false;
	end = now_ns() + duration_ns();
	do {
		ok = hackbench(p->id);
		rounds++;
		ejected += !policy_in_office(p);
	} while (ok && now_ns() < end && again(p, group));
	ok = workers_live() && ok;
	ok = faults_made(kind) > 0 && ok;
	faults_off();
	fprintf(stderr, "# %s at %d %%: %ld faults in %d rounds, ejected %d times\n", kind, percent,
		faults_made(kind), rounds, ejected);

	workers_end(0);
	/* What was refused counts no more. */
	return AWAIT(policy_nr_tasks(p) == 0) && policy_reload(p) && ok;
}

#define SURVIVES(kind) do {						\
	const char *__group = cgroup_make("faults", "+cpu");		\
									\
	if (faults_made(kind) > TIMES)					\
		SKIP(return, "the kernel has no CONFIG_FAULT_INJECTION_DEBUG_FS"); \
	faults_off();							\
	ASSERT_NE(NULL, __group);					\
	ASSERT_EQ(0, cgroup_write(__group, "cpu.weight", "300"));	\
	EXPECT_TRUE(survives(self->p, __group, kind, 1));		\
	EXPECT_TRUE(survives(self->p, __group, kind, 10));		\
	EXPECT_TRUE(survives(self->p, __group, kind, 100));		\
} while (0)

TEST_F_TIMEOUT(each_policy, drop, 900)
{
	SURVIVES("drop");
}

TEST_F_TIMEOUT(each_policy, delay, 900)
{
	SURVIVES("delay");
}

TEST_F_TIMEOUT(each_policy, duplicate, 900)
{
	SURVIVES("duplicate");
}

TEST_F_TIMEOUT(each_policy, garbage, 900)
{
	SURVIVES("garbage");
}

ENOKI_HARNESS_MAIN
