/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Enoki, the scheduling class whose policies are modules: what user space sees of
 * it but for sched_setscheduler() and sysfs.
 *
 * Records of what Enoki asked its policies, and what they answered
 * -----------------------------------------------------------------
 *
 * The flight recorder writes those of calls: /sys/kernel/debug/sched_enoki/flight and
 * .../incident each hold a struct enoki_record_header and then nr_records times a
 * struct enoki_record, those of one CPU after those of another, oldest first. A recording
 * (see ENOKI_IOC_RECORD) has the others, too. All numbers are in the byte order of the
 * machine.
 */
#ifndef _UAPI_LINUX_ENOKI_H
#define _UAPI_LINUX_ENOKI_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* "ENOKIREC", as bytes on a little-endian machine. */
#define ENOKI_RECORD_MAGIC	0x434552494b4f4e45ULL

/* Raised whenever what follows changes its meaning. */
#define ENOKI_RECORD_VERSION	2

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
 * @ENOKI_RECORD_TASK_NEW: a task is new; arg: 0; in recordings the CPU time it has had, ns, if
 *	that is not known from before; likewise where arg is 0 below
 * @ENOKI_RECORD_TASK_WAKEUP: woke up; arg: flags
 * @ENOKI_RECORD_TASK_PREEMPT: was stopped; arg: 0
 * @ENOKI_RECORD_TASK_YIELD: yielded; arg: 0
 * @ENOKI_RECORD_TASK_MIGRATED: arrived; arg: from which CPU
 * @ENOKI_RECORD_TASK_BLOCKED: went to sleep; arg: 0
 * @ENOKI_RECORD_TASK_DEAD: ended; arg: 0
 * @ENOKI_RECORD_TASK_DEPARTED: left; arg: 0
 * @ENOKI_RECORD_SELECT_TASK_RQ: was to be placed; arg: the CPU answered; in recordings from
 *	bit 32 the CPU it had, from bit 48 flags
 * @ENOKI_RECORD_PICK_NEXT_TASK: was picked (no task: none was); arg: the slice, ns
 * @ENOKI_RECORD_PNT_ERR: the pick was refused; arg: why
 * @ENOKI_RECORD_TASK_TICK: a tick; arg: pick again?
 * @ENOKI_RECORD_WAKEUP_PREEMPT: runs while another one woke; arg: pick again?; in
 *	recordings from bit 1 the number of the other one
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
 * @ENOKI_RECORD_OFFICE: no call. From here on calls on this CPU go to another instance of
 *	the policy; task: that one's number; arg: it took over what the one before knew
 * @ENOKI_RECORD_INIT_TASK: memory of a task was made; arg: as of ENOKI_RECORD_INFO; the
 *	next one is its ENOKI_RECORD_RUNTIME
 * @ENOKI_RECORD_FREE_TASK: memory of a task was freed
 * @ENOKI_RECORD_INFO: what the policy may see of a task has changed before the next call;
 *	arg: weight, from bit 32 how many CPUs it may use, from bit 48 nice + 20, from bit
 *	56 flags
 * @ENOKI_RECORD_RUNTIME: likewise; arg: CPU time it has had, ns
 * @ENOKI_RECORD_WITH: what more the next call is given; task and arg: as the call has it
 * @ENOKI_RECORD_DATA: likewise, 16 bytes of a hint, in task and arg
 * @ENOKI_RECORD_LOCK: the policy took a lock; task: which one; arg: how often it was taken
 *	before
 * @ENOKI_RECORD_ANSWERS: it asked whether CPUs are active or idle, or may be used by a task;
 *	arg: the answers, a bit each, the last one in bit 0, after a 1
 * @ENOKI_RECORD_TOPOLOGY: it asked for that of a CPU; task: the lowest number of a CPU of
 *	its core, from bit 32 of one that shares its cache; arg: the CPU, from bit 32 its node
 * @ENOKI_RECORD_RESCHED: it asked for a pick; arg: on which CPU
 * @ENOKI_RECORD_TIMER_ARM: it armed a timer; task: which one; arg: for how long, ns
 * @ENOKI_RECORD_TIMER_CANCEL: it disarmed a timer; task: which one
 * @ENOKI_RECORD_SEND: it sent a message; task: to which queue; arg: 0 or an error
 * @ENOKI_RECORD_LOG: it said something; arg: how many bytes
 * @ENOKI_RECORD_DROP: it let go of a token of that task
 * @ENOKI_RECORD_RETURNED: what the last call answered; arg: 0 or an error
 * @ENOKI_RECORD_LOST: there was no room on the tape; arg: for how many records
 *
 * Those from ENOKI_RECORD_OFFICE on are only in recordings. What a policy does in a call
 * is recorded before the call if its record has an answer, and after it if that has none
 * (as those of ENOKI_RECORD_REGISTER_QUEUE and ENOKI_RECORD_PARSE_HINT, whose answer comes
 * as ENOKI_RECORD_RETURNED).
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
	ENOKI_RECORD_OFFICE = 64,
	ENOKI_RECORD_INIT_TASK,
	ENOKI_RECORD_FREE_TASK,
	ENOKI_RECORD_INFO,
	ENOKI_RECORD_RUNTIME,
	ENOKI_RECORD_WITH,
	ENOKI_RECORD_DATA,
	ENOKI_RECORD_LOCK,
	ENOKI_RECORD_ANSWERS,
	ENOKI_RECORD_TOPOLOGY,
	ENOKI_RECORD_RESCHED,
	ENOKI_RECORD_TIMER_ARM,
	ENOKI_RECORD_TIMER_CANCEL,
	ENOKI_RECORD_SEND,
	ENOKI_RECORD_LOG,
	ENOKI_RECORD_DROP,
	ENOKI_RECORD_RETURNED,
	ENOKI_RECORD_LOST,
};

