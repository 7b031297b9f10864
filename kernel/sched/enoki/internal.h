/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inside the Enoki class.
 *
 * Locks, from the outside in: enoki_change_mutex (upgrades) - enoki_mutex (registry) -
 * cpu_hotplug_lock - enoki_sched::calls - task's pi_lock - run queue - { the policies' own locks -
 * enoki_sched::lock, timers }. A policy is
 * called with the run queue locked or with none, and with two only while a task
 * goes directly from one to another: for the one it leaves, then for the other.
 */
#ifndef _KERNEL_SCHED_ENOKI_INTERNAL_H
#define _KERNEL_SCHED_ENOKI_INTERNAL_H

#include <linux/hrtimer.h>
#include <linux/idr.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/llist.h>
#include <linux/poll.h>
#include <linux/ratelimit.h>
#include <linux/rwsem.h>
#include <uapi/linux/enoki.h>

/**
 * enum enoki_state - where an attached task is and who owns its token
 * @ENOKI_NONE: not attached
 * @ENOKI_BLOCKED: not ready to run, or run by another class; the class owns it
 * @ENOKI_QUEUED: ready to run; the policy owns it
 * @ENOKI_ORPHAN: ready to run; the class owns it and runs the task by itself
 * @ENOKI_PICKED: chosen to run next; the class owns it
 * @ENOKI_RUNNING: running; the class owns it and lends it
 * @ENOKI_MIGRATING: between two run queues; the class owns it
 * @ENOKI_NR_STATES: how many there are
 */
enum enoki_state {
	ENOKI_NONE,
	ENOKI_BLOCKED,
	ENOKI_QUEUED,
	ENOKI_ORPHAN,
	ENOKI_PICKED,
	ENOKI_RUNNING,
	ENOKI_MIGRATING,
	ENOKI_NR_STATES,
};

/* sched_enoki_entity::flags */
#define ENOKI_P_COUNTED	0x01	/* in its run queue's list and counts */
#define ENOKI_P_NEW	0x02	/* its policy was not given it yet */
#define ENOKI_P_YIELD	0x04	/* called sched_yield() since it was picked */
#define ENOKI_P_CHANGED	0x08	/* more than its run time differs from what its token says */
#define ENOKI_P_SEEN	0x10	/* the watchdog saw it wait, with the token that it has */
#define ENOKI_P_UNASKED	0x20	/* runs although its policy did not pick it, and waits on */
#define ENOKI_P_RESCUED	0x40	/* rescued, and not picked by its policy since */
#define ENOKI_P_GROUPED	0x80	/* counted in control groups; still, when it sleeps */
#define ENOKI_P_WOKEN	0x100	/* waits since it woke up, and that is to be measured */

/* What is counted of each policy; sysfs has the same names. */
enum enoki_event {
	ENOKI_EV_task_new,
	ENOKI_EV_task_wakeup,
	ENOKI_EV_task_preempt,
	ENOKI_EV_task_yield,
	ENOKI_EV_task_migrated,
	ENOKI_EV_task_blocked,
	ENOKI_EV_task_dead,
	ENOKI_EV_task_departed,
	ENOKI_EV_select_task_rq,
	ENOKI_EV_pick_next_task,
	ENOKI_EV_pnt_err,
	ENOKI_EV_task_tick,
	ENOKI_EV_wakeup_preempt,
	ENOKI_EV_balance,
	ENOKI_EV_balance_err,
	ENOKI_EV_migrate_task_rq,
	ENOKI_EV_task_rescued,
	ENOKI_EV_task_prio_changed,
	ENOKI_EV_task_affinity_changed,
	ENOKI_EV_cpu_online,
	ENOKI_EV_cpu_offline,
	ENOKI_EV_timer_fired,
	ENOKI_EV_nr_queued,
	ENOKI_EV_register_queue,
	ENOKI_EV_unregister_queue,
	ENOKI_EV_enter_queue,
	ENOKI_EV_parse_hint,
	ENOKI_EV_reregister_prep,
	ENOKI_EV_reregister_init,
	/* Not calls; those are enum enoki_record_event, in its order. */
	ENOKI_EV_pick_none,
	ENOKI_EV_steal,
	ENOKI_EV_slice_end,
	ENOKI_EV_override,
	ENOKI_NR_EVENTS,
};

