// SPDX-License-Identifier: GPL-2.0
/*
 * Each thing that can happen to an attached task, and that the policy hears of
 * it: the counters under /sys/kernel/sched_enoki/POLICY/events must grow by what
 * the test did. Unplugging CPUs is in hotplug.c, stealing in steal.c, changing
 * class in attach.c.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_EACH_POLICY
#include "fixture.h"

#define COUNT(name)	policy_event(self->p, #name)

TEST_EACH(fork)
{
	struct worker *w = worker_start_on(-1, W_SLEEP, self->p->id);
	long long born, died, placed, turns;

	/* Its own first turn is not what is counted. */
	ASSERT_NE(NULL, w);
	worker_set(w, W_STEP);
	ASSERT_TRUE(AWAIT(worker_turns(w) == 1 && worker_asleep(w)));
	born = COUNT(task_new);
	died = COUNT(task_dead);
	placed = COUNT(select_task_rq);
	worker_set(w, W_FORK);
	ASSERT_TRUE(AWAIT(worker_turns(w) >= 20));
	worker_set(w, W_SLEEP);
	ASSERT_TRUE(AWAIT(worker_asleep(w)));
	EXPECT_EQ(0, worker_error(w));
	turns = worker_turns(w) - 1;
	/* Every turn was one child, and each of them came and went. */
	EXPECT_TRUE(AWAIT(COUNT(task_dead) == died + turns));
	EXPECT_EQ(born + turns, COUNT(task_new));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
	/* With one CPU to choose from nobody is asked. */
	if (nr_cpus_online() > 1)
		EXPECT_LE(placed + turns, COUNT(select_task_rq));
}

TEST_EACH(departure)
{
	long long departed = COUNT(task_departed), died = COUNT(task_dead);
	struct worker *w = worker_start(W_SLEEP);
	long long born = COUNT(task_new);

	/* A policy hears of a task when it first runs under it, and then that it leaves. */
	ASSERT_NE(NULL, w);
	ASSERT_TRUE(AWAIT(worker_asleep(w)));
	ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
	worker_set(w, W_STEP);
	ASSERT_TRUE(AWAIT(worker_turns(w) == 1 && worker_asleep(w)));
	EXPECT_EQ(born + 1, COUNT(task_new));
	ASSERT_EQ(0, enoki_detach(w->pid));
	EXPECT_EQ(departed + 1, COUNT(task_departed));
	worker_stop(w);
	EXPECT_EQ(died, COUNT(task_dead));
}

/*
 * Does it sleep for its policy, too? Until it is off the run queue a wake-up calls
 * it back, and the policy hears of neither.
 */
static bool worker_blocked(struct worker *w)
{
	char state[32];

	return worker_asleep(w) && proc_sched(w->pid, "enoki.state", state, sizeof(state)) &&
	       !strcmp(state, "blocked");
}

/* Sleeps and wake-ups on one CPU, told by a task on the same or another CPU. */
static void steps(struct __test_metadata *_metadata, const struct policy *p,
		  int cpu_waker, int cpu_sleeper)
{
	struct worker *w = worker_start_on(cpu_sleeper, W_SLEEP, p->id);
	long long woken, blocked, turns;
	int i;

	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, pin(0, cpu_waker));
	ASSERT_TRUE(AWAIT(worker_blocked(w)));
	woken = policy_event(p, "task_wakeup");
	blocked = policy_event(p, "task_blocked");
	for (i = 0; i < 50; i++) {
		turns = worker_turns(w);
		worker_set(w, W_STEP);
		ASSERT_TRUE(AWAIT((long long)worker_turns(w) > turns && worker_blocked(w)));
		EXPECT_EQ(cpu_sleeper, cpu_of(w->pid));
	}
	EXPECT_LE(woken + 50, policy_event(p, "task_wakeup"));
	EXPECT_LE(blocked + 50, policy_event(p, "task_blocked"));
	unpin(0);
}

TEST_EACH(local_wakeup)
{
	steps(_metadata, self->p, nth_cpu_online(0), nth_cpu_online(0));
}

TEST_EACH(remote_wakeup)
{
	NEED_CPUS(2);
	steps(_metadata, self->p, nth_cpu_online(0), nth_cpu_online(1));
	steps(_metadata, self->p, nth_cpu_online(1), nth_cpu_online(0));
}