/**
 * struct enoki_record - one call, or what belongs to one
 * @time_ns: the time that the policy was told; of what is no call, 0 or the time
 * @task: number of the task that it is about, 0 for none
 * @arg: see &enum enoki_record_event
 * @cpu: the CPU that it is about
 * @on: the CPU that made it
 * @event: &enum enoki_record_event
 * @policy: the policy's number
 * @nth: of a call, how many calls about the task there were before, modulo 2^16; of what
 *	a policy does in a call, which call; in recordings only
 */
struct enoki_record {
	__u64	time_ns;
	__u64	task;
	__u64	arg;
	__u16	cpu;
	__u16	on;
	__u8	event;
	__u8	policy;
	__u16	nth;
};

/*
 * Recordings
 * ----------
 *
 * All that policies are asked, told and answered, and the order in which they took their
 * locks: by it they can be run again. Records are written on tapes, one for each CPU, which
 * a program maps and empties.
 *
 *	fd = open("/dev/enoki", O_RDWR | O_CLOEXEC);
 *	ioctl(fd, ENOKI_IOC_RECORD, &recording);
 *	tapes = mmap(NULL, recording.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
 *		     recording.offset);
 *	ioctl(fd, ENOKI_IOC_RECORD_START);
 *
 * poll() says when there is something to take. It is over with ENOKI_IOC_RECORD_STOP, or
 * when the file is closed.
 */

/**
 * enum enoki_recording_flags - how to record
 * @ENOKI_RECORDING_LOSSLESS: if there is no room for a record, stop
 */
enum enoki_recording_flags {
	ENOKI_RECORDING_LOSSLESS	= 1 << 0,
};

/**
 * struct enoki_recording - a recording to be made
 * @policies: bit n % 64 of element n / 64: the policy of number n; none: all
 * @tape_size: for how many bytes of records each tape has room, a power of 2 from a page to
 *	ENOKI_MAX_TAPE_SIZE; 0: ENOKI_TAPE_SIZE. Set to it
 * @flags: &enum enoki_recording_flags
 * @nr_tapes: set to how many tapes there are; that of CPU n is number n
 * @reserved: 0
 * @stride: set to the distance of two tapes, bytes. Each is a &struct enoki_tape_header, and
 *	ENOKI_TAPE_RECORDS bytes after that the records
 * @offset: set to what is to be passed to mmap()
 * @size: set to it, too
 */
struct enoki_recording {
	__u64	policies[2];
	__u32	tape_size;
	__u32	flags;
	__u32	nr_tapes;
	__u32	reserved;
	__u64	stride;
	__u64	offset;
	__u64	size;
};

#define ENOKI_TAPE_SIZE		(4U << 20)
#define ENOKI_MAX_TAPE_SIZE	(256U << 20)
#define ENOKI_TAPE_RECORDS	4096

/**
 * struct enoki_tape_header - what a tape begins with
 * @head: how many bytes of records were written; the kernel's
 * @lost: for how many records there was no room, in all. The kernel's
 * @stopped: the recording was stopped, because of that or because @tail was none. The kernel's
 * @tail: how many bytes were read; the reader's
 *
 * The record at byte n is at ENOKI_TAPE_RECORDS + n % tape_size. It is written first, and
 * then @head is, with release semantics; the same for reading and @tail.
 */
struct enoki_tape_header {
	__u64	head;
	__u64	lost;
	__u64	stopped;
	__u64	__pad1[5];
	__u64	tail;
	__u64	__pad2[7];
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
/*
 * Get tapes for a recording. It needs CAP_SYS_NICE and CAP_PERFMON.
 *
 * EBUSY	somebody records
 * EFAULT	the structure cannot be read; or not be written: then there are tapes all the
 *		same
 * EINVAL	@tape_size, @flags or @reserved is none of what it may be
 * ENOMEM	there is no memory for the tapes
 * EPERM	the capabilities are missing
 */
#define ENOKI_IOC_RECORD	_IOWR(ENOKI_IOC, 5, struct enoki_recording)
/*
 * Record from now on: these policies begin anew, as if they were replaced by the same version
 * that takes nothing over, so that the recording has all that they know. Returns how many
 * they are; others are recorded when their modules are loaded. After an error
 * /sys/kernel/sched_enoki/last_error has it in words.
 *
 * EINVAL	there are no tapes, or it was started before
 * others	as for an upgrade; nothing is recorded
 */
#define ENOKI_IOC_RECORD_START	_IO(ENOKI_IOC, 6)
/*
 * Record no more. What is on the tapes stays until the file is closed.
 *
 * EINVAL	there are no tapes
 */
#define ENOKI_IOC_RECORD_STOP	_IO(ENOKI_IOC, 7)

#endif /* _UAPI_LINUX_ENOKI_H */
