// SPDX-License-Identifier: GPL-2.0
/*
 * pipe_bench: two tasks hand a word to each other over two pipes, each pinned.
 *
 *   pipe_bench POLICY CPU CPU OPERATIONS REPEATS
 *
 * It prints for each repeat the clock's ns for an operation (there and back), after
 * one that is thrown away: the first after boot is often wrong by a quarter. Under
 * QEMU's icount the clock counts instructions, so the figure is instructions for
 * an operation. POLICY is an Enoki id, "other", "fifo-rt" (SCHED_FIFO) or "ext".
 */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kselftest.h"
#include "util.h"

static int enter(const char *policy)
{
	if (!strcmp(policy, "other"))
		return 0;
	if (!strcmp(policy, "ext"))
		return set_class(0, 7, 0);
	if (!strcmp(policy, "fifo-rt"))
		return set_class(0, SCHED_FIFO, 1);
	return enoki_attach(0, atoi(policy));
}

static void die(const char *what)
{
	fprintf(stderr, "pipe_bench: %s: %s; last_error: %s\n", what, strerror(errno),
		last_error());
	exit(1);
}

static void play(int from, int to, long operations, bool first)
{
	int word = 0;

	while (operations--) {
		if (first && write(to, &word, sizeof(word)) != sizeof(word))
			die("write");
		if (read(from, &word, sizeof(word)) != sizeof(word))
			die("read");
		if (!first && write(to, &word, sizeof(word)) != sizeof(word))
			die("write");
	}
}

static double repeat(const char *policy, const int *cpus, long operations)
{
	int there[2], back[2], status;
	uint64_t began;
	pid_t pid;

	if (pipe(there) || pipe(back))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (!pid) {
		if (pin(0, cpus[1]) || enter(policy))
			die(policy);
		/* One round before the clock starts, so that both are in their place. */
		play(there[0], back[1], operations + 1, false);
		exit(0);
	}
	if (pin(0, cpus[0]) || enter(policy))
		die(policy);
	play(back[0], there[1], 1, true);
	began = now_ns();
	play(back[0], there[1], operations, true);
	began = now_ns() - began;
	if (waitpid(pid, &status, 0) != pid || status)
		die("the second task");
	close(there[0]);
	close(there[1]);
	close(back[0]);
	close(back[1]);
	return (double)began / operations;
}

int main(int argc, char **argv)
{
	int cpus[2], i;
	long operations;

	if (argc != 6) {
		fprintf(stderr, "usage: pipe_bench POLICY CPU CPU OPERATIONS REPEATS\n");
		return 2;
	}
	cpus[0] = atoi(argv[2]);
	cpus[1] = atoi(argv[3]);
	operations = atol(argv[4]);
	for (i = -1; i < atoi(argv[5]); i++) {
		double ns = repeat(argv[1], cpus, operations);

		if (i >= 0)
			printf("%.1f\n", ns);
		fflush(stdout);
	}
	return 0;
}
