// SPDX-License-Identifier: GPL-2.0
/*
 * Nobody starves: a real-time hog leaves attached tasks what the deadline server
 * gives them, an attached hog leaves the same to ordinary tasks and to the kernel's
 * own threads, and the servers' bandwidth is booked once and given back.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ENOKI_ONCE
#define ENOKI_EACH_POLICY
#include "fixture.h"

/*
 * A server's default is 50 ms in 1 s; an emulated clock costs or gives some of that. One
 * that counts instructions (ENOKI_STEADY_CLOCK=1) does not.
 */
#define MIN_SHARE_PERCENT	(steady_clock() ? 4 : 3)
#define MAX_SHARE_PERCENT	(steady_clock() ? 6 : 15)
/* Several periods of a server: it serves in some of them only. */
#define HOG_CPU_TIME		(6 * NSEC_PER_SEC)

static struct worker *rt_hog(int cpu, int class)
{
	struct worker *w = worker_start_on(cpu, W_SLEEP, 0);

	if (!w || set_class(w->pid, class, 10))
		return NULL;
	worker_set(w, W_SPIN);
	return w;
}

static const char *server_file(const char *server, int cpu, const char *param)
{
	static char path[PATH_MAX];

	snprintf(path, sizeof(path), DEBUGFS "/sched/%s_server/cpu%d/%s", server, cpu, param);
	return path;
}

static long server_param(const char *server, int cpu, const char *param)
{
	return read_long(server_file(server, cpu, param));
}

static int set_server_param(const char *server, int cpu, const char *param, long ns)
{
	char number[32];

	snprintf(number, sizeof(number), "%ld", ns);
	return write_str(server_file(server, cpu, param), number);
}

/* What @low gets beside @hog, in percent of both. */
static double share_beside(struct worker *low, struct worker *hog)
{
	uint64_t hog_began = cpu_time(hog->pid), low_began = cpu_time(low->pid);
	double had, other;

	if (!AWAIT(cpu_time(hog->pid) - hog_began > HOG_CPU_TIME))
		return -1;
	had = cpu_time(low->pid) - low_began;
	other = cpu_time(hog->pid) - hog_began;
	return 100 * had / (had + other);
}

TEST_EACH(rt_hog_beside)
{
	int cpu = nth_cpu_online(nr_cpus_online() - 1);
	struct worker *low, *hog;
	long long rescued;
	double share;

	if (!server_param("enoki", cpu, "runtime"))
		SKIP(return, "the deadline server of this CPU is off");
	/* Less than it waits at a time: what the hog has is not the policy's fault. */
	ASSERT_EQ(0, policy_write(self->p, "timeout_ms", "500"));
	rescued = policy_event(self->p, "task_rescued");
	low = worker_start_on(cpu, W_SPIN, self->p->id);
	ASSERT_NE(NULL, low);
	ASSERT_TRUE(worker_lives(low));
	hog = rt_hog(cpu, SCHED_FIFO);
	ASSERT_NE(NULL, hog);
	share = share_beside(low, hog);
	EXPECT_EQ(rescued, policy_event(self->p, "task_rescued"));
	EXPECT_TRUE(policy_in_office(self->p));
	ASSERT_EQ(0, policy_write(self->p, "timeout_ms", "5000"));
	fprintf(stderr, "# beside a SCHED_FIFO hog: %.2f %%\n", share);
	EXPECT_LE(MIN_SHARE_PERCENT, share);
	EXPECT_GE(MAX_SHARE_PERCENT, share);
	/* Once more after everything was idle: the server stops and starts. */
	worker_set(low, W_SLEEP);
	ASSERT_TRUE(AWAIT_FOR(120, worker_asleep(low)));
	worker_set(low, W_SPIN);
	EXPECT_LE(MIN_SHARE_PERCENT, share_beside(low, hog));
	worker_stop(hog);
	EXPECT_TRUE(worker_lives(low));
}

/*
 * Two real-time tasks that take turns and an ordinary one, whose server has so long a
 * period that the one of the attached task interrupts it: however the CPU goes round
 * among them, no policy is to blame.
 */
