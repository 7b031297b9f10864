// SPDX-License-Identifier: GPL-2.0
/*
 * A policy that errs, see test_modules/enoki_hostile.c: each wrong answer is
 * counted by its name, no task is lost by it, the other policies' tasks do not
 * notice, and the policy can be removed afterwards. And policies that must not
 * be registered at all.
 */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#include "fixture.h"

#define PARAMETERS	"/sys/module/enoki_hostile/parameters/"

static const struct policy hostile = { "hostile", "enoki_hostile", 66 };

/* enum hostile_wrong. */
enum wrong {
	NOTHING, NONE, AGAIN, OTHER_CPU, PAST, FORGET, LEAK, SWAP, DROP, SELECT, STEAL, REFUSE,
};

static bool err_by(enum wrong what, int every)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", every);
	if (write_str(PARAMETERS "every", text))
		return false;
	snprintf(text, sizeof(text), "%d", what);
	return !write_str(PARAMETERS "wrong", text);
}

/* Here each error is to be seen by itself, for as long as it takes. */
static bool put_up_with(const struct policy *p)
{
	return !policy_write(p, "budget", "2147483647") &&
	       !policy_write(p, "max_rejects", "2147483647") &&
	       !policy_write(p, "timeout_ms", "60000");
}

FIXTURE(hostile) {
	struct worker *other;	/* a task of another policy */
};

FIXTURE_SETUP(hostile)
{
	const char *problem = enoki_begin();

	ASSERT_EQ(NULL, problem) TH_LOG("%s", problem);
	LOAD_TEST_MODULE("enoki_hostile", "");
	ASSERT_TRUE(put_up_with(&hostile));
	self->other = worker_start_on(-1, W_SPIN, fifo.id);
	ASSERT_NE(NULL, self->other);
}

FIXTURE_TEARDOWN(hostile)
{
	if (module_loaded(hostile.module))
		EXPECT_TRUE(err_by(NOTHING, 1));
	EXPECT_TRUE(enoki_end());
	if (!module_loaded(hostile.module))
		return;
	EXPECT_TRUE(AWAIT(policy_nr_tasks(&hostile) == 0));
	EXPECT_TRUE(policy_unload(&hostile));
}

/* Tasks of all kinds, so that every call comes often. */
static bool crowd(bool forks)
{
	const enum worker_mode modes[] = {
		W_SPIN, W_NAP, forks ? W_FORK : W_NAP, W_YIELD, W_NAP, W_SPIN,
	};
	size_t i;

	for (i = 0; i < 6; i++)
		if (!worker_start_on(-1, modes[i], hostile.id))
			return false;
	return true;
}

/* Moves tasks about, and out of the policy and back. Both may fail at times. */
static void stir(void)
{
	int i;

	for (i = 1; i < nr_workers(); i++) {
		struct worker *w = nth_worker(i);

		if (prng_below(3)) {
			pin(w->pid, nth_cpu_online(prng_below(nr_cpus_online())));
		} else {
			enoki_detach(w->pid);
			enoki_attach(w->pid, hostile.id);
		}
	}
}

/* Several on each of a few CPUs: where one is alone there is little to choose. */
static void spread(void)
{
	int i, cpus = nr_cpus_online() < 3 ? nr_cpus_online() : 3;

	for (i = 1; i < nr_workers(); i++)
		pin(nth_worker(i)->pid, nth_cpu_online(i % cpus));
}

static void calm(void)
{
	int i;

	for (i = 1; i < nr_workers(); i++) {
		unpin(nth_worker(i)->pid);
		enoki_attach(nth_worker(i)->pid, hostile.id);
	}
}

/*
 * Errs by @what until it was counted as @why, @times more often than before. Only
 * with @stirred tasks come and go meanwhile: a policy that hands in a token that
 * it does not own must not do so when the token may be freed, which libEnoki rules
 * out and the class cannot see.
 */
#define ERRS(what, every, why, times, stirred) do {				\
	long long __before = policy_rejected(&hostile, why);			\
										\
	ASSERT_TRUE(crowd(stirred));						\
	if (!stirred)								\
		spread();							\
	EXPECT_TRUE(workers_live());						\
	ASSERT_TRUE(err_by(what, every));					\
	EXPECT_TRUE(AWAIT(({							\
		if (stirred)							\
			stir();							\
		policy_rejected(&hostile, why) >= __before + (times);		\
	})));									\
	EXPECT_TRUE(workers_live());						\
	ASSERT_TRUE(err_by(NOTHING, 1));					\
	/* Every token goes through its queue once more, in its turn. */	\
	EXPECT_TRUE(workers_live());						\
	calm();									\
	EXPECT_TRUE(workers_live());						\
} while (0)

