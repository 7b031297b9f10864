// SPDX-License-Identifier: GPL-2.0
/*
 * A version that stands by is tried on some tasks of its policy. They get the time that they
 * weigh, and then all go one way or the other: to it, or back. None of them is ever seen in
 * another class.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

static const struct policy relay = { "relay", "enoki_relay_1", 61 };
/* Its number is what it is given. */
static struct policy canary = { "relay-canary", "enoki_relay_2", 0 };

#define ROUNDS	10

FIXTURE(canary) {
	int unused;
};

FIXTURE_SETUP(canary)
{
	const char *problem = enoki_begin();

	ASSERT_EQ(NULL, problem) TH_LOG("%s", problem);
}

FIXTURE_TEARDOWN(canary)
{
	EXPECT_TRUE(enoki_end());
	/* If a test failed there is one. */
	policy_write(&relay, "canary", "0");
	EXPECT_TRUE(AWAIT(!module_unload("enoki_relay_2") || errno == ENOENT));
	EXPECT_TRUE(AWAIT(!module_unload("enoki_relay_1") || errno == ENOENT));
}

#define TEST_CANARY(name)	TEST_F_TIMEOUT(canary, name, TEST_SECONDS)

/* The version that stands by is tried from now on. */
static bool begin(void)
{
	char line[16];

	if (policy_write(&relay, "canary", "1") || !policy_read(&canary, "id", line, sizeof(line)))
		return false;
	canary.id = atoi(line);
	return true;
}

static bool send_some(int nr)
{
	char words[32];

	snprintf(words, sizeof(words), "relay-canary %d", nr);
	return !policy_write(&relay, "switch", words);
}

static bool canary_is(const char *name)
{
	char line[64];

	return policy_read(&relay, "canary", line, sizeof(line)) && !strcmp(line, name);
}

static bool crowd(void)
{
	static const enum worker_mode modes[] = { W_SPIN, W_NAP, W_FORK, W_NAP, W_YIELD, W_NAP };
	int i;

	for (i = 0; i < 4 * nr_cpus_online() + 8; i++)
		if (!worker_start_on(-1, modes[i % 6], relay.id))
			return false;
	return true;
}

#define LOAD_BOTH() do {							\
	LOAD_TEST_MODULE("enoki_relay_1", "");					\
	LOAD_TEST_MODULE("enoki_relay_2", "");					\
} while (0)

#define EACH	20
#define SECONDS	6

/* One of the 20 tasks that each CPU has to run is a twentieth of them, and gets that. */
TEST_CANARY(share)
{
	uint64_t begun[MAX_WORKERS], had, all = 0, theirs = 0;
	int cpus = nr_cpus_online(), i;
	double percent;

	LOAD_BOTH();
	/* Those who are first in the policy are first to go: one of each CPU. */
	for (i = 0; i < EACH * cpus; i++)
		ASSERT_NE(NULL, worker_start_on(nth_cpu_online(i % cpus), W_SPIN, relay.id));
	ASSERT_TRUE(begin());
	ASSERT_TRUE(send_some(cpus));
	ASSERT_EQ(cpus, nr_attached(&canary));
	ASSERT_EQ((EACH - 1) * cpus, nr_attached(&relay));

	for (i = 0; i < nr_workers(); i++)
		begun[i] = cpu_time(nth_worker(i)->pid);
	/* Time that they had, however long that takes. */
	ASSERT_TRUE(AWAIT(cpu_time(nth_worker(0)->pid) - begun[0] >
			  SECONDS * NSEC_PER_SEC / EACH));
	for (i = 0; i < nr_workers(); i++) {
		had = cpu_time(nth_worker(i)->pid) - begun[i];
		all += had;
		if (attached_to(nth_worker(i)->pid) == canary.id)
			theirs += had;
	}
	percent = 100.0 * theirs / all;
	fprintf(stderr, "# the canary had %.2f %% of the time\n", percent);
	EXPECT_LT(4.0, percent);
	EXPECT_GT(6.0, percent);
	EXPECT_TRUE(workers_live());
}

