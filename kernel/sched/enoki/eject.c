// SPDX-License-Identifier: GPL-2.0
/*
 * How a policy is put out of office, and its tasks go on.
 *
 * From the moment that enoki_sched::out says so the policy is not called any
 * more. Its tasks are run by the class, first come first served with finite
 * slices, until a worker has moved each of them to what it would be without Enoki.
 * The policy keeps the tokens that it has; they are worth nothing any more, and go
 * when its module is removed, which then is possible.
 *
 * A policy gets a number of offences before that, each of which the class has put
 * right by itself.
 */
#include <linux/kdebug.h>
#include <linux/sysrq.h>

/* So long an offence counts. */
#define ENOKI_BUDGET_NS		(10ULL * NSEC_PER_SEC)
/* So many of them are put up with. */
#define ENOKI_BUDGET		8

/**
 * enoki_eject - put a policy out of office
 * @es: the policy
 * @why: for what
 * @offence: the last thing that it did, or NULL
 *
 * Only the first reason counts.
 *
 * Context: any, run queue locks and NMIs included.
 */
void enoki_eject(struct enoki_sched *es, enum enoki_exit why,
		 const struct enoki_offence *offence)
{
	if (atomic_cmpxchg(&es->exit_claim, 0, 1))
		return;

	if (offence)
		es->exit = *offence;
	else
		es->exit = (struct enoki_offence){ .cpu = -1, .call = ENOKI_NR_EVENTS };
	if (!es->exit.time_ns)
		es->exit.time_ns = local_clock();
	es->ejected_at = ktime_get_mono_fast_ns();
	enoki_recorder_freeze();
	/* Whoever sees that it is ejected may see what for. */
	smp_store_release(&es->out, why);
	irq_work_queue(&es->eject_kick);
}

/**
 * enoki_offend - count an offence of a policy
 * @es: the policy
 * @why: what kind of offence
 * @offence: what happened; the class has put it right
 *
 * Context: any with interrupts off, run queue locks included.
 * Return: the policy stays. Otherwise it has been ejected, now or before.
 */
bool enoki_offend(struct enoki_sched *es, enum enoki_exit why,
		  const struct enoki_offence *offence)
{
	u64 now = ktime_get_mono_fast_ns();
	bool over;

	if (enoki_ejected(es))
		return false;

	scoped_guard (raw_spinlock, &es->lock) {
		if (now - es->offences_since > ENOKI_BUDGET_NS) {
			es->offences_since = now;
			es->offences = 0;
		}
		over = ++es->offences > READ_ONCE(es->budget);
		if (!over && es->nr_unreported++ < ENOKI_MAX_UNREPORTED) {
			es->unreported[es->nr_unreported - 1].offence = *offence;
			es->unreported[es->nr_unreported - 1].why = why;
		}
	}
	if (over) {
		enoki_eject(es, why, offence);
	} else {
		enoki_recorder_freeze();
		irq_work_queue(&es->eject_kick);
	}

	return !over;
}

/**
 * enoki_eject_again - have an ejection carried out that nobody has begun
 * @es: the policy
 *
 * Whoever ejected it may have been stopped in an NMI, on a CPU that takes no interrupts.
 *
 * Context: hard interrupt, no run queue locked.
 */
void enoki_eject_again(struct enoki_sched *es)
{
	if (enoki_ejected(es) && !READ_ONCE(es->reported))
		kthread_queue_work(es->eject_worker, &es->eject_work);
}

static void enoki_eject_kick(struct irq_work *irq_work)
{
	struct enoki_sched *es = container_of(irq_work, struct enoki_sched, eject_kick);
	int cpu;

	/* Where its tasks wait for it, it would be asked at the next event only. */
	if (enoki_ejected(es)) {
		for_each_online_cpu(cpu)
			if (READ_ONCE(enoki_prq_of(es, cpu)->nr_running))
				enoki_kick(cpu_rq(cpu), true, false);
	}
	kthread_queue_work(es->eject_worker, &es->eject_work);
}

