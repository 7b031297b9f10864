// SPDX-License-Identifier: GPL-2.0
/*
 * What a policy may ask the kernel for. None of these calls the policy back,
 * takes a run queue's lock, allocates, wakes or prints.
 */

/*
 * What a policy asks is answered by the functions with underscores. In those that it calls the
 * answer is recorded, if there is a recording; otherwise they are not longer for that.
 */

static __always_inline bool __enoki_task_allowed(const struct enoki_task *task, s32 cpu)
{
	enum enoki_err err;
	struct task_struct *p;

	/* A call has interrupts off; but a policy that is being freed may ask, too. */
	if ((u32)cpu >= nr_cpu_ids || !this_cpu_read(enoki_calling))
		return false;

	p = enoki_lookup(task->slot, task->gen, &err);
	if (!p)
		return false;

	return cpumask_test_cpu(cpu, p->cpus_ptr) &&
	       (cpu == task_cpu(p) || !is_migration_disabled(p));
}

/**
 * enoki_task_allowed - may the task run on a CPU?
 * @task: its token, owned by the caller
 * @cpu: the CPU
 *
 * Context: any call of a policy. A hint: affinity may change the moment after, and
 * then balance_err says so.
 * Return: its affinity and migrate_disable() state permit it. Outside of a call, false.
 */
bool enoki_task_allowed(const struct enoki_task *task, s32 cpu)
{
	if (enoki_is_taping())
		return enoki_tape_answer(__enoki_task_allowed(task, cpu));

	return __enoki_task_allowed(task, cpu);
}
EXPORT_SYMBOL_GPL(enoki_task_allowed);

/**
 * enoki_resched_cpu - have a CPU ask its policies again what to run
 * @cpu: the CPU; one that is none or offline is ignored
 *
 * Context: any call of a policy.
 */
void enoki_resched_cpu(s32 cpu)
{
	if (enoki_is_taping())
		enoki_tape_asked(ENOKI_RECORD_RESCHED, 0, (u32)cpu);
	if ((u32)cpu < nr_cpu_ids && cpu_possible(cpu))
		enoki_kick(cpu_rq(cpu), true, false);
}
EXPORT_SYMBOL_GPL(enoki_resched_cpu);

static __always_inline bool __enoki_cpu_active(s32 cpu)
{
	return (u32)cpu < nr_cpu_ids && cpu_active(cpu);
}

/**
 * enoki_cpu_active - does a CPU take tasks?
 * @cpu: the CPU
 *
 * Return: true for a CPU that is online and not on its way out.
 */
bool enoki_cpu_active(s32 cpu)
{
	if (enoki_is_taping())
		return enoki_tape_answer(__enoki_cpu_active(cpu));

	return __enoki_cpu_active(cpu);
}
EXPORT_SYMBOL_GPL(enoki_cpu_active);

static __always_inline bool __enoki_cpu_idle(s32 cpu)
{
	/* A hint: it may change as soon as the policy has it. */
	return __enoki_cpu_active(cpu) && data_race(idle_cpu(cpu));
}

/**
 * enoki_cpu_idle - does a CPU run nothing, and has nothing to run?
 * @cpu: the CPU
 *
 * Return: true if so a moment ago.
 */
bool enoki_cpu_idle(s32 cpu)
{
	if (enoki_is_taping())
		return enoki_tape_answer(__enoki_cpu_idle(cpu));

	return __enoki_cpu_idle(cpu);
}
EXPORT_SYMBOL_GPL(enoki_cpu_idle);

/**
 * enoki_topology - where does a CPU stand?
 * @cpu: a possible CPU
 * @topo: filled in
 */
void enoki_topology(int cpu, struct enoki_topology *topo)
{
	struct sched_domain *sd;

	*topo = (struct enoki_topology){ .smt = cpu, .llc = cpu };
	topo->smt = cpumask_first(topology_sibling_cpumask(cpu));
	if ((u32)topo->smt >= nr_cpu_ids)
		topo->smt = cpu;
	topo->node = cpu_to_node(cpu);

	guard(rcu)();
	sd = rcu_dereference_all(per_cpu(sd_llc, cpu));
	if (sd)
		topo->llc = cpumask_first(sched_domain_span(sd));
}

/**
 * enoki_cpu_topology - where does a CPU stand?
 * @cpu: the CPU
 * @topo: filled in; for a CPU that is none, as if it stood alone
 */
