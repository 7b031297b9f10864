// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The same as sender.rs, in C. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "enoki_client.h"

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

static const struct call nothing;
static struct enoki_client *client;

/* Says what went wrong, if anything did. */
static int failed(const char *what, int result)
{
	if (result < 0)
		fprintf(stderr, "sender: %s: %s\n", what, strerror(-result));
	return result < 0;
}

static int refused(int result, int err)
{
	if (result == -err)
		return 0;
	fprintf(stderr, "sender: %d instead of %d\n", result, -err);
	return 1;
}

static int hints(unsigned int version)
{
	return enoki_client_hints(client, "echo_call", version, "op:u32,tag:u32,value:u64,",
				  sizeof(struct call), 64);
}

static int queues(void)
{
	return failed("hints", hints(1)) ||
	       failed("messages", enoki_client_messages(client, "echo_answer", 2,
							"tag:u32,about:u32,value:u64,",
							sizeof(struct answer), 64));
}

/* Hints with the tags from there to there, and their answers. */
static int answered(uint32_t tag, uint32_t end)
{
	struct answer answer;

	for (; tag < end; tag++) {
		struct call call = { 1, tag, ~(uint64_t)tag };

		if (tag % 10 ? failed("send", enoki_client_send(client, 0, &call)) ||
			       failed("doorbell", enoki_client_doorbell(client)) :
			       failed("send_now", enoki_client_send_now(client, 0, &call)))
			return 1;
		if (enoki_client_wait(client, &answer, -1) != 1 || answer.tag != tag ||
		    answer.value != call.value) {
			fprintf(stderr, "sender: no answer to %u\n", tag);
			return 1;
		}
	}
	return 0;
}

static int well(void)
{
	return queues() || answered(0, 1000);
}

/* What a child does with its parent's client, and then with its own. */
static int child(void)
{
	struct answer answer;

	if (refused(enoki_client_send(client, 0, &nothing), ECHILD) ||
	    refused(enoki_client_send_now(client, 0, &nothing), ECHILD) ||
	    refused(enoki_client_doorbell(client), ECHILD) ||
	    refused(enoki_client_receive(client, &answer), ECHILD) ||
	    refused(enoki_client_wait(client, &answer, -1), ECHILD) ||
	    refused(enoki_client_fd(client), ECHILD) || refused(hints(1), ECHILD) ||
	    enoki_client_refused(client) || enoki_client_dropped(client))
		return 1;
	enoki_client_close(client);
	client = NULL;
	return failed("open", enoki_client_open(&client, 70)) || queues() || answered(0, 10);
}

static int forked(void)
{
	int status;
	pid_t pid;

	if (queues() || answered(0, 10))
		return 1;
	pid = fork();
	if (!pid)
		return child();
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status) {
		fprintf(stderr, "sender: the child did not end well\n");
		return 1;
	}
	return answered(10, 20);
}

static int stranger(int tid)
{
	return failed("hints", hints(1)) ||
	       refused(enoki_client_send_now(client, tid, &nothing), EPERM) ||
	       failed("send", enoki_client_send(client, tid, &nothing)) ||
	       failed("doorbell", enoki_client_doorbell(client)) ||
	       enoki_client_refused(client) != 1;
}

static int quota(int n)
{
	if (failed("hints", hints(1)))
		return 1;
	while (n--)
		if (failed("send_now", enoki_client_send_now(client, 0, &nothing)))
			return 1;
	return refused(enoki_client_send_now(client, 0, &nothing), EDQUOT);
}

static int forever(void)
{
	if (failed("hints", hints(1)))
		return 1;
	puts("sending");
	fflush(stdout);
	for (;;)
		if (enoki_client_send(client, 0, &nothing) == -EAGAIN &&
		    failed("doorbell", enoki_client_doorbell(client)))
			return 1;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int number = argc > 2 ? atoi(argv[2]) : 0, status;

	if (failed("open", enoki_client_open(&client, 70)))
		return 1;
	if (!strcmp(what, "well"))
		status = well();
	else if (!strcmp(what, "type"))
		status = refused(hints(99), EPROTO);
	else if (!strcmp(what, "stranger"))
		status = stranger(number);
	else if (!strcmp(what, "quota"))
		status = quota(number);
	else if (!strcmp(what, "fork"))
		status = forked();
	else if (!strcmp(what, "forever"))
		status = forever();
	else
		status = 1;
	enoki_client_close(client);
	return status;
}
