// SPDX-License-Identifier: GPL-2.0
/*
 * Every refusal: its errno, the words in last_error, and that the task is left
 * exactly as it was. Module loading folds some errnos on the way to user space,
 * so refused loads are told apart by the words.
 *
 * Failing allocations need CONFIG_FAILSLAB; without it those tests are skipped.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_ONCE
#define ENOKI_EACH_POLICY
#include "fixture.h"

#define UNUSED_ID	77

/* What sched_setscheduler() may change of a task. */
struct state {
	struct enoki_attr attr;
	cpu_set_t cpus;
	long tasks[NR_POLICIES];
};

static void state_of(pid_t pid, struct state *s)
{
	size_t i;

	memset(s, 0, sizeof(*s));
	attr_get(pid, &s->attr);
	sched_getaffinity(pid, sizeof(s->cpus), &s->cpus);
	for (i = 0; i < NR_POLICIES; i++)
		s->tasks[i] = policy_nr_tasks(policies[i]);
}

static bool unchanged(pid_t pid, const struct state *before)
{
	struct state now;

	state_of(pid, &now);
	return !memcmp(&now, before, sizeof(now));
}

/* Attach with @id must fail with @error and change nothing. */
#define EXPECT_REFUSED(w, id, error) do {				\
	struct state __before;						\
									\
	state_of((w)->pid, &__before);					\
	EXPECT_EQ(-1, enoki_attach((w)->pid, (id)));			\
	EXPECT_EQ((error), errno);					\
	EXPECT_TRUE(unchanged((w)->pid, &__before));			\
} while (0)

/* The words of the latest refusal name what they are about. */
static bool words_name(const char *what)
{
	if (strstr(last_error(), what))
		return true;
	fprintf(stderr, "# \"%s\" is not in last_error: %s\n", what, last_error());
	return false;
}

TEST_EACH(ids)
{
	struct worker *w = worker_start(W_SPIN);
	int attached;

	ASSERT_NE(NULL, w);
	ASSERT_EQ(0, setpriority(PRIO_PROCESS, w->pid, 7));
	for (attached = 0; attached < 2; attached++) {
		if (attached)
			ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
		EXPECT_REFUSED(w, 0, EINVAL);
		EXPECT_REFUSED(w, -1, EINVAL);
		EXPECT_REFUSED(w, 100, EINVAL);
		EXPECT_REFUSED(w, UNUSED_ID, ENODEV);
		EXPECT_TRUE(words_name("77"));
		EXPECT_TRUE(worker_lives(w));
	}
}

/* KEEP_PARAMS keeps what a task has: one that has no policy does not get one. */
TEST_ENOKI(no_id_to_keep)
{
	struct worker *w = worker_start(W_SPIN);
	struct enoki_attr attr = {
		.sched_policy = SCHED_ENOKI,
		.sched_flags = ATTR_KEEP_PARAMS,
		.sched_priority = 1,
	};
	struct state before;

	ASSERT_NE(NULL, w);
	state_of(w->pid, &before);
	attr_set(w->pid, &attr);
	EXPECT_TRUE(unchanged(w->pid, &before));
	EXPECT_TRUE(worker_lives(w));
}

TEST_ENOKI(no_such_task)
{
	EXPECT_EQ(-1, enoki_attach(0x3ffffff, fifo.id));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ(-1, enoki_attach(-5, fifo.id));
	EXPECT_EQ(EINVAL, errno);
}

/* An ordinary user may not enter, nor move between policies; leaving is free. */
TEST_EACH(not_capable)
{
	struct worker *w = worker_start(W_SPIN);
	int status;
	pid_t pid;

	ASSERT_NE(NULL, w);
	pid = test_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct state before;

		if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
			_exit(1);
		state_of(0, &before);
		if (!enoki_attach(0, self->p->id))
			_exit(2);
		if (errno != EPERM)
			_exit(3);
		if (!unchanged(0, &before))
			_exit(4);
		/* Nor somebody else's task. */
		if (!enoki_attach(w->pid, self->p->id) || errno != EPERM)
			_exit(5);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("step %d", WEXITSTATUS(status));
	EXPECT_EQ(SCHED_OTHER, sched_getscheduler(w->pid));

	pid = test_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		struct sched_param param = {
			.sched_priority = other_policy(self->p)->id,
		};

		if (enoki_attach(0, self->p->id))
			_exit(1);
		if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
			_exit(2);
		if (!sched_setparam(0, &param) || errno != EPERM)
			_exit(3);
		if (sched_getscheduler(0) != SCHED_ENOKI)
			_exit(4);
		if (enoki_detach(0))
			_exit(5);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("step %d", WEXITSTATUS(status));
}

