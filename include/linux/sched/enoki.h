/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Enoki: CPU schedulers as loadable modules written in safe Rust.
 *
 * This header is the boundary between the scheduling class (kernel/sched/enoki.c,
 * which owns the truth about every task) and libEnoki (rust/enoki/, which turns
 * it into safe types). Only fixed-width types and opaque pointers cross it; the
 * core scheduler's own types never do.
 *
 * Ownership of a task's token
 * ---------------------------
 * A &struct enoki_task is the token: whoever holds the pointer may have the task
 * run. It is allocated by libEnoki when a task attaches (init_task) and changes
 * hands with the calls below; at any time either the class or the policy owns it:
 *
 *   class -> policy   task_new, task_wakeup, task_preempt, task_yield,
 *                     task_migrated, pick_next_task's prev, pnt_err
 *   policy -> class   the answers of pick_next_task and migrate_task_rq,
 *                     enoki_token_drop()
 *
 * Only the owner reads or writes it. The class checks each token it gets back
 * against a table of its own (slot, generation), so a token kept past its time
 * is refused, whatever it says.
 */
#ifndef _LINUX_SCHED_ENOKI_H
#define _LINUX_SCHED_ENOKI_H

#include <linux/jump_label.h>
#include <linux/types.h>
#include <uapi/linux/enoki.h>

struct cpumask;
struct enoki_build;
struct enoki_receipt;
struct enoki_sched;
struct module;
struct task_struct;

/* Bumped whenever a structure or a call below changes its meaning. */
#define ENOKI_ABI_VERSION	8

#define ENOKI_NAME_LEN		32
#define ENOKI_MAX_ID		99
#define ENOKI_MAX_TIMERS	64
#define ENOKI_MIN_TIMEOUT_MS	100
#define ENOKI_MAX_TIMEOUT_MS	60000

/**
 * enum enoki_task_flags - what a policy may want to know of a task
 * @ENOKI_TASK_KTHREAD: it is a kernel thread
 * @ENOKI_TASK_PINNED: its affinity allows one CPU only
 */
enum enoki_task_flags {
	ENOKI_TASK_KTHREAD	= 1 << 0,
	ENOKI_TASK_PINNED	= 1 << 1,
};

/**
 * struct enoki_task_info - a task as its policy sees it
 * @id: never reused, unlike a pid
 * @runtime_ns: CPU time the task has had since it was created
 * @weight: load weight of its nice level, 1024 at nice 0
 * @nice: -20 to 19
 * @nr_cpus_allowed: how many CPUs its affinity allows
 * @flags: &enum enoki_task_flags
 */
struct enoki_task_info {
	u64	id;
	u64	runtime_ns;
	u32	weight;
	s32	nice;
	u32	nr_cpus_allowed;
	u32	flags;
};

/**
 * struct enoki_task - a token, the head of the policy's memory for a task
 * @info: the task, as of the last time the class owned the token
 * @gen: generation of this grant; the class compares it with its own
 * @slot: index in the class's table of attached tasks
 * @cpu: the CPU on whose run queue the task is
 * @es: the registration of the policy it belongs to; the class's
 * @free_next: the class's, once the token has been given up
 * @receipt: the class's: by it the token is found if the policy forgets it
 * @epoch: the class's: which version of the policy made it
 * @reserved: the class's
 */
struct enoki_task {
	struct enoki_task_info	info;
	u64			gen;
	u32			slot;
	s32			cpu;
	struct enoki_sched	*es;
	struct enoki_task	*free_next;
	struct enoki_receipt	*receipt;
	u32			epoch;
	u32			reserved;
};

/**
 * struct enoki_key - the name of a token, not the right to use it
 * @gen: the generation it named
 * @slot: the slot it named
 * @cpu: the CPU on whose run queue it was
 */
struct enoki_key {
	u64	gen;
	u32	slot;
	s32	cpu;
};

/**
 * struct enoki_ctx - where and when a policy is called
 * @now_ns: the run queue's clock, ns; for calls without a run queue the local
 *          sched_clock(); never goes backwards on one CPU
 * @cpu: the CPU whose run queue is locked, else the calling CPU
 * @flags: none yet
 * @es: the policy's registration, for the services at the end of this file
 *
 * Interrupts are off in every call that has a context.
 */
