// SPDX-License-Identifier: GPL-2.0
/*
 * Hints from programs to policies, and messages back.
 *
 * A ring lies in memory that user space may write at any time. So our end of it is kept
 * here, an entry is copied once and looked at afterwards, and what its other end says
 * is a number of entries that is there or not: whoever writes nonsense loses what is
 * its own.
 *
 * A policy gets a hint with the run queue locked of the task that it is about, so that
 * the task stands still. That lock can't be had where the class is called, under another
 * one's; there a hard irq_work is started that looks right afterwards.
 *
 * Messages may be sent from under a run queue's lock. Who waits for them is woken by
 * another irq_work.
 *
 * The tests of the client library have a model of what is done here to a ring, function
 * by function (enoki-client/src/ring/kernel.rs), and explore it together with a program's
 * half in all orders of memory accesses. Keep them alike.
 */

#include <linux/eventfd.h>
#include <linux/poll.h>
#include <linux/vmalloc.h>

static atomic64_t enoki_last_client;

/* There is a ring of hints, of whatever policy. Anybody may make one and close it again. */
DEFINE_STATIC_KEY_DEFERRED_FALSE(enoki_hinting, 10 * HZ);

/* How many entries are in the ring by what its other end says; more than it has: nonsense. */
static u32 enoki_ring_used(const struct enoki_half *half, const u32 *other)
{
	/* Pairs with the release by which user space writes or reads an entry. */
	u32 theirs = smp_load_acquire(other);

	return other == &half->ring->tail ? theirs - READ_ONCE(half->at) :
					    READ_ONCE(half->at) - theirs;
}

/* Our half of a ring that is set up and not gone before its client; NULL if there is none. */
static struct enoki_ring_header *enoki_half_ring(const struct enoki_half *half)
{
	/* Pairs with the release in enoki_client_publish(). */
	return smp_load_acquire(&half->ring);
}

/**
 * enoki_ring_waits - is there a message in the ring that was not read?
 * @half: our half of a ring of messages
 *
 * Return: it has one, by what the ring itself says.
 */
bool enoki_ring_waits(const struct enoki_half *half)
{
	const struct enoki_ring_header *ring = enoki_half_ring(half);

	/* Our own end moves before the ring's, where the program will look for the message. */
	return ring && READ_ONCE(ring->tail) != READ_ONCE(ring->head);
}

/**
 * enoki_ring_has_room - is there room for another hint?
 * @half: our half of a ring of hints
 *
 * Return: it has, by what its writer says.
 */
bool enoki_ring_has_room(const struct enoki_half *half)
{
	return enoki_half_ring(half) &&
	       enoki_ring_used(half, &half->ring->tail) < half->nr_entries;
}

static struct enoki_entry *enoki_ring_entry(const struct enoki_half *half)
{
	return (void *)half->ring + ENOKI_RING_ENTRIES +
	       (half->at & (half->nr_entries - 1)) * half->entry_size;
}

/* What user space is told it might overwrite; it harms nobody but itself. */
static void enoki_ring_torn(const struct enoki_half *half)
{
	WRITE_ONCE(half->ring->torn, READ_ONCE(half->ring->torn) + 1);
}

static void enoki_ring_dropped(const struct enoki_half *half, u64 nr)
{
	if (half->ring)
		WRITE_ONCE(half->ring->dropped, nr);
}

/*
 * Rings.
 */

/* Pages that user space may map, and that are charged to it. */
static void *enoki_ring_alloc(size_t size)
{
	unsigned int nr = size >> PAGE_SHIFT, i;
	struct page **pages;
	void *ring;

	pages = kvcalloc(nr, sizeof(*pages), GFP_KERNEL_ACCOUNT);
	if (!pages)
		return NULL;

	for (i = 0; i < nr; i++) {
		pages[i] = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!pages[i])
			goto err_pages;
	}
	/* The pages and the array are the mapping's from here on. */
	ring = vmap(pages, nr, VM_MAP | VM_USERMAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	if (ring)
		return ring;

err_pages:
	while (i--)
		__free_page(pages[i]);
	kvfree(pages);
	return NULL;
}

