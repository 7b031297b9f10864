// SPDX-License-Identifier: GPL-2.0
/*
 * enoki_run: starts a command under a policy of the Enoki class.
 *
 *   enoki_run [-c CPU] [-n NICE] POLICY COMMAND [ARGUMENT]...
 *   enoki_run -p PID POLICY
 *
 * POLICY is the name of a registered policy (fifo, wfq), an id from 1 to 99, or
 * one of the classes "other", "batch", "idle", "rt" (SCHED_FIFO, priority 1) and
 * "rr" (SCHED_RR), so that the same line can run a command beside Enoki too. The
 * command and its children are attached, or all threads that a process has now;
 * chrt(1) does not know the class yet.
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "kselftest.h"
#include "util.h"

static const struct {
	const char *name;
	int class;
	int prio;
} classes[] = {
	{ "other", SCHED_OTHER, 0 }, { "batch", SCHED_BATCH, 0 },
	{ "idle", SCHED_IDLE, 0 }, { "rt", SCHED_FIFO, 1 }, { "rr", SCHED_RR, 1 },
};

static void __noreturn usage(void)
{
	fprintf(stderr, "usage: enoki_run [-c CPU] [-n NICE] POLICY COMMAND [ARGUMENT]...\n"
			"       enoki_run -p PID POLICY\n");
	exit(2);
}

/* The id of a policy by its name or number, 0 if there is none. */
static int policy_id(const char *name)
{
	char path[256], *end;
	long id = strtol(name, &end, 10);

	if (!*end)
		return id;
	snprintf(path, sizeof(path), SYSFS_ENOKI "/%s/id", name);
	id = read_long(path);
	return id > 0 ? id : 0;
}

/* Puts a thread into the class, 0 is this one. */
static void enter(pid_t tid, const char *name)
{
	size_t i;
	int id;

	for (i = 0; i < ARRAY_SIZE(classes); i++) {
		if (strcmp(name, classes[i].name))
			continue;
		if (!set_class(tid, classes[i].class, classes[i].prio) ||
		    (errno == ESRCH && tid))
			return;
		fprintf(stderr, "enoki_run: %s: %s\n", name, strerror(errno));
		exit(1);
	}
	id = policy_id(name);
	if (!id) {
		fprintf(stderr, "enoki_run: no policy %s is registered: see " SYSFS_ENOKI "\n",
			name);
		exit(1);
	}
	if (enoki_attach(tid, id)) {
		/* A thread of another process may have ended. */
		if (errno == ESRCH && tid)
			return;
		fprintf(stderr, "enoki_run: policy %s: %s (last_error: %s)\n", name,
			strerror(errno), last_error());
		exit(1);
	}
}

static int enter_all(const char *pid, const char *name)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/task", pid);
	dir = opendir(path);
	if (!dir) {
		fprintf(stderr, "enoki_run: process %s: %s\n", pid, strerror(errno));
		return 1;
	}
	while ((entry = readdir(dir)))
		if (*entry->d_name != '.')
			enter(atoi(entry->d_name), name);
	closedir(dir);
	return 0;
}

int main(int argc, char **argv)
{
	const char *pid = NULL;
	bool its_own = false;
	int option;

	while ((option = getopt(argc, argv, "+c:n:p:")) != -1) {
		its_own |= option != 'p';
		switch (option) {
		case 'p':
			pid = optarg;
			break;
		case 'c':
			if (pin(0, atoi(optarg))) {
				perror("enoki_run: -c");
				return 1;
			}
			break;
		case 'n':
			if (setpriority(PRIO_PROCESS, 0, atoi(optarg))) {
				perror("enoki_run: -n");
				return 1;
			}
			break;
		default:
			usage();
		}
	}
	if (pid && !its_own && argc - optind == 1)
		return enter_all(pid, argv[optind]);
	if (pid || argc - optind < 2)
		usage();
	enter(0, argv[optind]);
	execvp(argv[optind + 1], argv + optind + 1);
	fprintf(stderr, "enoki_run: %s: %s\n", argv[optind + 1], strerror(errno));
	return 127;
}
