// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/enoki in bad hands: calls that must be refused, clients and policies that
 * go in the middle of it, rings full of nonsense.
 */
#include "echo.h"

/* ---- what is refused ---- */

TEST_HINTS(other_layouts)
{
	struct half half;
	int fd = open("/dev/enoki", O_RDWR | O_CLOEXEC), i;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, ENOKI_IOC_POLICY, echo.id));
	for (i = 0; i < 5; i++) {
		struct enoki_queue queue = of_hints(64);

		switch (i) {
		case 0:
			strcpy(queue.layout.name, "other");
			break;
		case 1:
			queue.layout.version = 7;
			break;
		case 2:
			queue.layout.size = 24;
			break;
		case 3:
			queue.layout.hash = layout_hash("op:u32,tag:u32,value:i64,");
			break;
		case 4:
			memset(queue.layout.name, '\n', sizeof(queue.layout.name));
			break;
		}
		EXPECT_EQ(-1, half_open(fd, &half, queue));
		EXPECT_EQ(EPROTO, errno);
		/* It names both. */
		EXPECT_NE(NULL, strstr(last_error(), "echo are echo_call version 1 (16 bytes"))
			TH_LOG("%s", last_error());
		EXPECT_NE(NULL, strstr(last_error(), i == 0 ? "other version 1" :
				       i == 1 ? "echo_call version 7" : i == 2 ? "(24 bytes" :
				       i == 3 ? "those of hints" : "\\n\\n version 1"))
			TH_LOG("%s", last_error());
	}
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_POLICY, echo.id));
	EXPECT_EQ(EBUSY, errno);
	close(fd);

	/* A policy that has none at all. */
	EXPECT_EQ(-1, client_open(&(struct client){ }, fifo.id, 64, 0));
	EXPECT_EQ(EPROTO, errno);
	EXPECT_NE(NULL, strstr(last_error(), "policy fifo has no hints"));
}

TEST_HINTS(wrong_calls)
{
	static const uint32_t sizes[] = { 63, 3, 2 * ENOKI_MAX_ENTRIES, 0x80000000 };
	struct enoki_hint hint = { 0, 8, (uintptr_t)&hint };
	int fd = open("/dev/enoki", O_RDWR | O_CLOEXEC);
	struct enoki_queue queue = of_hints(64);
	struct half half;
	size_t i;

	ASSERT_LE(0, fd);
	/* Before there is a policy. */
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_QUEUE, &queue));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_DOORBELL));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_HINT, &hint));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_POLICY, 98));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_POLICY, 1UL << 32 | echo.id));
	EXPECT_EQ(ENODEV, errno);
	ASSERT_EQ(0, ioctl(fd, ENOKI_IOC_POLICY, echo.id));

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		EXPECT_EQ(-1, half_open(fd, &half, of_hints(sizes[i])));
		EXPECT_EQ(EINVAL, errno);
	}
	EXPECT_EQ(-1, half_open(fd, &half, of_messages(0)));
	EXPECT_EQ(EINVAL, errno);
	queue.kind = 2;
	EXPECT_EQ(-1, half_open(fd, &half, queue));
	EXPECT_EQ(EINVAL, errno);
	queue = of_hints(64);
	queue.reserved = 1;
	EXPECT_EQ(-1, half_open(fd, &half, queue));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_QUEUE, NULL));
	EXPECT_EQ(EFAULT, errno);

	/* There is nothing to map, and no more than there is. */
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	ASSERT_EQ(0, half_open(fd, &half, of_hints(64)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, half.queue.size + 4096, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096));
	EXPECT_EQ(-1, half_open(fd, &(struct half){ }, of_hints(64)));
	EXPECT_EQ(EBUSY, errno);

	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_HINT, &hint));
	EXPECT_EQ(EINVAL, errno);
	hint.size = 1 << 20;
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_HINT, &hint));
	EXPECT_EQ(EINVAL, errno);
	hint = (struct enoki_hint){ 0, sizeof(struct call), 1 };
	EXPECT_EQ(-1, ioctl(fd, ENOKI_IOC_HINT, &hint));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(fd, _IO(ENOKI_IOC, 99)));
	EXPECT_EQ(ENOTTY, errno);
	munmap(half.ring, half.queue.size);
	close(fd);
	EXPECT_EQ(0, policy_event(&echo, "parse_hint"));
}

TEST_HINTS(refused_by_the_policy)
{
	struct client c;

	client_close(&self->c);
	ASSERT_TRUE(policy_unload(&echo));
	ASSERT_EQ(0, test_module_load("enoki_echo", "refuse=1"));
	EXPECT_EQ(-1, client_open(&c, echo.id, 64, 64));
	EXPECT_EQ(EDOM, errno);
	EXPECT_NE(NULL, strstr(last_error(), "policy echo refused a queue"));
	EXPECT_TRUE(AWAIT(nr_clients() == 0));
	/* The fixture has one to close. */
	self->c.fd = open("/dev/enoki", O_RDWR | O_CLOEXEC);
}