static int enoki_half_init(struct enoki_half *half, u32 nr_entries, u32 size)
{
	half->nr_entries = nr_entries;
	half->entry_size = sizeof(struct enoki_entry) + size;
	half->size = PAGE_ALIGN(ENOKI_RING_ENTRIES + (size_t)nr_entries * half->entry_size);
	half->ring = enoki_ring_alloc(half->size);

	return half->ring ? 0 : -ENOMEM;
}

/*
 * Clients.
 */

static struct enoki_client *enoki_nth_client(struct enoki_sched *es, int n)
{
	return rcu_dereference_check(es->clients[n], lockdep_is_held(&es->lock));
}

/* A free place among a policy's clients, or -EDQUOT. enoki_sched::lock is locked. */
static int enoki_client_place(struct enoki_sched *es, struct enoki_client *client)
{
	int i, place = -EDQUOT, same_user = 0, untrusted = 0;
	struct enoki_client *other;

	for (i = ENOKI_MAX_CLIENTS - 1; i >= 0; i--) {
		other = enoki_nth_client(es, i);
		if (!other) {
			place = i;
		} else if (!other->trusted) {
			untrusted++;
			same_user += uid_eq(other->uid, client->uid);
		}
	}
	if (!client->trusted && (same_user >= ENOKI_MAX_USER_CLIENTS ||
				 untrusted >= ENOKI_MAX_UNTRUSTED_CLIENTS))
		return -EDQUOT;

	return place;
}

/**
 * enoki_client_join - make it a client of a policy
 * @client: has had none
 * @id: the policy's number
 *
 * Context: may sleep, the client's mutex locked.
 * Return: 0, -ENODEV if there is no such policy in office, -EDQUOT if it has too many
 *         clients already, in all or of this user.
 */
int enoki_client_join(struct enoki_client *client, u32 id)
{
	struct enoki_sched *es;
	int place;

	guard(mutex)(&enoki_mutex);
	es = enoki_find(id);
	if (!es || enoki_ejected(es)) {
		enoki_set_error("/dev/enoki: no policy in office is registered as number %u", id);
		return -ENODEV;
	}

	guard(raw_spinlock_irqsave)(&es->lock);
	/* Whoever ejects it takes its clients away under this lock afterwards. */
	if (enoki_ejected(es))
		return -ENODEV;

	place = enoki_client_place(es, client);
	if (place < 0)
		return place;

	client->id = atomic64_inc_return(&enoki_last_client) * ENOKI_MAX_CLIENTS + place;
	client->joined = true;
	/* Pairs with the release in enoki_swap(): or enoki_clients_changed() finds it. */
	client->layouts = smp_load_acquire(&es->layouts);
	rcu_assign_pointer(client->es, es);
	rcu_assign_pointer(es->clients[place], client);

	return 0;
}

/* Take @client from its policy. enoki_sched::lock is locked. */
static void enoki_client_part(struct enoki_sched *es, struct enoki_client *client)
{
	unsigned int place = client->id & ENOKI_CLIENT_MASK;

	RCU_INIT_POINTER(es->clients[place], NULL);
	RCU_INIT_POINTER(client->es, NULL);
	clear_bit(place, es->ringing);
	/* It need not wait any longer. */
	irq_work_queue(&client->wake);
}

/*
 * Who reads a client's hints has ENOKI_CLIENT_READS. A program waits for it, with the
 * client's mutex locked, so what it waits for is an interrupt; that does not wait.
 */
static void enoki_begin_to_read(struct enoki_client *client)
{
	while (test_and_set_bit_lock(ENOKI_CLIENT_READS, &client->flags))
		cpu_relax();
}

static bool enoki_try_to_read(struct enoki_client *client)
{
	return !test_and_set_bit_lock(ENOKI_CLIENT_READS, &client->flags);
}

static void enoki_end_to_read(struct enoki_client *client)
{
	clear_bit_unlock(ENOKI_CLIENT_READS, &client->flags);
}

/**
 * enoki_client_leave - it is the policy's client no more, and has no queues
 * @client: nobody else uses it any more but the policy
 *
 * Context: may sleep.
 */
