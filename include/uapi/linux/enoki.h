/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Enoki, the scheduling class whose policies are modules: what user space sees of
 * it but for sched_setscheduler() and sysfs.
 *
 * Records of what Enoki asked its policies, and what they answered
 * -----------------------------------------------------------------
 *
 * The flight recorder writes them: /sys/kernel/debug/sched_enoki/flight and
 * .../incident each hold a struct enoki_record_header and then nr_records times a
 * struct enoki_record, those of one CPU after those of another, oldest first. All
 * numbers are in the byte order of the machine.
 */
#ifndef _UAPI_LINUX_ENOKI_H
#define _UAPI_LINUX_ENOKI_H

#include <linux/ioctl.h>
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
 * @ENOKI_RECORD_REGISTER_QUEUE: no task; arg: the queue's number
 * @ENOKI_RECORD_UNREGISTER_QUEUE: no task; arg: the queue's number
 * @ENOKI_RECORD_ENTER_QUEUE: no task; arg: how many of the hints that wait it takes
 * @ENOKI_RECORD_PARSE_HINT: was hinted about (none: nobody was); arg: the queue's number
 * @ENOKI_RECORD_REREGISTER_PREP: no task; the policy gave away what it knows; arg: 0
 * @ENOKI_RECORD_REREGISTER_INIT: no task; it was given what a policy knows; arg: its answer
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
	ENOKI_RECORD_REGISTER_QUEUE,
	ENOKI_RECORD_UNREGISTER_QUEUE,
	ENOKI_RECORD_ENTER_QUEUE,
	ENOKI_RECORD_PARSE_HINT,
	ENOKI_RECORD_REREGISTER_PREP,
	ENOKI_RECORD_REREGISTER_INIT,
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

/*
 * Hints and messages
 * ------------------
 *
 * Programs send hints to a policy, and get messages from it, through /dev/enoki. Each
 * open file is a client of one policy. It may have a ring of hints, a ring of
 * messages or both, which it maps; what is in them is as the policy says.
 *
 *	fd = open("/dev/enoki", O_RDWR | O_CLOEXEC);
 *	ioctl(fd, ENOKI_IOC_POLICY, 4);
 *	ioctl(fd, ENOKI_IOC_QUEUE, &queue);
 *	ring = mmap(NULL, queue.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, queue.offset);
 *
 * A hint is written without a system call: the policy gets it when a task is attached
 * to it, when one wakes another one up, at a tick, or at once by ENOKI_IOC_DOORBELL.
 */

#define ENOKI_LAYOUT_NAME_LEN	32
/* Bytes of a hint or a message. */
#define ENOKI_MAX_HINT_SIZE	240
#define ENOKI_MAX_ENTRIES	65536

/**
 * struct enoki_layout - what a hint or a message looks like, or what a policy hands over
 * @name: of the type, NUL terminated; empty: there are none
 * @size: in bytes, a multiple of 8; of a hint or a message at most ENOKI_MAX_HINT_SIZE
 * @version: of the type
 * @hash: of the names and types of its fields, see Documentation/scheduler/enoki.rst
 *
 * Both sides must have the same.
 */
struct enoki_layout {
	char	name[ENOKI_LAYOUT_NAME_LEN];
	__u32	size;
	__u32	version;
	__u64	hash;
};

/**
 * enum enoki_queue_kind - which way a queue goes
 * @ENOKI_QUEUE_HINTS: from programs to the policy
 * @ENOKI_QUEUE_MESSAGES: from the policy to programs
 */
enum enoki_queue_kind {
	ENOKI_QUEUE_HINTS,
	ENOKI_QUEUE_MESSAGES,
};

/**
 * struct enoki_queue - a queue to be set up
 * @layout: of what goes through it
 * @kind: &enum enoki_queue_kind
 * @nr_entries: how many entries the ring is to have, a power of 2; 0: no ring, for hints
 *	that are sent by ENOKI_IOC_HINT only
 * @entry_size: set to the bytes of an entry: a &struct enoki_entry and what it carries
 * @reserved: 0
 * @offset: set to what is to be passed to mmap()
 * @size: set to it, too
 */