/* The policy is upgraded, and its canary's tasks join the others. */
TEST_CANARY(promoted)
{
	pid_t looking;

	LOAD_BOTH();
	EXPECT_TRUE(canary_is("none"));
	ASSERT_TRUE(crowd());
	looking = workers_watch();
	ASSERT_LT(0, looking);
	ASSERT_TRUE(begin()) TH_LOG("%m: %s", last_error());
	EXPECT_TRUE(canary_is("relay-canary"));
	EXPECT_TRUE(policy_version_is(&canary, "2"));
	EXPECT_TRUE(policy_version_is(&relay, "1"));
	ASSERT_TRUE(send_some(5));
	EXPECT_EQ(5, nr_attached(&canary));
	EXPECT_TRUE(workers_live());
	EXPECT_EQ(-1, module_unload("enoki_relay_2"));

	ASSERT_EQ(0, policy_upgrade(&relay)) TH_LOG("%m: %s", last_error());
	EXPECT_TRUE(policy_version_is(&relay, "2"));
	EXPECT_EQ(nr_workers(), nr_attached(&relay));
	EXPECT_EQ(-1, policy_nr_tasks(&canary));
	EXPECT_TRUE(canary_is("none"));
	EXPECT_TRUE(workers_live());
	EXPECT_TRUE(watch_saw_nothing(looking));
	/* The version before has nothing to do any more. */
	EXPECT_EQ(0, module_unload("enoki_relay_1"));
}

/* The tasks come back, and everything is as before. */
TEST_CANARY(called_off)
{
	pid_t looking;
	int i;

	LOAD_BOTH();
	ASSERT_TRUE(crowd());
	looking = workers_watch();
	ASSERT_LT(0, looking);
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_TRUE(begin()) TH_LOG("%m: %s", last_error());
		ASSERT_TRUE(send_some(1 + i));
		ASSERT_TRUE(workers_live());
		ASSERT_EQ(0, policy_write(&relay, "canary", "0")) TH_LOG("%m: %s", last_error());
		EXPECT_EQ(nr_workers(), nr_attached(&relay));
		EXPECT_EQ(-1, policy_nr_tasks(&canary));
	}
	EXPECT_TRUE(watch_saw_nothing(looking));
	EXPECT_TRUE(policy_version_is(&relay, "1"));
	EXPECT_EQ(0, policy_upgrades(&relay, "done"));
	EXPECT_TRUE(workers_live());
	EXPECT_EQ(0, module_unload("enoki_relay_2"));
}

/* Forks all the time; its exit status is 1 if a child was in another class. */
static pid_t start_forking(int stop)
{
	pid_t pid = test_fork(), child;
	int status;
	char end;

	if (pid)
		return pid;
	if (enoki_attach(0, relay.id))
		_exit(2);
	while (recv(stop, &end, 1, MSG_DONTWAIT) < 0) {
		child = fork();
		if (!child)
			_exit(sched_getscheduler(0) != SCHED_ENOKI);
		if (child < 0 || waitpid(child, &status, 0) != child)
			_exit(3);
		if (status)
			_exit(1);
	}
	_exit(0);
}

/* Who is just being forked while its parent comes or goes is with it afterwards. */
TEST_CANARY(children)
{
	int stop[2], status, i, nr = nr_cpus_online() + 1;
	pid_t pids[16];

	LOAD_BOTH();
	ASSERT_GE(16, nr);
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, stop));
	for (i = 0; i < nr; i++)
		ASSERT_LT(0, pids[i] = start_forking(stop[1]));
	ASSERT_TRUE(AWAIT(policy_nr_tasks(&relay) >= nr));
	for (i = 0; i < 3 * ROUNDS; i++) {
		ASSERT_TRUE(begin()) TH_LOG("%m: %s", last_error());
		ASSERT_EQ(0, policy_write(&relay, "switch", "relay-canary"))
			TH_LOG("%m: %s", last_error());
		ASSERT_EQ(0, policy_write(&relay, "canary", "0")) TH_LOG("%m: %s", last_error());
	}
	shutdown(stop[0], SHUT_RDWR);
	for (i = 0; i < nr; i++) {
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
		EXPECT_EQ(0, status);
	}
}