/* Why a policy was ejected. */
enum enoki_exit {
	ENOKI_EXIT_NONE,
	ENOKI_EXIT_REQUEST,
	ENOKI_EXIT_SYSRQ,
	ENOKI_EXIT_STALL,
	ENOKI_EXIT_LOST,
	ENOKI_EXIT_REJECTS,
	ENOKI_EXIT_SOFT_LOCKUP,
	ENOKI_EXIT_HARD_LOCKUP,
	ENOKI_EXIT_RCU_STALL,
	ENOKI_EXIT_MISCOUNT,
	ENOKI_EXIT_LOCK,
	ENOKI_EXIT_PANIC,
	ENOKI_EXIT_UPGRADE,
	ENOKI_NR_EXITS,
};

/* enoki_sched::out, if it is no &enum enoki_exit: there is a policy, but ... */
#define ENOKI_OUT_GATE	0x100	/* it is being replaced: whoever calls it waits */
#define ENOKI_OUT_CHANGE 0x200	/* it is new: of some tasks it has no tokens yet */

/* What is refused; the first ones are enum enoki_err, in its order. */
enum enoki_reject {
	ENOKI_REJ_stale,
	ENOKI_REJ_cpu,
	ENOKI_REJ_state,
	ENOKI_REJ_affinity,
	ENOKI_REJ_race,
	ENOKI_REJ_offline,
	ENOKI_REJ_lost,
	ENOKI_REJ_select_cpu,
	ENOKI_NR_REJECTS,
};

/* Waits of a minute and more are all the same. */
#define ENOKI_NR_WAITS	27

/**
 * struct enoki_stats - one CPU's counters of a policy
 * @events: by &enum enoki_event
 * @rejected: by &enum enoki_reject
 * @waits: how often tasks that woke up waited for less than 2^n us, and not for less than that
 * @late_at: when it was called last while the flight recorder stood still, by ktime
 * @instance: of which instance of it there is a record, see enoki_sched::instance
 *
 * Each CPU writes its own, with interrupts off.
 */
struct enoki_stats {
	u64	events[ENOKI_NR_EVENTS];
	u64	rejected[ENOKI_NR_REJECTS];
	u64	waits[ENOKI_NR_WAITS];
	u64	late_at;
	u32	instance;
};

/**
 * struct enoki_prq - a policy on a run queue
 * @es: the policy
 * @node: in enoki_rq::active while @nr_running is not 0
 * @vruntime: the time its tasks had here over their weight; policies that
 *            share a CPU are picked by it
 * @weight: sum of the weights of its runnable tasks
 * @nr_running: how many those are
 * @nr_orphans: how many of them the class has to run by itself
 * @skip_seq: the pick in which it last had nothing to run
 * @miscounted_at: the last look of the watchdog at which it had other tokens than it said
 *
 * Protected by the run queue's lock.
 */
struct enoki_prq {
	struct enoki_sched	*es;
	struct list_head	node;
	u64			vruntime;
	unsigned long		weight;
	unsigned int		nr_running;
	unsigned int		nr_orphans;
	unsigned int		skip_seq;
	unsigned int		miscounted_at;
};

/**
 * struct enoki_slot - a row of the token table
 * @gen: generation of the latest grant; only grows, over all tasks of the slot
 * @task: whose it is
 * @free_node: in enoki_sched::dead_slots, once it has no task any more
 * @taped_ns: until then, what was recorded last of the task's run time
 * @granted_at: when that was, rq clock of the task's CPU
 * @turn_from: what the task had run when its last turn began, ns; see enoki_group_slice()
 * @own_end: what it will have run when the slice is over that its policy gave it, ns
 * @passed: the token that the task had of the version that was replaced, and which that one
 *	kept; until it has one of the new version
 * @nr: its index
 * @calls: in how many calls the present token was, as long as they were recorded
 */
