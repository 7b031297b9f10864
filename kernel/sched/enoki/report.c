// SPDX-License-Identifier: GPL-2.0
/*
 * What a policy did, for its author to read: one report for each ejection and
 * each rescue. All of it is in /sys/kernel/sched_enoki/last_exit until the next
 * one, the beginning also in the kernel log.
 */

/* How many of its tasks a report lists. */
#define ENOKI_REPORT_TASKS	100

/* And how many of the latest calls. */
#define ENOKI_REPORT_EVENTS	16

static DEFINE_MUTEX(enoki_report_mutex);
static struct enoki_report enoki_last_report;
/* Of whom it is; only compared. */
static struct enoki_sched *enoki_report_of;

static const char * const enoki_exit_names[ENOKI_NR_EXITS] = {
	[ENOKI_EXIT_NONE]		= "none",
	[ENOKI_EXIT_REQUEST]		= "request",
	[ENOKI_EXIT_SYSRQ]		= "sysrq",
	[ENOKI_EXIT_STALL]		= "stall",
	[ENOKI_EXIT_LOST]		= "lost",
	[ENOKI_EXIT_REJECTS]		= "rejects",
	[ENOKI_EXIT_SOFT_LOCKUP]	= "soft_lockup",
	[ENOKI_EXIT_HARD_LOCKUP]	= "hard_lockup",
	[ENOKI_EXIT_RCU_STALL]		= "rcu_stall",
	[ENOKI_EXIT_MISCOUNT]		= "miscount",
	[ENOKI_EXIT_LOCK]		= "lock",
	[ENOKI_EXIT_PANIC]		= "panic",
	[ENOKI_EXIT_UPGRADE]		= "upgrade",
};

/**
 * enoki_exit_name - what a policy was ejected for, in a word
 * @why: &enum enoki_exit
 *
 * Return: a static string.
 */
const char *enoki_exit_name(enum enoki_exit why)
{
	return why < ENOKI_NR_EXITS ? enoki_exit_names[why] : "?";
}

struct enoki_report {
	char	*text;
	size_t	len;
	size_t	size;
};

/* How long a run queue may be somebody else's before it is said to be. */
#define ENOKI_REPORT_WAIT_NS	(10 * NSEC_PER_MSEC)

static __printf(2, 3) void enoki_say(struct enoki_report *report, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	report->len += vscnprintf(report->text + report->len,
				  report->size - report->len, fmt, args);
	va_end(args);
}

/* In a sentence, with all that is known of it. */
static void enoki_say_why(struct enoki_report *report, enum enoki_exit why,
			  const struct enoki_offence *of)
{
	const u64 ms = div_u64(of->amount, NSEC_PER_MSEC);

	enoki_say(report, "reason: %s: ", enoki_exit_name(why));
	switch (why) {
	case ENOKI_EXIT_STALL:
		enoki_say(report, "task %llu (%s[%d]) was ready on CPU %d for %llu ms and was not picked\n",
			  of->task_id, of->comm, of->pid, of->cpu, ms);
		break;
	case ENOKI_EXIT_LOST:
		enoki_say(report, "the policy lost the token of task %llu (%s[%d]), ready on CPU %d\n",
			  of->task_id, of->comm, of->pid, of->cpu);
		break;
	case ENOKI_EXIT_REJECTS:
		enoki_say(report, "%llu of its answers could not be used, see rejected below\n",
			  of->amount);
		break;
	case ENOKI_EXIT_SOFT_LOCKUP:
		enoki_say(report, "CPU %d, which has tasks of it, was stuck for %llu s\n",
			  of->cpu, of->amount);
		break;
	case ENOKI_EXIT_HARD_LOCKUP:
		enoki_say(report, "CPU %d takes no interrupts: it is in the policy, in %s\n",
			  of->cpu, enoki_event_name(of->call));
		break;
	case ENOKI_EXIT_RCU_STALL:
		enoki_say(report, "CPU %d holds up RCU: it is in the policy, in %s\n",
			  of->cpu, enoki_event_name(of->call));
		break;
	case ENOKI_EXIT_MISCOUNT:
		enoki_say(report, "the policy says that it has %lld tasks queued for CPU %d, but was given %llu\n",
			  of->said, of->cpu, of->amount);
		break;
	case ENOKI_EXIT_LOCK:
		enoki_say(report, "CPU %d waited for %llu ms in %s, for a lock of the policy\n",
			  of->cpu, ms, enoki_event_name(of->call));
		break;
	case ENOKI_EXIT_PANIC:
		enoki_say(report, "CPU %d panicked in the policy, in %s, and does not leave it any more\n",
			  of->cpu, enoki_event_name(of->call));
		break;
	case ENOKI_EXIT_UPGRADE:
		enoki_say(report, "CPU %d waited for %llu ms while another version was to take over\n",
			  of->cpu, ms);
		break;
	case ENOKI_EXIT_SYSRQ:
		enoki_say(report, "somebody asked for it with sysrq\n");
		break;
	default:
		enoki_say(report, "somebody wrote to its file eject\n");
	}
	enoki_say(report, "time: %llu.%06llu s\n", div_u64(of->time_ns, NSEC_PER_SEC),
		  div_u64(of->time_ns % NSEC_PER_SEC, NSEC_PER_USEC));
}