void enoki_cpu_topology(s32 cpu, struct enoki_topology *topo)
{
	if ((u32)cpu < nr_cpu_ids && cpu_possible(cpu))
		enoki_topology(cpu, topo);
	else
		*topo = (struct enoki_topology){ .smt = cpu, .llc = cpu };
	if (enoki_is_taping())
		enoki_tape_asked(ENOKI_RECORD_TOPOLOGY,
				 (u32)topo->smt | (u64)topo->llc << 32,
				 (u32)cpu | (u64)topo->node << 32);
}
EXPORT_SYMBOL_GPL(enoki_cpu_topology);

/**
 * enoki_log_kick - have what a policy has said printed
 * @irq_work: its log_kick
 *
 * Context: hard interrupt, no locks.
 */
void enoki_log_kick(struct irq_work *irq_work)
{
	struct enoki_sched *es = container_of(irq_work, struct enoki_sched, log_kick);

	queue_work(system_dfl_wq, &es->log_work);
}

/**
 * enoki_lock_wait - a policy has to wait for one of its locks
 *
 * Context: any call of the policy.
 * Return: the time, for enoki_lock_waited().
 */
u64 enoki_lock_wait(void)
{
	/* Which goes on with interrupts off, on any machine. */
	return ktime_get_mono_fast_ns();
}
EXPORT_SYMBOL_GPL(enoki_lock_wait);

/**
 * enoki_lock_waited - a policy has waited for one of its locks
 * @es: the policy, NULL in unit tests
 * @since_ns: what enoki_lock_wait() returned
 *
 * For so long this CPU was kept from everything else.
 *
 * Context: any call of the policy, with the lock held.
 */
void enoki_lock_waited(struct enoki_sched *es, u64 since_ns)
{
	struct enoki_offence offence;
	u64 now = ktime_get_mono_fast_ns(), last, most;

	if (!es)
		return;
	most = (u64)READ_ONCE(es->max_hold_ms) * NSEC_PER_MSEC;
	if (now - since_ns <= most)
		return;

	/* Many may have waited for the same one. */
	last = READ_ONCE(es->waited_at);
	if ((s64)(since_ns - last) < 0 || cmpxchg(&es->waited_at, last, now) != last)
		return;

	offence = (struct enoki_offence){
		.time_ns = local_clock(),
		.amount = now - since_ns,
		.cpu = smp_processor_id(),
		.call = __this_cpu_read(enoki_calling) & ENOKI_CALL_MASK,
	};
	enoki_offend(es, ENOKI_EXIT_LOCK, &offence);
}
EXPORT_SYMBOL_GPL(enoki_lock_waited);

/**
 * enoki_log_fn - print what a policy has said
 * @work: its log_work
 *
 * A policy may say more than a console can print: not in an interrupt, and not all.
 *
 * Context: process context.
 */
void enoki_log_fn(struct work_struct *work)
{
	struct enoki_sched *es = container_of(work, struct enoki_sched, log_work);
	char line[256];
	unsigned int len;

	for (;;) {
		scoped_guard (raw_spinlock_irqsave, &es->log_lock) {
			char *end = memchr(es->log, '\n', es->log_len);

			len = end ? end - es->log + 1 : es->log_len;
			memcpy(line, es->log, min(len, sizeof(line)));
			memmove(es->log, es->log + len, es->log_len - len);
			es->log_len -= len;
		}
		if (!len)
			break;
		if (__ratelimit(&es->log_limit))
			pr_info("sched_enoki: %s: %.*s\n", es->name,
				(int)min(len - 1, sizeof(line)), line);
		cond_resched();
	}
}

/**
 * enoki_log - have a policy's words printed when it is safe
 * @es: the policy
 * @msg: one line, without its end
 * @len: its length
 *
 * Words that find no room are dropped, and so are lines that come too fast.
 *
 * Context: any call of the policy.
 */
void enoki_log(struct enoki_sched *es, const char *msg, u32 len)
{
	if (enoki_is_taping())
		enoki_tape_asked(ENOKI_RECORD_LOG, 0, len);
	scoped_guard (raw_spinlock_irqsave, &es->log_lock) {
		if (len >= ENOKI_LOG_SIZE - es->log_len)
			return;
		memcpy(es->log + es->log_len, msg, len);
		es->log[es->log_len + len] = '\n';
		es->log_len += len + 1;
	}
	irq_work_queue(&es->log_kick);
}
EXPORT_SYMBOL_GPL(enoki_log);
