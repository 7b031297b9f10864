// SPDX-License-Identifier: GPL-2.0
/*
 * Hints to a policy and messages from it, through /dev/enoki: what goes through,
 * when it gets there, whom it is about, and who may say it.
 */
#include "echo.h"

/* ---- what goes through ---- */

TEST_HINTS(in_their_order)
{
	struct answer answer;
	uint32_t sent = 0, got = 0;

	while (sent < 1000) {
		while (sent < 1000 &&
		       put(&self->c, 0, (struct call){ ECHO, sent, ~(uint64_t)sent }))
			sent++;
		ASSERT_LT(0, doorbell(&self->c));
		for (; get(&self->c, &answer); got++) {
			ASSERT_EQ(got, answer.tag);
			ASSERT_EQ((uint32_t)NOBODY, answer.about);
			ASSERT_EQ(~(uint64_t)got, answer.value);
		}
	}
	EXPECT_EQ(1000U, got);
	EXPECT_EQ(0U, self->c.hints.ring->dropped);
	EXPECT_EQ(0U, self->c.messages.ring->dropped);
	EXPECT_EQ(1000, policy_event(&echo, "parse_hint"));
	/* Nothing is there any more. */
	EXPECT_EQ(0, doorbell(&self->c));
}

TEST_HINTS(by_a_call)
{
	struct answer answer;

	/* It comes after those of the ring. */
	ASSERT_TRUE(put(&self->c, 0, (struct call){ ECHO, 1, 11 }));
	ASSERT_EQ(0, say(&self->c, 0, (struct call){ ECHO, 2, 22 }));
	ASSERT_TRUE(get(&self->c, &answer));
	EXPECT_EQ(1U, answer.tag);
	ASSERT_TRUE(get(&self->c, &answer));
	EXPECT_EQ(2U, answer.tag);
	EXPECT_EQ(22U, answer.value);
	/* What the policy says of it is what the call returns. */
	EXPECT_EQ(-1, say(&self->c, 0, (struct call){ REFUSE, 3, 0 }));
	EXPECT_EQ(EDOM, errno);
	EXPECT_EQ(-1, say(&self->c, 0, (struct call){ 999, 3, 0 }));
	EXPECT_EQ(EINVAL, errno);
	/* In the ring, it is counted. */
	ASSERT_TRUE(put(&self->c, 0, (struct call){ REFUSE, 4, 0 }));
	EXPECT_EQ(1, doorbell(&self->c));
	EXPECT_EQ(1U, self->c.hints.ring->dropped);
}

/* A policy takes them in portions, of its own choice and at most so many at once. */
TEST_HINTS(in_portions)
{
	struct answer answer;
	uint32_t i;

	ASSERT_TRUE(echo_again(&self->c, "batch=5"));
	for (i = 0; i < 12; i++)
		ASSERT_TRUE(put(&self->c, 0, (struct call){ ECHO, i, 0 }));
	EXPECT_EQ(5, doorbell(&self->c));
	/* Those that it did not take are in the way of another one. */
	EXPECT_EQ(-1, say(&self->c, 0, (struct call){ ECHO, 99, 0 }));
	EXPECT_EQ(EAGAIN, errno);
	EXPECT_EQ(2, doorbell(&self->c));
	EXPECT_EQ(0, say(&self->c, 0, (struct call){ ECHO, 12, 0 }));
	for (i = 0; i < 13; i++) {
		ASSERT_TRUE(get(&self->c, &answer));
		EXPECT_EQ(i, answer.tag);
	}
	EXPECT_FALSE(get(&self->c, &answer));
}

/* ---- when they get there ---- */

TEST_HINTS(at_a_tick)
{
	struct worker *spin = worker_start_on(-1, W_SPIN, echo.id);

	ASSERT_NE(NULL, spin);
	ASSERT_TRUE(worker_lives(spin));
	ASSERT_TRUE(put(&self->c, 0, (struct call){ ECHO, 7, 0 }));
	EXPECT_TRUE(AWAIT(taken(&self->c)));
}

TEST_HINTS(at_a_wakeup)
{
	struct worker *sleeper = worker_start_on(-1, W_SLEEP, echo.id);

	ASSERT_NE(NULL, sleeper);
	ASSERT_TRUE(AWAIT(worker_asleep(sleeper)));
	ASSERT_TRUE(put(&self->c, 0, (struct call){ ECHO, 7, 0 }));
	/* Nobody runs, so there is no tick, and until then nothing happens. */
	EXPECT_FALSE(taken(&self->c));
	worker_set(sleeper, W_STEP);
	EXPECT_TRUE(AWAIT(taken(&self->c)));
}

