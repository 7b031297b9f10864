/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of the Enoki scheduling class share: attaching tasks, reading
 * the kernel's evidence, worker processes that do as they are told, and waiting
 * for events.
 *
 * A test waits for what it wants to see, never for a time: AWAIT() polls until
 * a condition holds. Only its limit is a time, generous enough for a debug
 * kernel under emulation, and when it is reached AWAIT() prints what was awaited
 * and all that the kernel says about Enoki.
 */
#ifndef _SCHED_ENOKI_UTIL_H
#define _SCHED_ENOKI_UTIL_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef SCHED_ENOKI
#define SCHED_ENOKI	8
#endif

#define SYSFS_ENOKI	"/sys/kernel/sched_enoki"
#define DEBUGFS		"/sys/kernel/debug"

#define NSEC_PER_SEC	1000000000ULL
#define NSEC_PER_MSEC	1000000ULL

/* One test's limit in the harness; AWAIT()'s is shorter, so that it may report. */
#define TEST_SECONDS	240
#define AWAIT_SECONDS	60
/* The test's own priority: above all workers, so that it keeps control. */
#define CONTROL_PRIO	80

/**
 * struct policy - one of the policies the tests run under
 * @name: what it is registered as
 * @module: the module it is in
 * @id: what sched_priority carries
 */
struct policy {
	const char *name;
	const char *module;
	int id;
};

extern const struct policy fifo;
extern const struct policy wfq;
extern const struct policy shinjuku;
extern const struct policy locality;
extern const struct policy arachne;
const struct policy *other_policy(const struct policy *p);

#define NR_POLICIES	5
extern const struct policy *const policies[NR_POLICIES];

/* Loads those whose module there is; how many, or -1 if one of them cannot be loaded. */
int policies_load(void);
/* They in turns, whatever @n is. */
const struct policy *nth_policy(unsigned int n);
/* The tasks of all policies. */
long policies_nr_tasks(void);

/* The kernel's struct sched_attr; the C library's comes and goes by version. */
struct enoki_attr {
	uint32_t size;
	uint32_t sched_policy;
	uint64_t sched_flags;
	int32_t  sched_nice;
	uint32_t sched_priority;
	uint64_t sched_runtime;
	uint64_t sched_deadline;
	uint64_t sched_period;
	uint32_t sched_util_min;
	uint32_t sched_util_max;
};

#define ATTR_RESET_ON_FORK	0x01
#define ATTR_KEEP_POLICY	0x08
#define ATTR_KEEP_PARAMS	0x10
#define ATTR_UTIL_CLAMP_MIN	0x20
#define ATTR_UTIL_CLAMP_MAX	0x40

int attr_set(pid_t pid, struct enoki_attr *attr);
int attr_get(pid_t pid, struct enoki_attr *attr);

/* Attaching and detaching; 0 or -1 with errno, as the system call. */
int enoki_attach(pid_t pid, int id);
int enoki_detach(pid_t pid);
int set_class(pid_t pid, int class, int prio);
/* The number of the policy that it is attached to, or -1. */
int attached_to(pid_t pid);

/* Modules, by their system calls and by modprobe: exit status or -1. */
int module_load(const char *module);
int module_load_with(const char *module, const char *param);
/* One of ../test_modules, with parameters; 0 or -1 with errno. */
int test_module_load(const char *module, const char *params);
int module_unload(const char *module);
bool module_loaded(const char *module);
/* If it is not loaded. */
bool policy_load(const struct policy *p);
/* Waits until the memory of the last task is freed, which keeps the module. */
bool policy_unload(const struct policy *p);
/* All that are loaded. */
bool policy_unload_all(void);
/* Puts a policy that was ejected into office again. */
bool policy_reload(const struct policy *p);
int run_cmd(const char *const argv[]);

/* The kernel's evidence. -1 when the file or the line is not there. */
long policy_nr_tasks(const struct policy *p);
long long policy_event(const struct policy *p, const char *event);
long long policy_rejected(const struct policy *p, const char *why);
long long policy_upgrades(const struct policy *p, const char *what);
/* A file of the policy's directory, one line of it. */
bool policy_read(const struct policy *p, const char *file, char *line, size_t len);
/* Of the fields of a hint, "field:type," for each. */
uint64_t layout_hash(const char *fields);
/* 0, or -1 with errno. */
int policy_write(const struct policy *p, const char *file, const char *text);
/* Puts the version into office that stands by; 0, or -1 with errno. */
int policy_upgrade(const struct policy *p);
bool policy_version_is(const struct policy *p, const char *version);
/* Is the policy in office, not ejected? */
bool policy_in_office(const struct policy *p);
/* Does the latest report have @words in it? If not, it is printed. */
bool last_exit_says(const char *words);
/* The number behind @words in it, or -1. */
double last_exit_number(const char *words);
bool proc_sched(pid_t pid, const char *key, char *value, size_t len);
long proc_sched_long(pid_t pid, const char *key);
char proc_state(pid_t pid);
long read_long(const char *path);
bool read_line(const char *path, char *buf, size_t len);
int write_str(const char *path, const char *text);
const char *last_error(void);
void dump_enoki(void);