struct enoki_slot {
	u64			gen;
	struct task_struct	*task;
	union {
		struct llist_node	free_node;
		u64			taped_ns;
	};
	u64			granted_at;
	u64			turn_from;
	u64			own_end;
	struct enoki_task	*passed;
	u32			nr;
	u16			calls;
};

/**
 * struct enoki_receipt - that a policy has made the memory of a task
 * @node: in enoki_sched::receipts
 * @token: what it has made
 * @placed: a task has it, or had it
 *
 * The token itself can be on no list: while the policy owns it nobody writes it.
 */
struct enoki_receipt {
	struct list_head	node;
	struct enoki_task	*token;
	bool			placed;
};

/**
 * struct enoki_timer - a timer that a policy armed
 * @hrtimer: runs in hard interrupt context
 * @es: the policy
 * @epoch: which version armed it; see enoki_sched::epoch
 * @took_ns: how long the policy took when it last fired
 */
struct enoki_timer {
	struct hrtimer		hrtimer;
	struct enoki_sched	*es;
	unsigned int		epoch;
	u64			took_ns;
};

#define ENOKI_LOG_SIZE	4096
/* So many lines in such a time. */
#define ENOKI_LOG_LINES	100
#define ENOKI_LOG_INTERVAL	(10 * HZ)

/**
 * struct enoki_offence - what a policy did that it should not have
 * @time_ns: local clock of the CPU that saw it
 * @task_id: number of the task it did it to, 0 if none
 * @amount: how long that task had waited, or a lock was held, in ns; how many answers
 *          were refused; how many tokens the policy should have
 * @said: how many it said it has
 * @cpu: on which CPU, -1 if on none
 * @pid: of the task
 * @call: &enum enoki_event of the call that @cpu was in, or the last one, or
 *        ENOKI_NR_EVENTS
 * @comm: of the task
 */
struct enoki_offence {
	u64	time_ns;
	u64	task_id;
	u64	amount;
	s64	said;
	int	cpu;
	pid_t	pid;
	int	call;
	char	comm[TASK_COMM_LEN];
};

/**
 * struct enoki_build - a policy's code, of which several may be loaded
 * @ops: its calls
 * @es: the policy whose it is, in office or standing by; NULL if that went without it
 * @canary: the policy as which it is tried beside @es, see canary.c; NULL if it is not
 * @canary_goes: what was its canary is not registered any more, but not yet gone
 *
 * Protected by enoki_change_mutex.
 */
struct enoki_build {
	const struct enoki_ops	*ops;
	struct enoki_sched	*es;
	struct enoki_sched	*canary;
	bool			canary_goes;
};

/**
 * struct enoki_upgrades - what is known of a policy's upgrades
 * @done: how many there were
 * @kept: how many of these took over what the policy knew
 * @refused: how many were begun and undone
 * @retries: how often the gate was opened again because a run queue stayed locked
 * @blackout_ns: how long the last one let nobody call the policy
 * @waited_ns: how long anybody waited for it then
 */
struct enoki_upgrades {
	u64	done;
	u64	kept;
	u64	refused;
	u64	retries;
	u64	blackout_ns;
	u64	waited_ns;
};

/* How many offences wait for their reports; there may be more only if the budget is larger. */
#define ENOKI_MAX_UNREPORTED	8

/* How many clients a policy has at most; a power of 2. */
#define ENOKI_MAX_CLIENTS	64

struct enoki_client;