TEST_HINTS(when_a_task_is_attached)
{
	struct worker *sleeper = worker_start(W_SLEEP);

	ASSERT_NE(NULL, sleeper);
	ASSERT_TRUE(AWAIT(worker_asleep(sleeper)));
	ASSERT_TRUE(put(&self->c, sleeper->pid, (struct call){ MARK, 0, 77 }));
	EXPECT_FALSE(taken(&self->c));
	ASSERT_EQ(0, enoki_attach(sleeper->pid, echo.id));
	EXPECT_TRUE(AWAIT(taken(&self->c)));
	EXPECT_EQ(0U, self->c.hints.ring->dropped);
}

/* ---- whom they are about ---- */

/* Notes something with a thread, and reads it again until it was seen as @about. */
static bool marked_as(struct client *c, int tid, uint32_t about, uint64_t mark)
{
	struct answer answer = { };

	if (say(c, tid, (struct call){ MARK, 0, mark }))
		return false;
	return AWAIT(!say(c, tid, (struct call){ READ, 9, 0 }) && get(c, &answer) &&
		     answer.about == about) && answer.tag == 9 && answer.value == mark;
}

TEST_HINTS(about_tasks)
{
	int cpu = nth_cpu_online(nr_cpus_online() - 1), i;
	struct worker *w[3];

	/* The test looks at them from elsewhere, or neither would run when it looks. */
	ASSERT_EQ(0, pin(0, nth_cpu_online(0)));
	w[0] = worker_start_on(cpu, W_SLEEP, echo.id);
	w[1] = worker_start_on(cpu, W_SPIN, echo.id);
	w[2] = worker_start_on(cpu, W_SPIN, echo.id);
	for (i = 0; i < 3; i++)
		ASSERT_NE(NULL, w[i]);
	ASSERT_TRUE(AWAIT(worker_asleep(w[0])));
	EXPECT_TRUE(marked_as(&self->c, w[0]->pid, LENT, 100));
	/* Each of the two runs now and then, and waits. */
	EXPECT_TRUE(marked_as(&self->c, w[1]->pid, QUEUED, 101));
	EXPECT_TRUE(marked_as(&self->c, w[2]->pid, QUEUED, 102));
	if (nr_cpus_online() > 1) {
		EXPECT_TRUE(marked_as(&self->c, w[1]->pid, LENT, 103));
		EXPECT_TRUE(marked_as(&self->c, w[2]->pid, LENT, 104));
	}
	for (i = 1; i < 3; i++)
		EXPECT_TRUE(worker_lives(w[i]));
	unpin(0);
}

TEST_HINTS(about_strangers)
{
	struct worker *fair = worker_start(W_SLEEP), *other = worker_start_on(-1, W_SLEEP, fifo.id);

	ASSERT_NE(NULL, fair);
	ASSERT_NE(NULL, other);
	EXPECT_EQ(-1, say(&self->c, fair->pid, (struct call){ MARK, 0, 1 }));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ(-1, say(&self->c, other->pid, (struct call){ MARK, 0, 1 }));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ(-1, say(&self->c, 0x3fffffff, (struct call){ MARK, 0, 1 }));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ(-1, say(&self->c, -1, (struct call){ MARK, 0, 1 }));
	EXPECT_EQ(ESRCH, errno);
	EXPECT_EQ(0, policy_event(&echo, "parse_hint"));
}

static int without_privilege(void *arg)
{
	pid_t *other = arg;
	struct client c;

	CHECK(!enoki_attach(0, echo.id));
	CHECK(!setresgid(NOBODYS_UID, NOBODYS_UID, NOBODYS_UID) &&
	      !setresuid(NOBODYS_UID, NOBODYS_UID, NOBODYS_UID));
	CHECK(!client_open(&c, echo.id, 64, 64));
	CHECK(marked_as(&c, getpid(), LENT, 5));
	CHECK(!say(&c, 0, (struct call){ NOTHING, 0, 0 }));
	CHECK(say(&c, *other, (struct call){ MARK, 0, 6 }) == -1 && errno == EPERM);
	CHECK(put(&c, *other, (struct call){ MARK, 0, 6 }));
	/* This thread is the policy's, so a tick of its own may have taken it before. */
	CHECK(doorbell(&c) >= 0 && taken(&c) && c.hints.ring->dropped == 1);
	client_close(&c);
	return 0;
}

