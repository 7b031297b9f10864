// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/sched_enoki: which policies there are and what they did.
 * Documentation/ABI/testing/sysfs-kernel-sched_enoki describes the files.
 */

static struct kobject *enoki_kobj;

static DEFINE_RAW_SPINLOCK(enoki_error_lock);
static char enoki_last_error[256];

/**
 * enoki_set_error - say why the latest request was refused
 * @fmt: one line, without its end
 *
 * Errno values are too few to tell refusals apart, and module loading folds
 * them. The words go to last_error and to the kernel log.
 *
 * Context: no run queue locked.
 */
void enoki_set_error(const char *fmt, ...)
{
	char line[sizeof(enoki_last_error)];
	va_list args;

	va_start(args, fmt);
	vscnprintf(line, sizeof(line), fmt, args);
	va_end(args);

	scoped_guard (raw_spinlock_irqsave, &enoki_error_lock)
		strscpy(enoki_last_error, line);

	pr_notice_ratelimited("sched_enoki: %s\n", line);
}

static ssize_t last_error_show(struct kobject *kobj, struct kobj_attribute *attr,
			       char *buf)
{
	char line[sizeof(enoki_last_error)];

	scoped_guard (raw_spinlock_irqsave, &enoki_error_lock)
		strscpy(line, enoki_last_error);

	return sysfs_emit(buf, "%s\n", line);
}

static ssize_t abi_version_show(struct kobject *kobj, struct kobj_attribute *attr,
				char *buf)
{
	return sysfs_emit(buf, "%u\n", ENOKI_ABI_VERSION);
}

static ssize_t last_exit_read(struct file *file, struct kobject *kobj,
			      const struct bin_attribute *attr, char *buf, loff_t pos,
			      size_t count)
{
	return enoki_last_exit(buf, pos, count);
}

static const struct bin_attribute enoki_last_exit_attr = __BIN_ATTR_RO(last_exit, 0);

static const struct bin_attribute *const enoki_bin_attrs[] = {
	&enoki_last_exit_attr,
	NULL,
};

static struct kobj_attribute enoki_last_error_attr = __ATTR_RO(last_error);
static struct kobj_attribute enoki_abi_version_attr = __ATTR_RO(abi_version);

static struct attribute *enoki_attrs[] = {
	&enoki_last_error_attr.attr,
	&enoki_abi_version_attr.attr,
	NULL,
};

static const struct attribute_group enoki_attr_group = {
	.attrs = enoki_attrs,
	.bin_attrs = enoki_bin_attrs,
};

static struct enoki_sched *enoki_of_kobj(struct kobject *kobj)
{
	return container_of(kobj, struct enoki_sched, kobj);
}

static ssize_t id_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", enoki_of_kobj(kobj)->id);
}

static ssize_t name_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n", enoki_of_kobj(kobj)->name);
}

static ssize_t version_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *buf)
{
	/* Another version may replace it, and its module may go. */
	guard(rcu)();
	return sysfs_emit(buf, "%s\n", READ_ONCE(enoki_of_kobj(kobj)->ops)->version);
}

static ssize_t module_show(struct kobject *kobj, struct kobj_attribute *attr,
			   char *buf)
{
	guard(rcu)();
	return sysfs_emit(buf, "%s\n", module_name(READ_ONCE(enoki_of_kobj(kobj)->ops)->owner));
}

static ssize_t parameters_show(struct kobject *kobj, struct kobj_attribute *attr,
			       char *buf)
{
	const struct enoki_ops *ops;

	guard(rcu)();
	ops = READ_ONCE(enoki_of_kobj(kobj)->ops);

	return ops->parameters ? ops->parameters(buf, PAGE_SIZE - 1) : 0;
}

/* The words of enoki_exit_name(). */
static ssize_t state_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	struct enoki_sched *es = enoki_of_kobj(kobj);

	if (!enoki_ejected(es))
		return sysfs_emit(buf, "in office\n");

	return sysfs_emit(buf, "ejected: %s\n", enoki_exit_name(READ_ONCE(es->out)));
}

static ssize_t eject_store(struct kobject *kobj, struct kobj_attribute *attr,
			   const char *buf, size_t count)
{
	struct enoki_sched *es = enoki_of_kobj(kobj);
	bool on;
	int ret;

	ret = kstrtobool(buf, &on);
	if (ret || !on) {
		enoki_set_error("policy %s: write 1 to eject, to eject it", es->name);
		return -EINVAL;
	}
	enoki_eject(es, ENOKI_EXIT_REQUEST, NULL);

	return count;
}

static ssize_t standby_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return enoki_standby_show(enoki_of_kobj(kobj), buf);
}

static ssize_t canary_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return enoki_canary_show(enoki_of_kobj(kobj), buf);
}

