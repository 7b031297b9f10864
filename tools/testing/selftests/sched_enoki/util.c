// SPDX-License-Identifier: GPL-2.0
/*
 * What the tests of the Enoki scheduling class share; see util.h.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kselftest.h"
#include "util.h"

const struct policy fifo = { .name = "fifo", .module = "enoki_fifo", .id = 1 };
const struct policy wfq = { .name = "wfq", .module = "enoki_wfq", .id = 2 };
const struct policy shinjuku = { .name = "shinjuku", .module = "enoki_shinjuku", .id = 3 };
const struct policy locality = { .name = "locality", .module = "enoki_locality", .id = 4 };
const struct policy arachne = { .name = "arachne", .module = "enoki_arachne", .id = 5 };

const struct policy *other_policy(const struct policy *p)
{
	return p == &fifo ? &wfq : &fifo;
}

const struct policy *const policies[] = { &fifo, &wfq, &shinjuku, &locality, &arachne };
/* So many of them are loaded for every test, the others where they are wanted. */
#define NR_ALWAYS	2

/*
 * Refusals that no correct policy earns. The others are part of life: a steal
 * loses a race, core scheduling discards a pick, a CPU goes away.
 */
static const char *const never_rejected[] = { "cpu", "state", "lost" };

static struct worker *workers;
static int worker_count;
static long taint_before;
static long long rejected_before[NR_POLICIES][ARRAY_SIZE(never_rejected)];

/* TAINT_WARN and TAINT_DIE: what a WARN, an oops or a lockdep report leaves. */
#define TAINT_MASK	((1 << 9) | (1 << 7))

/* ---- clocks ---- */

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

void nap(unsigned int usec)
{
	struct timespec ts = { usec / 1000000, (usec % 1000000) * 1000L };

	nanosleep(&ts, NULL);
}

