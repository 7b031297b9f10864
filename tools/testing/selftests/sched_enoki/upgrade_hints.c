// SPDX-License-Identifier: GPL-2.0
/*
 * A policy is replaced by another version of itself while programs send it hints: none is lost,
 * or taken twice, and whom the new version does not understand is told so.
 *
 * test_modules/enoki_echo goes over into enoki_echo_2 with all that it knows; enoki_echo_3 begins
 * anew, and enoki_echo_4 has other hints and messages.
 */
#include "echo.h"

#define ROUNDS	40

/* Asks what was noted with @tid, by a call that may have to be made again. */
static bool mark_is(struct client *c, int tid, uint64_t mark)
{
	struct answer answer = { };

	return AWAIT(!say(c, tid, (struct call){ READ, 9, 0 })) && get(c, &answer) &&
	       answer.tag == 9 && answer.value == mark;
}

/* How many were answered, by what the policy knows; -1 if there is no answer. */
static long long answered(struct client *c)
{
	struct answer answer = { };

	if (!AWAIT(!say(c, 0, (struct call){ COUNT, 8, 0 })) || !get(c, &answer) ||
	    answer.tag != 8)
		return -1;
	return answer.value;
}

/* Many upgrades beside those who send, tasks by whose ticks hints are taken, and one by hand. */
static void upgrade_beside(struct __test_metadata *_metadata, struct client *c, bool known)
{
	int stop[2], i, status, first = nr_workers();
	struct regular r = { };
	pid_t senders[4];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, stop));
	for (i = 0; i < nr_cpus_online(); i++)
		ASSERT_NE(NULL, worker_start_on(-1, W_SPIN, echo.id));
	for (i = 0; i < 4; i++)
		ASSERT_LT(0, senders[i] = start_sender(stop[1]));
	ASSERT_TRUE(AWAIT(nr_clients() == 5));
	for (i = 1; i <= ROUNDS; i++) {
		ASSERT_TRUE(regular_goes_on(c, &r));
		ASSERT_EQ(0, policy_upgrade(&echo)) TH_LOG("%m: %s", last_error());
		ASSERT_TRUE(policy_version_is(&echo, i % 2 ? known ? "2" : "3" : "1"));
		ASSERT_EQ(5, nr_clients());
	}
	EXPECT_TRUE(AWAIT(regular_goes_on(c, &r) && r.sent > 2 * ROUNDS));
	EXPECT_TRUE(regular_ends(c, &r));
	shutdown(stop[0], SHUT_RDWR);
	for (i = 0; i < 4; i++) {
		ASSERT_EQ(senders[i], waitpid(senders[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	for (i = first; i < nr_workers(); i++)
		EXPECT_TRUE(worker_lives(nth_worker(i)));
}

/* Clients stay, and all that the policy knew of them. */
TEST_HINTS(kept)
{
	struct worker *sleeper;

	LOAD_TEST_MODULE("enoki_echo_2", "");
	sleeper = worker_start_on(-1, W_SLEEP, echo.id);
	ASSERT_NE(NULL, sleeper);
	ASSERT_TRUE(AWAIT(worker_asleep(sleeper)));
	ASSERT_TRUE(AWAIT(!say(&self->c, sleeper->pid, (struct call){ MARK, 0, 77 })));
	upgrade_beside(_metadata, &self->c, true);
	EXPECT_TRUE(mark_is(&self->c, sleeper->pid, 77));
	EXPECT_EQ(0, policy_rejected(&echo, "lost"));
}

/* They stay, though the new version has never seen them. */
TEST_HINTS(anew)
{
	long long before = policy_event(&echo, "register_queue");

	LOAD_TEST_MODULE("enoki_echo_3", "");
	upgrade_beside(_metadata, &self->c, false);
	/* Each of them had to be announced, each time. */
	EXPECT_LE(before + ROUNDS * 10, policy_event(&echo, "register_queue"));
}

/* What was counted goes along, or is forgotten. */
TEST_HINTS(what_was_known)
{
	struct regular r = { };

	LOAD_TEST_MODULE("enoki_echo_2", "");
	while (r.sent < 20)
		ASSERT_TRUE(regular_goes_on(&self->c, &r));
	ASSERT_TRUE(regular_ends(&self->c, &r));
	EXPECT_EQ(20, answered(&self->c));
	ASSERT_EQ(0, policy_upgrade(&echo)) TH_LOG("%m: %s", last_error());
	EXPECT_EQ(20, answered(&self->c));
	ASSERT_EQ(0, module_unload("enoki_echo"));
	LOAD_TEST_MODULE("enoki_echo_3", "");
	ASSERT_EQ(0, policy_upgrade(&echo)) TH_LOG("%m: %s", last_error());
	EXPECT_EQ(0, answered(&self->c));
	ASSERT_EQ(0, module_unload("enoki_echo_2"));
	LOAD_TEST_MODULE("enoki_echo", "");
}

/* It hears that it is over, and nothing of what it wrote is read as something else. */
static void hung_up(struct __test_metadata *_metadata, struct client *c)
{
	struct pollfd fd = { .fd = c->fd, .events = POLLIN };

	ASSERT_TRUE(AWAIT(poll(&fd, 1, 1000) == 1 && (fd.revents & POLLHUP)));
	EXPECT_EQ(-1, doorbell(c));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, say(c, 0, (struct call){ ECHO, 0, 0 }));
	EXPECT_EQ(ENODEV, errno);
}

TEST_HINTS(the_new_one_refuses_them)
{
	LOAD_TEST_MODULE("enoki_echo_3", "refuse=1");
	ASSERT_EQ(0, policy_upgrade(&echo)) TH_LOG("%m: %s", last_error());
	hung_up(_metadata, &self->c);
	EXPECT_EQ(-1, client_open(&(struct client){ }, echo.id, 4, 4));
	EXPECT_EQ(EDOM, errno);
}

/* Sends, and reads what comes, until nobody is there. */
static void send_until_the_end(void)
{
	struct answer answer;
	struct client c;

	/* It may be over, or have just become another language, before it has all its queues. */
	if (client_open(&c, echo.id, 16, 16))
		_exit(errno != ENODEV && errno != EPROTO);
	do {
		put(&c, 0, (struct call){ ECHO, 0, 0 });
		while (get(&c, &answer))
			;
	} while (say(&c, 0, (struct call){ ECHO, 0, 0 }) >= 0 || errno != ENODEV);
	_exit(0);
}

TEST_HINTS(another_language)
{
	int i, k, status;
	pid_t pid[2];

	LOAD_TEST_MODULE("enoki_echo_4", "");
	for (i = 0; i < nr_cpus_online(); i++)
		ASSERT_NE(NULL, worker_start_on(-1, W_SPIN, echo.id));
	for (i = 0; i < ROUNDS; i++) {
		for (k = 0; k < 2; k++) {
			pid[k] = test_fork();
			if (!pid[k])
				send_until_the_end();
			ASSERT_LT(0, pid[k]);
		}
		ASSERT_TRUE(AWAIT(nr_clients() == 2 + !i));
		ASSERT_EQ(0, policy_upgrade(&echo)) TH_LOG("%m: %s", last_error());
		ASSERT_TRUE(policy_version_is(&echo, "4"));
		ASSERT_EQ(0, nr_clients());
		for (k = 0; k < 2; k++) {
			ASSERT_EQ(pid[k], waitpid(pid[k], &status, 0));
			ASSERT_EQ(0, status);
		}
		/* And who comes now is told what it takes. */
		ASSERT_EQ(-1, client_open(&(struct client){ }, echo.id, 4, 4));
		ASSERT_EQ(EPROTO, errno);
		ASSERT_NE(NULL, strstr(last_error(), "echo_call version 2"))
			TH_LOG("%s", last_error());
		ASSERT_EQ(0, policy_upgrade(&echo)) TH_LOG("%m: %s", last_error());
	}
	hung_up(_metadata, &self->c);
	EXPECT_TRUE(workers_live());
}

ENOKI_HARNESS_MAIN
