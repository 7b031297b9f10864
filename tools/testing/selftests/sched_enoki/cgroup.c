// SPDX-License-Identifier: GPL-2.0
/*
 * Control groups get what their cpu.weight promises under any policy, also one that
 * knows of no weights, and no more than their cpu.max: all tasks spin on one CPU, and
 * the groups' parts of its time are measured.
 */
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENOKI_EACH_POLICY
#include "fixture.h"

/*
 * A part of the time may be so far from what it should be, in percent of that. Without
 * weights it is made of short slices, and where the machine is slow switching takes
 * longer than they do.
 */
#define TOLERANCE(p)	(!strcmp((p)->name, "fifo") && !steady_clock() ? 90 : 5)
/* And from what it is limited to, in points. */
#define MAX_TOLERANCE	2
/* What a measurement takes; slices are 3 ms. */
#define MEASURED_NS	(steady_clock() ? NSEC_PER_SEC : 2 * NSEC_PER_SEC)
#define LOOK_US		200000
#define MAX_HOGS	8
#define NSEC_PER_USEC	1000

struct group {
	const char *path;
	struct worker *hogs[MAX_HOGS];
	int nr;
	uint64_t began, had;
	double should;		/* percent */
};

/*
 * Time that the host takes from the machine is counted as the running task's. What that
 * makes of the parts gets the smaller the longer they are measured, and what the
 * scheduler does wrong stays: parts that are wrong are measured on.
 */
static int most_measurements(void)
{
	return steady_clock() ? 1 : 10;
}

static bool group_make(struct group *g, const char *parent, const char *name, int weight)
{
	char text[16];

	g->path = parent ? cgroup_make_in(parent, name, "+cpu") : cgroup_make(name, "+cpu");
	snprintf(text, sizeof(text), "%d", weight);
	return g->path && !cgroup_write(g->path, "cpu.weight", text);
}

static bool group_fill(struct group *g, int nr, int id)
{
	for (g->nr = 0; g->nr < nr; g->nr++) {
		g->hogs[g->nr] = worker_start_on(nth_cpu_online(0), W_SPIN, id);
		if (!g->hogs[g->nr])
			return false;
		if (g->path && cgroup_enter(g->path, g->hogs[g->nr]->pid))
			return false;
	}
	return true;
}

static uint64_t group_time(const struct group *g)
{
	uint64_t ns = 0;
	int i;

	for (i = 0; i < g->nr; i++)
		ns += cpu_time(g->hogs[i]->pid);
	return ns;
}

static uint64_t groups_ran(struct group *groups, int nr)
{
	uint64_t all = 0;
	int i;

	for (i = 0; i < nr; i++) {
		groups[i].had = group_time(&groups[i]) - groups[i].began;
		all += groups[i].had;
	}
	return all;
}

/* Are all groups' parts of what they ran so far what they should be? */
static bool parts_are_right(const struct policy *p, const struct group *groups, int nr,
			    uint64_t all)
{
	bool ok = true;
	double part, off;
	int i;

	for (i = 0; i < nr; i++) {
		part = 100.0 * groups[i].had / all;
		fprintf(stderr, "# %d tasks in %s: %.2f %%, should be %.2f %%\n", groups[i].nr,
			groups[i].path ?: "none", part, groups[i].should);
		off = part > groups[i].should ? part - groups[i].should : groups[i].should - part;
		ok = ok && off <= groups[i].should * TOLERANCE(p) / 100;
	}
	return ok;
}

/*
 * Do all get what they should? Looking interrupts the turn of a task, which then is
 * at the end of a queue: it is not done often.
 */
static bool divided(const struct policy *p, struct group *groups, int nr)
{
	int i, longer;
	uint64_t all;

	for (i = 0; i < nr; i++)
		groups[i].began = group_time(&groups[i]);
	for (longer = 1; longer <= most_measurements(); longer++) {
		if (!AWAIT(({
			nap(LOOK_US);
			groups_ran(groups, nr) > longer * MEASURED_NS;
		})))
			return false;
		all = groups_ran(groups, nr);
		if (parts_are_right(p, groups, nr, all))
			return true;
	}
	return false;
}

TEST_EACH(one_beside_eight)
{
	struct group groups[] = { { .should = 50 }, { .should = 50 } };

	ASSERT_TRUE(group_make(&groups[0], NULL, "one", 100));
	ASSERT_TRUE(group_make(&groups[1], NULL, "eight", 100));
	ASSERT_TRUE(group_fill(&groups[0], 1, self->p->id));
	ASSERT_TRUE(group_fill(&groups[1], 8, self->p->id));
	EXPECT_TRUE(divided(self->p, groups, 2));
}

