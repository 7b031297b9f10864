/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Records of what Enoki asked its policies, and what they answered.
 *
 * The flight recorder writes them: /sys/kernel/debug/sched_enoki/flight and
 * .../incident each hold a struct enoki_record_header and then nr_records times a
 * struct enoki_record, those of one CPU after those of another, oldest first. All
 * numbers are in the byte order of the machine.
 */
#ifndef _UAPI_LINUX_ENOKI_H
#define _UAPI_LINUX_ENOKI_H

#include <linux/types.h>

/* "ENOKIREC", as bytes on a little-endian machine. */
#define ENOKI_RECORD_MAGIC	0x434552494b4f4e45ULL

/* Raised whenever what follows changes its meaning. */
#define ENOKI_RECORD_VERSION	1

/**
 * struct enoki_record_header - what a file of records begins with
 * @magic: ENOKI_RECORD_MAGIC
 * @version: ENOKI_RECORD_VERSION
 * @record_size: sizeof(struct enoki_record)
 * @nr_records: how many follow
 * @time_ns: when they were taken, by the clock of the records
 */
struct enoki_record_header {
	__u64	magic;
	__u32	version;
	__u32	record_size;
	__u64	nr_records;
	__u64	time_ns;
};

/**
 * enum enoki_record_event - a call of a policy
 * @ENOKI_RECORD_TASK_NEW: a task is new; arg: 0
 * @ENOKI_RECORD_TASK_WAKEUP: woke up; arg: flags
 * @ENOKI_RECORD_TASK_PREEMPT: was stopped; arg: 0
 * @ENOKI_RECORD_TASK_YIELD: yielded; arg: 0
 * @ENOKI_RECORD_TASK_MIGRATED: arrived; arg: from which CPU
 * @ENOKI_RECORD_TASK_BLOCKED: went to sleep; arg: 0
 * @ENOKI_RECORD_TASK_DEAD: ended; arg: 0
 * @ENOKI_RECORD_TASK_DEPARTED: left; arg: 0
 * @ENOKI_RECORD_SELECT_TASK_RQ: was to be placed; arg: the CPU answered
 * @ENOKI_RECORD_PICK_NEXT_TASK: was picked (no task: none was); arg: the slice, ns
 * @ENOKI_RECORD_PNT_ERR: the pick was refused; arg: why
 * @ENOKI_RECORD_TASK_TICK: a tick; arg: pick again?
 * @ENOKI_RECORD_WAKEUP_PREEMPT: runs while another one woke; arg: pick again?
 * @ENOKI_RECORD_BALANCE: was named to be stolen (none: no task was); arg: from which CPU
 * @ENOKI_RECORD_BALANCE_ERR: was not stolen; arg: why not
 * @ENOKI_RECORD_MIGRATE_TASK_RQ: its token was wanted back; arg: why, and bit 8 if it came
 * @ENOKI_RECORD_TASK_RESCUED: was rescued; arg: how long it had waited, ns
 * @ENOKI_RECORD_TASK_PRIO_CHANGED: arg: its weight
 * @ENOKI_RECORD_TASK_AFFINITY_CHANGED: arg: how many CPUs it may use
 * @ENOKI_RECORD_CPU_ONLINE: no task; arg: the CPU
 * @ENOKI_RECORD_CPU_OFFLINE: no task; arg: the CPU
 * @ENOKI_RECORD_TIMER_FIRED: no task; arg: the timer
 * @ENOKI_RECORD_NR_QUEUED: no task; arg: how many it says it has, -1 if it does not count
 */
enum enoki_record_event {
	ENOKI_RECORD_TASK_NEW,
	ENOKI_RECORD_TASK_WAKEUP,
	ENOKI_RECORD_TASK_PREEMPT,
	ENOKI_RECORD_TASK_YIELD,
	ENOKI_RECORD_TASK_MIGRATED,
	ENOKI_RECORD_TASK_BLOCKED,
	ENOKI_RECORD_TASK_DEAD,
	ENOKI_RECORD_TASK_DEPARTED,
	ENOKI_RECORD_SELECT_TASK_RQ,
	ENOKI_RECORD_PICK_NEXT_TASK,
	ENOKI_RECORD_PNT_ERR,
	ENOKI_RECORD_TASK_TICK,
	ENOKI_RECORD_WAKEUP_PREEMPT,
	ENOKI_RECORD_BALANCE,
	ENOKI_RECORD_BALANCE_ERR,
	ENOKI_RECORD_MIGRATE_TASK_RQ,
	ENOKI_RECORD_TASK_RESCUED,
	ENOKI_RECORD_TASK_PRIO_CHANGED,
	ENOKI_RECORD_TASK_AFFINITY_CHANGED,
	ENOKI_RECORD_CPU_ONLINE,
	ENOKI_RECORD_CPU_OFFLINE,
	ENOKI_RECORD_TIMER_FIRED,
	ENOKI_RECORD_NR_QUEUED,
};

/**
 * struct enoki_record - one call
 * @time_ns: the time that the policy was told
 * @task: number of the task that it is about, 0 for none
 * @arg: see &enum enoki_record_event
 * @cpu: the CPU that it is about
 * @on: the CPU that made it
 * @event: &enum enoki_record_event
 * @policy: the policy's number
 * @reserved: zero
 */
struct enoki_record {
	__u64	time_ns;
	__u64	task;
	__u64	arg;
	__u16	cpu;
	__u16	on;
	__u8	event;
	__u8	policy;
	__u16	reserved;
};

#endif /* _UAPI_LINUX_ENOKI_H */
