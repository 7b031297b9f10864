/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the core scheduler needs to know of the Enoki class.
 */
#ifndef _KERNEL_SCHED_ENOKI_H
#define _KERNEL_SCHED_ENOKI_H

struct enoki_attach;
struct seq_file;

#ifdef CONFIG_SCHED_ENOKI

/**
 * struct enoki_attach - an attachment prepared but not made yet
 * @es: the policy, pinned, or NULL
 * @token: the task's new token
 * @slot: its new slot
 * @task_id: its number
 *
 * Lives on the stack of __sched_setscheduler(): everything that can fail
 * or sleep happens in enoki_attach_prepare(), before any lock is taken.
 */
struct enoki_attach {
	struct enoki_sched	*es;
	struct enoki_task	*token;
	struct enoki_slot	*slot;
	u64			task_id;
};

static inline bool task_on_enoki(const struct task_struct *p)
{
	return p->sched_class == &enoki_sched_class;
}

static inline bool enoki_class(const struct sched_class *class)
{
	return class == &enoki_sched_class;
}

static inline int enoki_task_id(const struct task_struct *p)
{
	return p->enoki.id;
}

static inline bool enoki_is_server(struct rq *rq, const void *server)
{
	return server == &rq->enoki_server;
}

/* If the CPU idles, do tasks wait there: for their core, or for their policy? */
static inline bool enoki_tasks_wait(struct rq *rq)
{
	return rq->enoki.nr_running || (sched_core_enabled(rq) && rq->nr_running);
}

/* The CPU is to idle. If it did already, that time is over. */
static inline void enoki_idle_picked(struct rq *rq)
{
	if (is_idle_task(rq->donor))
		idle_sched_class.update_curr(rq);
	rq->enoki.idle_waits = enoki_tasks_wait(rq);
}

/*
 * Did the CPU idle although tasks wait there? Then their deadline servers had no
 * time: it must not count as if they had declined it. Both at its beginning and
 * now: a task that has just come did not wait.
 */
static inline bool enoki_tasks_waited(struct rq *rq)
{
	return rq->enoki.idle_waits && enoki_tasks_wait(rq);
}

/* Will @ea take the task to a policy that it is not attached to? */
static inline bool enoki_attach_changes(const struct enoki_attach *ea)
{
	return ea->es;
}

void enoki_attr_set_id(struct sched_attr *attr, struct task_struct *p);
int enoki_attach_prepare(struct task_struct *p, int policy, const struct sched_attr *attr,
			 bool user, struct enoki_attach *ea);
bool enoki_attach_stale(struct task_struct *p, int policy,
			const struct sched_attr *attr, struct enoki_attach *ea);
void enoki_attach_commit(struct rq *rq, struct task_struct *p, struct enoki_attach *ea);
void enoki_attach_cancel(struct enoki_attach *ea);

void enoki_init_entity(struct task_struct *p);
int enoki_fork(struct task_struct *p);
void enoki_cancel_fork(struct task_struct *p);
void enoki_dead(struct task_struct *p);

void enoki_rq_init(struct rq *rq);
void enoki_settle(struct rq *rq);
bool enoki_can_stop_tick(struct rq *rq);
bool enoki_prio_less(const struct task_struct *a, const struct task_struct *b);
void enoki_cpu_online(int cpu);
void enoki_cpu_offline(int cpu);
void enoki_cpu_dying(struct rq *rq);

void enoki_show_task(struct task_struct *p, struct seq_file *m);
void enoki_show_cpu(struct seq_file *m, int cpu);

void enoki_throttle(struct rq *rq, struct task_struct *p);
void enoki_unthrottle(struct rq *rq, struct task_struct *p);

static inline void enoki_tg_init(struct task_group *tg)
{
#ifdef CONFIG_FAIR_GROUP_SCHED
	raw_spin_lock_init(&tg->enoki.lock);
#endif
}

#else /* !CONFIG_SCHED_ENOKI */

struct enoki_attach { };

static inline bool task_on_enoki(const struct task_struct *p) { return false; }
static inline void enoki_attr_set_id(struct sched_attr *attr, struct task_struct *p) { }
static inline bool enoki_class(const struct sched_class *class) { return false; }
static inline int enoki_task_id(const struct task_struct *p) { return 0; }
/* Not a function, so that the compiler never sees what would be done if it were. */
#define enoki_is_server(rq, server)	(false && (rq) && (server))

static inline int enoki_attach_prepare(struct task_struct *p, int policy,
				       const struct sched_attr *attr, bool user,
				       struct enoki_attach *ea)
{
	return 0;
}

static inline bool enoki_attach_stale(struct task_struct *p, int policy,
				      const struct sched_attr *attr,
				      struct enoki_attach *ea)
{
	return false;
}

static inline bool enoki_attach_changes(const struct enoki_attach *ea) { return false; }

static inline void enoki_attach_commit(struct rq *rq, struct task_struct *p,
				       struct enoki_attach *ea) { }
static inline void enoki_attach_cancel(struct enoki_attach *ea) { }
static inline void enoki_init_entity(struct task_struct *p) { }
static inline int enoki_fork(struct task_struct *p) { return 0; }
static inline void enoki_cancel_fork(struct task_struct *p) { }
static inline void enoki_dead(struct task_struct *p) { }
static inline void enoki_rq_init(struct rq *rq) { }
static inline void enoki_tg_init(struct task_group *tg) { }
static inline void enoki_throttle(struct rq *rq, struct task_struct *p) { }
static inline void enoki_unthrottle(struct rq *rq, struct task_struct *p) { }
static inline bool enoki_tasks_waited(struct rq *rq) { return false; }
static inline void enoki_settle(struct rq *rq) { }
static inline void enoki_idle_picked(struct rq *rq) { }
static inline bool enoki_can_stop_tick(struct rq *rq) { return true; }
static inline void enoki_cpu_online(int cpu) { }
static inline void enoki_cpu_offline(int cpu) { }
static inline void enoki_cpu_dying(struct rq *rq) { }
static inline void enoki_show_task(struct task_struct *p, struct seq_file *m) { }
static inline void enoki_show_cpu(struct seq_file *m, int cpu) { }

#endif /* CONFIG_SCHED_ENOKI */

#endif /* _KERNEL_SCHED_ENOKI_H */