TEST_EACH(weights)
{
	struct group groups[] = { { .should = 25 }, { .should = 75 } };

	ASSERT_TRUE(group_make(&groups[0], NULL, "light", 100));
	ASSERT_TRUE(group_make(&groups[1], NULL, "heavy", 300));
	ASSERT_TRUE(group_fill(&groups[0], 2, self->p->id));
	ASSERT_TRUE(group_fill(&groups[1], 2, self->p->id));
	EXPECT_TRUE(divided(self->p, groups, 2));
	/* The other way round, with tasks in them. */
	ASSERT_EQ(0, cgroup_write(groups[0].path, "cpu.weight", "300"));
	ASSERT_EQ(0, cgroup_write(groups[1].path, "cpu.weight", "100"));
	groups[0].should = 75;
	groups[1].should = 25;
	EXPECT_TRUE(divided(self->p, groups, 2));
}

TEST_EACH(nested)
{
	struct group groups[] = { { .should = 50 }, { .should = 12.5 }, { .should = 37.5 } };
	struct group outer;

	ASSERT_TRUE(group_make(&groups[0], NULL, "alone", 100));
	ASSERT_TRUE(group_make(&outer, NULL, "outer", 100));
	ASSERT_TRUE(group_make(&groups[1], outer.path, "light", 100));
	ASSERT_TRUE(group_make(&groups[2], outer.path, "heavy", 300));
	ASSERT_TRUE(group_fill(&groups[0], 2, self->p->id));
	ASSERT_TRUE(group_fill(&groups[1], 1, self->p->id));
	ASSERT_TRUE(group_fill(&groups[2], 3, self->p->id));
	EXPECT_TRUE(divided(self->p, groups, 3));
}

/* After all that tasks can do between groups the sums are still right. */
TEST_EACH(moves)
{
	struct group groups[] = { { .should = 50 }, { .should = 50 } };
	int i, j;

	ASSERT_TRUE(group_make(&groups[0], NULL, "from", 100));
	ASSERT_TRUE(group_make(&groups[1], NULL, "to", 100));
	ASSERT_TRUE(group_fill(&groups[0], 4, self->p->id));
	ASSERT_TRUE(group_fill(&groups[1], 2, self->p->id));
	for (i = 0; i < 50; i++) {
		for (j = 0; j < groups[0].nr; j++) {
			pid_t pid = groups[0].hogs[j]->pid;

			ASSERT_EQ(0, cgroup_enter(groups[1].path, pid));
			worker_set(groups[0].hogs[j], i % 2 ? W_NAP : W_SPIN);
			if (i % 5 == 0)
				ASSERT_EQ(0, enoki_attach(pid, other_policy(self->p)->id));
			ASSERT_EQ(0, cgroup_enter(groups[0].path, pid));
			if (i % 5 == 0)
				ASSERT_EQ(0, enoki_attach(pid, self->p->id));
		}
		ASSERT_EQ(0, cgroup_write(groups[0].path, "cpu.weight", i % 2 ? "100" : "777"));
	}
	for (j = 0; j < groups[0].nr; j++)
		worker_set(groups[0].hogs[j], W_SPIN);
	EXPECT_TRUE(workers_live());
	EXPECT_TRUE(divided(self->p, groups, 2));
}

/* A fifth of one CPU. */
#define FIFTH		"20000 100000"

static long long cgroup_stat(const char *path, const char *name)
{
	char file[PATH_MAX + 32], line[64], word[32];
	long long value = -1, number;
	FILE *stat;

	snprintf(file, sizeof(file), "%s/cpu.stat", path);
	stat = fopen(file, "re");
	while (stat && fgets(line, sizeof(line), stat))
		if (sscanf(line, "%31s %lld", word, &number) == 2 && !strcmp(word, name))
			value = number;
	if (stat)
		fclose(stat);
	return value;
}

/* Does the group use what it is limited to of one CPU's time, and cpu.stat say so? */
static bool limited(const char *path, const struct group *groups, int nr, double percent)
{
	long long used, throttled = cgroup_stat(path, "throttled_usec");
	long long had_used = cgroup_stat(path, "usage_usec");
	uint64_t began = now_ns(), had_time = 0, had;
	double part, sum;
	int i, longer;

	for (i = 0; i < nr; i++)
		had_time += group_time(&groups[i]);
	for (longer = 1; longer <= most_measurements(); longer++) {
		if (!AWAIT(({ nap(LOOK_US); now_ns() - began > 2 * longer * MEASURED_NS; })))
			return false;
		had = -had_time;
		for (i = 0; i < nr; i++)
			had += group_time(&groups[i]);
		used = cgroup_stat(path, "usage_usec") - had_used;
		part = used * 100.0 * NSEC_PER_USEC / (now_ns() - began);
		sum = had * 100.0 / (used * NSEC_PER_USEC);
		fprintf(stderr, "# %s: %.2f %% of a CPU, should be %.2f %%; ", path, part,
			percent);
		fprintf(stderr, "its tasks had %.1f %% of that; throttled for %lld us\n", sum,
			cgroup_stat(path, "throttled_usec") - throttled);
		if (part > percent - MAX_TOLERANCE && part < percent + MAX_TOLERANCE &&
		    sum > 98 && sum < 102)
			return true;
	}
	return false;
}