/**
 * struct enoki_sched - a registered policy
 * @ops: its calls, those of @build
 * @priv: its data, passed to each call
 * @name: what it is registered as
 * @build: its code
 * @standby: other code, that can replace it; NULL if there is none
 * @node: in the registry; RCU
 * @prq: its part of each run queue
 * @stats: its counters
 * @out: if it is 0 the policy may be called. If it is an &enum enoki_exit the policy has been
 *       ejected: it is not called any more, and its tasks leave it. Else ENOKI_OUT_*
 * @epoch: which tokens are of the present code; those of others are of @before
 * @before: the code that was replaced, while there are tokens of it
 * @instance: number of its data, of all there have been of any policy
 * @taped: if it is recorded, @instance; else 0
 * @inherits: those data took over what was known before
 * @retiring: @work is to free the tokens that it has forgotten
 * @pinned: the module that @users keep in memory, NULL if none; under the registry's mutex
 * @removed: it is not registered any more
 * @closed: its tasks are to leave it, and no others come
 * @gate_seq: which run queues have been locked since the gate was closed: those that have it
 * @layouts: changes when those of hints or messages do; see enoki_client::layouts
 * @calls: read-locked by calls that may sleep, write-locked by upgrades
 * @upgrades: what is known of upgrades
 * @upgrade: the one that is being made, for @upgrade_work
 * @upgrade_work: does what must not be kept waiting by the policy's tasks
 * @switching: its tasks are going over to another policy, for @switch_work
 * @switch_work: has them go
 * @id: its number, for those in a hurry
 * @users: tasks attached or being attached, until their memory is freed. The
 *         module is pinned while it is not 0.
 * @puts: how many of them @work is to put
 * @lock: of @tasks and @receipts
 * @tasks: the tasks attached
 * @receipts: &struct enoki_receipt of all that its init_task made
 * @freed: tokens to free
 * @lost: tokens the policy dropped
 * @dead_slots: slots to free, one for each user to put
 * @defer: hard irq_work that looks at @lost and starts @work
 * @work: frees what the lists above hold, outside all locks
 * @timers: ops->nr_timers of them
 * @log_lock: of @log
 * @log: what the policy wants to say, until @log_work may say it
 * @log_len: bytes in it
 * @log_limit: how much of it is printed
 * @log_kick: hard irq_work that starts @log_work
 * @log_work: prints @log
 * @exit_claim: set by the first one that ejects it
 * @exit: what it was ejected for
 * @ejected_at: when, by ktime
 * @eject_kick: hard irq_work that starts @eject_work
 * @eject_work: reports and moves the tasks
 * @eject_worker: the kthread that does it, and upgrades
 * @timeout_ms: how long a task may wait for it
 * @budget: how many offences there may be in ENOKI_BUDGET_NS before it is ejected
 * @offences: how many there were since @offences_since; under @lock
 * @offences_since: when these began to be counted, by ktime; under @lock
 * @unreported: offences that are to be reported, and what kind each is; under @lock
 * @nr_unreported: how many they are, those that found no room included; under @lock
 * @max_hold_ms: how long a CPU may have to wait for a lock of it
 * @max_blackout_ms: how long a call may have to wait while it is being replaced
 * @waited_at: when the wait ended that was counted last as too long, local clock
 * @max_rejects: how many answers a second may be refused before it is ejected
 * @rejected: answers refused until the watchdog looked the last time
 * @clients: its clients by the lowest bits of their numbers; written under @lock, read
 *	under RCU
 * @ringing: which of them have a ring of hints; written under @lock
 * @hints_from: which of them @hints_kick begins with
 * @hint_quota: how many hints a second a client may send that is not trusted
 * @hints_kick: hard irq_work that looks at the rings
 * @reported: what it was ejected for is; @eject_work's
 * @dying: it is being removed: no timer is armed and no work begun any more
 * @kobj: its directory in sysfs
 * @released: @kobj is gone
 */