/* One person with many user ids. */
static int many_people(void *arg)
{
	struct client c[49];
	int i;

	for (i = 0; i < 48; i++) {
		CHECK(!setresuid(1000 + i / 8, 1000 + i / 8, 0));
		CHECK(!client_open(&c[i], echo.id, 4, 4));
		CHECK(!setresuid(0, 0, 0));
	}
	CHECK(!setresuid(2000, 2000, 0));
	CHECK(client_open(&c[48], echo.id, 4, 4) == -1 && errno == EDQUOT);
	/* Whom the machine trusts has room still. */
	CHECK(!setresuid(0, 0, 0));
	CHECK(!client_open(&c[48], echo.id, 4, 4));
	return 0;
}

static int many_clients(void *arg)
{
	struct client c[9];
	int i;

	CHECK(!setresuid(NOBODYS_UID, NOBODYS_UID, NOBODYS_UID));
	for (i = 0; i < 8; i++)
		CHECK(!client_open(&c[i], echo.id, 4, 4));
	CHECK(client_open(&c[8], echo.id, 4, 4) == -1 && errno == EDQUOT);
	client_close(&c[3]);
	CHECK(!client_open(&c[8], echo.id, 4, 4));
	return 0;
}

TEST_HINTS(too_many_clients)
{
	struct client c[64];
	int i;

	EXPECT_EQ(0, in_child(many_clients, NULL));
	EXPECT_TRUE(AWAIT(nr_clients() == 1));
	EXPECT_EQ(0, in_child(many_people, NULL));
	EXPECT_TRUE(AWAIT(nr_clients() == 1));
	for (i = 1; i < 64; i++)
		ASSERT_EQ(0, client_open(&c[i], echo.id, 4, 4));
	EXPECT_EQ(-1, client_open(&c[0], echo.id, 4, 4));
	EXPECT_EQ(EDQUOT, errno);
	/* Each has its own. */
	for (i = 1; i < 64; i++)
		ASSERT_EQ(0, say(&c[i], 0, (struct call){ ECHO, i, i }));
	for (i = 1; i < 64; i++) {
		struct answer answer;

		ASSERT_TRUE(get(&c[i], &answer));
		EXPECT_EQ((uint32_t)i, answer.tag);
		EXPECT_FALSE(get(&c[i], &answer));
		client_close(&c[i]);
	}
}

/* ---- who goes ---- */

TEST_HINTS(killed)
{
	int i;

	for (i = 0; i < 20; i++) {
		pid_t pid = test_fork();

		if (!pid) {
			struct client c;
			uint32_t tag = 0;

			if (client_open(&c, echo.id, 64, 64))
				_exit(1);
			for (;;)
				if (!put(&c, getpid(), (struct call){ ECHO, tag++, 0 }))
					doorbell(&c);
		}
		ASSERT_LT(0, pid);
		/* It has both of its queues, and so had the ones before. */
		ASSERT_TRUE(AWAIT(policy_event(&echo, "register_queue") == 2 * (i + 2)));
		ASSERT_EQ(0, kill(pid, SIGKILL));
		ASSERT_EQ(pid, waitpid(pid, NULL, 0));
		ASSERT_TRUE(AWAIT(nr_clients() == 1));
	}
	EXPECT_EQ(20, policy_event(&echo, "unregister_queue"));
	EXPECT_EQ(0, say(&self->c, 0, (struct call){ NOTHING, 0, 0 }));
}

static void gone(struct __test_metadata *_metadata, struct client *c)
{
	struct pollfd fd = { .fd = c->fd, .events = POLLIN };
	struct call call = { };

	ASSERT_EQ(1, poll(&fd, 1, AWAIT_SECONDS * 1000));
	EXPECT_TRUE(fd.revents & POLLHUP);
	EXPECT_EQ(-1, doorbell(c));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, say(c, 0, call));
	EXPECT_EQ(ENODEV, errno);
	/* What is mapped stays so. */
	EXPECT_TRUE(put(c, 0, call));
	/* It is over: there is no other policy for this one. */
	EXPECT_EQ(-1, ioctl(c->fd, ENOKI_IOC_POLICY, fifo.id));
	EXPECT_EQ(EBUSY, errno);
}

TEST_HINTS(policy_goes)
{
	/* A client does not keep it. */
	ASSERT_TRUE(policy_unload(&echo));
	gone(_metadata, &self->c);
	EXPECT_TRUE(enoki_end());
}