void enoki_client_leave(struct enoki_client *client)
{
	struct enoki_sched *es;

	scoped_guard (rcu) {
		es = rcu_dereference(client->es);
		if (es) {
			guard(raw_spinlock_irqsave)(&es->lock);
			/* The policy may have gone in the meantime. */
			if (rcu_access_pointer(client->es))
				enoki_client_part(es, client);
			else
				es = NULL;
		}
		if (es && client->registered) {
			/* For good: the policy gets no hint of a client that has gone. */
			enoki_begin_to_read(client);
			guard(irqsave)();
			enoki_call_unregister_queue(es, client);
		}
	}
	/* The policy may be sending, and an interrupt reading, right now. */
	synchronize_rcu();
	irq_work_sync(&client->wake);
	if (client->hints.ring)
		static_branch_slow_dec_deferred(&enoki_hinting);
	vfree(client->hints.ring);
	vfree(client->messages.ring);
}

/**
 * enoki_clients_part - a policy has no clients any more
 * @es: it is ejected, or not in the registry any more; so nobody joins
 *
 * Context: any. Who ejects must not wait for the registry's mutex, whose holder may be
 * one of those that the policy's tasks leave no time.
 */
void enoki_clients_part(struct enoki_sched *es)
{
	struct enoki_client *client;
	int i;

	guard(raw_spinlock_irqsave)(&es->lock);
	for (i = 0; i < ENOKI_MAX_CLIENTS; i++) {
		client = enoki_nth_client(es, i);
		if (client)
			enoki_client_part(es, client);
	}
}

/* Tell a new version of a policy of a client's queues. Return: it takes them. */
static bool enoki_client_announce(struct enoki_sched *es, struct enoki_client *client)
{
	int ret = 0;

	guard(irqsave)();
	if (client->hinting)
		ret = enoki_call_register_queue(es, client, ENOKI_QUEUE_HINTS);
	if (!ret && enoki_half_ring(&client->messages))
		ret = enoki_call_register_queue(es, client, ENOKI_QUEUE_MESSAGES);

	return !ret;
}

/*
 * Let a new version of a policy have the client in a place, as the one who reads its hints:
 * so the client stays. Return: that was possible, or there is none.
 */
static bool enoki_client_change(struct enoki_sched *es, int place)
{
	struct enoki_client *client;

	guard(rcu)();
	client = enoki_nth_client(es, place);
	if (!client)
		return true;
	if (!enoki_try_to_read(client))
		return false;

	if (!enoki_client_announce(es, client)) {
		guard(raw_spinlock_irqsave)(&es->lock);
		if (rcu_access_pointer(client->es))
			enoki_client_part(es, client);
	}
	enoki_end_to_read(client);

	return true;
}

/**
 * enoki_same_layouts - do two versions of a policy take the same hints and send the same messages?
 * @a: the one
 * @b: the other
 *
 * Return: they do.
 */
bool enoki_same_layouts(const struct enoki_ops *a, const struct enoki_ops *b)
{
	return !memcmp(&a->hint, &b->hint, sizeof(a->hint)) &&
	       !memcmp(&a->message, &b->message, sizeof(a->message));
}

/**
 * enoki_clients_changed - another version of a policy is in office
 * @es: the policy
 * @old: the version that was
 * @known: the new one knows what that one knew
 *
 * Clients stay if what they send and get is the same for the new version. Of those the
 * class tells a version that does not know them.
 *
 * Context: may sleep.
 */
void enoki_clients_changed(struct enoki_sched *es, const struct enoki_ops *old, bool known)
{
	int i;

	if (!enoki_same_layouts(old, es->ops)) {
		enoki_clients_part(es);
		return;
	}
	/* Who reads its hints now may have been stopped by this very task. */
	for (i = 0; !known && i < ENOKI_MAX_CLIENTS; i++)
		while (!enoki_client_change(es, i))
			schedule_timeout_uninterruptible(1);
	/* What has come meanwhile was left in the rings. */
	irq_work_queue(&es->hints_kick);
}

/* Is the layout that @client has for its queue the policy's? In words if it is not. */
static int enoki_check_layout(const struct enoki_sched *es, const struct enoki_queue *queue)
{
	const struct enoki_layout *theirs = &queue->layout, *ours;
	const struct enoki_ops *ops = READ_ONCE(es->ops);
	const char *what;
	int len;

	if (queue->kind == ENOKI_QUEUE_HINTS) {
		ours = &ops->hint;
		what = "hints";
	} else {
		ours = &ops->message;
		what = "messages";
	}
	if (!ours->name[0]) {
		enoki_set_error("/dev/enoki: policy %s has no %s", es->name, what);
		return -EPROTO;
	}
	if (memcmp(ours, theirs, sizeof(*ours))) {
		len = strnlen(theirs->name, sizeof(theirs->name));
		enoki_set_error("/dev/enoki: the %s of policy %s are %s version %u (%u bytes, hash %#llx), those of %s[%d] are %*pE version %u (%u bytes, hash %#llx)",
				what, es->name, ours->name, ours->version, ours->size,
				ours->hash, current->comm, task_pid_nr(current),
				len, theirs->name, theirs->version, theirs->size,
				theirs->hash);
		return -EPROTO;
	}

	return 0;
}