/* The pid of a kernel thread by its name, 0 if there is none. */
static pid_t kthread_named(const char *name)
{
	char path[300], comm[64];
	struct dirent *entry;
	pid_t found = 0;
	DIR *proc = opendir("/proc");

	while (proc && !found && (entry = readdir(proc))) {
		if (!atoi(entry->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		if (read_line(path, comm, sizeof(comm)) && !strcmp(comm, name))
			found = atoi(entry->d_name);
	}
	if (proc)
		closedir(proc);
	return found;
}

TEST_EACH(kernel_threads)
{
	static const char *const bound[] = { "ksoftirqd/0", "migration/0", "cpuhp/0" };
	static const char *const free_ones[] = { "khungtaskd", "oom_reaper", "kswapd0" };
	pid_t pid = 0;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bound); i++) {
		int class;

		pid = kthread_named(bound[i]);
		if (!pid)
			continue;
		class = sched_getscheduler(pid);
		EXPECT_EQ(-1, enoki_attach(pid, self->p->id));
		EXPECT_EQ(EINVAL, errno);
		EXPECT_EQ(class, sched_getscheduler(pid));
		EXPECT_NE('\0', last_error()[0]);
	}
	for (i = 0, pid = 0; i < ARRAY_SIZE(free_ones) && !pid; i++)
		pid = kthread_named(free_ones[i]);
	if (!pid)
		SKIP(return, "no kernel thread that may go everywhere");
	ASSERT_EQ(0, enoki_attach(pid, self->p->id));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
	EXPECT_EQ(0, enoki_detach(pid));
}

/* A policy with tasks stays, and goes on working. */
TEST_EACH(module_in_use)
{
	static const enum worker_mode modes[] = { W_SPIN, W_SLEEP };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		struct worker *w = worker_start_on(-1, modes[i], self->p->id);

		ASSERT_NE(NULL, w);
		if (modes[i] == W_SLEEP)
			ASSERT_TRUE(AWAIT(worker_asleep(w)));
		EXPECT_EQ(-1, module_unload(self->p->module));
		EXPECT_TRUE(errno == EWOULDBLOCK || errno == EBUSY) TH_LOG("%m");
		EXPECT_TRUE(module_loaded(self->p->module));
		worker_set(w, W_SPIN);
		EXPECT_TRUE(worker_lives(w));
		worker_stop(w);
		ASSERT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
	}
	EXPECT_TRUE(policy_unload(self->p));
	EXPECT_EQ(-1, policy_nr_tasks(self->p));
	EXPECT_EQ(0, module_load(self->p->module));
}

/* An id whose policy has gone is an unknown id again. */
TEST_EACH(policy_gone)
{
	struct worker *w = worker_start(W_SPIN);

	ASSERT_NE(NULL, w);
	ASSERT_TRUE(policy_unload(self->p));
	EXPECT_REFUSED(w, self->p->id, ENODEV);
	ASSERT_EQ(0, module_load(self->p->module));
	EXPECT_EQ(0, enoki_attach(w->pid, self->p->id));
	EXPECT_TRUE(worker_lives(w));
}

static bool has_param(const char *module, const char *param)
{
	char cmd[128], line[128];
	bool found = false;
	FILE *out;

	snprintf(cmd, sizeof(cmd), "modinfo -p %s 2>/dev/null", module);
	out = popen(cmd, "r");
	while (out && fgets(line, sizeof(line), out))
		found |= !strncmp(line, param, strlen(param)) && line[strlen(param)] == ':';
	if (out)
		pclose(out);
	return found;
}

/* A second policy with an id that is taken does not load, and says why. */
TEST_ENOKI(id_taken)
{
	struct worker *w;

	if (!has_param("enoki_wfq", "id"))
		SKIP(return, "enoki_wfq cannot be given an id");
	ASSERT_TRUE(policy_unload(&wfq));
	EXPECT_NE(0, module_load_with("enoki_wfq", "id=1"));
	EXPECT_FALSE(module_loaded("enoki_wfq"));
	EXPECT_EQ(-1, policy_nr_tasks(&wfq));
	EXPECT_TRUE(words_name("1"));
	EXPECT_TRUE(words_name("fifo"));
	/* The one that has it is not disturbed. */
	w = worker_start_on(-1, W_SPIN, fifo.id);
	ASSERT_NE(NULL, w);
	EXPECT_TRUE(worker_lives(w));
	EXPECT_EQ(0, module_load("enoki_wfq"));
}