TEST_EACH(nobody_to_blame)
{
	int cpu = nth_cpu_online(nr_cpus_online() - 1);
	long long rescued = policy_event(self->p, "task_rescued");
	long runtime = server_param("fair", cpu, "runtime");
	long period = server_param("fair", cpu, "period");
	struct worker *low, *hogs[2], *ordinary;
	uint64_t began[2];
	size_t i;

	if (!runtime || !server_param("enoki", cpu, "runtime"))
		SKIP(return, "the deadline servers of this CPU are off");
	ASSERT_EQ(0, policy_write(self->p, "timeout_ms", "500"));
	ASSERT_EQ(0, set_server_param("fair", cpu, "period", 2 * NSEC_PER_SEC));
	ASSERT_EQ(0, set_server_param("fair", cpu, "runtime", 900 * NSEC_PER_MSEC));
	low = worker_start_on(cpu, W_SPIN, self->p->id);
	ASSERT_NE(NULL, low);
	ASSERT_TRUE(worker_lives(low));
	for (i = 0; i < ARRAY_SIZE(hogs); i++) {
		hogs[i] = rt_hog(cpu, SCHED_RR);
		ASSERT_NE(NULL, hogs[i]);
		began[i] = cpu_time(hogs[i]->pid);
	}
	ordinary = worker_start_on(cpu, W_SPIN, 0);
	ASSERT_NE(NULL, ordinary);
	for (i = 0; i < ARRAY_SIZE(hogs); i++)
		EXPECT_TRUE(AWAIT(cpu_time(hogs[i]->pid) - began[i] > HOG_CPU_TIME / 2));
	EXPECT_TRUE(worker_lives(low));
	EXPECT_TRUE(worker_lives(ordinary));
	EXPECT_EQ(rescued, policy_event(self->p, "task_rescued"));
	EXPECT_TRUE(policy_in_office(self->p));
	EXPECT_EQ(0, set_server_param("fair", cpu, "runtime", runtime));
	EXPECT_EQ(0, set_server_param("fair", cpu, "period", period));
	EXPECT_EQ(0, policy_write(self->p, "timeout_ms", "5000"));
}

/* Tasks of all policies and an ordinary one, all beside the real-time hog. */
TEST_ENOKI(rt_hog_beside_all)
{
	int cpu = nth_cpu_online(0), nr = policies_load(), i;

	ASSERT_LT(0, nr);
	for (i = 0; i < nr; i++)
		ASSERT_NE(NULL, worker_start_on(cpu, W_SPIN, nth_policy(i)->id));
	ASSERT_NE(NULL, worker_start_on(cpu, W_SPIN, 0));
	ASSERT_NE(NULL, rt_hog(cpu, SCHED_FIFO));
	for (i = 0; i <= nr; i++)
		EXPECT_TRUE(worker_lives(nth_worker(i)));
}

/* A real-time task that comes every few ms and takes most of the CPU. */
TEST_EACH(periodic_rt_hog)
{
	int cpu = nth_cpu_online(0), i, status;
	struct worker *w[2];
	pid_t pid;

	for (i = 0; i < 2; i++) {
		w[i] = worker_start_on(cpu, W_SPIN, self->p->id);
		ASSERT_NE(NULL, w[i]);
	}
	pid = test_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		unsigned long ms = loops_per_msec();

		if (pin(0, cpu) || set_class(0, SCHED_FIFO, 10))
			_exit(1);
		for (i = 0; i < 400; i++) {
			burn(ms);
			nap(1000 + i % 7 * 300);
		}
		_exit(0);
	}
	for (i = 0; i < 10; i++)
		EXPECT_TRUE(worker_lives(w[i % 2]));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(worker_lives(w[0]));
	EXPECT_TRUE(worker_lives(w[1]));
}

/* An attached hog beside an ordinary task. */
TEST_EACH(fair_task_beside)
{
	int cpu = nth_cpu_online(nr_cpus_online() - 1);
	struct worker *low = worker_start_on(cpu, W_SPIN, 0);
	struct worker *hog = worker_start_on(cpu, W_SPIN, self->p->id);
	double share;

	ASSERT_NE(NULL, low);
	ASSERT_NE(NULL, hog);
	if (!server_param("fair", cpu, "runtime"))
		SKIP(return, "the deadline server of this CPU is off");
	share = share_beside(low, hog);
	fprintf(stderr, "# an ordinary task beside an Enoki hog: %.2f %%\n", share);
	EXPECT_LE(MIN_SHARE_PERCENT, share);
	EXPECT_GE(MAX_SHARE_PERCENT, share);
}

/*
 * A task that spins all along, or one that starts its server's wait with a little of its
 * work, and comes with the rest when that is nearly over.
 */
static void work_low(int cpu, bool late)
{
	static const unsigned int until_ms[] = { 4, 940, 1000, 2000 };
	uint64_t now, end = now_ns();
	unsigned int i;

	if (pin(0, cpu))
		_exit(1);
	while (!late)
		;
	for (;;) {
		for (i = 0; i < ARRAY_SIZE(until_ms); i++) {
			end += (until_ms[i] - (i ? until_ms[i - 1] : 0)) * NSEC_PER_MSEC;
			while ((now = now_ns()) < end)
				if (i % 2)
					nap((end - now) / 1000 + 1);
		}
	}
}