/* Tell the policy of the queue. If it takes it the ring is used from now on. */
static int enoki_client_publish(struct enoki_client *client, struct enoki_half *half,
				const struct enoki_half *new, u32 kind)
{
	struct enoki_sched *es;
	int ret;

	guard(rcu)();
	es = rcu_dereference(client->es);
	if (!es)
		return -ENODEV;

	scoped_guard (irqsave)
		ret = enoki_call_register_queue(es, client, kind);
	if (ret) {
		enoki_set_error("/dev/enoki: policy %s refused a queue of %s[%d] with error %d",
				es->name, current->comm, task_pid_nr(current), ret);
		return ret;
	}

	guard(raw_spinlock_irqsave)(&es->lock);
	half->size = new->size;
	half->nr_entries = new->nr_entries;
	half->entry_size = new->entry_size;
	/* Whoever sees the ring sees what it is like. */
	smp_store_release(&half->ring, new->ring);
	if (new->ring && kind == ENOKI_QUEUE_HINTS && rcu_access_pointer(client->es))
		set_bit(client->id & ENOKI_CLIENT_MASK, es->ringing);

	return 0;
}

/**
 * enoki_client_queue - set up a queue
 * @client: has a policy
 * @queue: what queue; completed
 *
 * Context: may sleep, the client's mutex locked.
 * Return: 0, or as said of ENOKI_IOC_QUEUE in the user's header.
 */
int enoki_client_queue(struct enoki_client *client, struct enoki_queue *queue)
{
	bool hints = queue->kind == ENOKI_QUEUE_HINTS;
	struct enoki_half *half = hints ? &client->hints : &client->messages;
	struct enoki_half new = { };
	struct enoki_sched *es;
	int ret;

	if (queue->kind > ENOKI_QUEUE_MESSAGES || queue->reserved ||
	    queue->nr_entries > ENOKI_MAX_ENTRIES ||
	    (queue->nr_entries ? !is_power_of_2(queue->nr_entries) : !hints)) {
		enoki_set_error("/dev/enoki: a queue is of hints or of messages and has a power of 2 of entries, at most %u; one of hints may have none",
				ENOKI_MAX_ENTRIES);
		return -EINVAL;
	}
	if (half->ring || (hints && client->hinting))
		return -EBUSY;

	scoped_guard (rcu) {
		es = rcu_dereference(client->es);
		ret = es ? enoki_check_layout(es, queue) : -ENODEV;
	}
	if (ret)
		return ret;

	if (queue->nr_entries) {
		ret = enoki_half_init(&new, queue->nr_entries, queue->layout.size);
		if (ret)
			return ret;
	}
	ret = enoki_client_publish(client, half, &new, queue->kind);
	if (ret) {
		vfree(new.ring);
		return ret;
	}
	client->registered = true;
	client->hinting |= hints;
	if (hints && new.ring)
		static_branch_inc(&enoki_hinting.key);
	queue->entry_size = new.entry_size;
	queue->offset = hints ? ENOKI_HINTS_OFFSET : ENOKI_MESSAGES_OFFSET;
	queue->size = new.size;

	return 0;
}

/*
 * Hints.
 */

/*
 * The class gives the policy a hint about @p, whose run queue is locked: a token that it
 * owns is lent, one that the policy owns is named.
 */
static int enoki_hint_about(struct enoki_client *client, struct enoki_sched *es, struct rq *rq,
			    struct task_struct *p, const void *hint)
{
	struct enoki_task_info info;
	struct enoki_task *token;

	if (p->enoki.es != es)
		return -ESRCH;

	update_rq_clock(rq);
	if (p->enoki.state == ENOKI_QUEUED) {
		enoki_fill_info(p, &info);
		return enoki_call_parse_hint(es, rq, client, p->enoki.token, &info, hint);
	}
	token = enoki_lend(rq, p);
	if (!token)
		return -EAGAIN;