/*
 * Can @p be locked? A CPU that never leaves the policy may have the task itself, if
 * it is waking it up, or the run queue, be it its own or another one's.
 */
static bool enoki_can_lock(struct task_struct *p)
{
	struct rq *rq;
	bool can;

	if (!raw_spin_trylock(&p->pi_lock))
		return false;
	rq = task_rq(p);
	can = raw_spin_rq_trylock(rq);
	if (can)
		raw_spin_rq_unlock(rq);
	raw_spin_unlock(&p->pi_lock);

	return can;
}

/*
 * Any task that others can see; one that is being forked has no reference to take.
 * Who can't be locked now is moved later, or never.
 */
static struct task_struct *enoki_first_task(struct enoki_sched *es)
{
	struct task_struct *p;

	guard(raw_spinlock_irqsave)(&es->lock);
	list_for_each_entry(p, &es->tasks, enoki.tasks_node) {
		if (READ_ONCE(p->__state) != TASK_NEW && enoki_can_lock(p))
			return get_task_struct(p);
	}

	return NULL;
}

/* Make @p what it would be without Enoki; a boosted task stays boosted. */
static void enoki_move_out(struct enoki_sched *es, struct task_struct *p)
{
	unsigned int flags = DEQUEUE_SAVE | DEQUEUE_MOVE | DEQUEUE_NOCLOCK;
	const struct sched_class *class;
	struct enoki_attach none = { };

	CLASS(task_rq_lock, rq_guard)(p);
	if (p->enoki.es != es)
		return;

	update_rq_clock(rq_guard.rq);
	class = __setscheduler_class(SCHED_NORMAL, p->prio);
	if (class != p->sched_class)
		flags |= DEQUEUE_CLASS;

	scoped_guard (sched_change, p, flags) {
		p->policy = SCHED_NORMAL;
		enoki_attach_commit(rq_guard.rq, p, &none);
		p->sched_class = class;
	}
}

static unsigned int enoki_move_all_out(struct enoki_sched *es)
{
	struct task_struct *p;
	unsigned int nr = 0;

	while ((p = enoki_first_task(es))) {
		enoki_move_out(es, p);
		put_task_struct(p);
		nr++;
		cond_resched();
	}

	return nr;
}

/* The @i-th offence that is to be reported. If there is none so many are forgotten. */
static bool enoki_unreported(struct enoki_sched *es, unsigned int i, enum enoki_exit *why,
			     struct enoki_offence *offence, unsigned int *nr)
{
	guard(raw_spinlock_irq)(&es->lock);
	*nr = es->nr_unreported;
	if (i >= min(*nr, ENOKI_MAX_UNREPORTED)) {
		es->nr_unreported = 0;
		return false;
	}
	*offence = es->unreported[i].offence;
	*why = es->unreported[i].why;

	return true;
}

/*
 * One report for each offence. What led to the later of two may be recorded with the
 * earlier one.
 */
static void enoki_report_offences(struct enoki_sched *es)
{
	struct enoki_offence offence;
	unsigned int i = 0, nr;
	enum enoki_exit why;

	while (enoki_unreported(es, i++, &why, &offence, &nr))
		enoki_report(es, why, &offence);
	if (nr > ENOKI_MAX_UNREPORTED)
		pr_notice("sched_enoki: policy %s: %u offences more\n", es->name,
			  nr - ENOKI_MAX_UNREPORTED);
}