struct enoki_queue {
	struct enoki_layout	layout;
	__u32			kind;
	__u32			nr_entries;
	__u32			entry_size;
	__u32			reserved;
	__u64			offset;
	__u64			size;
};

/**
 * struct enoki_ring_header - what a ring begins with
 * @tail: how many entries have been written, modulo 2^32; its writer's
 * @head: how many have been read; its reader's
 * @dropped: of hints, how many were refused: about a thread that is none of the
 *	sender's or not attached, or wrong in the eyes of the policy. Of messages, how many
 *	found the ring full. The kernel's.
 * @torn: how often the kernel found @tail or @head where it cannot be. The kernel's.
 *
 * Entry number n is at ENOKI_RING_ENTRIES + n % nr_entries * entry_size. It is written
 * first, and then @tail is, with release semantics; the same for reading and @head.
 */
struct enoki_ring_header {
	__u32	tail;
	__u32	__pad1[15];
	__u32	head;
	__u32	__pad2[15];
	__u32	dropped;
	__u32	torn;
	__u32	__pad3[30];
};

#define ENOKI_RING_ENTRIES	256

/**
 * struct enoki_entry - what an entry of a ring begins with
 * @tid: the thread that a hint is about, as its sender calls it; 0: none
 * @reserved: 0
 * @data: the hint or the message
 */
struct enoki_entry {
	__s32	tid;
	__u32	reserved;
	__u64	data[];
};

/**
 * struct enoki_hint - a hint that is sent by a system call
 * @tid: as in &struct enoki_entry
 * @size: bytes of it
 * @data: where it is
 */
struct enoki_hint {
	__s32	tid;
	__u32	size;
	__u64	data;
};

#define ENOKI_IOC		0xED

/*
 * Choose the policy of that number, which is the argument itself, once.
 *
 * EBUSY	one was chosen already, even if it has gone
 * EDQUOT	it has too many clients: in all, without CAP_SYS_NICE, or of this user
 * ENODEV	there is none in office of that number
 */
#define ENOKI_IOC_POLICY	_IO(ENOKI_IOC, 0)
/*
 * Set up a queue, of each kind one. After EINVAL, EPROTO and what the policy says,
 * /sys/kernel/sched_enoki/last_error has it in words.
 *
 * EBUSY	there is one of that kind already
 * EFAULT	the structure cannot be read; or not be written: then the queue is there
 *		all the same
 * EINVAL	@kind, @nr_entries or @reserved is none of what it may be
 * ENODEV	no policy was chosen, or it has gone
 * ENOMEM	there is no memory for the ring
 * EPROTO	the policy has another layout, or no queues of that kind
 * others	what the policy refuses it with
 */
#define ENOKI_IOC_QUEUE		_IOWR(ENOKI_IOC, 1, struct enoki_queue)
/*
 * Have the policy look at the ring of hints now. Returns how many it took, 0 if there is
 * no ring; fewer than there are if they are many, if their sender is over its quota, or
 * if the policy wants fewer.
 *
 * ENODEV	no policy was chosen, or it has gone
 */
#define ENOKI_IOC_DOORBELL	_IO(ENOKI_IOC, 2)
/*
 * Give the policy a hint, after those of the ring.
 *
 * EAGAIN	not all of the ring before it were taken, as by ENOKI_IOC_DOORBELL; or the
 *		policy has lost the token of the thread
 * EDQUOT	its sender is over the quota
 * EFAULT	the structure or the hint cannot be read
 * EINVAL	there is no queue of hints, or @size is not that of its layout
 * ENODEV	no policy was chosen, or it has gone
 * EPERM	the thread is of another process than the one that opened the file, which
 *		had no CAP_SYS_NICE
 * ESRCH	there is no such thread, or it is not attached to the policy
 * others	what the policy refuses it with
 */
#define ENOKI_IOC_HINT		_IOW(ENOKI_IOC, 3, struct enoki_hint)
/*
 * Signal that eventfd, which is the argument itself, whenever a message has come, instead
 * of the one before; -1: none.
 *
 * EBADF	it is not open
 * EINVAL	it is no eventfd
 */
#define ENOKI_IOC_EVENTFD	_IO(ENOKI_IOC, 4)

#endif /* _UAPI_LINUX_ENOKI_H */