struct enoki_sched {
	const struct enoki_ops	*ops;
	void			*priv;
	char			name[ENOKI_NAME_LEN];
	struct enoki_build	*build;
	struct enoki_build	*standby;
	struct list_head	node;
	struct enoki_prq __percpu *prq;
	struct enoki_stats __percpu *stats;
	unsigned int		out;
	unsigned int		epoch;
	const struct enoki_ops	*before;
	unsigned int		instance;
	unsigned int		taped;
	bool			inherits;
	bool			retiring;
	bool			removed;
	bool			closed;
	struct module		*pinned;
	unsigned int		gate_seq;
	unsigned int		layouts;
	struct rw_semaphore	calls;
	struct enoki_upgrades	upgrades;
	struct enoki_upgrade	*upgrade;
	struct kthread_work	upgrade_work;
	struct enoki_switch	*switching;
	struct kthread_work	switch_work;
	u8			id;
	atomic_t		users;
	atomic_t		puts;
	raw_spinlock_t		lock;
	struct list_head	tasks;
	struct list_head	receipts;
	struct llist_head	freed;
	struct llist_head	lost;
	struct llist_head	dead_slots;
	struct irq_work		defer;
	struct work_struct	work;
	struct enoki_timer	*timers;
	raw_spinlock_t		log_lock;
	char			*log;
	unsigned int		log_len;
	struct ratelimit_state	log_limit;
	struct irq_work		log_kick;
	struct work_struct	log_work;
	atomic_t		exit_claim;
	struct enoki_offence	exit;
	u64			ejected_at;
	struct irq_work		eject_kick;
	struct kthread_work	eject_work;
	struct kthread_worker	*eject_worker;
	unsigned int		timeout_ms;
	unsigned int		budget;
	unsigned int		offences;
	u64			offences_since;
	struct {
		struct enoki_offence	offence;
		enum enoki_exit		why;
	} unreported[ENOKI_MAX_UNREPORTED];
	unsigned int		nr_unreported;
	unsigned int		max_hold_ms;
	unsigned int		max_blackout_ms;
	u64			waited_at;
	unsigned int		max_rejects;
	u64			rejected;
	struct enoki_client __rcu *clients[ENOKI_MAX_CLIENTS];
	DECLARE_BITMAP(ringing, ENOKI_MAX_CLIENTS);
	unsigned int		hints_from;
	unsigned int		hint_quota;
	struct irq_work		hints_kick;
	bool			reported;
	bool			dying;
	struct kobject		kobj;
	struct completion	released;
} __aligned(64);	/* see enoki_calling */

/*
 * The time that passes for the attached tasks of a run queue: not while it is held
 * by a higher class.
 */
static inline u64 enoki_clock(struct rq *rq)
{
	return rq_clock(rq) - rq->enoki.held_ns;
}

/* An expiry this close to a time counts as that time. */
#define ENOKI_SLACK_NS		NSEC_PER_USEC

static inline bool enoki_time_is_up(struct rq *rq, u64 time)
{
	return (s64)(time - rq_clock(rq)) <= (s64)ENOKI_SLACK_NS;
}

/* Slices that are longer would end after everything that is of interest, or overflow. */
#define ENOKI_MAX_SLICE_NS	(3600ULL * NSEC_PER_SEC)

/* The class lengthens no slice beyond this, ns. */
static inline u64 enoki_longest_part(const struct enoki_sched *es)
{
	return (u64)READ_ONCE(es->timeout_ms) * NSEC_PER_MSEC / 4;
}

static inline struct enoki_prq *enoki_prq_of(struct enoki_sched *es, int cpu)
{
	return per_cpu_ptr(es->prq, cpu);
}

/* token.c */
int enoki_slot_alloc(struct enoki_slot **slotp);
void enoki_slot_free(struct enoki_slot *slot);
struct task_struct *enoki_lookup(u32 slot, u64 gen, enum enoki_err *err);
u64 enoki_slot_task_id(u32 nr);
bool enoki_rq_trylock(struct rq *rq, struct rq_flags *rf);
void enoki_fill_info(struct task_struct *p, struct enoki_task_info *info);
struct enoki_task *enoki_grant(struct rq *rq, struct task_struct *p);
void enoki_lost(struct rq *rq, struct task_struct *p);
bool enoki_reclaim(struct rq *rq, struct task_struct *p, enum enoki_leave why);
const char *enoki_state_name(struct task_struct *p);