/*
 * Watches @low from a real-time task until @hog has had its time.
 * Return: 0 if @low had @least_ns, and most of what it had in pieces shorter than a server's.
 */
static int watch_low(int cpu, pid_t low, pid_t hog, uint64_t least_ns)
{
	uint64_t before, had, all = 0, at_once = 0, end;

	if (pin(0, cpu) || set_class(0, SCHED_FIFO, 10))
		return 1;
	end = cpu_time(hog) + HOG_CPU_TIME;
	while (cpu_time(hog) < end) {
		before = cpu_time(low);
		nap(2000);
		had = cpu_time(low) - before;
		all += had;
		if (had > 10 * NSEC_PER_MSEC)
			at_once += had;
	}
	fprintf(stderr, "# between two naps: %llu of %llu ms at once\n",
		(unsigned long long)(at_once / NSEC_PER_MSEC),
		(unsigned long long)(all / NSEC_PER_MSEC));
	/* A clock that goes on while the host does something else makes some of it. */
	return all < least_ns || at_once > all / 4;
}

/*
 * What an ordinary task has beside an attached one comes in turns that are short, and that
 * a real-time task can interrupt. Those of a deadline server are neither.
 */
TEST_EACH(rt_task_beside_both)
{
	int cpu = nth_cpu_online(nr_cpus_online() - 1), status, late;
	struct worker *hog = worker_start_on(cpu, W_SPIN, self->p->id);
	pid_t low, rt;

	ASSERT_NE(NULL, hog);
	if (!server_param("fair", cpu, "runtime"))
		SKIP(return, "the deadline server of this CPU is off");
	for (late = 0; late < 2; late++) {
		low = test_fork();
		ASSERT_LE(0, low);
		if (!low)
			work_low(cpu, late);
		rt = test_fork();
		ASSERT_LE(0, rt);
		if (!rt)
			_exit(watch_low(cpu, low, hog->pid, HOG_CPU_TIME / (late ? 1000 : 100)));
		ASSERT_TRUE(AWAIT_FOR(120, waitpid(rt, &status, WNOHANG) == rt));
		EXPECT_EQ(0, status) TH_LOG("the ordinary task %s", late ? "comes late" : "spins");
		kill(low, SIGKILL);
		EXPECT_EQ(low, waitpid(low, NULL, 0));
	}
}

#define RISES	31
/* In this time an ordinary task beside it has more than its part by far. */
#define REST_NS	(20 * NSEC_PER_MSEC)

/* How late it is when it wakes up by a timer, at the median. */
static void __noreturn rise(uint64_t *median)
{
	uint64_t late[RISES];
	struct timespec due;
	int i;

	for (i = 0; i < RISES; i++) {
		uint64_t due_ns = now_ns() + REST_NS;

		due.tv_sec = due_ns / NSEC_PER_SEC;
		due.tv_nsec = due_ns % NSEC_PER_SEC;
		if (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL))
			_exit(1);
		late[i] = now_ns() - due_ns;
	}
	*median = median_of(late, RISES);
	_exit(0);
}