struct enoki_ctx {
	u64			now_ns;
	s32			cpu;
	u32			flags;
	struct enoki_sched	*es;
};

/**
 * enum enoki_err - why an answer of a policy was refused
 * @ENOKI_ERR_STALE: the token's generation has passed
 * @ENOKI_ERR_CPU: the task is not on this CPU's run queue
 * @ENOKI_ERR_STATE: the task is not waiting to run
 * @ENOKI_ERR_AFFINITY: the task may not run on the CPU named
 * @ENOKI_ERR_RACE: it went elsewhere or started to run in the meantime
 * @ENOKI_ERR_OFFLINE: that CPU is going, or gone
 * @ENOKI_NR_ERRS: one more than the last
 */
enum enoki_err {
	ENOKI_ERR_STALE		= 1,
	ENOKI_ERR_CPU,
	ENOKI_ERR_STATE,
	ENOKI_ERR_AFFINITY,
	ENOKI_ERR_RACE,
	ENOKI_ERR_OFFLINE,
	ENOKI_NR_ERRS,
};

/**
 * enum enoki_leave - why the class wants the token of a queued task back
 * @ENOKI_LEAVE_MIGRATE: the task goes to another CPU (task_migrated follows)
 * @ENOKI_LEAVE_BOOST: another class runs it while it holds a lock someone needs
 * @ENOKI_LEAVE_DETACH: it leaves the policy (task_departed follows)
 * @ENOKI_LEAVE_OVERRIDE: the class runs it by itself this time
 * @ENOKI_LEAVE_RESCUE: likewise, because it has waited too long
 */
enum enoki_leave {
	ENOKI_LEAVE_MIGRATE	= 1,
	ENOKI_LEAVE_BOOST,
	ENOKI_LEAVE_DETACH,
	ENOKI_LEAVE_OVERRIDE,
	ENOKI_LEAVE_RESCUE,
};

/**
 * enum enoki_wake_flags - how a task became ready to run
 * @ENOKI_WAKE_FORK: it is placed for the first time
 * @ENOKI_WAKE_SYNC: the waker is about to sleep
 * @ENOKI_WAKE_MIGRATED: it woke on another CPU than it slept on
 */
enum enoki_wake_flags {
	ENOKI_WAKE_FORK		= 1 << 0,
	ENOKI_WAKE_SYNC		= 1 << 1,
	ENOKI_WAKE_MIGRATED	= 1 << 2,
};

/**
 * enum enoki_ops_flags - what kind of policy it is
 * @ENOKI_OPS_WEIGHTED: it divides time by the weights of tasks. The slices of one
 *	that does not are scaled for tasks in control groups.
 */
enum enoki_ops_flags {
	ENOKI_OPS_WEIGHTED	= 1 << 0,
};

/**
 * struct enoki_older - what a policy hands over, as another version of it has it
 *
 * The version that brings this knows both forms, the other one only its own.
 */
struct enoki_older {
	/** @state: the other version's enoki_ops::state */
	struct enoki_layout state;
	/** @task_state: likewise enoki_ops::task_state */
	struct enoki_layout task_state;
	/**
	 * @exchange: What @ours and @older know changes hands; each may be any that the
	 * reregister_prep of its version returned. Done once more, it is undone.
	 */
	void (*exchange)(void *ours, void *older);
	/**
	 * @task_from_older: Give @ours what @older knows of the task, which is memory of the
	 * other version. NULL if both have the same memory of a task; otherwise no token
	 * changes hands by @exchange. rq.
	 */
	void (*task_from_older)(struct enoki_task *ours, const struct enoki_task *older);
	/** @task_to_older: Give @older what @ours knows of the task. Likewise. */
	void (*task_to_older)(struct enoki_task *older, const struct enoki_task *ours);
};

/**
 * struct enoki_ops - a policy
 *
 * @sched in every call is what new_sched made. "Lent" tasks are only borrowed for
 * the length of the call. "rq" says that the run queue of cx->cpu is locked; then nothing
 * may sleep, allocate, free, print or wake.
 * All members but those for queues and upgrades are mandatory; libEnoki fills in the defaults.
 */
