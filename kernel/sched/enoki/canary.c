// SPDX-License-Identifier: GPL-2.0
/*
 * How a version that stands by is tried on some of a policy's tasks.
 *
 * It goes into office beside the one that it may replace, as a policy of its own: NAME-canary,
 * with a number of its own. Tasks go over to it as to any other policy (see switch.c), and share
 * the CPUs with those who stay by what they weigh, as the tasks of any two policies do. In the
 * end they come back: either when it is called off, or when the policy itself is upgraded to
 * that version. No task visits another class on either way.
 *
 * While there is a canary it is measured how long tasks wait that wake up, under all policies,
 * so that the two can be compared.
 */

#define ENOKI_CANARY_SUFFIX	"-canary"

DEFINE_STATIC_KEY_FALSE(enoki_measuring);

/**
 * __enoki_measure - count how long a task has waited that woke up
 * @rq: its run queue, locked
 * @p: the task, which is to run now
 *
 * If it was moved in between only the last part of it counts.
 */
void __enoki_measure(struct rq *rq, struct task_struct *p)
{
	s64 waited = rq_clock(rq) - p->enoki.slot->granted_at;
	unsigned int order;

	p->enoki.flags &= ~ENOKI_P_WOKEN;
	/* 0 is less than 1 us, n is less than 2^n us. */
	order = fls64(max(waited, 0LL) / NSEC_PER_USEC);
	this_cpu_inc(p->enoki.es->stats->waits[min(order, ENOKI_NR_WAITS - 1U)]);
}

/**
 * enoki_waits_show - how long a policy's tasks have waited that woke up, for sysfs
 * @es: the policy
 * @buf: a page; filled with a line "less than so many us" and how often for each power of 2
 *
 * Return: how many bytes.
 */
ssize_t enoki_waits_show(struct enoki_sched *es, char *buf)
{
	int i, cpu, len = 0;
	u64 sum;

	for (i = 0; i < ENOKI_NR_WAITS; i++) {
		sum = 0;
		for_each_possible_cpu(cpu)
			sum += per_cpu_ptr(es->stats, cpu)->waits[i];
		len += sysfs_emit_at(buf, len, "%llu %llu\n", 1ULL << i, sum);
	}

	return len;
}

/* A number that no policy has, or 0. Nobody registers one meanwhile. */
static u32 enoki_free_id(void)
{
	u32 id = ENOKI_MAX_ID;

	guard(rcu)();
	while (id && enoki_find(id))
		id--;

	return id;
}

/* With enoki_change_mutex. */
static int enoki_canary_begin(struct enoki_sched *es)
{
	struct enoki_build *build = es->standby;
	char name[2 * ENOKI_NAME_LEN];
	struct enoki_sched *canary;
	u32 id;

	if (!build) {
		enoki_set_error("policy %s: no other version stands by to be tried (load its module first)",
				es->name);
		return -ENOENT;
	}
	if (build->canary || build->canary_goes) {
		enoki_set_error("policy %s: version %s is tried already", es->name,
				build->ops->version);
		return -EEXIST;
	}
	snprintf(name, sizeof(name), "%s" ENOKI_CANARY_SUFFIX, es->name);
	id = enoki_free_id();
	if (strlen(name) >= ENOKI_NAME_LEN || enoki_find_name(name) || !id) {
		enoki_set_error("policy %s: there cannot be a policy %s beside it", es->name, name);
		return -EEXIST;
	}

	canary = enoki_put_into_office(build, name, id, es);
	if (IS_ERR(canary)) {
		enoki_set_error("policy %s: version %s cannot be tried, error %ld", es->name,
				build->ops->version, PTR_ERR(canary));
		return PTR_ERR(canary);
	}
	build->canary = canary;
	static_branch_inc(&enoki_measuring);
	pr_info("sched_enoki: policy %s: version %s is tried as policy %s, number %u\n", es->name,
		build->ops->version, name, id);

	return 0;
}

/* Take a canary out of the registry, with enoki_change_mutex. Return: false if it has users. */
static bool enoki_canary_strike_off(struct enoki_sched *canary)
{
	if (!enoki_strike_off(canary))
		return false;
	canary->build->canary = NULL;
	canary->build->canary_goes = true;

	return true;
}

/*
 * Have all tasks of a canary come to @es, and take it out of the registry, with
 * enoki_change_mutex. Return: 0, and enoki_canary_free() is to follow, without the mutex.
 */
static int enoki_canary_end(struct enoki_sched *canary, struct enoki_sched *es)
{
	/* Children come where their parents are, but nobody else comes any more. */
	WRITE_ONCE(canary->closed, true);
	while (!enoki_canary_strike_off(canary)) {
		struct enoki_switch sw = { .to = es, .max = UINT_MAX };
		int ret = 0;

		/* If it was ejected, or is meanwhile, its tasks leave it by themselves. */
		if (!enoki_ejected(canary))
			ret = enoki_switch_to(canary, &sw);
		if (ret && !enoki_ejected(canary)) {
			WRITE_ONCE(canary->closed, false);
			return ret;
		}
		schedule_timeout_uninterruptible(1);
	}

	return 0;
}