/* Two tasks that hand a word to each other as fast as they can. */
struct ball {
	int turn;
	int rounds;
};

static void play(struct ball *ball, int me)
{
	int i;

	for (i = 0; i < ball->rounds; i++) {
		int turn;

		while ((turn = __atomic_load_n(&ball->turn, __ATOMIC_ACQUIRE)) != me)
			syscall(SYS_futex, &ball->turn, FUTEX_WAIT, turn, NULL, NULL, 0);
		__atomic_store_n(&ball->turn, !me, __ATOMIC_RELEASE);
		syscall(SYS_futex, &ball->turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	}
}

/*
 * On two CPUs the wake-up often meets a task that has not gone to sleep yet:
 * still on the run queue, or off it and still on its CPU.
 */
static void ping_pong(struct __test_metadata *_metadata, const struct policy *p,
		      int cpu0, int cpu1, int id0, int id1)
{
	struct ball *ball = mmap(NULL, sizeof(*ball), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long long blocked = policy_event(p, "task_blocked");
	int me, status;
	pid_t pids[2];

	ASSERT_NE(MAP_FAILED, ball);
	ball->rounds = 2000;
	ball->turn = 2;
	for (me = 0; me < 2; me++) {
		pids[me] = test_fork();
		ASSERT_LE(0, pids[me]);
		if (!pids[me]) {
			int id = me ? id1 : id0;

			if (pin(0, me ? cpu1 : cpu0) || (id && enoki_attach(0, id)))
				_exit(1);
			play(ball, me);
			_exit(0);
		}
	}
	__atomic_store_n(&ball->turn, 0, __ATOMIC_RELEASE);
	syscall(SYS_futex, &ball->turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	for (me = 0; me < 2; me++) {
		ASSERT_EQ(pids[me], waitpid(pids[me], &status, 0));
		EXPECT_EQ(0, status);
	}
	EXPECT_LT(blocked, policy_event(p, "task_blocked"));
	munmap(ball, sizeof(*ball));
}

TEST_EACH(ping_pong_one_cpu)
{
	int cpu = nth_cpu_online(0), id = self->p->id;

	ping_pong(_metadata, self->p, cpu, cpu, id, id);
	ping_pong(_metadata, self->p, cpu, cpu, id, 0);
}

TEST_EACH(wakeup_while_on_rq)
{
	int cpu0 = nth_cpu_online(0), cpu1 = nth_cpu_online(1), id = self->p->id;

	NEED_CPUS(2);
	ping_pong(_metadata, self->p, cpu0, cpu1, id, id);
	ping_pong(_metadata, self->p, cpu0, cpu1, 0, id);
}

/* A signal that comes as the task goes to sleep: it stays, nothing is dequeued. */
TEST_EACH(signals)
{
	struct worker *w = worker_start_on(-1, W_NAP, self->p->id);
	int i;

	ASSERT_NE(NULL, w);
	for (i = 0; i < 300; i++) {
		ASSERT_EQ(0, kill(w->pid, SIGSTOP));
		ASSERT_EQ(0, kill(w->pid, SIGCONT));
	}
	EXPECT_TRUE(worker_lives(w));
}

TEST_EACH(yield)
{
	int cpu = nth_cpu_online(0);
	long long yields = COUNT(task_yield);
	struct worker *a = worker_start_on(cpu, W_YIELD, self->p->id);
	struct worker *b = worker_start_on(cpu, W_YIELD, self->p->id);

	ASSERT_NE(NULL, a);
	ASSERT_NE(NULL, b);
	ASSERT_TRUE(AWAIT(worker_turns(a) > 200 && worker_turns(b) > 200));
	EXPECT_LE(yields + 400, COUNT(task_yield));
}

/* Who yields alone goes on alone. */
TEST_EACH(yield_alone)
{
	struct worker *w = worker_start_on(nth_cpu_online(0), W_YIELD, self->p->id);

	ASSERT_NE(NULL, w);
	EXPECT_TRUE(AWAIT(worker_turns(w) > 500));
}

TEST_EACH(take_turns)
{
	int cpu = nth_cpu_online(0);
	long long ticks = COUNT(task_tick), picks = COUNT(pick_next_task);
	struct worker *a = worker_start_on(cpu, W_SPIN, self->p->id);
	struct worker *b = worker_start_on(cpu, W_SPIN, self->p->id);
	int i;

	ASSERT_NE(NULL, a);
	ASSERT_NE(NULL, b);
	for (i = 0; i < 10; i++) {
		EXPECT_TRUE(worker_lives(a));
		EXPECT_TRUE(worker_lives(b));
	}
	EXPECT_LT(picks, COUNT(pick_next_task));
	EXPECT_LT(ticks, COUNT(task_tick));
}

/* A higher class comes and goes many times over: the token must come back. */
TEST_EACH(preempted_by_rt)
{
	int cpu = nth_cpu_online(0), i;
	struct worker *w = worker_start_on(cpu, W_SPIN, self->p->id);
	long long preempted = COUNT(task_preempt);

	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, pin(0, cpu));
	for (i = 0; i < 200; i++)
		nap(1000);
	EXPECT_TRUE(worker_lives(w));
	EXPECT_LT(preempted, COUNT(task_preempt));
	unpin(0);
}

/* By force to another CPU: while it runs (the stopper), waits, and sleeps. */
TEST_EACH(migrate_running)
{
	struct worker *w;
	int i;

	NEED_CPUS(2);
	w = worker_start_on(nth_cpu_online(0), W_SPIN, self->p->id);
	ASSERT_NE(NULL, w);
	for (i = 1; i < 40; i++) {
		int cpu = nth_cpu_online(i % 2);
		long long migrated = COUNT(task_migrated);

		ASSERT_TRUE(worker_lives(w));
		ASSERT_EQ(0, pin(w->pid, cpu));
		EXPECT_TRUE(AWAIT(cpu_of(w->pid) == cpu));
		EXPECT_TRUE(worker_lives(w));
		EXPECT_LT(migrated, COUNT(task_migrated));
	}
}

TEST_EACH(migrate_queued)
{
	int i, k;

	NEED_CPUS(2);
	for (i = 0; i < 4; i++)
		ASSERT_NE(NULL, worker_start_on(nth_cpu_online(0), W_SPIN, self->p->id));
	for (i = 1; i < 20; i++) {
		int cpu = nth_cpu_online(i % 2);
		long long asked = COUNT(migrate_task_rq);

		/* At most one of the four runs, so at least three were waiting. */
		for (k = 0; k < 4; k++)
			ASSERT_EQ(0, pin(nth_worker(k)->pid, cpu));
		for (k = 0; k < 4; k++)
			EXPECT_TRUE(AWAIT(cpu_of(nth_worker(k)->pid) == cpu));
		EXPECT_TRUE(worker_lives(nth_worker(i % 4)));
		EXPECT_LT(asked, COUNT(migrate_task_rq));
	}
}

TEST_EACH(migrate_sleeping)
{
	struct worker *w;
	int i;

	NEED_CPUS(2);
	w = worker_start_on(nth_cpu_online(0), W_SLEEP, self->p->id);
	ASSERT_NE(NULL, w);
	for (i = 1; i < 40; i++) {
		int cpu = nth_cpu_online(i % 2);
		unsigned long turns = worker_turns(w);

		ASSERT_TRUE(AWAIT(worker_asleep(w)));
		ASSERT_EQ(0, pin(w->pid, cpu));
		worker_set(w, W_STEP);
		ASSERT_TRUE(AWAIT(worker_turns(w) > turns));
		EXPECT_EQ(cpu, cpu_of(w->pid));
	}
}

/* Nice, affinity and cgroup change under a task that runs, waits and sleeps. */
static void change_all(struct __test_metadata *_metadata, const struct policy *p,
		       struct worker *w, bool asleep)
{
	long long prio, affinity;
	const char *cgroup = cgroup_make("events", "+cpu");
	cpu_set_t cpus;
	int i;

	prio = policy_event(p, "task_prio_changed");
	for (i = 1; i <= 10; i++)
		ASSERT_EQ(0, setpriority(PRIO_PROCESS, w->pid, i));
	/* A sleeping task is on no run queue, its policy may hear of it later. */
	if (!asleep)
		EXPECT_LE(prio + 10, policy_event(p, "task_prio_changed"));
	ASSERT_EQ(0, setpriority(PRIO_PROCESS, w->pid, 0));

	ASSERT_EQ(0, sched_getaffinity(w->pid, sizeof(cpus), &cpus));
	affinity = policy_event(p, "task_affinity_changed");
	for (i = 0; i < 10; i++) {
		ASSERT_EQ(0, pin(w->pid, cpu_of(w->pid)));
		ASSERT_EQ(0, sched_setaffinity(w->pid, sizeof(cpus), &cpus));
	}
	/* The mask differs only where there is more than one CPU to name. */
	if (!asleep && CPU_COUNT(&cpus) > 1)
		EXPECT_LE(affinity + 10, policy_event(p, "task_affinity_changed"));

	for (i = 0; cgroup && i < 10; i++) {
		EXPECT_EQ(0, cgroup_enter(cgroup, w->pid)) TH_LOG("%m");
		EXPECT_EQ(0, cgroup_enter(NULL, w->pid)) TH_LOG("%m");
	}
	cgroup_remove_all();
	EXPECT_EQ(SCHED_ENOKI, sched_getscheduler(w->pid));
}

TEST_EACH(changes)
{
	int cpu = nth_cpu_online(0);
	struct worker *sleeper = worker_start_on(-1, W_SLEEP, self->p->id);
	struct worker *alone = worker_start_on(-1, W_SPIN, self->p->id);
	int i;

	ASSERT_NE(NULL, sleeper);
	ASSERT_NE(NULL, alone);
	ASSERT_TRUE(AWAIT(worker_asleep(sleeper)));
	ASSERT_TRUE(worker_lives(alone));
	change_all(_metadata, self->p, alone, false);
	change_all(_metadata, self->p, sleeper, true);
	/* And with a crowd on one CPU, most of which wait. */
	ASSERT_EQ(0, pin(alone->pid, cpu));
	for (i = 0; i < 3; i++)
		ASSERT_NE(NULL, worker_start_on(cpu, W_SPIN, self->p->id));
	for (i = 0; i < nr_workers(); i++)
		change_all(_metadata, self->p, nth_worker(i), nth_worker(i) == sleeper);
	worker_set(sleeper, W_SPIN);
	for (i = 0; i < nr_workers(); i++)
		EXPECT_TRUE(worker_lives(nth_worker(i)));
}

/* A cgroup that takes away the CPU a task is on takes the task with it. */
TEST_EACH(cpuset)
{
	static const enum worker_mode modes[] = { W_SPIN, W_SLEEP, W_NAP };
	char cpus[2][16];
	const char *cgroup;
	int i, k;

	NEED_CPUS(2);
	cgroup = cgroup_make("cpuset", "+cpuset +cpu");
	if (!cgroup)
		SKIP(return, "no cgroup2 with cpuset");
	for (i = 0; i < 2; i++)
		snprintf(cpus[i], sizeof(cpus[i]), "%d", nth_cpu_online(i));
	for (i = 0; i < 6; i++) {
		ASSERT_NE(NULL, worker_start_on(-1, modes[i % 3], self->p->id));
		ASSERT_EQ(0, cgroup_enter(cgroup, nth_worker(i)->pid)) TH_LOG("%m");
	}
	for (k = 0; k < 10; k++) {
		int cpu = nth_cpu_online(k % 2);

		ASSERT_EQ(0, cgroup_write(cgroup, "cpuset.cpus", cpus[k % 2]));
		for (i = 0; i < 6; i += 3) {
			EXPECT_TRUE(AWAIT(cpu_of(nth_worker(i)->pid) == cpu));
			EXPECT_TRUE(worker_lives(nth_worker(i)));
		}
	}
	for (i = 0; i < 6; i++) {
		worker_set(nth_worker(i), W_SPIN);
		EXPECT_TRUE(worker_lives(nth_worker(i)));
	}
	for (i = 0; i < 6; i++)
		EXPECT_EQ(0, cgroup_enter(NULL, nth_worker(i)->pid));
}

/* The scheduler's own list of what each CPU does knows Enoki. */
TEST_EACH(debugfs)
{
	struct worker *w = worker_start_on(nth_cpu_online(0), W_SPIN, self->p->id);
	char line[512];
	bool found = false;
	FILE *file;

	ASSERT_NE(NULL, w);
	ASSERT_TRUE(worker_lives(w));
	file = fopen(DEBUGFS "/sched/debug", "r");
	if (!file)
		SKIP(return, "no debugfs with the scheduler's state");
	while (fgets(line, sizeof(line), file))
		found |= !!strcasestr(line, "enoki");
	fclose(file);
	EXPECT_TRUE(found);
}

ENOKI_HARNESS_MAIN