TEST_HINTS(policy_is_ejected)
{
	struct worker *spin = worker_start_on(-1, W_SPIN, echo.id);
	pthread_t thread;
	void *events;

	ASSERT_NE(NULL, spin);
	ASSERT_EQ(0, pthread_create(&thread, NULL, poll_for_one, &self->c));
	ASSERT_EQ(0, policy_write(&echo, "eject", "1"));
	ASSERT_EQ(0, pthread_join(thread, &events));
	EXPECT_TRUE((long)events & POLLHUP);
	gone(_metadata, &self->c);
	EXPECT_EQ(-1, client_open(&(struct client){ }, echo.id, 4, 4));
	EXPECT_EQ(ENODEV, errno);
}

/* ---- who writes nonsense ---- */

TEST_HINTS(torn)
{
	uint32_t jumps[] = { 65, 1000, 0x80000000, 0xffffffff }, i;
	struct answer answer;

	for (i = 0; i < ARRAY_SIZE(jumps); i++) {
		struct enoki_ring_header *ring = self->c.hints.ring;

		/* More than there can be: all of it is dropped, and it goes on from there. */
		self->c.hints.at += jumps[i];
		__atomic_store_n(&ring->tail, self->c.hints.at, __ATOMIC_RELEASE);
		EXPECT_EQ(0, doorbell(&self->c));
		EXPECT_EQ(i + 1, ring->torn);
		EXPECT_EQ(ring->tail, ring->head);
		ASSERT_TRUE(put(&self->c, 0, (struct call){ ECHO, i, 0 }));
		EXPECT_EQ(1, doorbell(&self->c));
		ASSERT_TRUE(get(&self->c, &answer));
		EXPECT_EQ(i, answer.tag);
	}
	/* Who has read what was not written gets no more until it is right again. */
	__atomic_store_n(&self->c.messages.ring->head, self->c.messages.at + 1, __ATOMIC_RELEASE);
	EXPECT_EQ(-1, say(&self->c, 0, (struct call){ ECHO, 5, 0 }));
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_EQ(1U, self->c.messages.ring->torn);
	__atomic_store_n(&self->c.messages.ring->head, self->c.messages.at, __ATOMIC_RELEASE);
	EXPECT_EQ(0, say(&self->c, 0, (struct call){ ECHO, 5, 0 }));
}

struct scribbler {
	struct client *c;
	uint32_t seed;
	int stop;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	uint32_t *words = (void *)s->c->hints.ring, *others = (void *)s->c->messages.ring;

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		uint32_t r = scramble(&s->seed);

		/* Mostly the ends, by a little, so that the kernel often believes it. */
		if (r & 1)
			words[0] += scramble(&s->seed) % 80;
		else
			others[16] += scramble(&s->seed) % 80;
		words[scramble(&s->seed) % (s->c->hints.queue.size / 4)] = r % 8;
		others[scramble(&s->seed) % (s->c->messages.queue.size / 4)] = r;
	}
	return NULL;
}

/* One writes nonsense as it can, another one uses its own as it should. */
TEST_F_TIMEOUT(hints, scribbled, 3600)
{
	struct worker *spin = worker_start_on(-1, W_SPIN, echo.id);
	struct worker *sleeper = worker_start_on(-1, W_NAP, echo.id);
	struct scribbler s = { .stop = 0 };
	struct regular regular = { };
	struct client bad;
	uint32_t calls = 0;
	uint64_t until;
	pthread_t thread;

	ASSERT_NE(NULL, spin);
	ASSERT_NE(NULL, sleeper);
	ASSERT_EQ(0, client_open(&bad, echo.id, 64, 64));
	s.c = &bad;
	s.seed = prng_seed() | 1;
	ASSERT_EQ(0, pthread_create(&thread, NULL, scribble, &s));
	until = now_ns() + fuzz_seconds() * NSEC_PER_SEC;
	while (now_ns() < until) {
		/* Let the scribbler have the CPU if there is but one. */
		nap(100);
		doorbell(&bad);
		say(&bad, prng() % 4 ? spin->pid : (int)prng(),
		    (struct call){ prng() % 7, 0, prng() });
		calls++;
		ASSERT_TRUE(regular_goes_on(&self->c, &regular));
	}
	__atomic_store_n(&s.stop, 1, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, NULL));
	printf("# %u rounds, %u hints beside them\n", calls, regular.sent);
	client_close(&bad);
	EXPECT_TRUE(regular_ends(&self->c, &regular));
	EXPECT_TRUE(worker_lives(spin));
	EXPECT_TRUE(worker_lives(sleeper));
}

ENOKI_HARNESS_MAIN
