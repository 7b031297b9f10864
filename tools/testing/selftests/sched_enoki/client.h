/* SPDX-License-Identifier: GPL-2.0 */
/* A client of a policy: what userspace/enoki-client does, by hand. */
#ifndef _SCHED_ENOKI_CLIENT_H
#define _SCHED_ENOKI_CLIENT_H

#include <fcntl.h>
#include <linux/enoki.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "util.h"

/* A queue, and how far this side of it is. */
struct half {
	struct enoki_queue queue;
	struct enoki_ring_header *ring;
	uint32_t at;
};

struct client {
	int fd;
	struct half hints, messages;
};

static inline struct enoki_queue queue_of(uint32_t kind, const char *name, uint32_t version,
					  uint32_t size, const char *fields,
					  uint32_t nr_entries)
{
	struct enoki_queue queue = {
		.layout = { .size = size, .version = version, .hash = layout_hash(fields) },
		.kind = kind,
		.nr_entries = nr_entries,
	};

	strcpy(queue.layout.name, name);
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

/* A client with such queues, @messages may be NULL. 0, or -1 with errno and nothing is open. */
static inline int client_join(struct client *c, int id, const struct enoki_queue *hints,
			      const struct enoki_queue *messages)
{
	memset(c, 0, sizeof(*c));
	c->fd = open("/dev/enoki", O_RDWR | O_CLOEXEC);
	if (c->fd < 0)
		return -1;
	if (!ioctl(c->fd, ENOKI_IOC_POLICY, id) && !half_open(c->fd, &c->hints, *hints) &&
	    (!messages || !half_open(c->fd, &c->messages, *messages)))
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

/* Sends a hint by the ring; false if there is no room. */
static inline bool client_put(struct client *c, int tid, const void *hint)
{
	struct half *half = &c->hints;
	struct enoki_entry *entry;

	if (half->at - __atomic_load_n(&half->ring->head, __ATOMIC_ACQUIRE) >=
	    half->queue.nr_entries)
		return false;
	entry = entry_of(half);
	entry->tid = tid;
	entry->reserved = 0;
	memcpy(entry->data, hint, half->queue.layout.size);
	__atomic_store_n(&half->ring->tail, ++half->at, __ATOMIC_RELEASE);
	return true;
}

/* Receives a message; false if there is none. */
static inline bool client_get(struct client *c, void *message)
{
	struct half *half = &c->messages;

	if (__atomic_load_n(&half->ring->tail, __ATOMIC_ACQUIRE) == half->at)
		return false;
	memcpy(message, entry_of(half)->data, half->queue.layout.size);
	__atomic_store_n(&half->ring->head, ++half->at, __ATOMIC_RELEASE);
	return true;
}

/* Sends a hint by a call; 0, or -1 with errno. */
static inline int client_say(struct client *c, int tid, const void *hint)
{
	struct enoki_hint said = { tid, c->hints.queue.layout.size, (uintptr_t)hint };

	return ioctl(c->fd, ENOKI_IOC_HINT, &said);
}

static inline int doorbell(struct client *c)
{
	return ioctl(c->fd, ENOKI_IOC_DOORBELL);
}

/* Everything that was put there has been taken. */
static inline bool taken(struct client *c)
{
	return __atomic_load_n(&c->hints.ring->head, __ATOMIC_ACQUIRE) == c->hints.at;
}

#endif /* _SCHED_ENOKI_CLIENT_H */