/* How late is an attached task on that CPU? 0: it cannot be told. */
static uint64_t lateness(int cpu, int id)
{
	uint64_t *median = mmap(NULL, getpagesize(), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0), found;
	pid_t pid;
	int status;

	if (median == MAP_FAILED)
		return 0;
	pid = test_fork();
	if (!pid) {
		if (pin(0, cpu) || enoki_attach(0, id))
			_exit(1);
		rise(median);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		*median = 0;
	found = *median;
	munmap(median, getpagesize());
	return found;
}

/*
 * An ordinary task that has the CPU whenever no attached one wants it has its part: who wakes
 * up has it at once, not after one more turn.
 */
TEST_EACH(rises_beside_fair)
{
	int cpu = nth_cpu_online(nr_cpus_online() - 1);
	uint64_t alone, beside;
	struct worker *hog;
	int i;

	alone = lateness(cpu, self->p->id);
	ASSERT_NE(0U, alone);
	hog = worker_start_on(cpu, W_SPIN, 0);
	ASSERT_NE(NULL, hog);
	ASSERT_TRUE(worker_lives(hog));
	/* Less than a turn, of 1 ms; more if the host stops that CPU at the wrong times. */
	for (i = 0; i < 3; i++) {
		beside = lateness(cpu, self->p->id);
		ASSERT_NE(0U, beside);
		printf("# %llu us late alone, %llu us beside an ordinary task\n",
		       (unsigned long long)alone / 1000, (unsigned long long)beside / 1000);
		if (beside < alone + NSEC_PER_MSEC / 2)
			break;
	}
	EXPECT_GT(3, i);
}

/*
 * Kernel threads below the class, on every CPU: kworkers (stat_refresh runs one on
 * each CPU and waits for all), RCU (membarrier waits for a grace period).
 */
TEST_EACH(kernel_beside)
{
	uint64_t began, worst_kworker = 0, worst_rcu = 0, took;
	int i;

	for (i = 0; i < nr_cpus_online(); i++)
		ASSERT_NE(NULL, worker_start_on(nth_cpu_online(i), W_SPIN, self->p->id));
	for (i = 0; i < nr_workers(); i++)
		ASSERT_TRUE(worker_lives(nth_worker(i)));
	for (i = 0; i < 3; i++) {
		began = now_ns();
		ASSERT_EQ(0, write_str("/proc/sys/vm/stat_refresh", "1"));
		took = now_ns() - began;
		if (took > worst_kworker)
			worst_kworker = took;
		began = now_ns();
		/* MEMBARRIER_CMD_GLOBAL; one CPU needs no grace period for it. */
		ASSERT_EQ(0, syscall(SYS_membarrier, 1, 0, 0));
		took = now_ns() - began;
		if (took > worst_rcu)
			worst_rcu = took;
	}
	fprintf(stderr, "# beside hogs on all CPUs: kworkers within %llu ms, RCU within %llu ms\n",
		(unsigned long long)(worst_kworker / NSEC_PER_MSEC),
		(unsigned long long)(worst_rcu / NSEC_PER_MSEC));
	/* The server's period is a second; some rounds of it are enough. */
	EXPECT_GT(10 * NSEC_PER_SEC, worst_kworker);
	EXPECT_GT(10 * NSEC_PER_SEC, worst_rcu);
}

/* Each CPU's booked bandwidth, from the scheduler's debug file. */
static int total_bw(long *bw, int max)
{
	char line[256], *found;
	FILE *file = fopen(DEBUGFS "/sched/debug", "r");
	int n = 0;

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		found = strstr(line, "total_bw");
		if (found && n < max)
			bw[n++] = atol(strchr(found, ':') + 1);
	}
	fclose(file);
	return n;
}

TEST_EACH(bandwidth)
{
	long before[CPU_SETSIZE], with[CPU_SETSIZE], after[CPU_SETSIZE];
	int cpus, round, i;

	cpus = total_bw(before, CPU_SETSIZE);
	if (cpus <= 0)
		SKIP(return, "no debugfs with the scheduler's state");
	for (round = 0; round < 3; round++) {
		for (i = 0; i < nr_cpus_online(); i++)
			ASSERT_NE(NULL, worker_start_on(nth_cpu_online(i), W_SPIN, self->p->id));
		for (i = 0; i < nr_cpus_online(); i++)
			EXPECT_TRUE(worker_lives(nth_worker(round * nr_cpus_online() + i)));
		ASSERT_EQ(cpus, total_bw(with, CPU_SETSIZE));
		for (i = 1; i < cpus; i++)
			EXPECT_EQ(with[0], with[i]);
		for (i = 0; i < nr_cpus_online(); i++)
			worker_stop(nth_worker(round * nr_cpus_online() + i));
		ASSERT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
		ASSERT_EQ(cpus, total_bw(after, CPU_SETSIZE));
		for (i = 0; i < cpus; i++)
			EXPECT_EQ(before[i], after[i]);
	}
	/* It is booked with the first policy, not with its tasks, and until the last one goes. */
	ASSERT_TRUE(policy_unload(self->p));
	ASSERT_EQ(cpus, total_bw(after, CPU_SETSIZE));
	for (i = 0; i < cpus; i++)
		EXPECT_EQ(before[i], after[i]);
	ASSERT_TRUE(policy_unload_all());
	ASSERT_EQ(cpus, total_bw(after, CPU_SETSIZE));
	for (i = 0; i < cpus; i++)
		EXPECT_LT(after[i], before[i]);
	ASSERT_EQ(0, module_load(self->p->module));
	ASSERT_EQ(cpus, total_bw(after, CPU_SETSIZE));
	for (i = 0; i < cpus; i++)
		EXPECT_EQ(before[i], after[i]);
}

ENOKI_HARNESS_MAIN