/* All that at random, while somebody else attaches tasks here and there. */
TEST_CANARY(in_a_storm)
{
	pid_t pid, looking;
	int status, i;

	prng_seed();
	LOAD_BOTH();
	ASSERT_TRUE(crowd());
	ASSERT_TRUE(begin());
	looking = workers_watch();
	ASSERT_LT(0, looking);
	pid = test_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		for (;;) {
			/* It is there only sometimes. */
			enoki_attach(nth_worker(prng_below(nr_workers()))->pid,
				     prng_below(2) ? relay.id : canary.id);
			canary_is("none");
			nap(prng_below(2000));
		}
	}
	for (i = 0; i < 4 * ROUNDS; i++) {
		ASSERT_TRUE(send_some(1 + prng_below(nr_workers()))) TH_LOG("%m: %s", last_error());
		nap(prng_below(20000));
		ASSERT_EQ(0, prng_below(2) ? policy_write(&relay, "canary", "0") :
					     policy_upgrade(&relay))
			TH_LOG("%m: %s", last_error());
		/* Nobody else could be there any more. */
		EXPECT_EQ(-1, policy_nr_tasks(&canary));
		ASSERT_TRUE(begin()) TH_LOG("%m: %s", last_error());
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	EXPECT_TRUE(watch_saw_nothing(looking));
	ASSERT_EQ(0, policy_write(&relay, "canary", "0"));
	EXPECT_EQ(nr_workers(), nr_attached(&relay));
	EXPECT_TRUE(workers_live());
	EXPECT_EQ(0, policy_rejected(&relay, "lost"));
	EXPECT_EQ(0, policy_rejected(&relay, "cpu"));
	EXPECT_EQ(0, policy_rejected(&relay, "state"));
}

/* What cannot be is refused, in words, and nothing has happened. */
TEST_CANARY(refused)
{
	LOAD_TEST_MODULE("enoki_relay_1", "");
	ASSERT_TRUE(crowd());
	EXPECT_EQ(-1, policy_write(&relay, "canary", "1"));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_NE(NULL, strstr(last_error(), "no other version stands by"));
	LOAD_TEST_MODULE("enoki_relay_2", "mode=4");
	EXPECT_EQ(-1, policy_write(&relay, "canary", "1"));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_NE(NULL, strstr(last_error(), "version 2 cannot be tried, error -19"))
		TH_LOG("%s", last_error());
	ASSERT_EQ(0, module_unload("enoki_relay_2"));
	LOAD_TEST_MODULE("enoki_relay_2", "");
	EXPECT_EQ(-1, policy_write(&relay, "canary", "0"));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_NE(NULL, strstr(last_error(), "no version is tried"));
	EXPECT_EQ(-1, policy_write(&relay, "canary", "wfq"));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, policy_write(&relay, "switch", "relay-canary"));
	EXPECT_EQ(ENOENT, errno);

	ASSERT_TRUE(begin());
	EXPECT_EQ(-1, policy_write(&relay, "canary", "1"));
	EXPECT_EQ(EEXIST, errno);
	EXPECT_NE(NULL, strstr(last_error(), "version 2 is tried already"));
	/* A version of the canary there cannot be. */
	EXPECT_EQ(-1, test_module_load("enoki_hostile", "name=relay-canary id=99"));
	EXPECT_NE(NULL, strstr(last_error(), "by a version of policy relay that is tried"))
		TH_LOG("%s", last_error());
	EXPECT_EQ(-1, policy_upgrade(&canary));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(nr_workers(), nr_attached(&relay));
	EXPECT_TRUE(workers_live());
}