uint64_t cpu_time(pid_t pid)
{
	struct timespec ts;
	clockid_t clock;

	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		return 0;
	return ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

/* ---- files ---- */

bool read_line(const char *path, char *buf, size_t len)
{
	FILE *file = fopen(path, "r");
	bool ok;

	if (!file)
		return false;
	ok = fgets(buf, len, file);
	fclose(file);
	if (ok)
		buf[strcspn(buf, "\n")] = '\0';
	return ok;
}

long read_long(const char *path)
{
	char buf[64];

	return read_line(path, buf, sizeof(buf)) ? strtol(buf, NULL, 0) : -1;
}

int write_str(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t done;
	int error;

	if (fd < 0)
		return -1;
	done = write(fd, text, strlen(text));
	error = errno;
	close(fd);
	errno = error;
	return done < 0 ? -1 : 0;
}

static void dump_file(const char *path, const char *only)
{
	char line[512];
	FILE *file = fopen(path, "r");

	if (!file)
		return;
	while (fgets(line, sizeof(line), file))
		if (!only || strcasestr(line, only))
			fprintf(stderr, "#   %s: %s", path, line);
	fclose(file);
}

/* ---- the class ---- */

int set_class(pid_t pid, int class, int prio)
{
	struct sched_param param = { .sched_priority = prio };

	return sched_setscheduler(pid, class, &param);
}

int attached_to(pid_t pid)
{
	struct sched_param param = { };

	return sched_getscheduler(pid) == SCHED_ENOKI && !sched_getparam(pid, &param) ?
	       param.sched_priority : -1;
}

int enoki_attach(pid_t pid, int id)
{
	return set_class(pid, SCHED_ENOKI, id);
}

int enoki_detach(pid_t pid)
{
	return set_class(pid, SCHED_OTHER, 0);
}

int attr_set(pid_t pid, struct enoki_attr *attr)
{
	attr->size = sizeof(*attr);
	return syscall(SYS_sched_setattr, pid, attr, 0);
}

int attr_get(pid_t pid, struct enoki_attr *attr)
{
	memset(attr, 0, sizeof(*attr));
	return syscall(SYS_sched_getattr, pid, attr, sizeof(*attr), 0);
}

static void policy_path(char *path, const struct policy *p, const char *file)
{
	snprintf(path, PATH_MAX, SYSFS_ENOKI "/%s/%s", p->name, file);
}

long policy_nr_tasks(const struct policy *p)
{
	char path[PATH_MAX];

	policy_path(path, p, "nr_tasks");
	return read_long(path);
}

static long long policy_counter(const struct policy *p, const char *file, const char *name)
{
	char path[PATH_MAX], key[64];
	long long value, found = -1;
	FILE *f;

	policy_path(path, p, file);
	f = fopen(path, "r");
	if (!f)
		return -1;
	while (fscanf(f, "%63s %lld", key, &value) == 2)
		if (!strcmp(key, name))
			found = value;
	fclose(f);
	return found;
}

long long policy_event(const struct policy *p, const char *event)
{
	return policy_counter(p, "events", event);
}

long long policy_rejected(const struct policy *p, const char *why)
{
	return policy_counter(p, "rejected", why);
}

long long policy_upgrades(const struct policy *p, const char *what)
{
	return policy_counter(p, "upgrades", what);
}

bool policy_read(const struct policy *p, const char *file, char *line, size_t len)
{
	char path[PATH_MAX];

	policy_path(path, p, file);
	return read_line(path, line, len);
}

int policy_write(const struct policy *p, const char *file, const char *text)
{
	char path[PATH_MAX];

	policy_path(path, p, file);
	return write_str(path, text);
}

int policy_upgrade(const struct policy *p)
{
	return policy_write(p, "upgrade", "1");
}

bool policy_version_is(const struct policy *p, const char *version)
{
	char line[64];

	return policy_read(p, "version", line, sizeof(line)) && !strcmp(line, version);
}

uint64_t layout_hash(const char *fields)
{
	uint64_t hash = 0xcbf29ce484222325;

	while (*fields)
		hash = (hash ^ (uint8_t)*fields++) * 0x100000001b3;
	return hash;
}

bool policy_in_office(const struct policy *p)
{
	char state[64];

	return policy_read(p, "state", state, sizeof(state)) && !strcmp(state, "in office");
}

static const char *last_exit(void)
{
	static char text[32 * 1024];
	size_t len = 0;
	FILE *file = fopen(SYSFS_ENOKI "/last_exit", "re");

	if (file) {
		len = fread(text, 1, sizeof(text) - 1, file);
		fclose(file);
	}
	text[len] = '\0';
	return text;
}

bool last_exit_says(const char *words)
{
	const char *text = last_exit();

	if (strstr(text, words))
		return true;
	fprintf(stderr, "# last_exit does not say '%s':\n%s", words, text);
	return false;
}

double last_exit_number(const char *words)
{
	const char *at = strstr(last_exit(), words);

	return at ? strtod(at + strlen(words), NULL) : -1;
}

/* Keeps errno, for it is printed beside it. */
const char *last_error(void)
{
	static char line[512];
	int error = errno;

	if (!read_line(SYSFS_ENOKI "/last_error", line, sizeof(line)))
		line[0] = '\0';
	errno = error;
	return line;
}

bool proc_sched(pid_t pid, const char *key, char *value, size_t len)
{
	char path[64], line[256];
	bool found = false;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/sched", pid);
	file = fopen(path, "r");
	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');
		char *end = colon;

		if (!colon)
			continue;
		while (end > line && isspace(end[-1]))
			end--;
		*end = '\0';
		if (strcmp(line, key))
			continue;
		for (colon++; isspace(*colon); colon++)
			;
		colon[strcspn(colon, "\n")] = '\0';
		snprintf(value, len, "%s", colon);
		found = true;
	}
	fclose(file);
	return found;
}

long proc_sched_long(pid_t pid, const char *key)
{
	char value[64];

	return proc_sched(pid, key, value, sizeof(value)) ? strtol(value, NULL, 0) : -1;
}

/* Field @n of /proc/PID/stat, counted from 3, which follows the name. */
static bool proc_stat(pid_t pid, int n, char *value, size_t len)
{
	char path[64], line[1024], *field, *save;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!read_line(path, line, sizeof(line)))
		return false;
	field = strrchr(line, ')');
	if (!field)
		return false;
	field = strtok_r(field + 1, " ", &save);
	for (; field && n > 3; n--)
		field = strtok_r(NULL, " ", &save);
	if (field)
		snprintf(value, len, "%s", field);
	return field;
}

