/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Hints to Enoki CPU schedulers, and messages from them.
 *
 *	struct place { uint64_t place; } here = { 7 };
 *	struct enoki_client *client;
 *
 *	if (enoki_client_open(&client, 4) ||
 *	    enoki_client_hints(client, "locality_place", 1, "place:u64,", sizeof(here), 64))
 *		...
 *	enoki_client_send(client, gettid(), &here);
 *
 * Link with libenoki_client.a (and -lpthread -ldl) or libenoki_client.so. All functions
 * that return an int return a negative errno when they fail; when a queue is refused
 * with -EPROTO, /sys/kernel/sched_enoki/last_error says why. A client may be used by
 * one thread at a time.
 *
 * A client is of the process that opened it. In a child of fork() these functions fail
 * with -ECHILD (enoki_client_refused() and enoki_client_dropped(): 0), and the parent goes
 * on undisturbed; a child that is to send hints opens a client of its own.
 * enoki_client_close() ends what the child has of its parent's, unless another thread was
 * using the client at fork(): then do not call it. As long as a child has it open the
 * policy keeps the client, even if the parent has ended.
 */
#ifndef ENOKI_CLIENT_H
#define ENOKI_CLIENT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct enoki_client;

/* Become a client of the policy of that number. */
int enoki_client_open(struct enoki_client **client, unsigned int policy);
void enoki_client_close(struct enoki_client *client);

/*
 * Set up the queue of hints, with a ring of nr_entries, a power of 2; 0: no ring, for
 * enoki_client_send_now() only. fields says what a hint has in it: "field:type," for
 * each, with the types of Rust (u32, u64, i64, ...). size is a multiple of 8.
 */
int enoki_client_hints(struct enoki_client *client, const char *name, unsigned int version,
		       const char *fields, size_t size, unsigned int nr_entries);
/* Likewise that of messages, which has a ring. */
int enoki_client_messages(struct enoki_client *client, const char *name, unsigned int version,
			  const char *fields, size_t size, unsigned int nr_entries);

/*
 * Send a hint about a thread, or about none (0), without a system call. -EAGAIN: there
 * is no room until the policy has taken some.
 */
int enoki_client_send(struct enoki_client *client, int tid, const void *hint);
/* Have the policy look at the hints now. Returns how many it took. */
int enoki_client_doorbell(struct enoki_client *client);
/* Send a hint by a system call. Returns what the policy says of it. */
int enoki_client_send_now(struct enoki_client *client, int tid, const void *hint);
/* How many were refused of those that were sent without a system call. */
unsigned int enoki_client_refused(struct enoki_client *client);

/* Receive a message, without a system call. Returns 1, or 0 if there is none. */
int enoki_client_receive(struct enoki_client *client, void *message);
/* Wait for one; for timeout_ms, or for ever (-1). -ENODEV: the policy has gone. */
int enoki_client_wait(struct enoki_client *client, void *message, int timeout_ms);
/* How many more there would have been if there had been room. */
unsigned int enoki_client_dropped(struct enoki_client *client);
/* For poll(): readable when there is a message. */
int enoki_client_fd(struct enoki_client *client);

#ifdef __cplusplus
}
#endif

#endif /* ENOKI_CLIENT_H */
