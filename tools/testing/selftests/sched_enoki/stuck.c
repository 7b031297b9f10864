// SPDX-License-Identifier: GPL-2.0
/*
 * A CPU is stuck: in a policy that does not return, or with a policy's tasks on it.
 * The kernel's detectors find it, the policy is ejected for it and named with the
 * call, its tasks on other CPUs go on at once, and those on this one as soon as it
 * comes back. Needs four CPUs, the last one isolated: see stuck.h.
 */
#include <linux/membarrier.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#include "fixture.h"
#include "stuck.h"

/*
 * More than enough for every detector at its settings below, and for what it prints, before
 * the policy is told that all was seen; only if that fails is it the end of the hanging.
 */
#define HANG_MS		120000

#define NMI_WATCHDOG	"/proc/sys/kernel/nmi_watchdog"
#define SOFT_WATCHDOG	"/proc/sys/kernel/soft_watchdog"
#define WATCHDOG_THRESH	"/proc/sys/kernel/watchdog_thresh"
#define STALL_SUPPRESS	"/sys/module/rcupdate/parameters/rcu_cpu_stall_suppress"
#define STALL_TIMEOUT	"/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout"
#define STALL_DEFAULT	"21"

/* One beside the policy's two that get stuck, and one of another policy. */
struct others {
	struct worker *same, *fifo;
};

static struct others others_start(void)
{
	return (struct others){
		.same = worker_start_on(SAFE_CPU, W_NAP, stuck.id),
		.fifo = worker_start_on(SAFE_CPU, W_NAP, fifo.id),
	};
}

static bool others_go_on(const struct others *o)
{
	return AWAIT(sched_getscheduler(o->same->pid) == SCHED_OTHER) && worker_lives(o->same) &&
	       sched_getscheduler(o->fifo->pid) == SCHED_ENOKI && worker_lives(o->fifo) &&
	       policy_in_office(&fifo);
}

#define NEED_STUCK_CPU() do {						\
	const char *__unfit = stuck_unfit();				\
									\
	if (__unfit)							\
		SKIP(return, "%s", __unfit);				\
} while (0)

#define LOAD_STUCK(hang_ms) do {					\
	if (stuck_load(hang_ms)) {					\
		ASSERT_EQ(ENOENT, errno) TH_LOG("%m; %s", last_error()); \
		SKIP(return, "test_modules/enoki_stuck.ko is not built"); \
	}								\
} while (0)

/* The policy is out of office while the CPU is still stuck, and all is well after it. */
static void comes_back(struct __test_metadata *_metadata, const char *reason)
{
	struct others others = others_start();
	char words[128];

	ASSERT_NE(NULL, others.same);
	ASSERT_NE(NULL, others.fifo);
	ASSERT_TRUE(stuck_keep_apart());
	ASSERT_TRUE(stuck_springs());
	/* Somebody waits for all CPUs to have been through a quiescent state. */
	if (!test_fork())
		_exit(!!syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
	ASSERT_TRUE(AWAIT(!policy_in_office(&stuck)));
	EXPECT_TRUE(others_go_on(&others));
	/* Those two, and the other one until its memory is freed. */
	EXPECT_LE(2, policy_nr_tasks(&stuck));
	EXPECT_TRUE(AWAIT(last_exit_says("policy stuck, ")));
	snprintf(words, sizeof(words), "\nreason: %s: CPU %d ", reason, stuck_cpu());
	EXPECT_TRUE(last_exit_says(words));
	EXPECT_TRUE(last_exit_says(": it is in the policy, in pick_next_task\n"));
	snprintf(words, sizeof(words), "\nCPU %d: in this policy, in pick_next_task\n",
		 stuck_cpu());
	EXPECT_TRUE(last_exit_says(words));

	EXPECT_EQ(0, write_str(STUCK_SEEN, "1"));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(&stuck) == 0));
	EXPECT_TRUE(workers_live());
	workers_end(0);
	EXPECT_TRUE(policy_unload(&stuck));
}

