/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Clients of test_modules/enoki_echo.rs, a policy that takes hints and sends
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
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

static const struct policy echo = { "echo", "enoki_echo", 70 };

/* What enoki_echo.rs takes and sends. */
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

enum { NOTHING, ECHO, MARK, READ, REFUSE, FLOOD };
enum { NOBODY, LENT, QUEUED };

static inline uint64_t hash(const char *fields)
{
	uint64_t h = 0xcbf29ce484222325;

	while (*fields)
		h = (h ^ (uint8_t)*fields++) * 0x100000001b3;
	return h;
}

/* ---- a client ---- */

struct half {
	struct enoki_queue queue;
	struct enoki_ring_header *ring;
	uint32_t at;
};

struct client {
	int fd;
	struct half hints, messages;
};

static inline struct enoki_queue of_hints(uint32_t nr_entries)
{
	struct enoki_queue queue = {
		.layout = { .name = "echo_call", .size = sizeof(struct call), .version = 1 },
		.kind = ENOKI_QUEUE_HINTS,
		.nr_entries = nr_entries,
	};

	queue.layout.hash = hash("op:u32,tag:u32,value:u64,");
	return queue;
}

static inline struct enoki_queue of_messages(uint32_t nr_entries)
{
	struct enoki_queue queue = {
		.layout = { .name = "echo_answer", .size = sizeof(struct answer), .version = 2 },
		.kind = ENOKI_QUEUE_MESSAGES,
		.nr_entries = nr_entries,
	};

	queue.layout.hash = hash("tag:u32,about:u32,value:u64,");
	return queue;
}

static inline int half_open(int fd, struct half *half, struct enoki_queue queue)
{
	half->queue = queue;
	half->at = 0;
	half->ring = NULL;
	if (ioctl(fd, ENOKI_IOC_QUEUE, &half->queue))
		return -1;
	if (!queue.nr_entries)
		return 0;
	half->ring = mmap(NULL, half->queue.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			  half->queue.offset);
	return half->ring == MAP_FAILED ? -1 : 0;
}

/* 0, or -1 with errno, and nothing is open. */
static inline int client_open(struct client *c, int id, uint32_t nr_hints, uint32_t nr_messages)
{
	memset(c, 0, sizeof(*c));
	c->fd = open("/dev/enoki", O_RDWR | O_CLOEXEC);
	if (c->fd < 0)
		return -1;
	if (!ioctl(c->fd, ENOKI_IOC_POLICY, id) &&
	    !half_open(c->fd, &c->hints, of_hints(nr_hints)) &&
	    (!nr_messages || !half_open(c->fd, &c->messages, of_messages(nr_messages))))
		return 0;
	close(c->fd);
	return -1;
}

static inline void client_close(struct client *c)
{
	if (c->hints.ring)
		munmap(c->hints.ring, c->hints.queue.size);
	if (c->messages.ring)
		munmap(c->messages.ring, c->messages.queue.size);
	close(c->fd);
	*c = (struct client){ .fd = -1 };
}

static inline struct enoki_entry *entry_of(struct half *half)
{
	return (void *)half->ring + ENOKI_RING_ENTRIES +
	       half->at % half->queue.nr_entries * half->queue.entry_size;
}

static inline bool put(struct client *c, int tid, struct call call)
{
	struct half *half = &c->hints;
	struct enoki_entry *entry;

	if (half->at - __atomic_load_n(&half->ring->head, __ATOMIC_ACQUIRE) >=
	    half->queue.nr_entries)
		return false;
	entry = entry_of(half);
	entry->tid = tid;
	entry->reserved = 0;
	memcpy(entry->data, &call, sizeof(call));
	__atomic_store_n(&half->ring->tail, ++half->at, __ATOMIC_RELEASE);
	return true;
}

static inline bool get(struct client *c, struct answer *answer)
{
	struct half *half = &c->messages;

	if (__atomic_load_n(&half->ring->tail, __ATOMIC_ACQUIRE) == half->at)
		return false;
	memcpy(answer, entry_of(half)->data, sizeof(*answer));
	__atomic_store_n(&half->ring->head, ++half->at, __ATOMIC_RELEASE);
	return true;
}

static inline int doorbell(struct client *c)
{
	return ioctl(c->fd, ENOKI_IOC_DOORBELL);
}

static inline int say(struct client *c, int tid, struct call call)
{
	struct enoki_hint hint = { tid, sizeof(call), (uintptr_t)&call };

	return ioctl(c->fd, ENOKI_IOC_HINT, &hint);
}

/* Everything that was put there has been taken. */
static inline bool taken(struct client *c)
{
	return __atomic_load_n(&c->hints.ring->head, __ATOMIC_ACQUIRE) == c->hints.at;
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
