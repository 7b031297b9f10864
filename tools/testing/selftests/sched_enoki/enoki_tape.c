// SPDX-License-Identifier: GPL-2.0
/*
 * Records a policy while a command runs, and writes what tools/enoki-replay reads.
 *
 *	enoki_tape FILE POLICY-NUMBER COMMAND [ARGUMENT...]
 *
 * No test: enokictl makes recordings that are compressed and checked.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tape.h"

static struct tapes tapes;
static FILE *file;

static void put(const void *data, size_t size)
{
	if (size && fwrite(data, size, 1, file) != 1)
		err(1, "cannot write");
}

/* Writes what is on the tape of a CPU. */
static void drain(unsigned int cpu)
{
	__u64 head = tape_head(&tapes, cpu), tail = tape(&tapes, cpu)->tail;
	__u64 size = tapes.recording.tape_size, at = tail % size, nr = head - tail;
	const char *records = (const char *)tape_records(&tapes, cpu);
	__u32 piece[2] = { cpu, nr / sizeof(struct enoki_record) };
	__u64 first = nr < size - at ? nr : size - at;

	if (!nr)
		return;
	put(piece, sizeof(piece));
	put(records + at, first);
	put(records, nr - first);
	tape_read_to(&tapes, cpu, head);
}

static void drain_all(void)
{
	unsigned int cpu;

	for (cpu = 0; cpu < tapes.recording.nr_tapes; cpu++)
		drain(cpu);
}

int main(int argc, char **argv)
{
	struct enoki_stream {
		char	magic[8];
		__u32	version, nr_cpus, policy;
	} head = { "ENOKISTR", ENOKI_RECORD_VERSION, 0, 0 };
	const struct sched_param first = { .sched_priority = 1 };
	struct pollfd poll_fd = { .events = POLLIN };
	int status = 0, id;
	long lost;
	pid_t pid;

	if (argc < 4)
		errx(2, "usage: %s FILE POLICY-NUMBER COMMAND [ARGUMENT...]", argv[0]);
	id = atoi(argv[2]);
	if (id < 1 || id > 99)
		errx(2, "%s is no policy's number", argv[2]);
	file = fopen(argv[1], "we");
	if (!file)
		err(1, "%s", argv[1]);
	if (!tapes_open(&tapes, id, 0, 0))
		err(1, "cannot get tapes of /dev/enoki");
	poll_fd.fd = tapes.fd;
	head.nr_cpus = tapes.recording.nr_tapes;
	head.policy = id;
	put(&head, 20);
	if (ioctl(poll_fd.fd, ENOKI_IOC_RECORD_START) < 0)
		err(1, "cannot start");

	pid = fork();
	if (pid == 0) {
		execvp(argv[3], argv + 3);
		err(127, "%s", argv[3]);
	}
	if (pid < 0)
		err(1, "fork");
	/* The tapes must be emptied in time, whoever else wants to run. */
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		err(1, "sched_setscheduler");
	while (waitpid(pid, &status, WNOHANG) == 0) {
		poll(&poll_fd, 1, 100);
		drain_all();
	}
	if (ioctl(poll_fd.fd, ENOKI_IOC_RECORD_STOP))
		err(1, "cannot stop");
	drain_all();
	if (fclose(file))
		err(1, "%s", argv[1]);
	lost = tapes_lost(&tapes);
	fprintf(stderr, "%ld records were lost\n", lost);

	return lost ? 3 : WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