/* What the policy was last told or asked of the task, or said. */
static void enoki_say_last_call(struct enoki_report *report, const struct enoki_offence *of)
{
	struct enoki_record last;

	if (!of->task_id)
		return;
	if (!enoki_recorder_last(&last, 1, of->task_id)) {
		enoki_say(report, "last call about the task: before those that are recorded\n");
		return;
	}
	enoki_say(report, "last call about the task: %s, on CPU %u, at %llu.%06llu s\n",
		  enoki_event_name(last.event), last.cpu,
		  div_u64(last.time_ns, NSEC_PER_SEC),
		  div_u64(last.time_ns % NSEC_PER_SEC, NSEC_PER_USEC));
}

static void enoki_say_counts(struct enoki_report *report, struct enoki_sched *es)
{
	int i, cpu;
	u64 sum;

	enoki_say(report, "rejected:");
	for (i = 0; i < ENOKI_NR_REJECTS; i++) {
		sum = 0;
		for_each_possible_cpu(cpu)
			sum += READ_ONCE(per_cpu_ptr(es->stats, cpu)->rejected[i]);
		enoki_say(report, " %s %llu", enoki_reject_name(i), sum);
	}
	enoki_say(report, "\n");
}

/* What is to be said of a run queue. */
struct enoki_rq_words {
	struct enoki_prq	prq;
	unsigned int		all;
	pid_t			pid;
	char			comm[TASK_COMM_LEN];
};

static bool enoki_look_at_rq(struct enoki_sched *es, int cpu, struct enoki_rq_words *words)
{
	struct rq *rq = cpu_rq(cpu);
	struct rq_flags rf;

	guard(irqsave)();
	if (!enoki_rq_trylock(rq, &rf))
		return false;

	words->prq = *enoki_prq_of(es, cpu);
	words->all = rq->enoki.nr_running;
	words->pid = task_pid_nr(rq->curr);
	strscpy(words->comm, rq->curr->comm);
	rq_unlock(rq, &rf);

	return true;
}

/* A CPU that does not leave a policy any more may have the lock for ever. */
static bool enoki_look_for_long(struct enoki_sched *es, int cpu, struct enoki_rq_words *words)
{
	u64 begin = ktime_get_mono_fast_ns();

	while (!enoki_look_at_rq(es, cpu, words)) {
		if (ktime_get_mono_fast_ns() - begin > ENOKI_REPORT_WAIT_NS)
			return false;
		cpu_relax();
	}

	return true;
}

