/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests of policies that do not leave a call share: the policy, see
 * test_modules/enoki_stuck.rs, and the CPU that it keeps, the last one. Nothing else
 * may need that, for its run queue stays locked: it has to be isolated (isolcpus=).
 */
#ifndef _SCHED_ENOKI_STUCK_H
#define _SCHED_ENOKI_STUCK_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "util.h"

#define STUCK_CPUS	4
/* What ends its hanging there: to write 1. */
#define STUCK_SEEN	"/sys/kernel/debug/enoki_stuck/seen"
/* Where the test is, and what it looks at. */
#define SAFE_CPU	0
/* RCU asks a CPU that holds it up to schedule, and then has to wait for its run queue. */
#define RCU_CPU		1
/*
 * Where the module is loaded. What only its loading needed is freed later by a worker of that
 * CPU, which then has to wait, without being preempted, for an answer of all others.
 */
#define LOAD_CPU	2

static const struct policy stuck = { "stuck", "enoki_stuck", 71 };

static inline int stuck_cpu(void)
{
	return nth_cpu_online(nr_cpus_online() - 1);
}

/* Why the test cannot run here, or NULL. */
static inline const char *stuck_unfit(void)
{
	if (nr_cpus_online() < STUCK_CPUS)
		return "needs 4 CPUs";
	if (!cpu_listed("/sys/devices/system/cpu/isolated", stuck_cpu()))
		return "needs the last CPU isolated";
	return NULL;
}

/* To hang there so long at most, or to panic if it is 0; as test_module_load(). */
static inline int stuck_load(unsigned int hang_ms)
{
	char params[64];

	if (pin(0, LOAD_CPU))
		return -1;
	snprintf(params, sizeof(params), "trap_cpu=%d hang_ms=%u", stuck_cpu(), hang_ms);
	return test_module_load(stuck.module, params);
}

/* Keeps a thread of the kernel, if there is one of that name, on a CPU. */
static inline bool stuck_pin_thread(const char *name, int cpu)
{
	char path[64], comm[32];
	struct dirent *entry;
	DIR *dir = opendir("/proc");
	bool ok = dir;

	while (ok && (entry = readdir(dir))) {
		pid_t pid = atoi(entry->d_name);

		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		if (pid && read_line(path, comm, sizeof(comm)) && !strcmp(comm, name))
			ok = !pin(pid, cpu);
	}
	if (dir)
		closedir(dir);
	return ok;
}

/* Who has to wait for the CPU that is stuck is not where the test looks on. */
static inline bool stuck_keep_apart(void)
{
	return !pin(0, SAFE_CPU) && stuck_pin_thread("enoki/stuck", SAFE_CPU) &&
	       stuck_pin_thread("rcu_preempt", RCU_CPU);
}

/* Two tasks take turns there, and the end of a turn is where the policy gets stuck. */
static inline bool stuck_springs(void)
{
	return worker_start_on(stuck_cpu(), W_SPIN, stuck.id) &&
	       worker_start_on(stuck_cpu(), W_SPIN, stuck.id);
}

#endif /* _SCHED_ENOKI_STUCK_H */