	return enoki_call_parse_hint(es, rq, client, token, NULL, hint);
}

/* Give the policy a hint, if its sender may send it. Under RCU. */
static int enoki_hint(struct enoki_client *client, struct enoki_sched *es, s32 tid,
		      const void *hint)
{
	struct task_struct *p;

	if (!tid) {
		guard(irqsave)();
		return enoki_call_parse_hint(es, NULL, client, NULL, NULL, hint);
	}

	p = tid > 0 ? find_task_by_pid_ns(tid, client->pid_ns) : NULL;
	if (!p)
		return -ESRCH;
	if (!client->trusted && task_tgid(p) != client->tgid)
		return -EPERM;

	CLASS(task_rq_lock, rq_guard)(p);
	return enoki_hint_about(client, es, rq_guard.rq, p, hint);
}

/* How many of @nr hints may it send now? */
static u32 enoki_within_quota(struct enoki_client *client, struct enoki_sched *es, u32 nr)
{
	u64 now = ktime_get_mono_fast_ns();
	unsigned int quota = READ_ONCE(es->hint_quota);

	if (client->trusted)
		return nr;
	if (now - client->counted_since >= NSEC_PER_SEC) {
		WRITE_ONCE(client->counted_since, now);
		WRITE_ONCE(client->counted, 0);
	}

	return min(nr, quota - min(quota, client->counted));
}

/* Will it be, when its hints are looked at? For who does not read them. */
static bool enoki_has_quota(struct enoki_client *client, struct enoki_sched *es)
{
	return client->trusted || READ_ONCE(client->counted) < READ_ONCE(es->hint_quota) ||
	       ktime_get_mono_fast_ns() - READ_ONCE(client->counted_since) >= NSEC_PER_SEC;
}

static void enoki_hint_counted(struct enoki_client *client)
{
	WRITE_ONCE(client->counted, client->counted + 1);
	client->nr_hints++;
}

/* Copy an entry, once: user space may write it meanwhile. */
static void enoki_entry_copy(u64 *to, const struct enoki_half *half)
{
	const u64 *from = (const u64 *)enoki_ring_entry(half);
	u32 i;

	for (i = 0; i < half->entry_size / sizeof(*to); i++)
		to[i] = READ_ONCE(from[i]);
}

#define ENOKI_ENTRY_WORDS	((sizeof(struct enoki_entry) + ENOKI_MAX_HINT_SIZE) / sizeof(u64))

/* Is there no policy to take hints, or one that does not understand them? */
static bool enoki_nobody_there(struct enoki_client *client, struct enoki_sched *es)
{
	return READ_ONCE(es->out) || READ_ONCE(es->layouts) != client->layouts;
}

/* Read up to @max hints from the ring, as its reader, under RCU. Return: how many. */
static u32 enoki_read_hints(struct enoki_client *client, struct enoki_sched *es, u32 max)
{
	struct enoki_half *half = &client->hints;
	u64 words[ENOKI_ENTRY_WORDS];
	struct enoki_entry *entry = (void *)words;
	u32 waiting, nr, i;
	int ret;

	if (!enoki_half_ring(half))
		return 0;

	waiting = enoki_ring_used(half, &half->ring->tail);
	if (waiting > half->nr_entries) {
		/* That has its price, too. */
		if (!enoki_within_quota(client, es, 1))
			return 0;
		WRITE_ONCE(client->counted, client->counted + 1);
		enoki_ring_torn(half);
		WRITE_ONCE(half->at, half->at + waiting);
		/* None of them will be read. */
		smp_store_release(&half->ring->head, half->at);
		return 0;
	}
	nr = enoki_within_quota(client, es, min(waiting, max));
	/* While the policy is being replaced they wait in the ring. */
	if (!nr || READ_ONCE(es->out))
		return 0;
	scoped_guard (irqsave)
		nr = min(nr, enoki_call_enter_queue(es, client, nr));

	for (i = 0; i < nr; i++) {
		enoki_entry_copy(words, half);
		ret = enoki_hint(client, es, entry->tid, entry->data);
		/* That was not its policy's answer. */
		if (ret == -ENODEV && enoki_nobody_there(client, es))
			return i;
		enoki_hint_counted(client);
		if (ret)
			enoki_ring_dropped(half, ++client->nr_refused);
		WRITE_ONCE(half->at, half->at + 1);
		/* Only now may the entry be written again. */
		smp_store_release(&half->ring->head, half->at);
	}

	return nr;
}