static void enoki_say_cpus(struct enoki_report *report, struct enoki_sched *es)
{
	struct enoki_rq_words words;
	struct enoki_sched *called;
	int cpu;

	for_each_online_cpu(cpu) {
		scoped_guard (rcu) {
			called = enoki_called_on(cpu);
			if (called && !enoki_ejected(called))
				called = NULL;
		}
		if (called) {
			enoki_say(report, "CPU %d: in %s policy, in %s\n", cpu,
				  called == es ? "this" : "another ejected",
				  enoki_event_name(READ_ONCE(per_cpu(enoki_calling, cpu)) &
						   ENOKI_CALL_MASK));
			continue;
		}
		if (!enoki_look_for_long(es, cpu, &words)) {
			enoki_say(report, "CPU %d: somebody has its run queue and does not let go\n",
				  cpu);
			continue;
		}
		enoki_say(report, "CPU %d: runs %s[%d]; ready: %u of this policy (%u of them run by the class), %u of all\n",
			  cpu, words.comm, words.pid, words.prq.nr_running,
			  words.prq.nr_orphans, words.all);
	}
}

static void enoki_say_tasks(struct enoki_report *report, struct enoki_sched *es)
{
	struct task_struct *p;
	unsigned int nr = 0;
	u64 gen;
	s64 age;
	u8 flags;

	guard(raw_spinlock_irqsave)(&es->lock);
	list_for_each_entry(p, &es->tasks, enoki.tasks_node) {
		if (nr++ >= ENOKI_REPORT_TASKS)
			continue;
		/* As it was a moment ago: its run queue is not locked. */
		flags = READ_ONCE(p->enoki.flags);
		gen = READ_ONCE(p->enoki.gen);
		age = sched_clock_cpu(task_cpu(p)) - READ_ONCE(p->enoki.slot->granted_at);
		enoki_say(report, "task %llu: %s[%d] on CPU %d, %s%s, token %llu, %lld ms old%s%s\n",
			  p->enoki.task_id, p->comm, task_pid_nr(p), task_cpu(p),
			  flags & ENOKI_P_COUNTED ? "ready, " : "", enoki_state_name(p),
			  gen, gen ? div_s64(max(age, 0), NSEC_PER_MSEC) : 0,
			  READ_ONCE(p->enoki.token) ? "" : ", which is lost",
			  flags & ENOKI_P_RESCUED ? ", rescued" : "");
	}
	if (nr > ENOKI_REPORT_TASKS)
		enoki_say(report, "and %u tasks more\n", nr - ENOKI_REPORT_TASKS);
}

/* What a call was told, or answered, without what a recording adds to that. */
static u64 enoki_recorded_arg(const struct enoki_record *record)
{
	switch (record->event) {
	case ENOKI_RECORD_SELECT_TASK_RQ:
		return (u32)record->arg;
	case ENOKI_RECORD_WAKEUP_PREEMPT:
		return record->arg & 1;
	default:
		return record->arg;
	}
}

static void enoki_say_events(struct enoki_report *report)
{
	struct enoki_record last[ENOKI_REPORT_EVENTS];
	unsigned int i, nr = enoki_recorder_last(last, ENOKI_REPORT_EVENTS, 0);

	for (i = 0; i < nr; i++)
		enoki_say(report, "%llu.%06llu s: CPU %u, policy %u: %s, task %llu, %llu\n",
			  div_u64(last[i].time_ns, NSEC_PER_SEC),
			  div_u64(last[i].time_ns % NSEC_PER_SEC, NSEC_PER_USEC),
			  last[i].cpu, last[i].policy, enoki_event_name(last[i].event),
			  last[i].task, enoki_recorded_arg(&last[i]));
}

/* The first lines also go to the kernel log. Return: what follows those from @line on. */
static const char *enoki_report_print(const char *line, int lines)
{
	const char *end;

	while (lines-- && *line) {
		end = strchrnul(line, '\n');
		pr_notice("sched_enoki: %.*s\n", (int)(end - line), line);
		line = *end ? end + 1 : end;
	}

	return line;
}

