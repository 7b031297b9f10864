// SPDX-License-Identifier: GPL-2.0
/*
 * A policy is put out of office, removed, loaded and given its tasks again, over and
 * over, while tasks fork, exec, end and attach themselves and CPUs go and come. No
 * task is lost, and nothing is left behind.
 *
 * STORM_CYCLES in the environment is how often. If it is set there are more tasks,
 * stress-ng runs beside, and it is seen that no memory is lost.
 */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ENOKI_EACH_POLICY
#include "fixture.h"

#define NR_CYCLES	4
#define STORM_SECONDS	7200
#define KMEMLEAK	DEBUGFS "/kmemleak"

static int cycles(void)
{
	const char *n = getenv("STORM_CYCLES");

	return n ? atoi(n) : 0;
}

/* Tasks of every kind, attached to @p, most of them asleep. */
static bool crowd(const struct policy *p)
{
	const enum worker_mode modes[] = {
		W_SPIN, W_NAP, W_FORK, W_SLEEP, W_YIELD, W_SLEEP, W_SLEEP, W_NAP, W_SLEEP, W_SLEEP,
		W_SLEEP, W_NAP, W_SLEEP, W_SLEEP, W_NAP, W_SLEEP, W_SLEEP, W_SLEEP, W_NAP, W_SLEEP,
	};
	int nr = cycles() ? 200 : 20, i;

	for (i = 0; i < nr; i++)
		if (!worker_start_on(-1, modes[i % ARRAY_SIZE(modes)], p->id))
			return false;
	return true;
}

/* Is everybody alive, awake or not? */
static bool all_live(void)
{
	unsigned long before[MAX_WORKERS];
	bool ok = true;
	int i;

	for (i = 0; i < nr_workers(); i++) {
		before[i] = worker_turns(nth_worker(i));
		if (nth_worker(i)->mode == W_SLEEP)
			worker_set(nth_worker(i), W_STEP);
	}
	for (i = 0; i < nr_workers(); i++)
		ok = AWAIT(worker_turns(nth_worker(i)) > before[i]) && ok;
	return ok;
}

/* Has nobody a policy any more, and is everybody alive? */
static bool all_went_on(void)
{
	bool ok = true;
	int i;

	for (i = 0; i < nr_workers(); i++)
		ok = sched_getscheduler(nth_worker(i)->pid) == SCHED_OTHER && ok;
	return all_live() && ok;
}

static int over;

static void end_soon(int sig)
{
	__atomic_store_n(&over, 1, __ATOMIC_RELAXED);
}

/* Starts a program again and again, under a policy that may be gone by now. */
static void __noreturn comes_and_goes(int id, const char *const argv[])
{
	signal(SIGTERM, end_soon);
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		pid_t pid = fork();

		if (!pid) {
			enoki_attach(0, id);
			if (prng_below(2) || argv[1])
				execvp(argv[0], (char *const *)argv);
			_exit(0);
		}
		while (pid > 0 && waitpid(pid, NULL, 0) != pid)
			;
	}
	_exit(0);
}

/* CPUs go and come, whatever else happens. */
static void __noreturn plugs(void)
{
	int cpus = nr_cpus_online(), cpu;

	signal(SIGTERM, end_soon);
	while (cpus > 1 && !__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		cpu = 1 + prng_below(cpus - 1);
		if (cpu_set_online(cpu, false))
			_exit(1);
		nap(prng_below(20000));
		if (cpu_set_online(cpu, true))
			_exit(1);
		nap(prng_below(200000));
	}
	while (!__atomic_load_n(&over, __ATOMIC_RELAXED))
		nap(100000);
	_exit(0);
}

static const char *const nothing[] = { "true", NULL };
/* Bounded, so that it ends by itself. */
static const char *const stress[] = {
	"stress-ng", "--quiet", "--fork", "2", "--fork-ops", "40", "--switch", "1",
	"--switch-ops", "400", "--futex", "1", "--futex-ops", "100", NULL,
};

static const char *const there[] = { "stress-ng", "--version", NULL };

static const char *const *const bombs[] = { nothing, nothing, stress };

/*
 * Two hundred tasks on a CPU wait long where each is fair to all others, once the host has stopped
 * that CPU for a while. Stalls are others' subject.
 */
static bool patient(const struct policy *p)
{
	return !policy_write(p, "timeout_ms", "60000");
}

static bool cycle(const struct policy *p, const pid_t *pids, int nr_pids)
{
	int k;

	for (k = 0; k < nr_pids; k++)
		enoki_attach(pids[k], p->id);
	nap(prng_below(20000));
	if (policy_write(p, "eject", "1") || !AWAIT(policy_nr_tasks(p) == 0))
		return false;
	if (!all_went_on() || !policy_reload(p) || !patient(p))
		return false;
	for (k = 0; k < nr_workers(); k++)
		if (enoki_attach(nth_worker(k)->pid, p->id))
			return false;
	return true;
}