char proc_state(pid_t pid)
{
	char state[8];

	return proc_stat(pid, 3, state, sizeof(state)) ? state[0] : '\0';
}

int cpu_of(pid_t pid)
{
	char cpu[16];

	return proc_stat(pid, 39, cpu, sizeof(cpu)) ? atoi(cpu) : -1;
}

void dump_enoki(void)
{
	char path[PATH_MAX];
	size_t i;
	int n;

	dump_file(SYSFS_ENOKI "/last_error", NULL);
	for (i = 0; i < NR_POLICIES; i++) {
		policy_path(path, policies[i], "nr_tasks");
		dump_file(path, NULL);
		policy_path(path, policies[i], "events");
		dump_file(path, NULL);
		policy_path(path, policies[i], "rejected");
		dump_file(path, NULL);
	}
	for (n = 0; n < worker_count; n++) {
		struct worker *w = &workers[n];

		if (!w->pid)
			continue;
		fprintf(stderr, "#   worker %d pid %d state %c cpu %d mode %d turns %lu\n",
			n, w->pid, proc_state(w->pid), cpu_of(w->pid), w->mode, w->turns);
		snprintf(path, sizeof(path), "/proc/%d/sched", w->pid);
		dump_file(path, "enoki");
	}
	dump_file(DEBUGFS "/sched/debug", "enoki");
}

/* ---- modules ---- */

int run_cmd(const char *const argv[])
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -1;
	if (!pid) {
		/* Not to be starved by the workers of the test. */
		set_class(0, SCHED_FIFO, CONTROL_PRIO);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int module_load_with(const char *module, const char *param)
{
	const char *const argv[] = { "modprobe", module, param, NULL };

	return run_cmd(argv);
}

int module_load(const char *module)
{
	return module_load_with(module, NULL);
}

int test_module_load(const char *module, const char *params)
{
	const char *dir = getenv("TEST_MODULES");
	char path[PATH_MAX], own[PATH_MAX];
	int fd, ret;

	if (!dir) {
		ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);

		if (len < 0)
			return -1;
		own[len] = '\0';
		snprintf(strrchr(own, '/'), sizeof("/test_modules"), "/test_modules");
		dir = own;
	}
	if (snprintf(path, sizeof(path), "%s/%s.ko", dir, module) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ret = syscall(SYS_finit_module, fd, params, 0);
	close(fd);
	return ret;
}

int module_unload(const char *module)
{
	return syscall(SYS_delete_module, module, O_NONBLOCK);
}

bool policy_load(const struct policy *p)
{
	return module_loaded(p->module) || !module_load(p->module);
}

bool policy_unload(const struct policy *p)
{
	return AWAIT(!module_unload(p->module) || errno == ENOENT);
}

bool policy_unload_all(void)
{
	size_t i;

	for (i = 0; i < NR_POLICIES; i++)
		if (!policy_unload(policies[i]))
			return false;
	return true;
}

bool policy_reload(const struct policy *p)
{
	return policy_unload(p) && !module_load(p->module);
}

/* The first @nr_present of them are the policies that policies_load() has found. */
static const struct policy *present[NR_POLICIES];
static int nr_present;

static bool module_there(const char *module)
{
	const char *const argv[] = { "modprobe", "-n", "-q", module, NULL };

	return !run_cmd(argv);
}

int policies_load(void)
{
	size_t i;

	nr_present = 0;
	for (i = 0; i < NR_POLICIES; i++) {
		if (!module_there(policies[i]->module))
			continue;
		if (!policy_load(policies[i])) {
			fprintf(stderr, "# modprobe %s failed; last_error: %s\n",
				policies[i]->module, last_error());
			return -1;
		}
		present[nr_present++] = policies[i];
	}
	return nr_present;
}

const struct policy *nth_policy(unsigned int n)
{
	return present[n % nr_present];
}

long policies_nr_tasks(void)
{
	long sum = 0;
	size_t i;

	for (i = 0; i < NR_POLICIES; i++) {
		long nr = policy_nr_tasks(policies[i]);

		sum += nr > 0 ? nr : 0;
	}
	return sum;
}

bool module_loaded(const char *module)
{
	char path[PATH_MAX];
	char state[16];

	snprintf(path, sizeof(path), "/sys/module/%s/initstate", module);
	return read_line(path, state, sizeof(state)) && !strcmp(state, "live");
}

/* ---- CPUs ---- */

bool cpu_listed(const char *path, int cpu)
{
	char line[256], *range, *save;

	if (!read_line(path, line, sizeof(line)))
		return false;
	for (range = strtok_r(line, ",", &save); range; range = strtok_r(NULL, ",", &save)) {
		int first, last;

		switch (sscanf(range, "%d-%d", &first, &last)) {
		case 1:
			last = first;
			break;
		case 2:
			break;
		default:
			return false;
		}
		if (cpu >= first && cpu <= last)
			return true;
	}
	return false;
}

bool cpu_online(int cpu)
{
	return cpu_listed("/sys/devices/system/cpu/online", cpu);
}

int nr_cpus_online(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN);
}