/* Its text is NULL if there is no memory. */
static struct enoki_report enoki_report_alloc(void)
{
	/* All but the lines of the CPUs have room in the first part. */
	struct enoki_report report = { .size = SZ_16K + nr_cpu_ids * 128 };

	report.text = kvzalloc(report.size, GFP_KERNEL);

	return report;
}

/**
 * enoki_report - report what a policy did
 * @es: the policy
 * @why: what kind of offence it was
 * @offence: what happened
 *
 * Context: may sleep.
 */
void enoki_report(struct enoki_sched *es, enum enoki_exit why,
		  const struct enoki_offence *offence)
{
	struct enoki_report report = enoki_report_alloc();
	bool ejected = enoki_ejected(es);
	const char *rest;

	if (!report.text) {
		pr_err("sched_enoki: policy %s: %s (no memory for more)\n", es->name,
		       enoki_exit_name(why));
		return;
	}

	enoki_say(&report, "policy %s, version %s, number %u, module %s: %s\n",
		  es->name, es->ops->version, es->id,
		  module_name(es->ops->owner),
		  ejected ? "ejected, its tasks go on without it" :
			    "a task was rescued, the policy goes on");
	enoki_say_why(&report, why, offence);
	enoki_say_last_call(&report, offence);
	/* First of all, in case that CPUs get lost while this one looks at them. */
	rest = enoki_report_print(report.text, 4);
	enoki_say_counts(&report, es);
	enoki_say_cpus(&report, es);
	enoki_say_tasks(&report, es);
	enoki_say_events(&report);
	if (*enoki_report_print(rest, ejected ? 12 : 0))
		pr_notice("sched_enoki: all of it: /sys/kernel/sched_enoki/last_exit\n");

	scoped_guard (mutex, &enoki_report_mutex) {
		kvfree(enoki_last_report.text);
		enoki_last_report = report;
		enoki_report_of = es;
	}
}

/* So long after its ejection the policy was called for the last time. */
static u64 enoki_late_ns(struct enoki_sched *es)
{
	u64 last = es->ejected_at;
	int cpu;

	for_each_possible_cpu(cpu)
		last = max(last, READ_ONCE(per_cpu_ptr(es->stats, cpu)->late_at));

	return last - es->ejected_at;
}

/**
 * enoki_report_moved - add to a policy's report what became of its tasks
 * @es: the policy, ejected
 * @nr: how many they were
 * @took_ns: how long after the ejection the last one was moved
 *
 * Context: may sleep.
 */
void enoki_report_moved(struct enoki_sched *es, unsigned int nr, u64 took_ns)
{
	u64 late_us = div_u64(enoki_late_ns(es), NSEC_PER_USEC);

	pr_notice("sched_enoki: policy %s: its %u tasks go on without it, the last after %llu us; its module %s can be removed\n",
		  es->name, nr, div_u64(took_ns, NSEC_PER_USEC),
		  module_name(es->ops->owner));

	guard(mutex)(&enoki_report_mutex);
	if (enoki_report_of != es)
		return;
	enoki_say(&enoki_last_report, "last call: %llu us after the ejection\n", late_us);
	enoki_say(&enoki_last_report, "moved: %u tasks, the last after %llu us\n", nr,
		  div_u64(took_ns, NSEC_PER_USEC));
}

/**
 * enoki_last_exit - read the latest report
 * @buf: where to
 * @pos: from which byte on
 * @count: how many bytes at most
 *
 * Context: may sleep.
 * Return: how many bytes there were.
 */
ssize_t enoki_last_exit(char *buf, loff_t pos, size_t count)
{
	guard(mutex)(&enoki_report_mutex);
	if (!enoki_last_report.text)
		return 0;

	return memory_read_from_buffer(buf, count, &pos, enoki_last_report.text,
				       enoki_last_report.len);
}