/* One that did not do is not put into office; the tasks that it had are in the default class. */
TEST_CANARY(ejected)
{
	int i;

	LOAD_BOTH();
	ASSERT_TRUE(crowd());
	ASSERT_TRUE(begin());
	ASSERT_TRUE(send_some(4));
	ASSERT_EQ(0, policy_write(&canary, "eject", "1"));
	ASSERT_TRUE(AWAIT(policy_nr_tasks(&canary) == 0));
	EXPECT_EQ(nr_workers() - 4, nr_attached(&relay));
	EXPECT_EQ(-1, policy_upgrade(&relay));
	EXPECT_EQ(ECANCELED, errno);
	EXPECT_NE(NULL, strstr(last_error(), "version 2 was ejected where it was tried"))
		TH_LOG("%s", last_error());
	EXPECT_TRUE(policy_version_is(&relay, "1"));
	EXPECT_TRUE(policy_in_office(&relay));
	ASSERT_EQ(0, policy_write(&relay, "canary", "0"));
	for (i = 0; i < nr_workers(); i++)
		ASSERT_EQ(0, enoki_attach(nth_worker(i)->pid, relay.id));
	EXPECT_TRUE(workers_live());
	/* It may be tried once more, and then do. */
	ASSERT_TRUE(begin());
	ASSERT_EQ(0, policy_upgrade(&relay)) TH_LOG("%m: %s", last_error());
	EXPECT_TRUE(policy_version_is(&relay, "2"));
}

/* If the policy goes, the version takes over from it that is tried. */
TEST_CANARY(policy_goes)
{
	struct worker *w;

	LOAD_BOTH();
	w = worker_start_on(-1, W_SPIN, relay.id);
	ASSERT_NE(NULL, w);
	ASSERT_TRUE(begin());
	ASSERT_TRUE(send_some(1));
	ASSERT_TRUE(AWAIT(policy_nr_tasks(&relay) == 0));
	ASSERT_TRUE(AWAIT(!module_unload("enoki_relay_1")));
	EXPECT_TRUE(policy_version_is(&relay, "2"));
	EXPECT_TRUE(canary_is("none"));
	EXPECT_EQ(1, nr_attached(&relay));
	EXPECT_TRUE(worker_lives(w));
}

/* If that one refuses to, it goes on as what it is, and goes with its module. */
TEST_CANARY(policy_goes_alone)
{
	struct worker *w;

	LOAD_TEST_MODULE("enoki_relay_1", "");
	LOAD_TEST_MODULE("enoki_relay_2", "mode=1");
	w = worker_start_on(-1, W_SPIN, relay.id);
	ASSERT_NE(NULL, w);
	ASSERT_TRUE(begin());
	ASSERT_TRUE(send_some(1));
	ASSERT_TRUE(AWAIT(policy_nr_tasks(&relay) == 0));
	ASSERT_TRUE(AWAIT(!module_unload("enoki_relay_1")));
	EXPECT_EQ(-1, policy_nr_tasks(&relay));
	EXPECT_EQ(1, nr_attached(&canary));
	EXPECT_TRUE(worker_lives(w));
	EXPECT_EQ(-1, module_unload("enoki_relay_2"));
	ASSERT_EQ(0, enoki_detach(w->pid));
	EXPECT_TRUE(AWAIT(!module_unload("enoki_relay_2")));
	EXPECT_EQ(-1, policy_nr_tasks(&canary));
}

/* How often tasks of @p have waited that woke up. */
static long long waits(const struct policy *p)
{
	unsigned long long limit, times, sum = 0;
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), SYSFS_ENOKI "/%s/waits", p->name);
	file = fopen(path, "r");
	if (!file)
		return -1;
	while (fscanf(file, "%llu %llu", &limit, &times) == 2)
		sum += times;
	fclose(file);
	return sum;
}

/* How long tasks wait is measured as long as there is something to compare. */
TEST_CANARY(measured)
{
	long long before;
	int i;

	LOAD_BOTH();
	for (i = 0; i < 10; i++)
		ASSERT_NE(NULL, worker_start_on(-1, W_NAP, relay.id));
	ASSERT_TRUE(workers_live());
	EXPECT_EQ(0, waits(&relay));
	ASSERT_TRUE(begin());
	ASSERT_TRUE(send_some(5));
	EXPECT_TRUE(AWAIT(waits(&relay) > 100 && waits(&canary) > 100));
	ASSERT_EQ(0, policy_write(&relay, "canary", "0"));
	/* Those who have woken up already count. */
	ASSERT_TRUE(workers_live());
	before = waits(&relay);
	for (i = 0; i < 10; i++)
		ASSERT_TRUE(workers_live());
	EXPECT_EQ(before, waits(&relay));
}

ENOKI_HARNESS_MAIN