int nth_cpu_online(int n)
{
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (cpu_online(cpu) && !n--)
			return cpu;
	return -1;
}

int cpu_set_online(int cpu, bool online)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	return write_str(path, online ? "1" : "0");
}

long long timer_interrupts(int cpu)
{
	char line[4096], *field, *save;
	long long found = -1;
	FILE *file = fopen("/proc/interrupts", "r");
	int column = -1, n = 0;

	if (!file)
		return -1;
	if (!fgets(line, sizeof(line), file))
		line[0] = '\0';
	for (field = strtok_r(line, "\n ", &save); field; field = strtok_r(NULL, "\n ", &save)) {
		if (atoi(field + 3) == cpu)
			column = n;
		n++;
	}
	while (column >= 0 && fgets(line, sizeof(line), file)) {
		field = strtok_r(line, "\n ", &save);
		if (!field || strcmp(field, "LOC:"))
			continue;
		for (n = 0; field && n <= column; n++)
			field = strtok_r(NULL, "\n ", &save);
		if (field)
			found = atoll(field);
	}
	fclose(file);
	return found;
}

int pin(pid_t pid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(pid, sizeof(set), &set);
}

int unpin(pid_t pid)
{
	cpu_set_t set;

	memset(&set, 0xff, sizeof(set));
	return sched_setaffinity(pid, sizeof(set), &set);
}

/* ---- busy work ---- */

void burn(unsigned long loops)
{
	while (loops--)
		__asm__ volatile("" ::: "memory");
}

static uint64_t time_to_burn(unsigned long loops)
{
	uint64_t before = cpu_time(getpid());

	burn(loops);
	return cpu_time(getpid()) - before;
}

/* The best of some tries: what disturbs makes it slower, never faster. */
unsigned long loops_per_msec(void)
{
	static unsigned long result;
	unsigned long loops = 10000;
	uint64_t took;
	int i;

	if (result)
		return result;
	while ((took = time_to_burn(loops)) < 20 * NSEC_PER_MSEC)
		loops *= 2;
	for (i = 0; i < 4; i++) {
		uint64_t again = time_to_burn(loops);

		if (again < took)
			took = again;
	}
	result = loops * NSEC_PER_MSEC / took + 1;
	return result;
}

/* ---- children ---- */

static pid_t children[512];
static int child_count;
static pid_t children_of;

bool steady_clock(void)
{
	const char *steady = getenv("ENOKI_STEADY_CLOCK");

	return steady && atoi(steady);
}

pid_t test_fork(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		return 0;
	}
	if (children_of != getpid()) {
		children_of = getpid();
		child_count = 0;
	}
	if (pid > 0 && child_count < (int)ARRAY_SIZE(children))
		children[child_count++] = pid;
	return pid;
}

