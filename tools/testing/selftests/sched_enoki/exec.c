// SPDX-License-Identifier: GPL-2.0
/*
 * execve: it may move the task to another CPU first (the stopper does), and from a
 * thread that is not the leader it makes that thread the leader, under the leader's
 * pid, while the leader and the others end. What was attached stays attached, and
 * what is gone is not counted.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_EACH_POLICY
#include "fixture.h"

#define NR_THREADS	4

struct plan {
	int leader_id;		/* policy of each, 0 for none */
	int thread_id;
	bool busy;
};

static void *spin(void *arg)
{
	int id = *(int *)arg;

	if (id && enoki_attach(0, id))
		_exit(3);
	for (;;)
		burn(1000);
	return NULL;
}

static void *exec_self(void *arg)
{
	struct plan *plan = arg;

	if (plan->thread_id ? enoki_attach(0, plan->thread_id) : enoki_detach(0))
		_exit(3);
	execl("/proc/self/exe", "exec", "--executed", NULL);
	_exit(4);
	return NULL;
}

/* The child of a test: threads that spin, and one that calls execve(). */
static void process(struct plan *plan)
{
	pthread_t threads[NR_THREADS];
	int i;

	if (plan->leader_id && enoki_attach(0, plan->leader_id))
		_exit(3);
	/* That one last: while a thread is in execve() no other can be made. */
	for (i = 1; i <= NR_THREADS; i++) {
		bool last = i == NR_THREADS;

		if (pthread_create(&threads[i - 1], NULL, last ? exec_self : spin,
				   last ? (void *)plan : &plan->thread_id))
			_exit(5);
	}
	while (plan->busy)
		burn(1000);
	for (;;)
		pause();
}

/* What runs after execve(): stays until it is killed, doing a little. */
static void __noreturn executed(void)
{
	for (;;) {
		burn(1000);
		nap(500);
	}
}

static bool has_executed(pid_t pid)
{
	char path[64], line[64] = "";

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	if (!read_line(path, line, sizeof(line)))
		return false;
	return !strcmp(line, "exec") && !strcmp(line + sizeof("exec"), "--executed");
}

static void non_leader(struct __test_metadata *_metadata, const struct policy *p,
		       int leader_id, int thread_id)
{
	int i, status;

	for (i = 0; i < 6; i++) {
		struct plan plan = {
			.leader_id = leader_id,
			.thread_id = thread_id,
			.busy = i % 2,
		};
		uint64_t before;
		pid_t pid = test_fork();

		ASSERT_LE(0, pid);
		if (!pid)
			process(&plan);
		ASSERT_TRUE(AWAIT(has_executed(pid))) {
			int done = waitpid(pid, &status, WNOHANG);

			TH_LOG("round %d: state %c, waitpid %d, status %#x", i,
			       proc_state(pid), done, status);
		}
		EXPECT_EQ(thread_id ? SCHED_ENOKI : SCHED_OTHER, sched_getscheduler(pid));
		EXPECT_TRUE(AWAIT(policy_nr_tasks(p) == (thread_id ? 1 : 0)));
		before = cpu_time(pid);
		EXPECT_TRUE(AWAIT(cpu_time(pid) > before));
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("ended by itself: %d", status >> 8);
		EXPECT_TRUE(AWAIT(policy_nr_tasks(p) == 0));
	}
}

TEST_EACH(thread_of_an_attached_leader)
{
	non_leader(_metadata, self->p, self->p->id, self->p->id);
}

TEST_EACH(attached_thread_of_another_leader)
{
	non_leader(_metadata, self->p, 0, self->p->id);
}

TEST_EACH(other_thread_of_an_attached_leader)
{
	non_leader(_metadata, self->p, self->p->id, 0);
}

/* Many execs on a busy machine, so that some of them move to another CPU. */
TEST_EACH(moves)
{
	int i, status, cpus = nr_cpus_online();
	pid_t pids[16];

	for (i = 0; i < cpus; i++)
		ASSERT_NE(NULL, worker_start_on(nth_cpu_online(0), W_SPIN, self->p->id));
	for (i = 0; i < 16; i++) {
		pids[i] = test_fork();
		ASSERT_LE(0, pids[i]);
		if (!pids[i]) {
			if (pin(0, nth_cpu_online(0)) || enoki_attach(0, self->p->id))
				_exit(3);
			unpin(0);
			execl("/proc/self/exe", "exec", "--executed", NULL);
			_exit(4);
		}
	}
	for (i = 0; i < 16; i++) {
		ASSERT_TRUE(AWAIT(has_executed(pids[i])));
		EXPECT_EQ(SCHED_ENOKI, sched_getscheduler(pids[i]));
	}
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 16 + cpus));
	for (i = 0; i < 16; i++) {
		kill(pids[i], SIGKILL);
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--executed"))
		executed();
	enoki_require();
	return test_harness_run(argc, argv);
}
