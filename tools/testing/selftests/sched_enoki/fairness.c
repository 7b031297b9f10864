// SPDX-License-Identifier: GPL-2.0
/*
 * Appendix A.1 of the Enoki paper, for wfq and for the shares also for fifo: five
 * equal hogs on one CPU finish together and share alike; one at nice 19 finishes
 * last and the others alike; one per CPU, one of them moved by force.
 *
 * Each hog does the same counted work. A clock that counts instructions, as QEMU's
 * icount (ENOKI_STEADY_CLOCK=1 says that there is one), holds both to 2 %. Where the
 * host of an emulated machine takes the CPU away now and then, the task that runs
 * pays: there shares get 8 % and finishing gets 12 %, and what is further apart is
 * measured again over more work. Of that the host takes a smaller part; what the
 * scheduler does wrong stays.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#define ENOKI_EACH_POLICY
#include "fixture.h"

#define NR_HOGS		5
#define WORK_MSEC	1000
#define WORK_PARTS	200

struct hog {
	pid_t pid;
	int ready;
	int parts;		/* of its work that are done */
	uint64_t finished;	/* when, ns */
};

struct shared {
	int go;
	struct hog hogs[NR_HOGS];
};

static double finish_tolerance(void)
{
	return steady_clock() ? 2 : 12;
}

static double share_tolerance(void)
{
	return steady_clock() ? 2 : 8;
}

/* So much more, at most. */
static int most_work(void)
{
	return steady_clock() ? 1 : 3;
}