/* eject.c */
void enoki_eject(struct enoki_sched *es, enum enoki_exit why,
		 const struct enoki_offence *offence);
bool enoki_offend(struct enoki_sched *es, enum enoki_exit why,
		  const struct enoki_offence *offence);
int enoki_eject_init(struct enoki_sched *es);
void enoki_eject_free(struct enoki_sched *es);
void enoki_eject_again(struct enoki_sched *es);
void enoki_eject_sync(struct enoki_sched *es);

/* upgrade.c */
bool __enoki_shut(struct enoki_sched *es, struct rq *rq, const struct enoki_task *token);
bool enoki_wait_at_gate(struct enoki_sched *es);
int enoki_upgrade(struct enoki_sched *es);
int enoki_begin_anew(struct enoki_sched *es);
bool enoki_give_up_office(struct enoki_sched *es, struct enoki_sched **canaryp);
ssize_t enoki_standby_show(struct enoki_sched *es, char *buf);
void enoki_upgrade_init(struct enoki_sched *es);
void enoki_number_instance(struct enoki_sched *es, bool inherits);

/* switch.c */
int enoki_switch(struct enoki_sched *es, const char *name, unsigned int max);
void enoki_switch_init(struct enoki_sched *es);

/* canary.c */
DECLARE_STATIC_KEY_FALSE(enoki_measuring);
void __enoki_measure(struct rq *rq, struct task_struct *p);
ssize_t enoki_waits_show(struct enoki_sched *es, char *buf);
struct enoki_sched *enoki_canary_join(struct enoki_sched *es);
void enoki_canary_free(struct enoki_sched *canary);
void enoki_canary_alone(struct enoki_build *build);
struct enoki_sched *enoki_canary_leaves(struct enoki_build *build);
int enoki_canary(struct enoki_sched *es, bool on);
ssize_t enoki_canary_show(struct enoki_sched *es, char *buf);

/* @p woke up: its wait begins. */
static inline void enoki_measure_from(struct task_struct *p)
{
	if (static_branch_unlikely(&enoki_measuring))
		p->enoki.flags |= ENOKI_P_WOKEN;
}

/* @p is to run: that is the end of it. */
static inline void enoki_measure(struct rq *rq, struct task_struct *p)
{
	if (static_branch_unlikely(&enoki_measuring) && (p->enoki.flags & ENOKI_P_WOKEN))
		__enoki_measure(rq, p);
}

/* report.c */
void enoki_report(struct enoki_sched *es, enum enoki_exit why,
		  const struct enoki_offence *offence);
void enoki_report_moved(struct enoki_sched *es, unsigned int nr, u64 took_ns);
ssize_t enoki_last_exit(char *buf, loff_t pos, size_t count);
const char *enoki_exit_name(enum enoki_exit why);

/* recorder.c */
DECLARE_STATIC_KEY_FALSE(enoki_recording);

/* Bytes of a CPU's ring; a power of two. */
#define ENOKI_RING_SIZE		SZ_64K

/**
 * struct enoki_ring - the latest records of a CPU
 * @records: where they go; NULL while the ring stands still, or there is a recording
 * @shared: where they go if there is
 * @head: how many bytes of them there have been
 */
struct enoki_ring {
	void			*records;
	void			*shared;
	u64			head;
};

DECLARE_PER_CPU(struct enoki_ring, enoki_rings);
extern const struct enoki_task enoki_no_token;
void enoki_record_slow(struct enoki_sched *es, enum enoki_event event,
		       const struct enoki_ctx *cx, const struct enoki_task *token, u64 arg);
void enoki_record_task(struct enoki_sched *es, enum enoki_event event,
		       const struct enoki_ctx *cx, u64 task, u64 arg);
void enoki_recorder_freeze(void);
void enoki_recorder_keep(void);
unsigned int enoki_recorder_last(struct enoki_record *last, unsigned int max, u64 task);
void enoki_recorder_start(void);
void enoki_recorder_taping(void);