static ssize_t canary_store(struct kobject *kobj, struct kobj_attribute *attr,
			    const char *buf, size_t count)
{
	struct enoki_sched *es = enoki_of_kobj(kobj);
	bool on;

	if (kstrtobool(buf, &on)) {
		enoki_set_error("policy %s: write 1 to canary, to try the version that stands by beside it, or 0 to have its tasks come back",
				es->name);
		return -EINVAL;
	}

	return enoki_canary(es, on) ?: count;
}

static ssize_t waits_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return enoki_waits_show(enoki_of_kobj(kobj), buf);
}

static ssize_t upgrade_store(struct kobject *kobj, struct kobj_attribute *attr,
			     const char *buf, size_t count)
{
	struct enoki_sched *es = enoki_of_kobj(kobj);
	bool on;

	if (kstrtobool(buf, &on) || !on) {
		enoki_set_error("policy %s: write 1 to upgrade, to replace it by the version that stands by",
				es->name);
		return -EINVAL;
	}

	return enoki_upgrade(es) ?: count;
}

/* "NAME", or "NAME NUMBER" for so many tasks at most. */
static ssize_t switch_store(struct kobject *kobj, struct kobj_attribute *attr,
			    const char *buf, size_t count)
{
	struct enoki_sched *es = enoki_of_kobj(kobj);
	unsigned int max = UINT_MAX;
	char name[ENOKI_NAME_LEN];
	int end = 0, read;

	static_assert(ENOKI_NAME_LEN == 32);
	read = sscanf(buf, "%31s %n%u %n", name, &end, &max, &end);
	if (read < 1 || !*name || buf[end] || !max) {
		enoki_set_error("policy %s: write a policy's name to switch, and how many tasks if not all, to have them go over to it",
				es->name);
		return -EINVAL;
	}

	return enoki_switch(es, name, max) ?: count;
}

static ssize_t upgrades_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	const struct enoki_upgrades *up = &enoki_of_kobj(kobj)->upgrades;

	return sysfs_emit(buf, "done %llu\nkept %llu\nrefused %llu\nretries %llu\nblackout_ns %llu\nwaited_ns %llu\n",
			  up->done, up->kept, up->refused, up->retries, up->blackout_ns,
			  up->waited_ns);
}

/* Read a number for @what of a policy; in words if it is none or out of range. */
static int enoki_read_uint(struct kobject *kobj, const char *what, const char *buf,
			   unsigned int min, unsigned int max, unsigned int *value)
{
	unsigned int new;

	if (kstrtouint(buf, 0, &new) || new < min || new > max) {
		enoki_set_error("policy %s: %s is a number from %u to %u",
				enoki_of_kobj(kobj)->name, what, min, max);
		return -EINVAL;
	}
	WRITE_ONCE(*value, new);

	return 0;
}

static ssize_t timeout_ms_show(struct kobject *kobj, struct kobj_attribute *attr,
			       char *buf)
{
	return sysfs_emit(buf, "%u\n", enoki_of_kobj(kobj)->timeout_ms);
}

static ssize_t timeout_ms_store(struct kobject *kobj, struct kobj_attribute *attr,
				const char *buf, size_t count)
{
	int ret = enoki_read_uint(kobj, "timeout_ms", buf, ENOKI_MIN_TIMEOUT_MS,
				  ENOKI_MAX_TIMEOUT_MS, &enoki_of_kobj(kobj)->timeout_ms);

	if (ret)
		return ret;
	enoki_watch();

	return count;
}

/* A number that a policy has and anybody may change, from @_min to @_max. */
#define ENOKI_UINT_ATTR(_name, _min, _max)						\
static ssize_t _name##_show(struct kobject *kobj, struct kobj_attribute *attr,	\
			    char *buf)						\
{											\
	return sysfs_emit(buf, "%u\n", READ_ONCE(enoki_of_kobj(kobj)->_name));		\
}											\
											\
static ssize_t _name##_store(struct kobject *kobj, struct kobj_attribute *attr,	\
			     const char *buf, size_t count)				\
{											\
	return enoki_read_uint(kobj, #_name, buf, _min, _max,				\
			       &enoki_of_kobj(kobj)->_name) ?: count;			\
}											\
static struct kobj_attribute enoki_##_name##_attr = __ATTR_RW(_name)

ENOKI_UINT_ATTR(budget, 0, INT_MAX);
ENOKI_UINT_ATTR(max_hold_ms, 1, ENOKI_MAX_TIMEOUT_MS);
ENOKI_UINT_ATTR(max_blackout_ms, 1, ENOKI_MAX_TIMEOUT_MS);
ENOKI_UINT_ATTR(max_rejects, 0, INT_MAX);
ENOKI_UINT_ATTR(hint_quota, 0, INT_MAX);