/**
 * enoki_canary_free - end of a canary that is not registered any more
 * @canary: the canary
 *
 * Context: may sleep, without enoki_change_mutex: who uses its directory waits for that.
 */
void enoki_canary_free(struct enoki_sched *canary)
{
	struct enoki_build *build = canary->build;

	enoki_leave_office(canary);
	static_branch_dec(&enoki_measuring);
	/* Only now there may be another one of that name. */
	guard(mutex)(&enoki_change_mutex);
	build->canary_goes = false;
	if (build->es)
		module_put(build->ops->owner);
}

/**
 * enoki_canary_alone - the policy goes that a version is tried beside, and that one stays
 * @build: the version, which may be tried
 *
 * From now on it goes with its module, like any policy.
 *
 * Context: with enoki_change_mutex; the module of @build is not gone, as that waits for it.
 */
void enoki_canary_alone(struct enoki_build *build)
{
	build->es = NULL;
	if (build->canary || build->canary_goes)
		module_put(build->ops->owner);
}

/**
 * enoki_canary_leaves - the module goes of a version that is still tried, without its policy
 * @build: the version
 *
 * Context: with enoki_change_mutex; the canary has no users.
 * Return: it, for enoki_canary_free(); or NULL.
 */
struct enoki_sched *enoki_canary_leaves(struct enoki_build *build)
{
	struct enoki_sched *canary = build->canary;

	if (canary)
		WARN_ON_ONCE(!enoki_canary_strike_off(canary));

	return canary;
}

/**
 * enoki_canary_join - have the canary's tasks come to the policy, which is of its version now
 * @es: the policy
 *
 * Context: may sleep, with enoki_change_mutex.
 * Return: the canary, for enoki_canary_free(); NULL if there is none; or an ERR_PTR().
 */
struct enoki_sched *enoki_canary_join(struct enoki_sched *es)
{
	struct enoki_sched *canary = es->build->canary;
	int ret;

	if (!canary)
		return NULL;
	ret = enoki_canary_end(canary, es);

	return ret ? ERR_PTR(ret) : canary;
}

/* With enoki_change_mutex. @canaryp: set to one for enoki_canary_free(). */
static int enoki_canary_set(struct enoki_sched *es, bool on, struct enoki_sched **canaryp)
{
	struct enoki_sched *canary = es->standby ? es->standby->canary : NULL;
	int ret;

	if (es->removed)
		return -ENODEV;
	if (on && enoki_ejected(es)) {
		enoki_set_error("policy %s has been ejected: nothing is tried beside it", es->name);
		return -ENODEV;
	}
	if (on)
		return enoki_canary_begin(es);
	if (!canary) {
		enoki_set_error("policy %s: no version is tried", es->name);
		return -ENOENT;
	}
	ret = enoki_canary_end(canary, es);
	if (!ret)
		*canaryp = canary;

	return ret;
}

/**
 * enoki_canary - try the version that stands by beside the one in office, or call that off
 * @es: the policy
 * @on: try it; otherwise its tasks come back, and it stands by again
 *
 * While it is tried its module stays in memory.
 *
 * Context: may sleep; the policy's directory in sysfs is in use.
 * Return: 0. -ENOENT if no version stands by, or none is tried; -EEXIST if one is tried already,
 *         or there is a policy of the canary's name; -ENODEV if the policy has been ejected or
 *         is being removed; -EBUSY if the module is being removed; what the version refused to
 *         be made with, or the policy to take a task back. last_error has it in words.
 */
int enoki_canary(struct enoki_sched *es, bool on)
{
	struct enoki_sched *canary = NULL;
	struct module *owner = NULL;
	int ret;

	scoped_guard (mutex, &enoki_change_mutex) {
		if (es->standby)
			owner = es->standby->ops->owner;
		if (owner && !try_module_get(owner))
			return -EBUSY;
		ret = enoki_canary_set(es, on, &canary);
		/* That one is the canary's now. */
		if (on && !ret)
			owner = NULL;
	}
	if (canary)
		enoki_canary_free(canary);
	module_put(owner);

	return ret;
}

/**
 * enoki_canary_show - which policy is a policy's canary, for sysfs
 * @es: the policy
 * @buf: a page; filled with its name, or "none"
 *
 * Context: may sleep.
 * Return: how many bytes.
 */
ssize_t enoki_canary_show(struct enoki_sched *es, char *buf)
{
	struct enoki_sched *canary;

	guard(mutex)(&enoki_change_mutex);
	canary = es->standby ? es->standby->canary : NULL;

	return sysfs_emit(buf, "%s\n", canary ? canary->name : "none");
}
