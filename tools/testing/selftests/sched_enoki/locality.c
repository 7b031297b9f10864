// SPDX-License-Identifier: GPL-2.0
/*
 * samples/rust/enoki_locality.rs: threads of one place run on one CPU, those of
 * others on others.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#include "client.h"
#include "fixture.h"

/* A client of the policy that sends hints by calls; 0, or -1 with errno. */
static int join(struct client *c)
{
	struct enoki_queue places = queue_of(ENOKI_QUEUE_HINTS, "locality_place", 1,
					     sizeof(uint64_t), "place:u64,", 0);

	return policy_load(&locality) ? client_join(c, locality.id, &places, NULL) : -1;
}

static int belongs(struct client *c, pid_t tid, uint64_t place)
{
	return client_say(c, tid, &place);
}

/* Has it run since, and where? */
static int where_it_wakes(struct worker *w)
{
	worker_set(w, W_STEP);
	return AWAIT(worker_asleep(w)) ? cpu_of(w->pid) : -1;
}

#define PAIRS	3

TEST_ENOKI(together_and_apart)
{
	int cpus = nr_cpus_online(), at[PAIRS], i, k, round;
	struct client c;
	struct worker *w[PAIRS][2];

	ASSERT_EQ(0, join(&c)) TH_LOG("%s: %s", strerror(errno), last_error());
	for (i = 0; i < PAIRS; i++) {
		for (k = 0; k < 2; k++) {
			w[i][k] = worker_start_on(-1, W_SLEEP, locality.id);
			ASSERT_NE(NULL, w[i][k]);
			ASSERT_TRUE(AWAIT(worker_asleep(w[i][k])));
			ASSERT_EQ(0, belongs(&c, w[i][k]->pid, 1000 + i));
		}
	}
	for (round = 0; round < 10; round++) {
		for (i = 0; i < PAIRS; i++) {
			at[i] = where_it_wakes(w[i][0]);
			/* Who finds no CPU that is nobody's has none. */
			if (i < cpus)
				EXPECT_EQ(at[i], where_it_wakes(w[i][1]));
			for (k = 0; k < i && i < cpus; k++)
				EXPECT_NE(at[k], at[i]);
		}
	}
	client_close(&c);
}

/* Two programs that call a place by the same number do not mean the same one. */
TEST_ENOKI(everybody_has_numbers)
{
	struct worker *w[2];
	struct client c[2];
	int i, at;

	NEED_CPUS(2);
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, join(&c[i])) TH_LOG("%s: %s", strerror(errno), last_error());
		w[i] = worker_start_on(-1, W_SLEEP, locality.id);
		ASSERT_NE(NULL, w[i]);
		ASSERT_TRUE(AWAIT(worker_asleep(w[i])));
		ASSERT_EQ(0, belongs(&c[i], w[i]->pid, 1));
	}
	for (i = 0; i < 10; i++) {
		at = where_it_wakes(w[0]);
		EXPECT_NE(at, where_it_wakes(w[1]));
	}
	for (i = 0; i < 2; i++)
		client_close(&c[i]);
}

#define QUESTIONS	100

struct talk {
	int ask[2], start[2];
	int answers;
	int at_once;	/* so many were there when asking had returned */
};

static void __noreturn answer(struct talk *talk)
{
	char c;

	close(talk->ask[1]);
	while (read(talk->ask[0], &c, 1) == 1)
		__atomic_add_fetch(&talk->answers, 1, __ATOMIC_RELEASE);
	_exit(0);
}

static void __noreturn ask(struct talk *talk)
{
	char c;
	int i;

	if (read(talk->start[0], &c, 1) != 1)
		_exit(1);
	for (i = 1; i <= QUESTIONS; i++) {
		if (write(talk->ask[1], "", 1) != 1)
			_exit(1);
		talk->at_once += __atomic_load_n(&talk->answers, __ATOMIC_ACQUIRE) == i;
		while (__atomic_load_n(&talk->answers, __ATOMIC_ACQUIRE) != i)
			nap(100);
	}
	_exit(0);
}

