// SPDX-License-Identifier: GPL-2.0
/*
 * What fair tasks have beside attached ones.
 *
 * Attached tasks go before fair ones. A deadline server sees to it that these are not
 * starved: if they had nothing for nearly a second, they have 50 ms at its end. But a
 * server goes before real-time tasks, too, which would wait for that long although it
 * is not they who starve anybody. So the class gives fair tasks the server's part by
 * itself and in short turns. After each it makes a pause in which their part grows as
 * much as the turn took of it. What they leave they may have later, up to a period's
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
};

static DEFINE_PER_CPU(struct enoki_fair, enoki_fair);

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
	struct sched_dl_entity *server = &rq->fair_server;
	u64 now = rq_clock(rq), saved = now - server->dl_period;
	u64 had, pause;

	if (!fair->from)
		return;

	/* Who ran may not have told it yet. */
	rq->donor->sched_class->update_curr(rq);
	had = fair->runtime - server->runtime;
	/* It has begun a new period. */
	if ((s64)had < 0)
		had += server->dl_runtime;
	/* Or it was stopped meanwhile. */
	had = min(had, now - fair->from);
	fair->from = 0;
	if (!server->dl_bw)
		return;

	pause = div64_ul(had << BW_SHIFT, server->dl_bw);
	pause -= pause >> ENOKI_FAIR_EARLY_SHIFT;
	if ((s64)(fair->next - saved) < 0)
		fair->next = saved;
	fair->next += pause;
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