/* So many times, and everybody goes home. */
static bool cycle_all(const struct policy *p, int n)
{
	int nr = cycles() ? 3 : 2, first = nr_workers(), i, k, status;
	pid_t pids[ARRAY_SIZE(bombs) + 1];
	bool ok = true;

	for (k = 0; k < nr; k++) {
		pids[k] = test_fork();
		if (!pids[k])
			comes_and_goes(p->id, bombs[k]);
		ok = pids[k] > 0 && ok;
	}
	pids[nr] = test_fork();
	if (!pids[nr])
		plugs();
	ok = pids[nr] > 0 && ok;
	ok = ok && patient(p) && crowd(p);
	for (i = 0; ok && i < n; i++) {
		ok = cycle(p, pids, nr);
		if (!ok)
			fprintf(stderr, "# in cycle %d\n", i);
	}
	for (k = 0; k <= nr; k++)
		kill(pids[k], SIGTERM);
	for (k = 0; k <= nr; k++)
		ok = waitpid(pids[k], &status, 0) == pids[k] && !status && ok;
	ok = all_live() && ok;
	workers_end(first);
	return AWAIT(policy_nr_tasks(p) == 0) && ok;
}

/* A cache of the slab allocator that what Enoki allocates may come from. */
struct cache {
	char name[64];
	long objects;
};

/* Freed objects that CPUs and slabs keep would count as if they were in use. */
static void shrink_caches(void)
{
	glob_t found;
	size_t i;

	if (glob("/sys/kernel/slab/*/shrink", 0, NULL, &found))
		return;
	for (i = 0; i < found.gl_pathc; i++)
		write_str(found.gl_pathv[i], "1");
	globfree(&found);
}

static int read_caches(struct cache *caches, int max)
{
	char line[512];
	int nr = 0;
	FILE *file;

	shrink_caches();
	file = fopen("/proc/slabinfo", "re");
	while (file && nr < max && fgets(line, sizeof(line), file)) {
		struct cache *c = &caches[nr];

		if (sscanf(line, "%63s %ld", c->name, &c->objects) == 2 &&
		    (!strncmp(c->name, "kmalloc", 7) || !strncmp(c->name, "enoki", 5) ||
		     !strcmp(c->name, "task_struct")))
			nr++;
	}
	if (file)
		fclose(file);
	return nr;
}

/* Did no cache grow by as many objects as would be lost if each cycle lost one? */
static bool none_grew(const struct cache *before, int nr, int n)
{
	struct cache now[256];
	bool ok = read_caches(now, ARRAY_SIZE(now)) == nr;
	int i;

	for (i = 0; i < nr; i++)
		ok = now[i].objects - before[i].objects < n / 2 && ok;
	return ok;
}

/* How many modules there are, and how often they are used. */
struct modules {
	int nr, users;
};

static struct modules read_modules(void)
{
	FILE *file = fopen("/proc/modules", "re");
	struct modules m = { };
	int users;

	while (file && fscanf(file, "%*s %*s %d%*[^\n]", &users) == 1) {
		m.nr++;
		m.users += users;
	}
	if (file)
		fclose(file);
	return m;
}

static void print_growth(const struct cache *before, int nr)
{
	struct cache now[256];
	int i;

	if (read_caches(now, ARRAY_SIZE(now)) != nr)
		return;
	for (i = 0; i < nr; i++)
		fprintf(stderr, "# %s: %ld objects more than %ld\n", now[i].name,
			now[i].objects - before[i].objects, before[i].objects);
}

/* What the kernel's leak detector says of Enoki. */
static bool kmemleak_silent(void)
{
	char line[512];
	bool ok = true;
	FILE *file;
	int i;

	/* What is in a register or on its way is found the second time. */
	for (i = 0; i < 2; i++)
		if (write_str(KMEMLEAK, "scan"))
			return false;
	file = fopen(KMEMLEAK, "re");
	if (!file)
		return false;
	while (fgets(line, sizeof(line), file)) {
		fprintf(stderr, "# %s", line);
		if (strstr(line, "enoki"))
			ok = false;
	}
	fclose(file);
	return ok;
}

TEST_F_TIMEOUT(each_policy, storm, STORM_SECONDS)
{
	bool detector = !access(KMEMLEAK, F_OK), same;
	struct modules modules, modules_now;
	struct cache before[256];
	int n = cycles(), nr;

	prng_seed();
	if (!n) {
		ASSERT_TRUE(cycle_all(self->p, NR_CYCLES));
		return;
	}

	/* Whoever starts it does not look whether it is there. */
	ASSERT_EQ(0, run_cmd(there));
	/* What is only allocated once is there after some. */
	ASSERT_TRUE(cycle_all(self->p, 10));
	nr = read_caches(before, ARRAY_SIZE(before));
	ASSERT_LT(0, nr);
	modules = read_modules();
	ASSERT_LT(0, modules.nr);
	if (detector)
		ASSERT_EQ(0, write_str(KMEMLEAK, "clear"));
	ASSERT_TRUE(cycle_all(self->p, n));

	modules_now = read_modules();
	EXPECT_EQ(modules.nr, modules_now.nr);
	EXPECT_EQ(modules.users, modules_now.users);
	same = detector ? kmemleak_silent() : AWAIT(none_grew(before, nr, n));
	if (!same && !detector)
		print_growth(before, nr);
	EXPECT_TRUE(same);
}

ENOKI_HARNESS_MAIN