/* Ends what a failed test has left; what was waited for is nobody's child any more. */
static void end_children(void)
{
	while (children_of == getpid() && child_count) {
		pid_t pid = children[--child_count];

		if (waitpid(pid, NULL, WNOHANG) == 0) {
			kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
	}
}

/* ---- workers ---- */

#define TURN_LOOPS	20000

static int worker_mode(struct worker *w)
{
	return __atomic_load_n(&w->mode, __ATOMIC_ACQUIRE);
}

static void futex_wait(int *word, int while_value)
{
	syscall(SYS_futex, word, FUTEX_WAIT, while_value, NULL, NULL, 0);
}

static void futex_wake(int *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static void worker_fork(struct worker *w)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	if (pid < 0)
		w->error = errno;
	else if (waitpid(pid, NULL, 0) != pid)
		w->error = errno;
}

static void __noreturn worker_run(struct worker *w)
{
	int step = W_STEP;

	for (;;) {
		switch (worker_mode(w)) {
		case W_SLEEP:
			__atomic_store_n(&w->idle, 1, __ATOMIC_RELEASE);
			futex_wait(&w->mode, W_SLEEP);
			__atomic_store_n(&w->idle, 0, __ATOMIC_RELEASE);
			continue;
		case W_STEP:
			/* Only if nobody said something else in the meantime. */
			step = W_STEP;
			__atomic_compare_exchange_n(&w->mode, &step, W_SLEEP, false,
						    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
			break;
		case W_SPIN:
			burn(TURN_LOOPS);
			break;
		case W_NAP:
			nap(200);
			burn(TURN_LOOPS / 4);
			break;
		case W_YIELD:
			sched_yield();
			break;
		case W_FORK:
			worker_fork(w);
			break;
		case W_EXIT:
			_exit(0);
		}
		__atomic_fetch_add(&w->turns, 1, __ATOMIC_RELEASE);
	}
}

struct worker *worker_start(enum worker_mode mode)
{
	struct worker *w;
	pid_t pid;

	if (worker_count == MAX_WORKERS)
		return NULL;
	w = &workers[worker_count];
	memset(w, 0, sizeof(*w));
	w->mode = mode;
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		return NULL;
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		worker_run(w);
	}
	w->pid = pid;
	worker_count++;
	return w;
}

struct worker *worker_start_on(int cpu, enum worker_mode mode, int id)
{
	struct worker *w = worker_start(W_SLEEP);

	if (!w)
		return NULL;
	if ((cpu >= 0 && pin(w->pid, cpu)) || (id && enoki_attach(w->pid, id))) {
		fprintf(stderr, "# worker on CPU %d under policy %d: %m; last_error: %s\n",
			cpu, id, last_error());
		worker_stop(w);
		return NULL;
	}
	worker_set(w, mode);
	return w;
}

void worker_set(struct worker *w, enum worker_mode mode)
{
	__atomic_store_n(&w->mode, mode, __ATOMIC_RELEASE);
	futex_wake(&w->mode);
}

unsigned long worker_turns(struct worker *w)
{
	return __atomic_load_n(&w->turns, __ATOMIC_ACQUIRE);
}

int worker_error(struct worker *w)
{
	return __atomic_load_n(&w->error, __ATOMIC_ACQUIRE);
}

/* Not in the middle of a turn, where it may sleep as well. */
bool worker_asleep(struct worker *w)
{
	return worker_mode(w) == W_SLEEP && __atomic_load_n(&w->idle, __ATOMIC_ACQUIRE) &&
	       proc_state(w->pid) == 'S';
}

void worker_stop(struct worker *w)
{
	if (!w->pid)
		return;
	kill(w->pid, SIGKILL);
	waitpid(w->pid, NULL, 0);
	w->pid = 0;
}

bool worker_lives(struct worker *w)
{
	unsigned long before = worker_turns(w);

	return AWAIT(worker_turns(w) > before);
}

void workers_end(int first)
{
	int i;

	for (i = first; i < nr_workers(); i++)
		worker_set(nth_worker(i), W_EXIT);
	for (i = first; i < nr_workers(); i++)
		worker_stop(nth_worker(i));
	worker_count = first;
}

bool workers_live(void)
{
	unsigned long before[MAX_WORKERS];
	bool ok = true;
	int i;

	/* Not one after the other: each would wait for its turn anew. */
	for (i = 0; i < worker_count; i++)
		before[i] = worker_turns(&workers[i]);
	for (i = 0; i < worker_count; i++)
		if (workers[i].pid)
			ok = AWAIT(worker_turns(&workers[i]) > before[i]) && ok;
	return ok;
}

int nr_workers(void)
{
	return worker_count;
}

struct worker *nth_worker(int n)
{
	return &workers[n];
}

int nr_attached(const struct policy *p)
{
	int i, nr = 0;

	for (i = 0; i < nr_workers(); i++)
		nr += attached_to(nth_worker(i)->pid) == p->id;
	return nr;
}

pid_t disturb(int id, int other_id)
{
	pid_t pid = test_fork();

	if (pid)
		return pid;
	for (;;) {
		struct worker *w = nth_worker(prng_below(nr_workers()));
		int cpus = nr_cpus_online(), cpu = 1 + prng_below(cpus);

		if (prng_below(2)) {
			enoki_detach(w->pid);
			nap(prng_below(2000));
			enoki_attach(w->pid, prng_below(2) ? id : other_id);
		} else if (cpu < cpus) {
			cpu_set_online(cpu, false);
			nap(prng_below(2000));
			cpu_set_online(cpu, true);
		}
		nap(prng_below(5000));
	}
}

void disturbed_enough(pid_t pid)
{
	int status, i;

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	for (i = 1; cpu_listed("/sys/devices/system/cpu/offline", i); i++)
		cpu_set_online(i, true);
}

pid_t workers_watch(void)
{
	pid_t pid = test_fork();
	int i;

	if (pid)
		return pid;
	for (;;) {
		for (i = 0; i < nr_workers(); i++)
			if (sched_getscheduler(nth_worker(i)->pid) != SCHED_ENOKI)
				_exit(1);
		nap(100);
	}
}

bool watch_saw_nothing(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	return waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
}

/* ---- cgroups ---- */

static char cgroup_paths[16][PATH_MAX];
static int cgroup_count;

static const char *cgroup_root(void)
{
	static char root[PATH_MAX];
	char line[1024], mnt[512], type[64];
	FILE *mounts;

	if (root[0])
		return root;
	mounts = fopen("/proc/self/mounts", "r");
	while (mounts && fgets(line, sizeof(line), mounts)) {
		if (sscanf(line, "%*s %511s %63s", mnt, type) == 2 && !strcmp(type, "cgroup2")) {
			snprintf(root, sizeof(root), "%s", mnt);
			break;
		}
	}
	if (mounts)
		fclose(mounts);
	if (!root[0]) {
		mkdir("/tmp/enoki-cgroup", 0755);
		if (!mount("none", "/tmp/enoki-cgroup", "cgroup2", 0, NULL))
			snprintf(root, sizeof(root), "/tmp/enoki-cgroup");
	}
	return root[0] ? root : NULL;
}

int cgroup_write(const char *cgroup, const char *file, const char *text)
{
	char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", cgroup, file);
	return write_str(path, text);
}

const char *cgroup_make_in(const char *parent, const char *name, const char *controllers)
{
	char *path = cgroup_paths[cgroup_count];

	if (!parent || cgroup_count == ARRAY_SIZE(cgroup_paths))
		return NULL;
	if (cgroup_write(parent, "cgroup.subtree_control", controllers))
		return NULL;
	if (snprintf(path, PATH_MAX, "%s/enoki-%s", parent, name) >= PATH_MAX)
		return NULL;
	if (mkdir(path, 0755) && errno != EEXIST)
		return NULL;
	cgroup_count++;
	return path;
}

const char *cgroup_make(const char *name, const char *controllers)
{
	return cgroup_make_in(cgroup_root(), name, controllers);
}

int cgroup_enter(const char *cgroup, pid_t pid)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", pid);
	return cgroup_write(cgroup ?: cgroup_root(), "cgroup.procs", text);
}