#define TEST_HOSTILE(name)	TEST_F_TIMEOUT(hostile, name, TEST_SECONDS)

TEST_HOSTILE(honest)
{
	static const char *const whys[] = { "cpu", "state", "lost", "select_cpu" };
	size_t i;

	ASSERT_TRUE(crowd(true));
	for (i = 0; i < 20; i++)
		stir();
	calm();
	EXPECT_TRUE(workers_live());
	for (i = 0; i < 4; i++)
		EXPECT_EQ(0, policy_rejected(&hostile, whys[i]));
}

/* How often the class took tasks back for the reason @why, an enum enoki_leave. */
static unsigned long leaves(int why)
{
	char text[128];
	unsigned long count[5] = { };

	if (!read_line(PARAMETERS "leaves", text, sizeof(text)) ||
	    sscanf(text, "%lu %lu %lu %lu %lu", &count[0], &count[1], &count[2], &count[3],
		   &count[4]) != 5)
		return 0;
	return count[why];
}

/* Waits as a SCHED_FIFO task for a lock, on the CPU of the task that has it. */
static void wait_for(unsigned int *lock)
{
	syscall(SYS_futex, lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0);
	_exit(0);
}

/* What is taken back from its queue goes for a reason: the one that is meant. */
TEST_HOSTILE(says_why_tasks_leave)
{
	enum { MIGRATE = 1, BOOST, DETACH };
	unsigned int *lock = mmap(NULL, sizeof(*lock), PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int cpu = nth_cpu_online(0);
	unsigned long before;
	struct worker *w;
	pid_t owner, waiter;
	int status;

	ASSERT_NE(MAP_FAILED, lock);
	w = worker_start_on(cpu, W_SPIN, hostile.id);
	ASSERT_NE(NULL, w);
	ASSERT_NE(NULL, worker_start_on(cpu, W_SPIN, hostile.id));

	/* In three of four tries one of two on a CPU waits. */
	before = leaves(DETACH);
	EXPECT_TRUE(AWAIT((enoki_detach(w->pid), enoki_attach(w->pid, hostile.id),
			   leaves(DETACH) > before)));
	if (nr_cpus_online() > 1) {
		before = leaves(MIGRATE);
		EXPECT_TRUE(AWAIT((pin(w->pid, nth_cpu_online(1)), pin(w->pid, cpu),
				   leaves(MIGRATE) > before)));
	}
	EXPECT_EQ(0UL, leaves(BOOST));

	before = leaves(DETACH);
	owner = test_fork();
	ASSERT_LE(0, owner);
	if (!owner) {
		if (pin(0, cpu) || enoki_attach(0, hostile.id) ||
		    syscall(SYS_futex, lock, FUTEX_LOCK_PI, 0, NULL, NULL, 0))
			_exit(1);
		for (;;)
			burn(10000);
	}
	ASSERT_TRUE(AWAIT(__atomic_load_n(lock, __ATOMIC_ACQUIRE)));
	waiter = test_fork();
	ASSERT_LE(0, waiter);
	if (!waiter) {
		if (pin(0, cpu) || set_class(0, SCHED_FIFO, 30))
			_exit(1);
		wait_for(lock);
	}
	EXPECT_TRUE(AWAIT(leaves(BOOST) == 1));
	kill(waiter, SIGKILL);
	kill(owner, SIGKILL);
	ASSERT_EQ(waiter, waitpid(waiter, &status, 0));
	ASSERT_EQ(owner, waitpid(owner, &status, 0));
	EXPECT_EQ(before, leaves(DETACH));
	munmap(lock, sizeof(*lock));
}

TEST_HOSTILE(picks_again)
{
	ERRS(AGAIN, 4, "state", 10, false);
}

TEST_HOSTILE(picks_of_another_cpu)
{
	NEED_CPUS(2);
	ERRS(OTHER_CPU, 4, "cpu", 10, false);
}

TEST_HOSTILE(picks_by_a_past_token)
{
	ERRS(PAST, 1, "stale", 3, true);
}

TEST_HOSTILE(forgets)
{
	ERRS(FORGET, 2, "lost", 10, true);
}

/* The number of tokens that the kernel's log says it had to free for the policy. */
static int log_forgotten(void)
{
	static char log[1 << 18];
	int len = klogctl(3 /* SYSLOG_ACTION_READ_ALL */, log, sizeof(log) - 1);
	int last = 0;
	char *at = log;

	log[len > 0 ? len : 0] = 0;
	while ((at = strstr(at, "policy hostile had forgotten ")))
		sscanf(at++, "policy hostile had forgotten %d", &last);
	return last;
}

/* What it never gives up is freed when its module goes. */
TEST_HOSTILE(leaks)
{
	ERRS(LEAK, 2, "lost", 10, true);
	workers_end(1);
	EXPECT_TRUE(AWAIT(policy_nr_tasks(&hostile) == 0));
	ASSERT_TRUE(policy_unload(&hostile));
	EXPECT_LE(10, log_forgotten());
}

TEST_HOSTILE(swaps)
{
	ERRS(SWAP, 2, "lost", 5, true);
}

TEST_HOSTILE(drops)
{
	ERRS(DROP, 8, "lost", 10, true);
}

TEST_HOSTILE(places_nowhere)
{
	/* Who may run on one CPU only is not asked about. */
	NEED_CPUS(2);
	ASSERT_TRUE(crowd(true));
	ASSERT_TRUE(err_by(SELECT, 3));
	EXPECT_TRUE(AWAIT(policy_rejected(&hostile, "select_cpu") >= 10));
	EXPECT_TRUE(workers_live());
}

TEST_HOSTILE(steals_what_is_not_there)
{
	struct worker *nap;

	/* CPUs must come to be idle. */
	worker_set(self->other, W_SLEEP);
	nap = worker_start_on(-1, W_NAP, hostile.id);
	ASSERT_NE(NULL, nap);
	ASSERT_TRUE(err_by(STEAL, 1));
	EXPECT_TRUE(AWAIT(policy_rejected(&hostile, "cpu") >= 10));
	EXPECT_TRUE(AWAIT(policy_rejected(&hostile, "stale") >= 10 || nr_cpus_online() < 2));
	EXPECT_TRUE(worker_lives(nap));
}

/* It picks none now and then: a CPU may idle, but tasks come back. */
TEST_HOSTILE(picks_none)
{
	long long before;

	ASSERT_TRUE(crowd(true));
	before = policy_event(&hostile, "pick_none");
	ASSERT_TRUE(err_by(NONE, 4));
	EXPECT_TRUE(AWAIT((stir(), policy_event(&hostile, "pick_none") >= before + 10)));
	ASSERT_TRUE(err_by(NOTHING, 1));
	calm();
	EXPECT_TRUE(workers_live());
}

/* Whatever errno it refuses with is the caller's, attaching as well as forking. */
TEST_HOSTILE(refuses)
{
	static const int errors[] = { ENOMEM, EPERM, EBUSY };
	struct worker *w = worker_start(W_SPIN), *inside = worker_start_on(-1, W_SLEEP, hostile.id);
	char text[16];
	size_t i;

	ASSERT_NE(NULL, w);
	ASSERT_NE(NULL, inside);
	ASSERT_TRUE(err_by(REFUSE, 1));
	for (i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "%d", errors[i]);
		ASSERT_EQ(0, write_str(PARAMETERS "error", text));
		EXPECT_EQ(-1, enoki_attach(w->pid, hostile.id));
		EXPECT_EQ(errors[i], errno);
		EXPECT_NE(NULL, strstr(last_error(), "hostile"));
		EXPECT_EQ(SCHED_OTHER, sched_getscheduler(w->pid));
	}
	EXPECT_EQ(1, policy_nr_tasks(&hostile));
	worker_set(inside, W_FORK);
	EXPECT_TRUE(AWAIT(worker_error(inside) == EBUSY));
	EXPECT_TRUE(worker_lives(w));
}