/* tape.c */
/* What the argument of the record of this CPU's call is to have besides; see enoki_set_with(). */
DECLARE_PER_CPU(u64, enoki_tape_with);

void enoki_tape_prev(struct enoki_sched *es, const struct enoki_task *prev);
void enoki_tape(struct enoki_sched *es, unsigned int event, u64 task, u64 arg);
void enoki_tape_hint(struct enoki_sched *es, const struct enoki_task_info *info,
		     const void *hint);
void enoki_tape_asked(unsigned int event, u64 task, u64 arg);
bool enoki_tape_answer(bool answer);
void enoki_tape_info(struct enoki_sched *es, const struct enoki_task_info *info);
void enoki_tape_made(struct enoki_sched *es, const struct enoki_task_info *info);
void enoki_tape_freed(struct enoki_sched *es, const struct enoki_task *token);
void enoki_tape_slot(struct enoki_slot *slot);
void enoki_tape_instance(struct enoki_sched *es, bool taped);
void enoki_tape_new(struct enoki_sched *es);
int enoki_recording_open(const struct enoki_client *client, struct enoki_recording *recording);
int enoki_recording_start(const struct enoki_client *client);
int enoki_recording_stop(const struct enoki_client *client);
void enoki_recording_close(const struct enoki_client *client);
int enoki_recording_map(const struct enoki_client *client, struct vm_area_struct *vma);
bool enoki_recording_poll(const struct enoki_client *client, struct file *file,
			  poll_table *table);

/* Is any policy recorded? */
static __always_inline bool enoki_is_taping(void)
{
	return static_branch_unlikely(&enoki_taping.key);
}

/* watchdog.c */
void enoki_watch(void);
void enoki_watch_init(struct enoki_sched *es);

/* registry.c */
extern struct list_head enoki_scheds;
extern struct mutex enoki_mutex;
extern struct mutex enoki_change_mutex;
struct enoki_sched *enoki_get(u32 id);
struct enoki_sched *enoki_get_used(u32 id);
void enoki_put(struct enoki_sched *es);
void enoki_reject(struct enoki_sched *es, enum enoki_reject why);
void enoki_defer(struct enoki_sched *es);
int enoki_token_make(struct enoki_sched *es, const struct enoki_task_info *info,
		     struct enoki_task **tokenp);
void enoki_token_free(struct enoki_sched *es, struct enoki_task *token);
void enoki_token_placed(struct enoki_task *token);
void enoki_give_to_free(struct enoki_sched *es, struct enoki_task *task);

/* timer.c */
void enoki_slice_start(struct rq *rq, struct task_struct *p);
void enoki_slice_check(struct rq *rq, struct task_struct *p);
void enoki_slice_arm_by(struct rq *rq, u64 end);
void enoki_server_init(struct rq *rq);
void enoki_kick(struct rq *rq, bool resched, bool slice);
void enoki_kick_done(struct rq *rq);
int enoki_timers_init(struct enoki_sched *es);
void enoki_timers_cancel(struct enoki_sched *es);

/* fair.c */
void enoki_fair_alone(struct rq *rq);
void enoki_fair_joined(struct rq *rq);
bool enoki_fair_due(struct rq *rq);
bool enoki_fair_turn(struct rq *rq);
u64 enoki_fair_over(struct rq *rq);

/* group.c */
#ifdef CONFIG_FAIR_GROUP_SCHED
void enoki_group_in(struct task_group *tg, unsigned long weight);
void enoki_group_out(struct task_group *tg, unsigned long weight);
unsigned int enoki_group_weight(struct task_group *tg, unsigned long weight);
u64 enoki_group_slice(struct task_struct *p, u64 slice_ns);
void enoki_group_slept(struct task_struct *p);

/*
 * Is @p in a control group? Those that are made for sessions are none. While it is
 * counted, ENOKI_P_GROUPED says the same.
 */