/* Tasks whose memory is yet to be freed count: at 0 the module can go. */
static ssize_t nr_tasks_show(struct kobject *kobj, struct kobj_attribute *attr,
			     char *buf)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&enoki_of_kobj(kobj)->users));
}

static const char * const enoki_event_names[ENOKI_NR_EVENTS] = {
	[ENOKI_EV_task_new]            = "task_new",
	[ENOKI_EV_task_wakeup]         = "task_wakeup",
	[ENOKI_EV_task_preempt]        = "task_preempt",
	[ENOKI_EV_task_yield]          = "task_yield",
	[ENOKI_EV_task_migrated]       = "task_migrated",
	[ENOKI_EV_task_blocked]        = "task_blocked",
	[ENOKI_EV_task_dead]           = "task_dead",
	[ENOKI_EV_task_departed]       = "task_departed",
	[ENOKI_EV_select_task_rq]      = "select_task_rq",
	[ENOKI_EV_pick_next_task]      = "pick_next_task",
	[ENOKI_EV_pick_none]           = "pick_none",
	[ENOKI_EV_pnt_err]             = "pnt_err",
	[ENOKI_EV_task_tick]           = "task_tick",
	[ENOKI_EV_wakeup_preempt]      = "wakeup_preempt",
	[ENOKI_EV_balance]             = "balance",
	[ENOKI_EV_balance_err]         = "balance_err",
	[ENOKI_EV_steal]               = "steal",
	[ENOKI_EV_migrate_task_rq]     = "migrate_task_rq",
	[ENOKI_EV_task_rescued]        = "task_rescued",
	[ENOKI_EV_task_prio_changed]   = "task_prio_changed",
	[ENOKI_EV_task_affinity_changed] = "task_affinity_changed",
	[ENOKI_EV_cpu_online]          = "cpu_online",
	[ENOKI_EV_cpu_offline]         = "cpu_offline",
	[ENOKI_EV_timer_fired]         = "timer_fired",
	[ENOKI_EV_nr_queued]           = "nr_queued",
	[ENOKI_EV_register_queue]      = "register_queue",
	[ENOKI_EV_unregister_queue]    = "unregister_queue",
	[ENOKI_EV_enter_queue]         = "enter_queue",
	[ENOKI_EV_parse_hint]          = "parse_hint",
	[ENOKI_EV_reregister_prep]     = "reregister_prep",
	[ENOKI_EV_reregister_init]     = "reregister_init",
	[ENOKI_EV_slice_end]           = "slice_end",
	[ENOKI_EV_override]            = "override",
};

static const char * const enoki_reject_names[ENOKI_NR_REJECTS] = {
	[ENOKI_REJ_stale]              = "stale",
	[ENOKI_REJ_cpu]                = "cpu",
	[ENOKI_REJ_state]              = "state",
	[ENOKI_REJ_affinity]           = "affinity",
	[ENOKI_REJ_race]               = "race",
	[ENOKI_REJ_offline]            = "offline",
	[ENOKI_REJ_lost]               = "lost",
	[ENOKI_REJ_select_cpu]         = "select_cpu",
};

/**
 * enoki_event_name - the name of what is counted of a policy
 * @event: &enum enoki_event
 *
 * Return: a static string.
 */
const char *enoki_event_name(unsigned int event)
{
	return event < ENOKI_NR_EVENTS ? enoki_event_names[event] : "no call";
}

/**
 * enoki_reject_name - the name of why an answer is refused
 * @reject: &enum enoki_reject
 *
 * Return: a static string.
 */
const char *enoki_reject_name(unsigned int reject)
{
	return reject < ENOKI_NR_REJECTS ? enoki_reject_names[reject] : "?";
}

static ssize_t events_show(struct kobject *kobj, struct kobj_attribute *attr,
			   char *buf)
{
	struct enoki_sched *es = enoki_of_kobj(kobj);
	int i, cpu, len = 0;
	u64 sum;

	for (i = 0; i < ENOKI_NR_EVENTS; i++) {
		sum = 0;
		for_each_possible_cpu(cpu)
			sum += per_cpu_ptr(es->stats, cpu)->events[i];
		len += sysfs_emit_at(buf, len, "%s %llu\n", enoki_event_names[i], sum);
	}

	return len;
}

static ssize_t rejected_show(struct kobject *kobj, struct kobj_attribute *attr,
			     char *buf)
{
	struct enoki_sched *es = enoki_of_kobj(kobj);
	int i, cpu, len = 0;
	u64 sum;

	for (i = 0; i < ENOKI_NR_REJECTS; i++) {
		sum = 0;
		for_each_possible_cpu(cpu)
			sum += per_cpu_ptr(es->stats, cpu)->rejected[i];
		len += sysfs_emit_at(buf, len, "%s %llu\n", enoki_reject_names[i], sum);
	}

	return len;
}

