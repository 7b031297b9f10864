/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a task_struct holds for the Enoki scheduling class. Apart from
 * <linux/sched/enoki.h> because <linux/sched.h> embeds it.
 */
#ifndef _LINUX_SCHED_ENOKI_ENTITY_H
#define _LINUX_SCHED_ENOKI_ENTITY_H

#include <linux/types.h>

struct enoki_attach;
struct enoki_sched;
struct enoki_slot;
struct enoki_task;

/**
 * struct sched_enoki_entity - a task's part in the Enoki class
 * @es: the policy it is attached to, NULL if none. Stays while another class
 *      runs the task because of priority inheritance.
 * @token: its token; NULL if the policy has lost it
 * @slot: its place in the token table
 * @next: the attachment being made, during sched_change only
 * @task_id: never reused
 * @gen: generation of the last grant
 * @slice_ns: the slice of the last pick, 0 for none
 * @slice_end: run-queue clock at which that slice is over
 * @waits_since: when it began to wait for its turn, while core scheduling is in use
 * @ready_since: when the watchdog first saw that it waits, by enoki_clock(); between
 *               two run queues, how long it has waited already
 * @weight: what was added to its policy's weight on this run queue
 * @from_cpu: where it was last queued before a migration
 * @id: number of the policy, what sched_getparam() returns
 * @state: &enum enoki_state, who owns the token
 * @flags: ENOKI_P_*
 * @run_node: in the run queue's list of attached runnable tasks
 * @tasks_node: in the policy's list of tasks
 *
 * Written with the task's run queue locked; @es, @id and @tasks_node also with
 * its pi_lock held.
 */
struct sched_enoki_entity {
	struct enoki_sched	*es;
	struct enoki_task	*token;
	struct enoki_slot	*slot;
	struct enoki_attach	*next;
	u64			task_id;
	u64			gen;
	u64			slice_ns;
	u64			slice_end;
#ifdef CONFIG_SCHED_CORE
	u64			waits_since;
#endif
	u64			ready_since;
	u32			weight;
	s32			from_cpu;
	u8			id;
	u8			state;
	u16			flags;
	struct list_head	run_node;
	struct list_head	tasks_node;
};

#endif /* _LINUX_SCHED_ENOKI_ENTITY_H */