static void enoki_eject_fn(struct kthread_work *work)
{
	struct enoki_sched *es = container_of(work, struct enoki_sched, eject_work);
	/* Pairs with the release in enoki_eject(). */
	unsigned int out = smp_load_acquire(&es->out);
	enum enoki_exit why = out < ENOKI_NR_EXITS ? out : ENOKI_EXIT_NONE;
	unsigned int nr = 0, now;
	u64 took_ns = 0;

	enoki_recorder_keep();
	if (!why) {
		enoki_report_offences(es);
		return;
	}

	if (!es->reported)
		enoki_report(es, why, &es->exit);
	WRITE_ONCE(es->reported, true);

	enoki_clients_part(es);
	/*
	 * Tasks may still come: those that were passed over, and those that were
	 * on their way when it was ejected. All of them are users already, or see
	 * that it is ejected: pairs with the barrier in enoki_unless_ejected().
	 */
	smp_mb();
	while ((now = enoki_move_all_out(es)) || atomic_read(&es->users)) {
		nr += now;
		if (now)
			took_ns = ktime_get_mono_fast_ns() - es->ejected_at;
		else
			schedule_timeout_uninterruptible(1);
	}
	enoki_timers_cancel(es);
	if (nr)
		enoki_report_moved(es, nr, took_ns);
}

/**
 * enoki_eject_init - set up what it takes to eject a policy
 * @es: the policy, new
 *
 * A worker of the fair class would have what the policy's tasks leave of the CPUs,
 * which may be all but nothing. This one is a real-time task.
 *
 * Context: may sleep.
 * Return: 0 or a negative errno. enoki_eject_free() takes it back.
 */
int enoki_eject_init(struct enoki_sched *es)
{
	struct kthread_worker *worker;

	atomic_set(&es->exit_claim, 0);
	es->budget = ENOKI_BUDGET;
	es->eject_kick = IRQ_WORK_INIT_HARD(enoki_eject_kick);
	kthread_init_work(&es->eject_work, enoki_eject_fn);
	worker = kthread_run_worker(0, "enoki/%s", es->name);
	if (IS_ERR(worker))
		return PTR_ERR(worker);

	sched_set_fifo(worker->task);
	es->eject_worker = worker;

	return 0;
}

/**
 * enoki_eject_free - free what enoki_eject_init() has set up
 * @es: the policy; enoki_eject_sync() was called if it was ever registered
 *
 * Context: may sleep.
 */
void enoki_eject_free(struct enoki_sched *es)
{
	if (es->eject_worker)
		kthread_destroy_worker(es->eject_worker);
}

/**
 * enoki_eject_sync - wait until nothing is going on here any more
 * @es: the policy, without tasks and not in the registry
 *
 * Context: may sleep.
 */
void enoki_eject_sync(struct enoki_sched *es)
{
	irq_work_sync(&es->eject_kick);
	synchronize_rcu();
	kthread_flush_work(&es->eject_work);
}

/* Eject all policies that have tasks. */
static void enoki_eject_all(enum enoki_exit why)
{
	struct enoki_sched *es;

	guard(rcu)();
	list_for_each_entry_rcu(es, &enoki_scheds, node)
		enoki_eject(es, why, NULL);
}

static void enoki_sysrq_eject(u8 key)
{
	enoki_eject_all(ENOKI_EXIT_SYSRQ);
}

static const struct sysrq_key_op enoki_sysrq_op = {
	.handler	= enoki_sysrq_eject,
	.help_msg	= "eject-enoki(E)",
	.action_msg	= "Eject all Enoki policies",
	.enable_mask	= SYSRQ_ENABLE_RTNICE,
};

static int __init enoki_eject_setup(void)
{
	return register_sysrq_key('E', &enoki_sysrq_op);
}
late_initcall(enoki_eject_setup);

/*
 * The kernel's own detectors.
 */

/* The policy that @cpu is in, and the call; NULL if it is in none. */
static struct enoki_sched *enoki_caught(int cpu, struct enoki_offence *offence)
{
	*offence = (struct enoki_offence){
		.time_ns	= local_clock(),
		.cpu		= cpu,
		.call		= READ_ONCE(per_cpu(enoki_calling, cpu)) & ENOKI_CALL_MASK,
	};

	return enoki_called_on(cpu);
}

/* At once, should nobody live to make the report. */
static void enoki_say_caught(struct enoki_sched *es, const char *what,
			     const struct enoki_offence *of)
{
	printk_deferred("sched_enoki: CPU %d %s: it is in policy %s, in %s; ejecting it\n",
			of->cpu, what, es->name, enoki_event_name(of->call));
}

