// SPDX-License-Identifier: GPL-2.0
/*
 * Enoki's lines in /proc/PID/sched, in the scheduler's debugfs file and in
 * dumps of tasks.
 */

/**
 * enoki_show_task - what /proc/PID/sched says of an attached task
 * @p: the task
 * @m: where to
 */
void enoki_show_task(struct task_struct *p, struct seq_file *m)
{
	struct enoki_sched *es;

	CLASS(task_rq_lock, rq_guard)(p);
	es = p->enoki.es;
	if (!es)
		return;

	seq_printf(m, "%-45s:%21u\n", "enoki.id", p->enoki.id);
	seq_printf(m, "%-45s:%21s\n", "enoki.policy", es->name);
	seq_printf(m, "%-45s:%21llu\n", "enoki.task_id", p->enoki.task_id);
	seq_printf(m, "%-45s:%21s\n", "enoki.state", enoki_state_name(p));
	seq_printf(m, "%-45s:%21llu\n", "enoki.gen", p->enoki.gen);
}

/* To the file, or to the console for sysrq, which has none. */
static __printf(2, 3) void enoki_print(struct seq_file *m, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (m)
		seq_vprintf(m, fmt, args);
	else
		vprintk(fmt, args);
	va_end(args);
}

/* How many policies on a CPU are shown. */
#define ENOKI_SHOWN	8

/* A policy on a run queue as it was when that was locked. */
struct enoki_prq_line {
	char			name[ENOKI_NAME_LEN];
	struct enoki_prq	prq;
};

/**
 * enoki_show_cpu - what the scheduler's debugfs file says of a run queue
 * @m: where to, NULL for the console
 * @cpu: whose run queue
 */
void enoki_show_cpu(struct seq_file *m, int cpu)
{
	struct enoki_prq_line lines[ENOKI_SHOWN];
	struct rq *rq = cpu_rq(cpu);
	struct enoki_prq *prq;
	int nr = 0, i;

	enoki_print(m, "\n");
	enoki_print(m, "enoki_rq[%d]:\n", cpu);
	enoki_print(m, "  .%-30s: %u\n", "nr_running", rq->enoki.nr_running);
	enoki_print(m, "  .%-30s: %u\n", "nr_active", rq->enoki.nr_active);

	/* Printing may wake a task up, which takes a run queue's lock. */
	scoped_guard (rq_lock_irqsave, rq) {
		list_for_each_entry(prq, &rq->enoki.active, node) {
			if (nr == ENOKI_SHOWN)
				break;
			strscpy(lines[nr].name, prq->es->name);
			lines[nr++].prq = *prq;
		}
	}
	for (i = 0; i < nr; i++)
		enoki_print(m, "  .%-30s: nr_running %u weight %lu vruntime %llu orphans %u\n",
			    lines[i].name, lines[i].prq.nr_running, lines[i].prq.weight,
			    lines[i].prq.vruntime, lines[i].prq.nr_orphans);
}

/**
 * enoki_dump_task - one line on an attached task, for dumps of tasks
 * @log_lvl: the log level
 * @p: the task
 *
 * Context: any; reads without locks.
 */
void enoki_dump_task(const char *log_lvl, struct task_struct *p)
{
	if (!READ_ONCE(p->enoki.es))
		return;

	_printk("%sSched_enoki: policy number %u, task %llu %s\n", log_lvl,
		p->enoki.id, p->enoki.task_id, enoki_state_name(p));
}