/**
 * enoki_client_doorbell - have the policy look at the hints now
 * @client: has a policy
 *
 * Context: may sleep, the client's mutex locked.
 * Return: how many it took, or -ENODEV.
 */
int enoki_client_doorbell(struct enoki_client *client)
{
	struct enoki_sched *es;
	u32 nr;

	guard(rcu)();
	es = rcu_dereference(client->es);
	if (!es || enoki_ejected(es))
		return -ENODEV;

	enoki_begin_to_read(client);
	nr = enoki_read_hints(client, es, ENOKI_HINTS_A_CALL);
	enoki_end_to_read(client);

	return nr;
}

/* Give the policy a hint as the client's reader, after those of the ring. */
static int enoki_hint_after_ring(struct enoki_client *client, struct enoki_sched *es, s32 tid,
				 const void *hint)
{
	struct enoki_half *half = &client->hints;
	int ret;

	enoki_read_hints(client, es, ENOKI_HINTS_A_CALL);
	if (half->ring && enoki_ring_used(half, &half->ring->tail))
		return -EAGAIN;
	if (!enoki_within_quota(client, es, 1))
		return -EDQUOT;

	ret = enoki_hint(client, es, tid, hint);
	if (ret == -ENODEV && enoki_nobody_there(client, es))
		return READ_ONCE(es->out) && !enoki_ejected(es) ? -EAGAIN : ret;

	enoki_hint_counted(client);

	return ret;
}

/**
 * enoki_client_hint - give the policy a hint that is in no ring
 * @client: has a policy
 * @tid: the thread it is about, 0 if none
 * @hint: the hint
 * @size: how many bytes it has
 *
 * Context: may sleep, the client's mutex locked.
 * Return: as said of ENOKI_IOC_HINT in the user's header.
 */
int enoki_client_hint(struct enoki_client *client, s32 tid, const void *hint, u32 size)
{
	struct enoki_sched *es;
	int ret;

	guard(rcu)();
	es = rcu_dereference(client->es);
	if (!es || enoki_ejected(es))
		return -ENODEV;
	if (!client->hinting || size != READ_ONCE(es->ops)->hint.size)
		return -EINVAL;

	enoki_begin_to_read(client);
	ret = enoki_hint_after_ring(client, es, tid, hint);
	enoki_end_to_read(client);

	return ret;
}

/* Are there hints that the policy has not got, and may get now? Interrupts are off. */
static bool enoki_hints_wait(struct enoki_sched *es)
{
	struct enoki_ring_header *ring;
	struct enoki_client *client;
	unsigned int place;

	guard(rcu)();
	for_each_set_bit(place, es->ringing, ENOKI_MAX_CLIENTS) {
		client = enoki_nth_client(es, place);
		if (!client)
			continue;
		/* The place may have become another one's, who has no ring yet. */
		ring = enoki_half_ring(&client->hints);
		if (ring && READ_ONCE(ring->tail) != READ_ONCE(client->hints.at) &&
		    enoki_has_quota(client, es))
			return true;
	}

	return false;
}

/**
 * __enoki_look_at_hints - have the policy look at hints soon, if there are any
 * @es: the policy
 *
 * Context: any, interrupts off.
 */
void __enoki_look_at_hints(struct enoki_sched *es)
{
	if (enoki_hints_wait(es))
		irq_work_queue(&es->hints_kick);
}

static void enoki_hints_kick(struct irq_work *irq_work)
{
	struct enoki_sched *es = container_of(irq_work, struct enoki_sched, hints_kick);
	u32 left = ENOKI_HINTS_AN_IRQ, from = READ_ONCE(es->hints_from);
	struct enoki_client *client;
	unsigned int place;

	guard(rcu)();
	for_each_set_bit_wrap(place, es->ringing, ENOKI_MAX_CLIENTS, from) {
		client = enoki_nth_client(es, place);
		if (!client || !enoki_try_to_read(client))
			continue;
		left -= enoki_read_hints(client, es, left);
		enoki_end_to_read(client);
		if (left)
			continue;
		/* The next time it is the next one's turn. */
		WRITE_ONCE(es->hints_from, (place + 1) % ENOKI_MAX_CLIENTS);
		break;
	}
}

