// SPDX-License-Identifier: GPL-2.0
/*
 * What fair tasks have beside attached ones.
 *
 * Attached tasks go before fair ones. A deadline server sees to it that these are not
 * starved: if they had nothing for nearly a second, they have 50 ms at its end. But a
 * server goes before real-time tasks, too, which would wait for that long although it
 * is not they who starve anybody. So the class gives fair tasks the server's part by
 * itself and in short turns. After each it makes a pause in which their part grows as
 * much as the turn took of it, and so it does after a time in which they ran because no
 * attached task was there. What they leave they may have later, up to a period's
 * runtime of the server, but then no more than half of the time at once.
 *
 * The server counts turns as time that fair tasks had. It is told as well when none of
 * them waits while attached tasks run, see update_curr_enoki(), since it would make up
 * for that once one does. So its last moment to act moves on and on, and is reached
 * only if real-time tasks take what turns would have been made of.
 */

/* Short enough for those who wait, and long enough to be worth two switches. */
#define ENOKI_FAIR_TURN_NS	NSEC_PER_MSEC

/* Pauses are so much shorter than the server would allow: it does not wait that long. */
#define ENOKI_FAIR_EARLY_SHIFT	4

struct enoki_fair {
	u64 from;	/* since when a turn is used, rq clock, or 0 */
	s64 runtime;	/* what the server had left then, ns */
	u64 next;	/* when there may be another turn, rq clock */
	u64 alone_from;	/* since when no attached task is there, rq clock */
	s64 alone_runtime; /* what the server had left then, ns */
};

static DEFINE_PER_CPU(struct enoki_fair, enoki_fair);

/* How long fair tasks wait after they had the CPU for that long. */
static u64 enoki_fair_pause(struct sched_dl_entity *server, u64 had)
{
	u64 pause;

	/* The server may have been changed meanwhile. */
	if (!server->dl_bw)
		return server->dl_period;
	pause = div64_ul(had << BW_SHIFT, server->dl_bw);

	return pause - (pause >> ENOKI_FAIR_EARLY_SHIFT);
}

/* They had the CPU for that long: the next turn comes later. */
static void enoki_fair_pay(struct rq *rq, struct enoki_fair *fair, u64 had)
{
	u64 saved = rq_clock(rq) - rq->fair_server.dl_period;

	if ((s64)(fair->next - saved) < 0)
		fair->next = saved;
	fair->next += enoki_fair_pause(&rq->fair_server, had);
}

/* What have they had since the server had so much left, which was so long ago? */
static u64 enoki_fair_had(struct rq *rq, s64 runtime, u64 ago)
{
	struct sched_dl_entity *server = &rq->fair_server;
	u64 had = runtime - server->runtime;

	/* It has begun a new period. */
	if ((s64)had < 0)
		had += server->dl_runtime;

	/* Or it was stopped meanwhile. */
	return min(had, ago);
}

/**
 * enoki_fair_alone - the last attached task leaves a run queue
 * @rq: the run queue, locked, its clock updated
 */
void enoki_fair_alone(struct rq *rq)
{
	struct enoki_fair *fair = per_cpu_ptr(&enoki_fair, cpu_of(rq));

	fair->alone_from = rq_clock(rq);
	fair->alone_runtime = rq->fair_server.runtime;
}

/**
 * enoki_fair_joined - the first attached task comes to a run queue
 * @rq: the run queue, locked, its clock updated
 *
 * What fair tasks had of the CPU since the last one left counts, so that this one need
 * not wait for a turn first.
 */
void enoki_fair_joined(struct rq *rq)
{
	struct enoki_fair *fair = per_cpu_ptr(&enoki_fair, cpu_of(rq));
	struct sched_dl_entity *server = &rq->fair_server;
	u64 now = rq_clock(rq), alone = now - fair->alone_from, had, latest;

	/* Who runs may not have told the server yet. */
	if (rq->donor->sched_class == &fair_sched_class)
		fair_sched_class.update_curr(rq);
	had = enoki_fair_had(rq, fair->alone_runtime, alone);
	if (!had)
		return;
	/* For so long it may have begun more than one period. */
	if (alone > server->dl_runtime)
		had = min(alone, server->dl_period);

	latest = now + enoki_fair_pause(server, ENOKI_FAIR_TURN_NS);
	if ((s64)(fair->next - latest) >= 0)
		return;
	enoki_fair_pay(rq, fair, had);
	if ((s64)(fair->next - latest) > 0)
		fair->next = latest;
}

/**
 * enoki_fair_due - may the fair class have a turn?
 * @rq: the run queue, locked, its clock updated
 *
 * Context: an attached task runs there or may be picked, and a fair one waits.
 */
bool enoki_fair_due(struct rq *rq)
{
	struct sched_dl_entity *server = &rq->fair_server;

	/* Whom a core runs is settled between its CPUs, also by a server's priority. */
	if (!server->dl_server_active || !server->dl_runtime || sched_core_enabled(rq))
		return false;

	/* If it had to serve it goes back to waiting with what they get now. */
	return server->dl_defer_running ||
	       (s64)(rq_clock(rq) - per_cpu(enoki_fair, cpu_of(rq)).next) >= 0;
}

/* What have fair tasks had of their turn since it was last looked at, as the server sees it? */
static void enoki_fair_charge(struct rq *rq, struct enoki_fair *fair)
{
	u64 now = rq_clock(rq), had;

	if (!fair->from)
		return;

	/* Who ran may not have told it yet. */
	rq->donor->sched_class->update_curr(rq);
	had = enoki_fair_had(rq, fair->runtime, now - fair->from);
	fair->from = 0;
	enoki_fair_pay(rq, fair, had);
	if ((s64)(fair->next - now) < (s64)had)
		fair->next = now + had;
}

/**
 * enoki_fair_turn - is it the turn of the fair class?
 * @rq: the run queue, locked, its clock updated
 *
 * Context: the class is asked for a task, and has some. The fair class has, too, or
 *          had and its turn is not over.
 * Return: it offers none now, and a timer ends the turn.
 */
bool enoki_fair_turn(struct rq *rq)
{
	struct enoki_fair *fair = per_cpu_ptr(&enoki_fair, cpu_of(rq));
	struct enoki_rq *erq = &rq->enoki;

	enoki_fair_charge(rq, fair);
	if (erq->fair_until && enoki_time_is_up(rq, erq->fair_until))
		erq->fair_until = 0;
	if (!rq->cfs.h_nr_runnable)
		return false;

	if (!erq->fair_until) {
		if (!enoki_fair_due(rq))
			return false;
		erq->fair_until = rq_clock(rq) + ENOKI_FAIR_TURN_NS;
		enoki_slice_arm_by(rq, erq->fair_until);
	}
	fair->from = rq_clock(rq);
	fair->runtime = rq->fair_server.runtime;

	return true;
}

/**
 * enoki_fair_over - a timer has gone off: end the turn if it is over
 * @rq: the run queue, locked, its clock updated
 *
 * Return: when it will be over, 0 if it is.
 */
u64 enoki_fair_over(struct rq *rq)
{
	struct enoki_rq *erq = &rq->enoki;

	if (!erq->fair_until || !enoki_time_is_up(rq, erq->fair_until))
		return erq->fair_until;

	/* Here, as the class may not be asked again for long. */
	enoki_fair_charge(rq, per_cpu_ptr(&enoki_fair, cpu_of(rq)));
	erq->fair_until = 0;
	if (erq->nr_running && sched_class_above(&enoki_sched_class, rq->donor->sched_class))
		resched_curr(rq);

	return 0;
}