/* A fork that its policy refuses leaves nothing behind. */
TEST_HOSTILE(refuses_forks_at_times)
{
	struct worker *w = worker_start_on(-1, W_NAP, hostile.id);
	int i, status, refused = 0;
	pid_t pid, child;

	ASSERT_NE(NULL, w);
	pid = test_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (enoki_attach(0, hostile.id) || !err_by(REFUSE, 3))
			_exit(255);
		for (i = 0; i < 60; i++) {
			child = fork();
			if (!child)
				_exit(0);
			if (child < 0)
				refused++;
			else
				waitpid(child, &status, 0);
		}
		_exit(refused);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_LE(10, WEXITSTATUS(status));
	EXPECT_GE(30, WEXITSTATUS(status));
	ASSERT_TRUE(err_by(NOTHING, 1));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(&hostile) == 1));
}

/* Loading with @params fails with @error, and the words say @word. */
#define EXPECT_NO_LOAD(params, error, word) do {				\
	EXPECT_EQ(-1, test_module_load("enoki_hostile", params));		\
	EXPECT_EQ(error, errno);						\
	EXPECT_NE(NULL, strstr(last_error(), word))				\
		TH_LOG("%s: no \"%s\" in \"%s\"", params, word, last_error());	\
	EXPECT_FALSE(module_loaded(hostile.module));				\
	EXPECT_EQ(-1, policy_nr_tasks(&hostile));				\
} while (0)