static inline bool enoki_grouped(struct task_struct *p)
{
	struct task_group *tg = task_group(p);

	return unlikely(tg != &root_task_group && !task_group_is_autogroup(tg));
}
#else
static inline void enoki_group_in(struct task_group *tg, unsigned long weight) { }
static inline void enoki_group_out(struct task_group *tg, unsigned long weight) { }

static inline unsigned int enoki_group_weight(struct task_group *tg, unsigned long weight)
{
	return weight;
}

static inline u64 enoki_group_slice(struct task_struct *p, u64 slice_ns)
{
	return slice_ns;
}

static inline void enoki_group_slept(struct task_struct *p) { }

static inline bool enoki_grouped(struct task_struct *p) { return false; }
#endif

/* What @p weighs against all others, if it weighs @weight in its group. */
static inline unsigned int enoki_weight(struct task_struct *p, unsigned int weight)
{
	guard(rcu)();

	return enoki_grouped(p) ? enoki_group_weight(task_group(p), weight) : weight;
}

/* Are the slices of @p scaled by what it weighs, as its policy does not look at weights? */
static inline bool enoki_scaled(struct task_struct *p)
{
	return unlikely(p->enoki.flags & ENOKI_P_GROUPED) &&
	       !(READ_ONCE(p->enoki.es->ops)->flags & ENOKI_OPS_WEIGHTED);
}

#ifdef CONFIG_CFS_BANDWIDTH
bool enoki_stays_throttled(struct rq *rq, struct task_struct *p);
void enoki_forget_throttled(struct task_struct *p, bool sleeps);

/* Are its groups out of bandwidth? Then it is on no run queue, like one that sleeps. */
static inline bool enoki_throttled(struct task_struct *p)
{
	return unlikely(p->throttled);
}

/* Has its time to be counted while it runs, even if it is alone? */
static inline bool enoki_bandwidth_limited(struct task_struct *p)
{
	return (p->enoki.flags & ENOKI_P_GROUPED) && cfs_task_bw_constrained(p);
}

static inline void enoki_charge_groups(struct rq *rq, struct task_struct *p, u64 ran_ns)
{
	if (unlikely(p->enoki.flags & ENOKI_P_GROUPED))
		cfs_bandwidth_charge(rq, p, ran_ns);
}
#else
static inline bool enoki_throttled(struct task_struct *p) { return false; }
static inline bool enoki_bandwidth_limited(struct task_struct *p) { return false; }
static inline bool enoki_stays_throttled(struct rq *rq, struct task_struct *p) { return false; }
static inline void enoki_forget_throttled(struct task_struct *p, bool sleeps) { }
static inline void enoki_charge_groups(struct rq *rq, struct task_struct *p, u64 ran_ns) { }
#endif

/* queue.c */
void enoki_queues_init(struct enoki_sched *es);
void enoki_clients_part(struct enoki_sched *es);
bool enoki_same_layouts(const struct enoki_ops *a, const struct enoki_ops *b);
void enoki_clients_changed(struct enoki_sched *es, const struct enoki_ops *old, bool known);
ssize_t enoki_clients_show(struct enoki_sched *es, char *buf);
extern struct static_key_false_deferred enoki_hinting;
void __enoki_look_at_hints(struct enoki_sched *es);

/* Something happened to a task of @es: does the policy have hints to look at? */
static inline void enoki_look_at_hints(struct enoki_sched *es)
{
	if (static_branch_unlikely(&enoki_hinting.key))
		__enoki_look_at_hints(es);
}

/* services.c */
void enoki_topology(int cpu, struct enoki_topology *topo);
void enoki_log_kick(struct irq_work *irq_work);
void enoki_log_fn(struct work_struct *work);

/* sysfs.c */
__printf(1, 2) void enoki_set_error(const char *fmt, ...);
bool enoki_sysfs_has(const char *name);
const char *enoki_event_name(unsigned int event);
const char *enoki_reject_name(unsigned int reject);
int enoki_sysfs_add(struct enoki_sched *es);
void enoki_sysfs_del(struct enoki_sched *es);

#endif /* _KERNEL_SCHED_ENOKI_INTERNAL_H */
