/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Clients of policies and their queues, see queue.c.
 */
#ifndef _KERNEL_SCHED_ENOKI_QUEUE_H
#define _KERNEL_SCHED_ENOKI_QUEUE_H

/* The lowest bits of a client's number say where in enoki_sched::clients it is. */
#define ENOKI_CLIENT_MASK	(ENOKI_MAX_CLIENTS - 1ULL)
/* So many of them may be one user's that may not schedule others' tasks. */
#define ENOKI_MAX_USER_CLIENTS	8
/* And so many all such users': one person may have many user ids. */
#define ENOKI_MAX_UNTRUSTED_CLIENTS	(ENOKI_MAX_CLIENTS / 4 * 3)

/**
 * struct enoki_half - our half of a ring
 * @ring: what is shared with user space, zeroed; NULL if there is no ring
 * @size: how many bytes
 * @nr_entries: how many entries, a power of 2
 * @entry_size: how many bytes each
 * @at: our end of it. Never read back from where user space can write.
 */
struct enoki_half {
	struct enoki_ring_header	*ring;
	size_t			size;
	u32			nr_entries;
	u32			entry_size;
	u32			at;
};

/* enoki_client::flags: somebody reads the ring of hints. */
#define ENOKI_CLIENT_READS	0

/**
 * struct enoki_client - an open file of /dev/enoki
 * @mutex: of setting it up; whoever rings the doorbell has it, too
 * @es: its policy; NULL before there is one, and once that has gone or was ejected.
 *	Written under enoki_sched::lock, read under RCU.
 * @id: its number, never used again; what policies know as the number of a queue
 * @layouts: enoki_sched::layouts when it joined: what its queues hold was compared with those
 * @flags: ENOKI_CLIENT_READS
 * @hints: the ring that we read
 * @messages: the ring that we write
 * @lock: of @messages
 * @registered: the policy knows of it; under @mutex
 * @hinting: there is a layout for hints; under @mutex
 * @joined: it has, or had, a policy
 * @trusted: may send hints about any thread, and as many as it likes
 * @uid: whose it is
 * @tgid: the process that opened it
 * @pid_ns: what thread ids mean to it
 * @counted_since: when @counted began to be counted, by ktime
 * @counted: how many hints it has sent since
 * @nr_hints: hints that it has sent
 * @nr_refused: those of its ring that were refused
 * @nr_messages: messages that its policy has sent
 * @nr_dropped: those that found the ring full; under @lock, as @nr_messages
 * @wait: those that poll
 * @eventfd: to signal when a message has come, or NULL
 * @wake: does so
 */
struct enoki_client {
	struct mutex			mutex; /* see above */
	struct enoki_sched __rcu	*es;
	u64				id;
	unsigned int			layouts;
	unsigned long			flags;
	struct enoki_half		hints;
	struct enoki_half		messages;
	raw_spinlock_t			lock;
	bool				registered;
	bool				hinting;
	bool				joined;
	bool				trusted;
	kuid_t				uid;
	struct pid			*tgid;
	struct pid_namespace		*pid_ns;
	u64				counted_since;
	unsigned int			counted;
	u64				nr_hints;
	u64				nr_refused;
	u64				nr_messages;
	u64				nr_dropped;
	wait_queue_head_t		wait;
	struct eventfd_ctx		*eventfd;
	struct irq_work			wake;
};

/* How many hints are read at most: in a call, of one client; in an interrupt, of all. */
#define ENOKI_HINTS_A_CALL	256
#define ENOKI_HINTS_AN_IRQ	16

/* Hints a second of a client that is not trusted, for a start. */
#define ENOKI_HINT_QUOTA	100000

/* Where in the file the rings are, for mmap(). */
#define ENOKI_HINTS_OFFSET	0ULL
#define ENOKI_MESSAGES_OFFSET	0x10000000ULL
#define ENOKI_TAPES_OFFSET	0x20000000ULL

/*
 * Are the layouts of the version that is in office those that the client has? To be asked
 * from within a call: otherwise it may be another one's next.
 */
static inline bool enoki_understands(const struct enoki_sched *es,
				     const struct enoki_client *client)
{
	return es->layouts == client->layouts;
}

void enoki_client_wake(struct irq_work *irq_work);
int enoki_client_join(struct enoki_client *client, u32 id);
void enoki_client_leave(struct enoki_client *client);
int enoki_client_queue(struct enoki_client *client, struct enoki_queue *queue);
int enoki_client_hint(struct enoki_client *client, s32 tid, const void *hint, u32 size);
int enoki_client_doorbell(struct enoki_client *client);
bool enoki_ring_has_room(const struct enoki_half *half);
bool enoki_ring_waits(const struct enoki_half *half);

#endif /* _KERNEL_SCHED_ENOKI_QUEUE_H */
