// SPDX-License-Identifier: GPL-2.0
/*
 * What fair tasks have beside attached ones.
 *
 * Attached tasks go before fair ones. A deadline server sees to it that these are not
 * starved: if they had nothing for nearly a second, they have 50 ms at its end. But a
 * server goes before real-time tasks, too, which would wait for that long although it
 * is not they who starve anybody. So the class gives fair tasks their part itself and
 * in short turns, whenever they have had less than the server would have to give them
 * by now. It finds then that they had it, and is left with what real-time tasks take.
 */

/* Short enough for those who wait, and long enough to be worth two switches. */
#define ENOKI_FAIR_TURN_NS	NSEC_PER_MSEC

/* The server's time is to be used up so much of its period early: it waits no longer. */
#define ENOKI_FAIR_EARLY_SHIFT	4

/**
 * enoki_fair_behind - have fair tasks had less than their part so far?
 * @rq: the run queue, locked, its clock updated
 *
 * Context: an attached task runs there or may be picked, and a fair one waits.
 */
bool enoki_fair_behind(struct rq *rq)
{
	struct sched_dl_entity *server = &rq->fair_server;
	s64 left;

	/* Whom a core runs is settled between its CPUs, also by a server's priority. */
	if (!server->dl_server_active || !server->dl_runtime || sched_core_enabled(rq))
		return false;
	/* It had to serve. With what they get now it goes back to waiting for that. */
	if (server->dl_defer_running)
		return true;

	left = server->deadline - rq_clock(rq) - (server->dl_period >> ENOKI_FAIR_EARLY_SHIFT);

	return server->runtime > (s64)((max_t(s64, left, 0) * server->dl_bw) >> BW_SHIFT);
}

/**
 * enoki_fair_turn - is it the turn of the fair class?
 * @rq: the run queue, locked, its clock updated
 *
 * Context: the class is asked for a task, and has some, as has the fair class.
 * Return: it offers none now, and a timer ends the turn.
 */
bool enoki_fair_turn(struct rq *rq)
{
	struct enoki_rq *erq = &rq->enoki;

	if ((s64)(erq->fair_until - rq_clock(rq)) > ENOKI_SLICE_SLACK_NS)
		return true;
	if (!enoki_fair_behind(rq))
		return false;

	erq->fair_until = rq_clock(rq) + ENOKI_FAIR_TURN_NS;
	enoki_slice_arm_by(rq, erq->fair_until);

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

	if (!erq->fair_until)
		return 0;
	if ((s64)(erq->fair_until - rq_clock(rq)) > ENOKI_SLICE_SLACK_NS)
		return erq->fair_until;

	erq->fair_until = 0;
	if (erq->nr_running && sched_class_above(&enoki_sched_class, rq->donor->sched_class))
		resched_curr(rq);

	return 0;
}