static int get(int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void hog_run(struct shared *s, int me, unsigned long loops)
{
	struct hog *hog = &s->hogs[me];
	int i;

	__atomic_store_n(&hog->ready, 1, __ATOMIC_RELEASE);
	while (!get(&s->go))
		nap(500);
	for (i = 0; i < WORK_PARTS; i++) {
		burn(loops / WORK_PARTS);
		__atomic_fetch_add(&hog->parts, 1, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&hog->finished, now_ns(), __ATOMIC_RELEASE);
	/* Stays to be asked for its CPU time. */
	for (;;)
		pause();
}

/* Hogs on @cpus[i] with @nice[i] and @work times the work; they wait for s->go. */
static struct shared *hogs_start(struct __test_metadata *_metadata, int id, int work,
				 const int *cpus, const int *nice)
{
	unsigned long loops = loops_per_msec() * WORK_MSEC * work;
	struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int i;

	ASSERT_NE(MAP_FAILED, s);
	for (i = 0; i < NR_HOGS; i++) {
		pid_t pid;

		if (cpus[i] < 0)
			continue;
		pid = test_fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			if (pin(0, cpus[i]) || setpriority(PRIO_PROCESS, 0, nice[i]) ||
			    enoki_attach(0, id))
				_exit(1);
			hog_run(s, i, loops);
		}
		s->hogs[i].pid = pid;
		ASSERT_TRUE(AWAIT(get(&s->hogs[i].ready)));
	}
	return s;
}

static void hogs_end(struct shared *s)
{
	int i;

	for (i = 0; i < NR_HOGS; i++) {
		if (!s->hogs[i].pid)
			continue;
		kill(s->hogs[i].pid, SIGKILL);
		waitpid(s->hogs[i].pid, NULL, 0);
	}
	munmap(s, sizeof(*s));
}

static uint64_t finished(struct shared *s, int i)
{
	return __atomic_load_n(&s->hogs[i].finished, __ATOMIC_ACQUIRE);
}

static bool all_finished(struct shared *s, int first)
{
	int i;

	for (i = first; i < NR_HOGS; i++)
		if (s->hogs[i].pid && !finished(s, i))
			return false;
	return true;
}

/* How much of their work all of them have done, in percent. */
static int percent_done(struct shared *s)
{
	int i, sum = 0;

	for (i = 0; i < NR_HOGS; i++)
		sum += get(&s->hogs[i].parts);
	return sum * 100 / (NR_HOGS * WORK_PARTS);
}

/* How far apart the values are, in percent of the largest. */
static double spread(const uint64_t *values, int n)
{
	uint64_t low = values[0], high = values[0];
	int i;

	for (i = 1; i < n; i++) {
		if (values[i] < low)
			low = values[i];
		if (values[i] > high)
			high = values[i];
	}
	return high ? 100.0 * (high - low) / high : 0;
}

static void report(const char *what, const uint64_t *values, int n)
{
	int i;

	fprintf(stderr, "# %s, ms:", what);
	for (i = 0; i < n; i++)
		fprintf(stderr, " %.1f", (double)values[i] / NSEC_PER_MSEC);
	fprintf(stderr, "; within %.2f %%\n", spread(values, n));
}

static bool five_are_alike(struct __test_metadata *_metadata, int id, int work)
{
	int cpu = nth_cpu_online(nr_cpus_online() - 1), i;
	const int cpus[NR_HOGS] = { cpu, cpu, cpu, cpu, cpu };
	const int nice[NR_HOGS] = { 0 };
	uint64_t times[NR_HOGS], ends[NR_HOGS], before[NR_HOGS], began;
	struct shared *s = hogs_start(_metadata, id, work, cpus, nice);

	began = now_ns();
	for (i = 0; i < NR_HOGS; i++)
		before[i] = cpu_time(s->hogs[i].pid);
	__atomic_store_n(&s->go, 1, __ATOMIC_RELEASE);
	/* Shares, while all of them still have work to do. */
	ASSERT_TRUE(AWAIT(percent_done(s) >= 75));
	for (i = 0; i < NR_HOGS; i++) {
		times[i] = cpu_time(s->hogs[i].pid) - before[i];
		EXPECT_EQ(0ULL, finished(s, i));
	}
	ASSERT_TRUE(AWAIT(all_finished(s, 0)));
	for (i = 0; i < NR_HOGS; i++)
		ends[i] = finished(s, i) - began;
	report("CPU time of five equal hogs", times, NR_HOGS);
	report("five equal hogs finished", ends, NR_HOGS);
	hogs_end(s);
	return spread(times, NR_HOGS) <= share_tolerance() &&
	       spread(ends, NR_HOGS) <= finish_tolerance();
}

TEST_EACH(five_hogs)
{
	bool alike = false;
	int work;

	for (work = 1; !alike && work <= most_work(); work++)
		alike = five_are_alike(_metadata, self->p->id, work);
	EXPECT_TRUE(alike);
}

/* The one at nice 19 finishes last. Has it little until then, and do the others finish alike? */
static bool four_are_alike(struct __test_metadata *_metadata, int work)
{
	int cpu = nth_cpu_online(nr_cpus_online() - 1), i;
	const int cpus[NR_HOGS] = { cpu, cpu, cpu, cpu, cpu };
	const int nice[NR_HOGS] = { 19, 0, 0, 0, 0 };
	uint64_t ends[NR_HOGS], began;
	struct shared *s = hogs_start(_metadata, wfq.id, work, cpus, nice);
	uint64_t before, low;

	began = now_ns();
	/* It was started first, and has waited for the others. */
	before = cpu_time(s->hogs[0].pid);
	__atomic_store_n(&s->go, 1, __ATOMIC_RELEASE);
	ASSERT_TRUE(AWAIT(all_finished(s, 1)));
	/* 15 of 4111 parts of the CPU are 15 ms of the time the others took. */
	low = cpu_time(s->hogs[0].pid) - before;
	EXPECT_EQ(0ULL, finished(s, 0));
	ASSERT_TRUE(AWAIT(all_finished(s, 0)));
	for (i = 0; i < NR_HOGS; i++)
		ends[i] = finished(s, i) - began;
	report("the one at nice 19 and the others finished", ends, NR_HOGS);
	fprintf(stderr, "# nice 19 had %.1f ms of CPU time by then, and %.1f ms before\n",
		(double)low / NSEC_PER_MSEC, (double)before / NSEC_PER_MSEC);
	for (i = 1; i < NR_HOGS; i++)
		EXPECT_LT(ends[i], ends[0]);
	hogs_end(s);
	/* If the host takes the CPU away from the one at nice 19, that has run for as long. */
	return low < work * WORK_MSEC * NSEC_PER_MSEC / 10 &&
	       spread(ends + 1, NR_HOGS - 1) <= finish_tolerance();
}

TEST_ENOKI(one_at_nice_19)
{
	bool alike = false;
	int work;

	for (work = 1; !alike && work <= most_work(); work++)
		alike = four_are_alike(_metadata, work);
	EXPECT_TRUE(alike);
}

/* One per CPU; one is then forced to share with another, and back. */
TEST_EACH(one_moved_by_force)
{
	int n = nr_cpus_online(), i, work;
	int cpus[NR_HOGS], nice[NR_HOGS] = { 0 };
	uint64_t before[NR_HOGS], had[NR_HOGS];
	struct shared *s;
	double shared_cpu = 0;

	NEED_CPUS(2);
	if (n > NR_HOGS)
		n = NR_HOGS;
	for (i = 0; i < NR_HOGS; i++)
		cpus[i] = i < n ? nth_cpu_online(i) : -1;
	s = hogs_start(_metadata, self->p->id, most_work(), cpus, nice);
	__atomic_store_n(&s->go, 1, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pin(s->hogs[1].pid, cpus[0]));
	ASSERT_TRUE(AWAIT(cpu_of(s->hogs[1].pid) == cpus[0]));
	for (i = 0; i < n; i++)
		before[i] = cpu_time(s->hogs[i].pid);
	/* Of half a second, so one turn more or less shows. */
	for (work = 1; (shared_cpu < 45 || shared_cpu > 55) && work <= most_work(); work++) {
		ASSERT_TRUE(AWAIT(cpu_time(s->hogs[0].pid) + cpu_time(s->hogs[1].pid) -
				  before[0] - before[1] >
				  work * WORK_MSEC / 2 * NSEC_PER_MSEC));
		for (i = 0; i < n; i++)
			had[i] = cpu_time(s->hogs[i].pid) - before[i];
		report("after one was moved to the first one's CPU each had", had, n);
		shared_cpu = 100.0 * had[0] / (had[0] + had[1]);
	}
	EXPECT_LE(45, shared_cpu);
	EXPECT_GE(55, shared_cpu);
	ASSERT_EQ(0, pin(s->hogs[1].pid, cpus[1]));
	ASSERT_TRUE(AWAIT(all_finished(s, 0)));
	hogs_end(s);
}

ENOKI_HARNESS_MAIN