TEST_EACH(max)
{
	struct group groups[] = { { .should = 50 }, { .should = 50 } };

	ASSERT_TRUE(group_make(&groups[0], NULL, "max", 100));
	ASSERT_EQ(0, cgroup_write(groups[0].path, "cpu.max", FIFTH));
	ASSERT_TRUE(group_fill(&groups[0], 2, self->p->id));
	ASSERT_TRUE(group_fill(&groups[1], 1, self->p->id));
	EXPECT_TRUE(limited(groups[0].path, groups, 1, 20));
	EXPECT_LT(0, cgroup_stat(groups[0].path, "throttled_usec"));
	EXPECT_LT(0, cgroup_stat(groups[0].path, "nr_throttled"));
	/* And more again. */
	ASSERT_EQ(0, cgroup_write(groups[0].path, "cpu.max", "max"));
	EXPECT_TRUE(divided(self->p, groups, 2));
}

/* The limit is of the group around them. */
TEST_EACH(max_nested)
{
	struct group groups[3] = { };
	struct group outer;

	ASSERT_TRUE(group_make(&outer, NULL, "outer", 100));
	ASSERT_EQ(0, cgroup_write(outer.path, "cpu.max", FIFTH));
	ASSERT_TRUE(group_make(&groups[0], outer.path, "one", 100));
	ASSERT_TRUE(group_make(&groups[1], outer.path, "two", 100));
	ASSERT_TRUE(group_fill(&groups[0], 1, self->p->id));
	ASSERT_TRUE(group_fill(&groups[1], 1, self->p->id));
	ASSERT_TRUE(group_fill(&groups[2], 1, self->p->id));
	EXPECT_TRUE(limited(outer.path, groups, 2, 20));
	/* And one of its own, which is tighter. */
	ASSERT_EQ(0, cgroup_write(groups[0].path, "cpu.max", "5000 100000"));
	EXPECT_TRUE(limited(groups[0].path, groups, 1, 5));
	EXPECT_TRUE(limited(outer.path, groups, 2, 20));
}

/* Whatever can be done to a task that waits for its group's bandwidth. */
TEST_EACH(max_moves)
{
	struct group group, other;
	int i, j, last = nr_cpus_online() - 1;

	ASSERT_TRUE(group_make(&group, NULL, "tight", 100));
	ASSERT_TRUE(group_make(&other, NULL, "wide", 100));
	ASSERT_EQ(0, cgroup_write(group.path, "cpu.max", "2000 50000"));
	ASSERT_TRUE(group_fill(&group, 6, self->p->id));
	ASSERT_TRUE(AWAIT(cgroup_stat(group.path, "nr_throttled") > 2));
	for (i = 0; i < 30; i++) {
		for (j = 0; j < group.nr; j++) {
			pid_t pid = group.hogs[j]->pid;

			switch ((i + j) % 6) {
			case 0:
				ASSERT_EQ(0, cgroup_enter(other.path, pid));
				ASSERT_EQ(0, cgroup_enter(group.path, pid));
				break;
			case 1:
				ASSERT_EQ(0, pin(pid, nth_cpu_online(i % 2 ? last : 0)));
				break;
			case 2:
				ASSERT_EQ(0, enoki_detach(pid));
				ASSERT_EQ(0, enoki_attach(pid, self->p->id));
				break;
			case 3:
				ASSERT_EQ(0, enoki_attach(pid, other_policy(self->p)->id));
				ASSERT_EQ(0, enoki_attach(pid, self->p->id));
				break;
			case 4:
				ASSERT_EQ(0, set_class(pid, SCHED_FIFO, 1));
				ASSERT_EQ(0, enoki_attach(pid, self->p->id));
				break;
			case 5:
				kill(pid, i % 2 ? SIGSTOP : SIGCONT);
				break;
			}
		}
		nap(20000);
	}
	for (j = 0; j < group.nr; j++)
		kill(group.hogs[j]->pid, SIGCONT);
	EXPECT_TRUE(workers_live());
	/* Some end while they wait. */
	worker_stop(group.hogs[0]);
	ASSERT_EQ(0, cgroup_write(group.path, "cpu.max", "max"));
	EXPECT_TRUE(workers_live());
	EXPECT_TRUE(policy_in_office(self->p));
}

ENOKI_HARNESS_MAIN
