// SPDX-License-Identifier: GPL-2.0
/*
 * A policy panics, with a run queue locked. Its CPU is lost, and whoever needs that
 * run queue; the report says who did it, the policy is not called on other CPUs any
 * more, and its tasks there go on, as do those of other policies.
 *
 * The machine is of no use afterwards: it is to be switched off when the result is
 * there. Needs four CPUs, the last one isolated: see stuck.h.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "kselftest.h"
#include "stuck.h"

/* Where none of those is that have to wait for the CPU that is lost. */
static const int safe_cpus[] = { SAFE_CPU, SAFE_CPU, 2 };

#define NR_OTHERS	ARRAY_SIZE(safe_cpus)

static bool went_on(struct worker *const others[NR_OTHERS], struct worker *of_fifo)
{
	size_t i;

	for (i = 0; i < NR_OTHERS; i++)
		if (!AWAIT(sched_getscheduler(others[i]->pid) == SCHED_OTHER) ||
		    !worker_lives(others[i]))
			return false;
	return policy_in_office(&fifo) && sched_getscheduler(of_fifo->pid) == SCHED_ENOKI &&
	       worker_lives(of_fifo);
}

static bool panics(void)
{
	struct worker *others[NR_OTHERS], *of_fifo;
	char words[128];
	size_t i;

	for (i = 0; i < NR_OTHERS; i++) {
		others[i] = worker_start_on(safe_cpus[i], i % 2 ? W_SPIN : W_NAP, stuck.id);
		if (!others[i])
			return false;
	}
	of_fifo = worker_start_on(SAFE_CPU, W_NAP, fifo.id);
	snprintf(words, sizeof(words),
		 "\nreason: panic: CPU %d panicked in the policy, in pick_next_task", stuck_cpu());

	return of_fifo && stuck_keep_apart() && stuck_springs() &&
	       AWAIT(!policy_in_office(&stuck)) &&
	       went_on(others, of_fifo) && AWAIT(last_exit_says("policy stuck, ")) &&
	       last_exit_says(words);
}

int main(void)
{
	const char *problem;

	enoki_require();
	ksft_print_header();
	problem = stuck_unfit();
	if (problem)
		ksft_exit_skip("%s\n", problem);
	ksft_set_plan(1);
	problem = enoki_begin();
	if (problem)
		ksft_exit_fail_msg("%s\n", problem);
	if (stuck_load(0) && errno == ENOENT)
		ksft_exit_skip("test_modules/enoki_stuck.ko is not built\n");
	/* One oops is wanted, and what the lost CPU holds up is none of the detectors' business. */
	write_str("/proc/sys/kernel/panic_on_oops", "0");
	write_str("/proc/sys/kernel/nmi_watchdog", "0");
	write_str("/sys/module/rcupdate/parameters/rcu_cpu_stall_suppress", "1");
	ksft_test_result(panics(), "panics\n");
	/* To end would be to wait for those that never end. */
	for (;;)
		pause();
}