/* Who wakes another one of its place up lets it run first. */
TEST_ENOKI(handed_over)
{
	struct talk *talk = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t tasks[2];
	struct client c;
	int i, status;

	ASSERT_NE(MAP_FAILED, talk);
	ASSERT_EQ(0, join(&c));
	ASSERT_EQ(0, pipe(talk->ask) | pipe(talk->start));
	for (i = 0; i < 2; i++) {
		tasks[i] = test_fork();
		if (!tasks[i])
			i ? ask(talk) : answer(talk);
		ASSERT_LT(0, tasks[i]);
		ASSERT_EQ(0, enoki_attach(tasks[i], locality.id));
		ASSERT_TRUE(AWAIT(proc_state(tasks[i]) == 'S'));
		ASSERT_EQ(0, belongs(&c, tasks[i], 7));
	}
	close(talk->ask[1]);
	ASSERT_EQ(1, write(talk->start[1], "", 1));
	ASSERT_EQ(tasks[1], waitpid(tasks[1], &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(tasks[0], waitpid(tasks[0], &status, 0));
	EXPECT_EQ(QUESTIONS, talk->answers);
	/* At times it is the asking one's slice that ends, or another task's turn. */
	EXPECT_LT(QUESTIONS / 2, talk->at_once);
	close(talk->ask[0]);
	close(talk->start[0]);
	close(talk->start[1]);
	munmap(talk, getpagesize());
	client_close(&c);
}

/* Who belongs nowhere wakes up where nobody runs. */
TEST_ENOKI(without_a_place)
{
	struct worker *spin, *other;
	long long stolen;
	int i, elsewhere = 0;

	NEED_CPUS(3);
	ASSERT_TRUE(policy_load(&locality));
	spin = worker_start_on(nth_cpu_online(0), W_SPIN, locality.id);
	other = worker_start_on(-1, W_SLEEP, locality.id);
	ASSERT_NE(NULL, spin);
	ASSERT_NE(NULL, other);
	ASSERT_TRUE(worker_lives(spin));
	ASSERT_TRUE(AWAIT(worker_asleep(other)));
	stolen = policy_event(&locality, "steal");
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, pin(other->pid, nth_cpu_online(0)));
		ASSERT_EQ(nth_cpu_online(0), where_it_wakes(other));
		ASSERT_EQ(0, unpin(other->pid));
		/* It was switched away from: one that was not is woken up where it is. */
		ASSERT_TRUE(worker_lives(spin));
		elsewhere += where_it_wakes(other) != nth_cpu_online(0);
	}
	/*
	 * Any other task may keep a CPU from being idle for a while. But a CPU that is idle
	 * also takes those that wait elsewhere.
	 */
	EXPECT_LT(policy_event(&locality, "steal") - stolen, elsewhere);
}

/* Where a place is crowded its tasks go on where they are. */
TEST_ENOKI(not_too_many)
{
	int i, at, first, beside = 0, nr;
	struct client c;
	struct worker *spin[4], *nap;

	NEED_CPUS(2);
	ASSERT_TRUE(policy_unload(&locality));
	ASSERT_EQ(0, module_load_with(locality.module, "most=2"));
	ASSERT_EQ(0, join(&c));
	nap = worker_start_on(-1, W_SLEEP, locality.id);
	ASSERT_NE(NULL, nap);
	ASSERT_TRUE(AWAIT(worker_asleep(nap)));
	ASSERT_EQ(0, belongs(&c, nap->pid, 5));
	first = where_it_wakes(nap);
	ASSERT_LE(0, first);
	for (i = 0; i < 4; i++) {
		spin[i] = worker_start_on(first, W_SPIN, locality.id);
		ASSERT_NE(NULL, spin[i]);
		ASSERT_TRUE(worker_lives(spin[i]));
	}
	/* Three wait there all the time: it goes on where it was put last, or where nobody runs. */
	nr = nth_cpu_online(first == nth_cpu_online(0));
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, pin(nap->pid, nr));
		ASSERT_EQ(nr, where_it_wakes(nap));
		ASSERT_EQ(0, unpin(nap->pid));
		at = where_it_wakes(nap);
		ASSERT_LE(0, at);
		beside += at != first;
	}
	EXPECT_EQ(10, beside);
	client_close(&c);
	for (i = 0; i < nr_workers(); i++)
		worker_stop(nth_worker(i));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(&locality) == 0));
	ASSERT_TRUE(policy_unload(&locality));
}

/* A CPU is a place's for as long as that has tasks: on n CPUs any number one after the other. */
TEST_ENOKI(places_end)
{
	struct client c;
	int i, k;

	NEED_CPUS(2);
	ASSERT_EQ(0, join(&c));
	for (i = 0; i < 3 * nr_cpus_online(); i++) {
		struct worker *a = worker_start_on(-1, W_SLEEP, locality.id);
		struct worker *b = worker_start_on(-1, W_SLEEP, locality.id);

		ASSERT_NE(NULL, a);
		ASSERT_NE(NULL, b);
		ASSERT_TRUE(AWAIT(worker_asleep(a)) && AWAIT(worker_asleep(b)));
		ASSERT_EQ(0, belongs(&c, a->pid, 2 * i + 1));
		ASSERT_EQ(0, belongs(&c, b->pid, 2 * i + 2));
		for (k = 0; k < 3; k++)
			EXPECT_NE(where_it_wakes(a), where_it_wakes(b));
		/* One of them leaves, one ends, and one changes its mind before. */
		ASSERT_EQ(0, belongs(&c, a->pid, 0));
		ASSERT_EQ(0, belongs(&c, a->pid, 2 * i + 1));
		ASSERT_EQ(0, enoki_detach(a->pid));
		worker_stop(a);
		worker_stop(b);
		ASSERT_TRUE(AWAIT(policy_nr_tasks(&locality) == 0));
	}
	client_close(&c);
}

TEST_ENOKI(about_nobody)
{
	struct client c;

	ASSERT_EQ(0, join(&c));
	EXPECT_EQ(-1, belongs(&c, 0, 1));
	EXPECT_EQ(EINVAL, errno);
	client_close(&c);
}

ENOKI_HARNESS_MAIN