/* CPUs. */
int nr_cpus_online(void);
int nth_cpu_online(int n);
bool cpu_online(int cpu);
int cpu_set_online(int cpu, bool online);
int pin(pid_t pid, int cpu);
int unpin(pid_t pid);
int cpu_of(pid_t pid);
bool cpu_listed(const char *path, int cpu);
/* Local timer interrupts of a CPU since it came up. */
long long timer_interrupts(int cpu);

/* CPU time a process has had, and clocks, ns. */
uint64_t cpu_time(pid_t pid);
uint64_t now_ns(void);
void nap(unsigned int usec);
/* Does the clock count instructions (ENOKI_STEADY_CLOCK=1), so that a ms is a ms? */
bool steady_clock(void);

/* fork() for tests: the child ends with its parent, and with the test at the latest. */
pid_t test_fork(void);

/* Busy work: a counted loop, so that it is the same work whatever the clock does. */
void burn(unsigned long loops);
unsigned long loops_per_msec(void);

/**
 * enum worker_mode - what a worker does until told otherwise
 * @W_SPIN: counted loops
 * @W_SLEEP: waits to be told
 * @W_STEP: one turn, then W_SLEEP
 * @W_NAP: sleeps some hundred µs, works a little
 * @W_YIELD: sched_yield()
 * @W_FORK: forks children that end at once, and waits for each
 * @W_EXIT: ends
 */
enum worker_mode { W_SPIN, W_SLEEP, W_STEP, W_NAP, W_YIELD, W_FORK, W_EXIT };

struct worker {
	pid_t pid;
	int mode;		/* a futex, shared with the worker */
	int idle;		/* it waits to be told */
	int error;		/* errno of what a worker could not do */
	unsigned long turns;	/* grows as it works */
};

#define MAX_WORKERS	256

struct worker *worker_start(enum worker_mode mode);
struct worker *worker_start_on(int cpu, enum worker_mode mode, int id);
void worker_set(struct worker *w, enum worker_mode mode);
unsigned long worker_turns(struct worker *w);
int worker_error(struct worker *w);
bool worker_asleep(struct worker *w);
void worker_stop(struct worker *w);
/* Tells all workers from that one on to end, ends those that have not, and forgets them. */
void workers_end(int first);
/* True when the worker does another turn. */
bool worker_lives(struct worker *w);
/* True when each one that has not been stopped does. */
bool workers_live(void);
int nr_workers(void);
struct worker *nth_worker(int n);
/* How many of them are attached to that policy. */
int nr_attached(const struct policy *p);
/*
 * Somebody detaches and attaches them at random, to one of two policies, and has CPUs go and
 * come, until it is over; then all CPUs are there.
 */
pid_t disturb(int id, int other_id);
void disturbed_enough(pid_t pid);
/* Somebody looks at all of them over and over, whether one is in no policy. */
pid_t workers_watch(void);
/* True if there never was; ends it. */
bool watch_saw_nothing(pid_t pid);

/* cgroups: a fresh one with these controllers, NULL when there are none. */
const char *cgroup_make(const char *name, const char *controllers);
const char *cgroup_make_in(const char *parent, const char *name, const char *controllers);
int cgroup_write(const char *cgroup, const char *file, const char *text);
int cgroup_enter(const char *cgroup, pid_t pid);
void cgroup_remove_all(void);

/* A seeded generator (xorshift), the seed from $SEED or the clock, and printed. */
uint64_t prng_seed(void);
uint32_t prng(void);
static inline uint32_t prng_below(uint32_t n) { return prng() % n; }

/* Sorts them, too. */
uint64_t median_of(uint64_t *values, size_t nr);

/* Before and after each test. */
void enoki_require(void);
const char *enoki_begin(void);
bool enoki_end(void);

bool await_again(uint64_t deadline);
void await_failed(const char *what, const char *file, int line);

#define AWAIT_FOR(seconds, cond) ({					\
	uint64_t __deadline = now_ns() + (seconds) * NSEC_PER_SEC;	\
	bool __held;							\
									\
	while (!(__held = !!(cond)) && await_again(__deadline))		\
		;							\
	if (!__held)							\
		await_failed(#cond, __FILE__, __LINE__);		\
	__held;								\
})

#define AWAIT(cond)	AWAIT_FOR(AWAIT_SECONDS, cond)

#endif /* _SCHED_ENOKI_UTIL_H */
