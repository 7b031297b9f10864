// SPDX-License-Identifier: GPL-2.0
/*
 * /dev/enoki under those who open it, do whatever it lets them, from several threads
 * with one file, and close it again. The machine lives, and one who uses it as it
 * should loses nothing. FUZZ_SECONDS in the environment is how long.
 */
#include "echo.h"

#define NR_DOORS	4
#define NR_CALLERS	3

static int doors[NR_DOORS], over;

struct caller {
	pthread_t thread;
	uint32_t seed;
	unsigned long calls;
	pid_t task;
};

static uint32_t any_of(struct caller *c, const uint32_t *of, size_t n)
{
	return of[scramble(&c->seed) % n];
}

#define ANY_OF(c, ...)	any_of(c, (const uint32_t[]){ __VA_ARGS__ },		\
			       sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static void another_file(struct caller *c)
{
	int fd = open("/dev/enoki", O_RDWR | O_CLOEXEC);

	fd = __atomic_exchange_n(&doors[scramble(&c->seed) % NR_DOORS], fd, __ATOMIC_RELAXED);
	close(fd);
}

static void set_up(struct caller *c, int fd)
{
	struct enoki_queue queue = scramble(&c->seed) % 2 ? of_hints(4) : of_messages(4);

	queue.nr_entries = ANY_OF(c, 4, 4, 4, 64, 1, 0, 3, 1 << 20, UINT32_MAX);
	queue.kind += ANY_OF(c, 0, 0, 0, 0, 0, 1, 7);
	queue.layout.size += ANY_OF(c, 0, 0, 0, 0, 0, 8);
	ioctl(fd, ENOKI_IOC_QUEUE, scramble(&c->seed) % 16 ? &queue : NULL);
}

static void say_something(struct caller *c, int fd)
{
	struct call call = { scramble(&c->seed) % 7, 0, 1 };
	struct enoki_hint hint = {
		.tid = ANY_OF(c, 0, 0, c->task, getpid(), scramble(&c->seed)),
		.size = ANY_OF(c, 16, 16, 16, 0, 8, 240, 241, 1 << 30),
		.data = scramble(&c->seed) % 16 ? (uintptr_t)&call : 1,
	};

	ioctl(fd, ENOKI_IOC_HINT, &hint);
}

static void map(struct caller *c, int fd)
{
	size_t size = ANY_OF(c, 1, 2, 3, 64) * getpagesize();
	off_t at = ANY_OF(c, 0, 0, 0x10000000, 0x10000000, 0x1000, 0x20000000);
	uint32_t *words = mmap(NULL, size, PROT_READ | PROT_WRITE,
			       scramble(&c->seed) % 8 ? MAP_SHARED : MAP_PRIVATE, fd, at);
	int i;

	if (words == MAP_FAILED)
		return;
	for (i = 0; i < 64; i++)
		words[scramble(&c->seed) % 1024] += scramble(&c->seed) % 80;
	munmap(words, size);
}

static void signal_me(struct caller *c, int fd)
{
	int event = scramble(&c->seed) % 2 ? eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC) : -1;

	ioctl(fd, ENOKI_IOC_EVENTFD, scramble(&c->seed) % 8 ? event : fd);
	close(event);
}

static void call_once(struct caller *c)
{
	int fd = __atomic_load_n(&doors[scramble(&c->seed) % NR_DOORS], __ATOMIC_RELAXED);
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLOUT };

	switch (scramble(&c->seed) % 12) {
	case 0:
		another_file(c);
		break;
	case 1:
	case 2:
		ioctl(fd, ENOKI_IOC_POLICY,
		      ANY_OF(c, echo.id, echo.id, echo.id, fifo.id, 0, UINT32_MAX));
		break;
	case 3:
	case 4:
	case 5:
		set_up(c, fd);
		break;
	case 6:
		say_something(c, fd);
		break;
	case 7:
		ioctl(fd, ENOKI_IOC_DOORBELL);
		break;
	case 8:
		signal_me(c, fd);
		break;
	case 9:
		map(c, fd);
		break;
	case 10:
		poll(&poll_fd, 1, 0);
		break;
	default:
		ioctl(fd, _IOC(scramble(&c->seed) % 4, ENOKI_IOC, scramble(&c->seed) % 8,
			       scramble(&c->seed) % 128), (void *)(uintptr_t)scramble(&c->seed));
	}
}

static void *calls(void *arg)
{
	struct caller *c = arg;

	while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
		call_once(c);
		c->calls++;
	}
	return NULL;
}

TEST_F_TIMEOUT(hints, hammered, 3600)
{
	struct worker *spin = worker_start_on(-1, W_SPIN, echo.id);
	struct worker *sleeper = worker_start_on(-1, W_NAP, echo.id);
	struct caller callers[NR_CALLERS] = { };
	struct regular regular = { };
	unsigned long sum = 0;
	uint64_t until;
	int i;

	ASSERT_NE(NULL, spin);
	ASSERT_NE(NULL, sleeper);
	for (i = 0; i < NR_DOORS; i++)
		doors[i] = open("/dev/enoki", O_RDWR | O_CLOEXEC);
	prng_seed();
	over = 0;
	for (i = 0; i < NR_CALLERS; i++) {
		callers[i].seed = prng() | 1;
		callers[i].task = spin->pid;
		ASSERT_EQ(0, pthread_create(&callers[i].thread, NULL, calls, &callers[i]));
	}
	until = now_ns() + fuzz_seconds() * NSEC_PER_SEC;
	while (now_ns() < until) {
		/* Let the others have the CPU if there is but one. */
		nap(100);
		ASSERT_TRUE(regular_goes_on(&self->c, &regular));
	}
	__atomic_store_n(&over, 1, __ATOMIC_RELAXED);
	for (i = 0; i < NR_CALLERS; i++) {
		ASSERT_EQ(0, pthread_join(callers[i].thread, NULL));
		sum += callers[i].calls;
	}
	for (i = 0; i < NR_DOORS; i++)
		close(doors[i]);
	printf("# %lu calls, %u hints beside them\n", sum, regular.sent);
	EXPECT_LT(0U, regular.sent);
	EXPECT_TRUE(regular_ends(&self->c, &regular));
	EXPECT_TRUE(worker_lives(spin));
	EXPECT_TRUE(worker_lives(sleeper));
}

ENOKI_HARNESS_MAIN