TEST_HINTS(without_privilege)
{
	struct worker *other = worker_start_on(-1, W_SLEEP, echo.id);

	ASSERT_NE(NULL, other);
	ASSERT_TRUE(marked_as(&self->c, other->pid, LENT, 55));
	EXPECT_EQ(0, in_child(without_privilege, &other->pid));
	/* Nobody has touched it. */
	ASSERT_EQ(0, say(&self->c, other->pid, (struct call){ MARK, 0, 55 }));
}

static int over_the_quota(void *arg)
{
	struct client c;
	int i;

	CHECK(!setresuid(NOBODYS_UID, NOBODYS_UID, NOBODYS_UID));
	CHECK(!client_open(&c, echo.id, 64, 64));
	for (i = 0; i < 10; i++)
		CHECK(!say(&c, 0, (struct call){ NOTHING, 0, 0 }));
	CHECK(say(&c, 0, (struct call){ NOTHING, 0, 0 }) == -1 && errno == EDQUOT);
	/* Those in the ring stay there until there is time for them. */
	CHECK(put(&c, 0, (struct call){ NOTHING, 0, 0 }));
	CHECK(doorbell(&c) == 0);
	CHECK(AWAIT(doorbell(&c) == 1));
	client_close(&c);
	return 0;
}

TEST_HINTS(over_the_quota)
{
	int i;

	/* Ten in a second, which a second is long enough for even if it is emulated. */
	ASSERT_EQ(0, policy_write(&echo, "hint_quota", "10"));
	EXPECT_EQ(0, in_child(over_the_quota, NULL));
	/* It does not count for those who may do anything. */
	for (i = 0; i < 100; i++)
		ASSERT_EQ(0, say(&self->c, 0, (struct call){ NOTHING, 0, 0 }));
}

/* ---- messages ---- */

TEST_HINTS(overflow)
{
	struct answer answer;
	uint32_t i;

	ASSERT_EQ(0, say(&self->c, 0, (struct call){ FLOOD, 3, 100 }));
	EXPECT_EQ(36U, self->c.messages.ring->dropped);
	/* The oldest are there, all of them. */
	for (i = 0; i < 64; i++) {
		ASSERT_TRUE(get(&self->c, &answer));
		ASSERT_EQ(i, answer.value);
	}
	EXPECT_FALSE(get(&self->c, &answer));
	/* There is room again. */
	EXPECT_EQ(0, say(&self->c, 0, (struct call){ ECHO, 4, 0 }));
	EXPECT_TRUE(get(&self->c, &answer));
}

TEST_HINTS(poll)
{
	struct pollfd fd = { .fd = self->c.fd, .events = POLLIN | POLLOUT };
	struct answer answer;
	pthread_t thread;
	void *events;
	uint32_t i;

	ASSERT_EQ(1, poll(&fd, 1, 0));
	EXPECT_EQ(POLLOUT, fd.revents);
	for (i = 0; i < 64; i++)
		ASSERT_TRUE(put(&self->c, 0, (struct call){ NOTHING, 0, 0 }));
	EXPECT_EQ(0, poll(&fd, 1, 0));
	ASSERT_EQ(64, doorbell(&self->c));

	ASSERT_EQ(0, pthread_create(&thread, NULL, poll_for_one, &self->c));
	nap(10000);
	ASSERT_EQ(0, say(&self->c, 0, (struct call){ ECHO, 1, 0 }));
	ASSERT_EQ(0, pthread_join(thread, &events));
	EXPECT_EQ(POLLIN, (long)events);
	EXPECT_TRUE(get(&self->c, &answer));
}

TEST_HINTS(eventfd)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN };
	uint64_t count;

	ASSERT_LE(0, fd);
	EXPECT_EQ(-1, ioctl(self->c.fd, ENOKI_IOC_EVENTFD, self->c.fd));
	EXPECT_EQ(EINVAL, errno);
	ASSERT_EQ(0, ioctl(self->c.fd, ENOKI_IOC_EVENTFD, fd));
	ASSERT_EQ(0, say(&self->c, 0, (struct call){ ECHO, 1, 0 }));
	ASSERT_EQ(1, poll(&poll_fd, 1, AWAIT_SECONDS * 1000));
	ASSERT_EQ(sizeof(count), (size_t)read(fd, &count, sizeof(count)));
	ASSERT_EQ(0, ioctl(self->c.fd, ENOKI_IOC_EVENTFD, -1));
	ASSERT_EQ(0, say(&self->c, 0, (struct call){ ECHO, 1, 0 }));
	nap(10000);
	EXPECT_EQ(0, poll(&poll_fd, 1, 0));
	close(fd);
}

ENOKI_HARNESS_MAIN