static ssize_t clients_show(struct kobject *kobj, struct kobj_attribute *attr, char *buf)
{
	return enoki_clients_show(enoki_of_kobj(kobj), buf);
}

static struct kobj_attribute enoki_id_attr = __ATTR_RO(id);
static struct kobj_attribute enoki_name_attr = __ATTR_RO(name);
static struct kobj_attribute enoki_version_attr = __ATTR_RO(version);
static struct kobj_attribute enoki_parameters_attr = __ATTR_RO(parameters);
static struct kobj_attribute enoki_module_attr = __ATTR_RO(module);
static struct kobj_attribute enoki_nr_tasks_attr = __ATTR_RO(nr_tasks);
static struct kobj_attribute enoki_state_attr = __ATTR_RO(state);
static struct kobj_attribute enoki_eject_attr = __ATTR_WO(eject);
static struct kobj_attribute enoki_timeout_ms_attr = __ATTR_RW(timeout_ms);
static struct kobj_attribute enoki_events_attr = __ATTR_RO(events);
static struct kobj_attribute enoki_rejected_attr = __ATTR_RO(rejected);
static struct kobj_attribute enoki_clients_attr = __ATTR_RO(clients);
static struct kobj_attribute enoki_waits_attr = __ATTR_RO(waits);
static struct kobj_attribute enoki_standby_attr = __ATTR_RO(standby);
static struct kobj_attribute enoki_canary_attr = __ATTR_RW(canary);
static struct kobj_attribute enoki_switch_attr = __ATTR_WO(switch);
static struct kobj_attribute enoki_upgrade_attr = __ATTR_WO(upgrade);
static struct kobj_attribute enoki_upgrades_attr = __ATTR_RO(upgrades);

static struct attribute *enoki_sched_attrs[] = {
	&enoki_id_attr.attr,
	&enoki_name_attr.attr,
	&enoki_version_attr.attr,
	&enoki_parameters_attr.attr,
	&enoki_module_attr.attr,
	&enoki_nr_tasks_attr.attr,
	&enoki_state_attr.attr,
	&enoki_eject_attr.attr,
	&enoki_timeout_ms_attr.attr,
	&enoki_budget_attr.attr,
	&enoki_max_hold_ms_attr.attr,
	&enoki_max_rejects_attr.attr,
	&enoki_events_attr.attr,
	&enoki_rejected_attr.attr,
	&enoki_hint_quota_attr.attr,
	&enoki_clients_attr.attr,
	&enoki_waits_attr.attr,
	&enoki_standby_attr.attr,
	&enoki_canary_attr.attr,
	&enoki_switch_attr.attr,
	&enoki_upgrade_attr.attr,
	&enoki_upgrades_attr.attr,
	&enoki_max_blackout_ms_attr.attr,
	NULL,
};
ATTRIBUTE_GROUPS(enoki_sched);

static void enoki_kobj_release(struct kobject *kobj)
{
	complete(&enoki_of_kobj(kobj)->released);
}

static const struct kobj_type enoki_ktype = {
	.release	= enoki_kobj_release,
	.sysfs_ops	= &kobj_sysfs_ops,
	.default_groups	= enoki_sched_groups,
};

/**
 * enoki_sysfs_has - is there a file of that name where policies' directories go?
 * @name: the name of a policy
 *
 * Return: no policy can have that name.
 */
bool enoki_sysfs_has(const char *name)
{
	struct attribute **attr;

	for (attr = enoki_attrs; *attr; attr++)
		if (!strcmp((*attr)->name, name))
			return true;

	return !strcmp(enoki_last_exit_attr.attr.name, name);
}

/**
 * enoki_sysfs_add - make a policy's directory
 * @es: the policy
 *
 * Return: 0 or a negative errno.
 */
int enoki_sysfs_add(struct enoki_sched *es)
{
	int ret;

	ret = kobject_init_and_add(&es->kobj, &enoki_ktype, enoki_kobj, "%s",
				   es->name);
	if (ret) {
		enoki_set_error("policy %s: no directory in sysfs, error %d",
				es->name, ret);
		enoki_sysfs_del(es);
	}

	return ret;
}

/**
 * enoki_sysfs_del - remove a policy's directory and wait for its readers
 * @es: the policy
 */
void enoki_sysfs_del(struct enoki_sched *es)
{
	kobject_del(&es->kobj);
	kobject_put(&es->kobj);
	wait_for_completion(&es->released);
}

static int __init enoki_sysfs_init(void)
{
	enoki_kobj = kobject_create_and_add("sched_enoki", kernel_kobj);
	if (!enoki_kobj)
		return -ENOMEM;

	return sysfs_create_group(enoki_kobj, &enoki_attr_group);
}
core_initcall(enoki_sysfs_init);