/**
 * enoki_softlockup - a CPU has not scheduled for long
 * @dur_s: for how long, in s
 *
 * Interrupts happen, so the CPU is in no policy; but the tasks of the policy that
 * runs it may be why.
 *
 * Context: timer interrupt.
 * Return: such policies have been ejected just now.
 */
bool enoki_softlockup(u32 dur_s)
{
	int cpu = smp_processor_id();
	struct enoki_offence offence = {
		.cpu = cpu, .call = ENOKI_NR_EVENTS, .amount = dur_s,
	};
	struct enoki_sched *es;
	bool any = false;

	guard(rcu)();
	list_for_each_entry_rcu(es, &enoki_scheds, node) {
		if (enoki_ejected(es) || !READ_ONCE(enoki_prq_of(es, cpu)->nr_running))
			continue;
		enoki_eject(es, ENOKI_EXIT_SOFT_LOCKUP, &offence);
		any = true;
	}

	return any;
}

/**
 * enoki_hardlockup - a CPU has not taken interrupts for long
 * @cpu: the CPU
 *
 * Context: NMI, or another CPU's timer interrupt.
 * Return: it is in a policy, which has been ejected for it just now.
 */
bool enoki_hardlockup(int cpu)
{
	struct enoki_offence offence;
	struct enoki_sched *es;

	guard(rcu)();
	es = enoki_caught(cpu, &offence);
	if (!es || enoki_ejected(es))
		return false;

	enoki_eject(es, ENOKI_EXIT_HARD_LOCKUP, &offence);
	enoki_say_caught(es, "takes no interrupts", &offence);
	return true;
}

/**
 * enoki_in_policy - may one of these CPUs not leave a policy?
 * @cpus: which
 *
 * It may keep its run queue locked, and so anybody who wants to look at the tasks there.
 *
 * Context: any, NMIs included.
 * Return: one of them is in a policy at the moment.
 */
bool enoki_in_policy(const struct cpumask *cpus)
{
	int cpu;

	guard(rcu)();
	for_each_cpu(cpu, cpus)
		if (enoki_called_on(cpu))
			return true;

	return false;
}

/**
 * enoki_rcu_stall - CPUs hold up RCU
 * @cpus: which
 *
 * Context: timer interrupt.
 * Return: one of them is in a policy, which has been ejected for it just now.
 */
bool enoki_rcu_stall(const struct cpumask *cpus)
{
	struct enoki_offence offence;
	struct enoki_sched *es;
	bool any = false;
	int cpu;

	guard(rcu)();
	for_each_cpu(cpu, cpus) {
		es = enoki_caught(cpu, &offence);
		if (!es || enoki_ejected(es))
			continue;
		enoki_eject(es, ENOKI_EXIT_RCU_STALL, &offence);
		enoki_say_caught(es, "holds up RCU", &offence);
		any = true;
	}

	return any;
}

/*
 * The CPU will not come back to the policy: its task dies here, with the locks that
 * are held, and where that was an interrupt the kernel dies with it. The others need
 * not go the same way.
 */
static int enoki_die(struct notifier_block *nb, unsigned long event, void *data)
{
	struct enoki_offence offence;
	struct enoki_sched *es;

	if (event != DIE_OOPS)
		return NOTIFY_DONE;

	guard(rcu)();
	es = enoki_caught(smp_processor_id(), &offence);
	if (!es)
		return NOTIFY_DONE;

	if (!enoki_ejected(es)) {
		enoki_eject(es, ENOKI_EXIT_PANIC, &offence);
		enoki_say_caught(es, "has panicked", &offence);
	}
	enoki_call_end();

	return NOTIFY_DONE;
}

static struct notifier_block enoki_die_notifier = { .notifier_call = enoki_die };

static int __init enoki_die_setup(void)
{
	return register_die_notifier(&enoki_die_notifier);
}
late_initcall(enoki_die_setup);