struct enoki_ops {
	/** @abi_version: ENOKI_ABI_VERSION */
	u32 abi_version;
	/** @size: sizeof(struct enoki_ops) */
	u32 size;
	/** @task_size: sizeof(struct enoki_task), so that a layout mismatch is seen */
	u32 task_size;
	/** @id: 1 to ENOKI_MAX_ID, what sched_priority names in sched_setscheduler() */
	u32 id;
	/** @nr_timers: how many timers the policy has, at most ENOKI_MAX_TIMERS */
	u32 nr_timers;
	/**
	 * @timeout_ms: how long a task that is ready may wait for its policy,
	 * ENOKI_MIN_TIMEOUT_MS to ENOKI_MAX_TIMEOUT_MS; 0 is the default, 5 s
	 */
	u32 timeout_ms;
	/** @flags: &enum enoki_ops_flags */
	u32 flags;
	/** @nr_older: of @older */
	u32 nr_older;
	/** @hint: what the hints are like that it takes; without a name it takes none */
	struct enoki_layout hint;
	/** @message: what the messages are like that it sends; likewise */
	struct enoki_layout message;
	/** @state: what that is like that another version may take over; of size 0 if nothing */
	struct enoki_layout state;
	/** @task_state: what the memory of a task is like then; it may have no name */
	struct enoki_layout task_state;
	/** @older: @nr_older other forms of both, to and from which it can bring them */
	const struct enoki_older *older;
	/** @name: what the policy is registered as, NUL terminated, not the module's name */
	char name[ENOKI_NAME_LEN];
	/** @version: of the policy, NUL terminated, free form */
	char version[ENOKI_NAME_LEN];
	/** @owner: the module whose text the calls below are */
	struct module *owner;
	/**
	 * @parameters: Put the parameters of the module, NAME=VALUE a line, into @buf of @size
	 * bytes; NULL if it has none. Any context.
	 * Return: how many bytes.
	 */
	u32 (*parameters)(char *buf, u32 size);

	/**
	 * @new_sched: Make *@sched, which knows of no task. May sleep.
	 * Return: 0, or a negative errno, which refuses the module or the upgrade.
	 */
	int (*new_sched)(void **sched);
	/**
	 * @free_sched: Free @sched and the tokens it still holds. May sleep; the
	 * last call but for the free_task calls of those tokens.
	 */
	void (*free_sched)(void *sched);

	/* Task life: may sleep, no locks. */

	/**
	 * @init_task: Make the memory of a task that is about to attach. Its
	 * head is a &struct enoki_task, which the class fills in afterwards.
	 * Return: 0 with *@task set, or a negative errno, which refuses the task.
	 */
	int (*init_task)(void *sched, const struct enoki_task_info *info,
			 struct enoki_task **task);
	/** @free_task: Undo init_task. The task is detached or never attached. */
	void (*free_task)(struct enoki_task *task);

	/* Task life: rq. The token passes to the policy. */

	/** @task_new: a forked or just attached task is ready to run, or runs */
	void (*task_new)(void *sched, const struct enoki_ctx *cx,
			 struct enoki_task *task);
	/** @task_wakeup: a task that slept is ready to run; @flags is 0 or ENOKI_WAKE_MIGRATED */
	void (*task_wakeup)(void *sched, const struct enoki_ctx *cx,
			    struct enoki_task *task, u32 flags);
	/** @task_preempt: the running task was stopped; it is still ready to run */
	void (*task_preempt)(void *sched, const struct enoki_ctx *cx,
			     struct enoki_task *task);
	/** @task_yield: the running task called sched_yield() */
	void (*task_yield)(void *sched, const struct enoki_ctx *cx,
			   struct enoki_task *task);
	/** @task_migrated: a task ready to run arrived from CPU @from */
	void (*task_migrated)(void *sched, const struct enoki_ctx *cx,
			      struct enoki_task *task, s32 from);

	/* Task life: the task is lent. */

	/** @task_blocked: rq; the running task goes to sleep */
	void (*task_blocked)(void *sched, const struct enoki_ctx *cx,
			     struct enoki_task *task);
	/** @task_dead: rq; the task has exited and will not be seen again */
	void (*task_dead)(void *sched, const struct enoki_ctx *cx,
			  struct enoki_task *task);
	/** @task_departed: rq; the task leaves the policy alive */
	void (*task_departed)(void *sched, const struct enoki_ctx *cx,
			      struct enoki_task *task);