/**
 * enoki_queues_init - set up what a policy has for its clients
 * @es: the policy, new
 */
void enoki_queues_init(struct enoki_sched *es)
{
	es->hint_quota = ENOKI_HINT_QUOTA;
	es->hints_kick = IRQ_WORK_INIT_HARD(enoki_hints_kick);
}

/**
 * enoki_clients_show - list a policy's clients, for sysfs
 * @es: the policy
 * @buf: a page; filled with lines "NUMBER PROCESS HINTS DROPPED MESSAGES DROPPED"
 *
 * Context: may sleep.
 * Return: how many bytes.
 */
ssize_t enoki_clients_show(struct enoki_sched *es, char *buf)
{
	struct enoki_client *client;
	ssize_t len = 0;
	int i;

	guard(raw_spinlock_irqsave)(&es->lock);
	for (i = 0; i < ENOKI_MAX_CLIENTS; i++) {
		client = enoki_nth_client(es, i);
		if (!client)
			continue;
		len += sysfs_emit_at(buf, len, "%llu %d %llu %llu %llu %llu\n", client->id,
				     pid_nr(client->tgid), client->nr_hints,
				     client->nr_refused, client->nr_messages,
				     client->nr_dropped);
	}

	return len;
}

/*
 * Messages.
 */

/**
 * enoki_client_wake - tell whoever waits for messages that there are some
 * @irq_work: the client's
 */
void enoki_client_wake(struct irq_work *irq_work)
{
	struct enoki_client *client = container_of(irq_work, struct enoki_client, wake);
	struct eventfd_ctx *eventfd = READ_ONCE(client->eventfd);

	wake_up_all(&client->wait);
	if (eventfd)
		eventfd_signal(eventfd);
}

static int __enoki_queue_send(struct enoki_sched *es, u64 queue, const void *message,
			      u32 size)
{
	struct enoki_client *client;
	struct enoki_entry *entry;
	struct enoki_half *half;
	u32 used;

	/* enoki_ops are still those of the version that is in office. */
	if (enoki_is_called_for(ENOKI_EV_reregister_init))
		return -EBUSY;
	if (size != es->ops->message.size)
		return -EINVAL;

	guard(rcu)();
	client = rcu_dereference(es->clients[queue & ENOKI_CLIENT_MASK]);
	if (!client || client->id != queue || !enoki_understands(es, client))
		return -ENOENT;

	guard(raw_spinlock_irqsave)(&client->lock);
	half = &client->messages;
	if (!enoki_half_ring(half))
		return -ENOENT;
	used = enoki_ring_used(half, &half->ring->head);
	if (used >= half->nr_entries) {
		if (used > half->nr_entries)
			enoki_ring_torn(half);
		enoki_ring_dropped(half, ++client->nr_dropped);
		return -ENOSPC;
	}

	entry = enoki_ring_entry(half);
	entry->tid = 0;
	entry->reserved = 0;
	memcpy(entry->data, message, size);
	WRITE_ONCE(half->at, half->at + 1);
	/* Whoever sees that it is there sees what it is. */
	smp_store_release(&half->ring->tail, half->at);
	client->nr_messages++;
	if (READ_ONCE(client->eventfd) || wq_has_sleeper(&client->wait))
		irq_work_queue(&client->wake);

	return 0;
}

/**
 * enoki_queue_send - send a message to a client
 * @es: the policy that sends it
 * @queue: the client's number
 * @message: the message
 * @size: how many bytes it has
 *
 * Context: any call of the policy.
 * Return: 0, -ENOENT if there is no such client or it takes no messages, or others; -ENOSPC if
 *         its ring is full, -EINVAL if that is not the size in enoki_ops::message, -EBUSY if
 *         the policy is about to take over and may still be refused.
 */
int enoki_queue_send(struct enoki_sched *es, u64 queue, const void *message, u32 size)
{
	int ret = __enoki_queue_send(es, queue, message, size);

	if (enoki_is_taping())
		enoki_tape_asked(ENOKI_RECORD_SEND, queue, ret);

	return ret;
}
EXPORT_SYMBOL_GPL(enoki_queue_send);