/* The calling task's fail-nth; open before it is used, for opening it allocates. */
static int fail_fd = -1;

static bool failslab_ready(void)
{
	fail_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return fail_fd >= 0 && !write_str(DEBUGFS "/failslab/ignore-gfp-wait", "N");
}

/* The n-th allocation of this task from now on fails; see fault-injection.rst. */
static void fail_nth(int n)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", n);

	if (pwrite(fail_fd, text, len, 0) != len)
		perror("# fail-nth");
}

/* True when the n-th allocation was reached. */
static bool fail_nth_done(void)
{
	char text[16] = "";
	bool reached = pread(fail_fd, text, sizeof(text) - 1, 0) > 0 && !atoi(text);

	fail_nth(0);
	return reached;
}

/* Attaching fails cleanly whichever of its allocations does. */
TEST_EACH(no_memory_to_attach)
{
	struct worker *w = worker_start(W_SPIN);
	bool reached = true;
	int n, failed = 0;

	ASSERT_NE(NULL, w);
	if (!failslab_ready())
		SKIP(return, "no CONFIG_FAILSLAB");
	for (n = 1; reached && n < 100; n++) {
		struct state before;
		int err, error;

		ASSERT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
		state_of(w->pid, &before);
		fail_nth(n);
		err = enoki_attach(w->pid, self->p->id);
		error = errno;
		reached = fail_nth_done();
		if (err) {
			failed++;
			EXPECT_EQ(ENOMEM, error);
			ASSERT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
			EXPECT_TRUE(unchanged(w->pid, &before));
			EXPECT_TRUE(worker_lives(w));
			continue;
		}
		EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
		ASSERT_EQ(0, enoki_detach(w->pid));
	}
	EXPECT_FALSE(reached);
	EXPECT_LT(0, failed);
}

/* So does moving to another policy: the task stays with the one it has. */
TEST_EACH(no_memory_to_move)
{
	const struct policy *to = other_policy(self->p);
	struct worker *w = worker_start_on(-1, W_SPIN, self->p->id);
	bool reached = true;
	int n;

	ASSERT_NE(NULL, w);
	if (!failslab_ready())
		SKIP(return, "no CONFIG_FAILSLAB");
	for (n = 1; reached && n < 100; n++) {
		int err, error;

		fail_nth(n);
		err = enoki_attach(w->pid, to->id);
		error = errno;
		reached = fail_nth_done();
		if (err) {
			EXPECT_EQ(ENOMEM, error);
			EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 1));
			EXPECT_TRUE(AWAIT(policy_nr_tasks(to) == 0));
			EXPECT_TRUE(worker_lives(w));
			continue;
		}
		EXPECT_TRUE(AWAIT(policy_nr_tasks(to) == 1));
		ASSERT_EQ(0, enoki_attach(w->pid, self->p->id));
	}
	EXPECT_FALSE(reached);
}

/* And fork: an attached parent gets ENOMEM or a child, and keeps its policy. */
TEST_EACH(no_memory_to_fork)
{
	int status;
	pid_t pid;

	if (!failslab_ready())
		SKIP(return, "no CONFIG_FAILSLAB");
	pid = test_fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		bool reached = true;
		int n, failed = 0;

		/* Its own, not its parent's. */
		if (!failslab_ready() || enoki_attach(0, self->p->id))
			_exit(1);
		for (n = 1; reached && n < 400; n++) {
			pid_t child;

			fail_nth(n);
			child = test_fork();
			if (!child)
				_exit(0);
			reached = fail_nth_done();
			if (child < 0)
				failed++;
			else if (waitpid(child, NULL, 0) != child)
				_exit(2);
		}
		if (reached || !failed)
			_exit(3);
		_exit(sched_getscheduler(0) == SCHED_ENOKI ? 0 : 4);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status) TH_LOG("step %d", WEXITSTATUS(status));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(self->p) == 0));
}

ENOKI_HARNESS_MAIN