void cgroup_remove_all(void)
{
	while (cgroup_count)
		rmdir(cgroup_paths[--cgroup_count]);
}

/* ---- randomness ---- */

static uint64_t prng_state = 88172645463325252ULL;

uint64_t prng_seed(void)
{
	const char *seed = getenv("SEED");

	prng_state = seed ? strtoull(seed, NULL, 0) : now_ns() ^ (uint64_t)getpid() << 32;
	prng_state |= 1;
	fprintf(stderr, "# SEED=%#llx\n", (unsigned long long)prng_state);
	return prng_state;
}

uint32_t prng(void)
{
	prng_state ^= prng_state << 13;
	prng_state ^= prng_state >> 7;
	prng_state ^= prng_state << 17;
	return prng_state >> 32;
}

/* ---- waiting ---- */

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

uint64_t median_of(uint64_t *values, size_t nr)
{
	qsort(values, nr, sizeof(*values), by_size);
	return values[nr / 2];
}

bool await_again(uint64_t deadline)
{
	nap(2000);
	return now_ns() < deadline;
}

void await_failed(const char *what, const char *file, int line)
{
	fprintf(stderr, "# %s:%d: awaited in vain: %s\n", file, line, what);
	dump_enoki();
}

/* ---- before and after ---- */

static long taint(void)
{
	return read_long("/proc/sys/kernel/tainted") & TAINT_MASK;
}