	/* Decisions. */

	/**
	 * @select_task_rq: no rq lock; where should the lent task run that is
	 * waking or was just forked? Return: a CPU; a wrong one is counted
	 * and replaced.
	 */
	s32 (*select_task_rq)(void *sched, const struct enoki_ctx *cx,
			      struct enoki_task *task, s32 prev_cpu, u32 flags);
	/**
	 * @pick_next_task: rq; which task runs now? @prev, when not NULL, is
	 * the token of the task that ran and still could: keep or return it.
	 * *@slice_ns may be set to how long it runs before pick_next_task is
	 * asked again, if another attached task is ready here then; 0 leaves
	 * that to task_tick.
	 * Return: a token, or NULL for none.
	 */
	struct enoki_task *(*pick_next_task)(void *sched, const struct enoki_ctx *cx,
					     struct enoki_task *prev, u64 *slice_ns);
	/** @pnt_err: rq; pick_next_task's answer, not a stale one, was refused: have it back */
	void (*pnt_err)(void *sched, const struct enoki_ctx *cx,
			struct enoki_task *task, u32 err);
	/** @task_tick: rq; the lent task runs and time passed. Return: pick again? */
	bool (*task_tick)(void *sched, const struct enoki_ctx *cx,
			  struct enoki_task *task);
	/**
	 * @wakeup_preempt: rq; a task with number @woken_id became ready to run
	 * beside the lent running one. Return: pick again at once?
	 */
	bool (*wakeup_preempt)(void *sched, const struct enoki_ctx *cx,
			       struct enoki_task *curr, u64 woken_id);
	/**
	 * @balance: rq; no attached task is left here. Return: true with *@key
	 * naming a task queued on another CPU that should come here.
	 */
	bool (*balance)(void *sched, const struct enoki_ctx *cx, struct enoki_key *key);
	/** @balance_err: rq; the task that balance named stayed where it was */
	void (*balance_err)(void *sched, const struct enoki_ctx *cx,
			    const struct enoki_key *key, u32 err);
	/**
	 * @migrate_task_rq: rq; the class wants the token of @task, which is
	 * queued here, back; @task is only its name. @why is &enum enoki_leave.
	 * Return: @task, or NULL if the policy has lost it.
	 */
	struct enoki_task *(*migrate_task_rq)(void *sched, const struct enoki_ctx *cx,
					      struct enoki_task *task, u32 why);

	/**
	 * @task_rescued: rq; task number @id had waited for @waited_ns without
	 * being picked. The class has taken its token back and runs it next.
	 */
	void (*task_rescued)(void *sched, const struct enoki_ctx *cx, u64 id,
			     u64 waited_ns);
	/**
	 * @nr_queued: rq; how many tokens does the policy have of tasks that
	 * are queued on this CPU? Asked now and then, and compared.
	 * Return: how many, or -1 if it does not count them.
	 */
	s64 (*nr_queued)(void *sched, const struct enoki_ctx *cx);

	/* Changes: rq; @task is only a name, @info is how it is now. */

	/** @task_prio_changed: nice or weight changed */
	void (*task_prio_changed)(void *sched, const struct enoki_ctx *cx,
				  struct enoki_task *task,
				  const struct enoki_task_info *info);
	/** @task_affinity_changed: the CPUs it may use changed */
	void (*task_affinity_changed)(void *sched, const struct enoki_ctx *cx,
				      struct enoki_task *task,
				      const struct enoki_task_info *info);

	/* CPUs and time: no rq lock, interrupts off. */

	/** @cpu_online: @cpu may get tasks from now on */
	void (*cpu_online)(void *sched, const struct enoki_ctx *cx, s32 cpu);
	/** @cpu_offline: @cpu gets no more tasks; those it has will be moved */
	void (*cpu_offline)(void *sched, const struct enoki_ctx *cx, s32 cpu);
	/** @timer_fired: the timer armed as number @timer has run out */
	void (*timer_fired)(void *sched, const struct enoki_ctx *cx, u32 timer);

	/* Queues: only of a policy that has a @hint or a @message; no rq lock but as said. */