TEST_ENOKI(hard_lockup)
{
	NEED_STUCK_CPU();
	if (access(NMI_WATCHDOG, W_OK))
		SKIP(return, "this kernel has no CONFIG_HARDLOCKUP_DETECTOR");
	LOAD_STUCK(HANG_MS);
	/* When the CPU comes back it would find that it had been stuck. */
	ASSERT_EQ(0, write_str(SOFT_WATCHDOG, "0"));
	ASSERT_EQ(0, write_str(STALL_SUPPRESS, "1"));
	ASSERT_EQ(0, write_str(WATCHDOG_THRESH, "3"));
	comes_back(_metadata, "hard_lockup");
	EXPECT_EQ(0, write_str(WATCHDOG_THRESH, "10"));
	EXPECT_EQ(0, write_str(STALL_SUPPRESS, "0"));
	EXPECT_EQ(0, write_str(SOFT_WATCHDOG, "1"));
}

TEST_ENOKI(rcu_stall)
{
	NEED_STUCK_CPU();
	LOAD_STUCK(HANG_MS);
	if (!access(NMI_WATCHDOG, W_OK))
		ASSERT_EQ(0, write_str(NMI_WATCHDOG, "0"));
	ASSERT_EQ(0, write_str(SOFT_WATCHDOG, "0"));
	ASSERT_EQ(0, write_str(STALL_TIMEOUT, "3"));
	comes_back(_metadata, "rcu_stall");
	EXPECT_EQ(0, write_str(STALL_TIMEOUT, STALL_DEFAULT));
	EXPECT_EQ(0, write_str(SOFT_WATCHDOG, "1"));
	if (!access(NMI_WATCHDOG, W_OK))
		EXPECT_EQ(0, write_str(NMI_WATCHDOG, "1"));
}

/*
 * The kernel keeps the CPU for so long that it seems to become a soft lockup: that is
 * after 15 s, looked at every 4 s; by a loop that may take much longer on an emulated
 * CPU. It may be for the sake of the policies whose tasks wait there.
 */
static pid_t keep_cpu_busy(void)
{
	const char *const argv[] = {
		"modprobe", "test_lockup", "time_secs=22", "disable_preempt=1", NULL
	};
	pid_t pid = test_fork();

	if (!pid)
		_exit(pin(0, stuck_cpu()) || set_class(0, SCHED_FIFO, CONTROL_PRIO) ||
		      run_cmd(argv));
	return pid;
}

TEST_ENOKI(soft_lockup)
{
	const char *const look_for[] = { "modprobe", "-nq", "test_lockup", NULL };
	struct worker *there, *elsewhere;
	char words[64];
	pid_t busy;

	NEED_STUCK_CPU();
	if (run_cmd(look_for))
		SKIP(return, "this kernel has no CONFIG_TEST_LOCKUP");
	there = worker_start_on(stuck_cpu(), W_SPIN, wfq.id);
	elsewhere = worker_start_on(SAFE_CPU, W_NAP, fifo.id);
	ASSERT_NE(NULL, there);
	ASSERT_NE(NULL, elsewhere);
	ASSERT_TRUE(worker_lives(there));
	ASSERT_EQ(0, write_str("/proc/sys/kernel/softlockup_panic", "0"));
	busy = keep_cpu_busy();
	ASSERT_LT(0, busy);
	ASSERT_TRUE(AWAIT(!policy_in_office(&wfq)));
	EXPECT_TRUE(AWAIT(last_exit_says("policy wfq, ")));
	snprintf(words, sizeof(words), "\nreason: soft_lockup: CPU %d, ", stuck_cpu());
	EXPECT_TRUE(last_exit_says(words));
	EXPECT_TRUE(AWAIT(sched_getscheduler(there->pid) == SCHED_OTHER));
	EXPECT_TRUE(policy_in_office(&fifo));
	EXPECT_EQ(SCHED_ENOKI, sched_getscheduler(elsewhere->pid));
	/* The one that is there can go on only then. */
	ASSERT_EQ(busy, waitpid(busy, NULL, 0));
	EXPECT_TRUE(workers_live());
	workers_end(0);
	EXPECT_TRUE(policy_reload(&wfq));
	EXPECT_EQ(0, write_str("/proc/sys/kernel/softlockup_panic", "1"));
}

ENOKI_HARNESS_MAIN
