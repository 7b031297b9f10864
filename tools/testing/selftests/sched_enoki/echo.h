/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Clients of test_modules/enoki_echo, a policy that takes hints and sends
 * messages, and the fixture of the tests that need it.
 */
#ifndef _SCHED_ENOKI_ECHO_H
#define _SCHED_ENOKI_ECHO_H

#include <errno.h>
#include <fcntl.h>
#include <linux/enoki.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client.h"
#include "fixture.h"

static const struct policy echo = { "echo", "enoki_echo", 70 };

/* What it takes and sends. */
struct call {
	uint32_t op;
	uint32_t tag;
	uint64_t value;
};

struct answer {
	uint32_t tag;
	uint32_t about;
	uint64_t value;
};

enum { NOTHING, ECHO, MARK, READ, REFUSE, FLOOD, COUNT };
enum { NOBODY, LENT, QUEUED };

static inline struct enoki_queue of_hints(uint32_t nr_entries)
{
	return queue_of(ENOKI_QUEUE_HINTS, "echo_call", 1, sizeof(struct call),
			"op:u32,tag:u32,value:u64,", nr_entries);
}

static inline struct enoki_queue of_messages(uint32_t nr_entries)
{
	return queue_of(ENOKI_QUEUE_MESSAGES, "echo_answer", 2, sizeof(struct answer),
			"tag:u32,about:u32,value:u64,", nr_entries);
}

/* 0, or -1 with errno, and nothing is open. */
static inline int client_open(struct client *c, int id, uint32_t nr_hints, uint32_t nr_messages)
{
	struct enoki_queue hints = of_hints(nr_hints), messages = of_messages(nr_messages);

	return client_join(c, id, &hints, nr_messages ? &messages : NULL);
}

static inline bool put(struct client *c, int tid, struct call call)
{
	return client_put(c, tid, &call);
}

static inline bool get(struct client *c, struct answer *answer)
{
	return client_get(c, answer);
}

static inline int say(struct client *c, int tid, struct call call)
{
	return client_say(c, tid, &call);
}

/* One who does all as it should be done, beside others who do not. */
struct regular {
	uint32_t sent, got;
};

/* Sends a hint if it can, and reads the answers; false if one is not what comes next. */
static inline bool regular_goes_on(struct client *c, struct regular *r)
{
	struct answer answer;

	if (put(c, 0, (struct call){ ECHO, r->sent, r->sent }))
		r->sent++;
	while (get(c, &answer))
		if (answer.tag != r->got++)
			return false;
	return true;
}

/* Has every hint been answered, and none been lost? */
static inline bool regular_ends(struct client *c, struct regular *r)
{
	struct answer answer;

	do {
		doorbell(c);
		while (get(c, &answer))
			if (answer.tag != r->got++)
				return false;
	} while (!taken(c));
	return r->sent == r->got && !c->hints.ring->dropped && !c->messages.ring->dropped;
}

/* One who sends as fast as it can until all is over; its exit status is 0 if none was lost. */
static inline pid_t start_sender(int stop)
{
	struct regular r = { };
	struct client c;
	pid_t pid;
	char end;

	pid = test_fork();
	if (pid)
		return pid;
	if (client_open(&c, echo.id, 16, 16))
		_exit(2);
	while (recv(stop, &end, 1, MSG_DONTWAIT) < 0) {
		if (!regular_goes_on(&c, &r))
			_exit(3);
		doorbell(&c);
	}
	_exit(!r.sent || !regular_ends(&c, &r));
}

/* FUZZ_SECONDS, for as long as one likes. */
static inline int fuzz_seconds(void)
{
	const char *text = getenv("FUZZ_SECONDS");

	return text ? atoi(text) : 5;
}

static inline uint32_t scramble(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	return *seed ^= *seed << 5;
}

/* How many clients the policy has. */
static inline int nr_clients(void)
{
	FILE *file = fopen("/sys/kernel/sched_enoki/echo/clients", "r");
	int nr = 0, c;

	if (!file)
		return -1;
	while ((c = getc(file)) != EOF)
		nr += c == '\n';
	fclose(file);
	return nr;
}

/* Loads the policy anew, with that parameter, and opens a client of it. */
static inline bool echo_again(struct client *c, const char *param)
{
	client_close(c);
	return policy_unload(&echo) && !test_module_load("enoki_echo", param) &&
	       !client_open(c, echo.id, 64, 64);
}

FIXTURE(hints) {
	struct client c;
};

FIXTURE_SETUP(hints)
{
	const char *problem = enoki_begin();

	ASSERT_EQ(NULL, problem) TH_LOG("%s", problem);
	LOAD_TEST_MODULE("enoki_echo", "");
	ASSERT_EQ(0, client_open(&self->c, echo.id, 64, 64))
		TH_LOG("%s: %s", strerror(errno), last_error());
}

FIXTURE_TEARDOWN(hints)
{
	/* As upgrade_hints.c loads them; then there may be none of them in office. */
	static const char *const others[] = { "enoki_echo_2", "enoki_echo_3", "enoki_echo_4" };
	int i;

	if (!module_loaded(echo.module))
		return;
	client_close(&self->c);
	for (i = 0; i < nr_workers(); i++)
		worker_stop(nth_worker(i));
	EXPECT_TRUE(AWAIT(nr_clients() == 0));
	EXPECT_TRUE(AWAIT(policy_nr_tasks(&echo) == 0));
	EXPECT_EQ(0, policy_rejected(&echo, "lost"));
	EXPECT_TRUE(enoki_end());
	for (i = 0; i < (int)ARRAY_SIZE(others); i++)
		EXPECT_TRUE(AWAIT(!module_unload(others[i]) || errno == ENOENT));
	EXPECT_TRUE(policy_unload(&echo));
}

#define TEST_HINTS(name)	TEST_F_TIMEOUT(hints, name, TEST_SECONDS)

/* What a child sees, as its exit status: 0 or the line where it was otherwise. */
#define CHECK(cond)	do { if (!(cond)) return __LINE__; } while (0)

static inline int in_child(int (*f)(void *), void *arg)
{
	int lines[2], line = -1;
	pid_t pid;

	if (pipe(lines))
		return -1;
	pid = test_fork();
	if (!pid) {
		line = f(arg);
		if (write(lines[1], &line, sizeof(line)) != sizeof(line))
			_exit(1);
		_exit(0);
	}
	close(lines[1]);
	if (pid < 0 || read(lines[0], &line, sizeof(line)) != sizeof(line))
		line = -1;
	close(lines[0]);
	waitpid(pid, NULL, 0);
	return line;
}

#define NOBODYS_UID	65534

static inline void *poll_for_one(void *arg)
{
	struct client *c = arg;
	struct pollfd fd = { .fd = c->fd, .events = POLLIN };

	return (void *)(long)(poll(&fd, 1, AWAIT_SECONDS * 1000) == 1 ? fd.revents : 0);
}

#endif /* _SCHED_ENOKI_ECHO_H */