/* Ends the program with the skip status where there is no Enoki to test. */
void enoki_require(void)
{
	if (geteuid())
		ksft_exit_skip("needs to run as root\n");
	if (access(SYSFS_ENOKI, F_OK))
		ksft_exit_skip("this kernel has no " SYSFS_ENOKI " (CONFIG_SCHED_ENOKI)\n");
}

/* Do other programs use the policies meanwhile? What those have is not the test's. */
static bool in_company(void)
{
	return getenv("IN_COMPANY");
}

/* Returns what is wrong, or NULL. */
const char *enoki_begin(void)
{
	static char problem[256];
	size_t i, k;

	workers = mmap(NULL, MAX_WORKERS * sizeof(*workers), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (workers == MAP_FAILED)
		return "no memory for the workers";
	if (set_class(0, SCHED_FIFO | SCHED_RESET_ON_FORK, CONTROL_PRIO))
		return "cannot make the test SCHED_FIFO";
	taint_before = taint();
	for (i = 0; i < NR_POLICIES && !in_company(); i++) {
		if (i < NR_ALWAYS && !policy_load(policies[i])) {
			snprintf(problem, sizeof(problem), "modprobe %s failed; last_error: %s",
				 policies[i]->module, last_error());
			return problem;
		}
		for (k = 0; k < ARRAY_SIZE(never_rejected); k++)
			rejected_before[i][k] = policy_rejected(policies[i], never_rejected[k]);
	}
	return NULL;
}

static bool policy_clean(size_t i)
{
	const struct policy *p = policies[i];
	bool ok = true;
	size_t k;

	/* A policy that the test removed has nothing left to check. */
	if (policy_nr_tasks(p) < 0)
		return true;
	if (!AWAIT(policy_nr_tasks(p) == 0)) {
		fprintf(stderr, "# policy %s keeps tasks that are gone\n", p->name);
		ok = false;
	}
	for (k = 0; k < ARRAY_SIZE(never_rejected); k++) {
		long long now = policy_rejected(p, never_rejected[k]);

		/* Less than before: it was loaded anew. */
		if (now <= rejected_before[i][k] || !now)
			continue;
		fprintf(stderr, "# policy %s: rejected %s %lld (%lld before the test)\n",
			p->name, never_rejected[k], now, rejected_before[i][k]);
		ok = false;
	}
	return ok;
}

bool enoki_end(void)
{
	bool ok = true;
	size_t i;
	int n;

	for (n = 0; n < worker_count; n++)
		if (workers[n].pid)
			kill(workers[n].pid, SIGKILL);
	for (n = 0; n < worker_count; n++)
		worker_stop(&workers[n]);
	worker_count = 0;
	end_children();
	for (i = 0; i < NR_POLICIES && !in_company(); i++)
		ok = policy_clean(i) && ok;
	cgroup_remove_all();
	if (taint() != taint_before) {
		fprintf(stderr, "# the kernel warned during this test: see its log\n");
		ok = false;
	}
	return ok;
}