	/**
	 * @register_queue: a client has set up a queue, of a &enum enoki_queue_kind. A
	 * client's queues have one number.
	 * Return: 0, or a negative errno, which refuses it.
	 */
	int (*register_queue)(void *sched, const struct enoki_ctx *cx, u64 queue, u32 kind);
	/** @unregister_queue: the client has gone, and with it its queues */
	void (*unregister_queue)(void *sched, const struct enoki_ctx *cx, u64 queue);
	/** @enter_queue: @nr hints are there. Return: how many the policy takes now */
	u32 (*enter_queue)(void *sched, const struct enoki_ctx *cx, u64 queue, u32 nr);
	/**
	 * @parse_hint: a hint has come. If it is about a task, @task, rq. If @info is
	 * NULL the task is lent. Else it is queued here, @task is only its name, and
	 * @info is how it is now. @hint has the size of @hint and is the call's.
	 * Return: 0, or a negative errno, which refuses it.
	 */
	int (*parse_hint)(void *sched, const struct enoki_ctx *cx, u64 queue,
			  struct enoki_task *task, const struct enoki_task_info *info,
			  const void *hint);

	/*
	 * Upgrade: only of a policy that has a @state. Nobody else is in the policy or can
	 * enter it, on any CPU; interrupts are off, and nothing may sleep, allocate or free.
	 */

	/**
	 * @reregister_prep: Another version takes over, or this one does.
	 * Return: where the state is: @state.size bytes, aligned to 8. What is there changes
	 * hands with what the other version has there, as it is or by &struct enoki_older.
	 */
	void *(*reregister_prep)(void *sched, const struct enoki_ctx *cx);
	/**
	 * @reregister_init: What another version knew is where reregister_prep said, or, if
	 * that one would not have it, what this one gave away.
	 * Return: 0, or a negative errno, which refuses it; it is taken back then.
	 */
	int (*reregister_init)(void *sched, const struct enoki_ctx *cx);
};

struct enoki_build *enoki_register(const struct enoki_ops *ops);
void enoki_unregister(struct enoki_build *build);

/* What a policy may ask for from inside a call; none of them re-enters it. */
void enoki_token_drop(struct enoki_task *task);
bool enoki_task_allowed(const struct enoki_task *task, s32 cpu);
void enoki_resched_cpu(s32 cpu);
bool enoki_cpu_active(s32 cpu);
bool enoki_cpu_idle(s32 cpu);
int enoki_timer_arm(struct enoki_sched *es, u32 timer, u64 delay_ns);
void enoki_timer_cancel(struct enoki_sched *es, u32 timer);
int enoki_queue_send(struct enoki_sched *es, u64 queue, const void *message, u32 size);
void enoki_log(struct enoki_sched *es, const char *msg, u32 len);
u64 enoki_lock_wait(void);
void enoki_lock_waited(struct enoki_sched *es, u64 since_ns);

/**
 * struct enoki_taping - are policies recorded?
 * @key: true if one is
 */
struct enoki_taping {
	struct static_key_false key;
};

extern struct enoki_taping enoki_taping;

/* Then, with the lock held: */
void enoki_tape_lock(struct enoki_sched *es, u64 lock, u64 nth);

/**
 * struct enoki_topology - where a CPU stands
 * @smt: lowest CPU of its core
 * @llc: lowest CPU that shares its last-level cache
 * @node: its NUMA node
 */
struct enoki_topology {
	s32	smt;
	s32	llc;
	s32	node;
};

void enoki_cpu_topology(s32 cpu, struct enoki_topology *topo);

#ifdef CONFIG_SCHED_ENOKI
void enoki_dump_task(const char *log_lvl, struct task_struct *p);
bool enoki_softlockup(u32 dur_s);
bool enoki_hardlockup(int cpu);
bool enoki_in_policy(const struct cpumask *cpus);
bool enoki_rcu_stall(const struct cpumask *cpus);
#else
static inline void enoki_dump_task(const char *log_lvl, struct task_struct *p) { }
static inline bool enoki_softlockup(u32 dur_s) { return false; }
static inline bool enoki_hardlockup(int cpu) { return false; }
static inline bool enoki_in_policy(const struct cpumask *cpus) { return false; }
static inline bool enoki_rcu_stall(const struct cpumask *cpus) { return false; }
#endif

#endif /* _LINUX_SCHED_ENOKI_H */