TEST_ENOKI(cannot_be_registered)
{
	struct worker *w = worker_start_on(-1, W_SPIN, fifo.id);

	ASSERT_NE(NULL, w);
	if (test_module_load("enoki_hostile", "abi=1") && errno == ENOENT)
		SKIP(return, "test_modules/enoki_hostile.ko is not built");
	EXPECT_NO_LOAD("abi=1", ENOEXEC, "rebuild it against this kernel");
	EXPECT_NO_LOAD("size=8", ENOEXEC, "rebuild it against this kernel");
	EXPECT_NO_LOAD("task_size=8", ENOEXEC, "rebuild it against this kernel");
	EXPECT_NO_LOAD("id=0", EINVAL, "number 0 is not in 1..99");
	EXPECT_NO_LOAD("id=100", EINVAL, "number 100 is not in 1..99");
	EXPECT_NO_LOAD("nr_timers=65", EINVAL, "65 timers, at most 64");
	EXPECT_NO_LOAD("name=", EINVAL, "a name has letters");
	EXPECT_NO_LOAD("name=..", EINVAL, "a name has letters");
	EXPECT_NO_LOAD("name=a/b", EINVAL, "a name has letters");
	EXPECT_NO_LOAD("name=last_error", EINVAL, "policy last_error: a name has letters");
	EXPECT_NO_LOAD("name=last_exit", EINVAL, "policy last_exit: a name has letters");
	EXPECT_NO_LOAD("name=0123456789abcdef0123456789abcdef", EINVAL, "less than 32 bytes");
	/* The module loader makes EBUSY of EEXIST, which it keeps for modules. */
	EXPECT_NO_LOAD("id=1", EBUSY, "number 1 is taken by policy fifo");
	EXPECT_NO_LOAD("name=wfq", EBUSY, "the name is taken, by number 2");
	EXPECT_TRUE(worker_lives(w));
}

/* Tokens that hold tokens, most of them past: all are gone before the policy's text is. */
TEST_ENOKI(chains_of_tokens)
{
	static const struct policy chain = { "chain", "enoki_chain", 68 };
	int round, i;

	for (round = 0; round < 3; round++) {
		LOAD_TEST_MODULE("enoki_chain", "");
		ASSERT_TRUE(put_up_with(&chain));
		for (i = 0; i < 8; i++)
			ASSERT_NE(NULL, worker_start_on(0, i % 2 ? W_NAP : W_SPIN, chain.id));
		/* Whoever waits and is wanted back leaves a token behind. */
		for (i = 0; i < 200 || policy_rejected(&chain, "lost") < 20; i++) {
			struct worker *w = nth_worker(nr_workers() - 1 - i % 8);

			ASSERT_GT(20000, i);
			enoki_detach(w->pid);
			enoki_attach(w->pid, chain.id);
		}
		/* Those deep in the chain would not even get to die. */
		for (i = 0; i < nr_workers(); i++)
			if (nth_worker(i)->pid)
				EXPECT_EQ(0, enoki_detach(nth_worker(i)->pid));
		for (i = 0; i < nr_workers(); i++)
			worker_stop(nth_worker(i));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(&chain) == 0));
		EXPECT_TRUE(policy_unload(&chain));
	}
}

ENOKI_HARNESS_MAIN
