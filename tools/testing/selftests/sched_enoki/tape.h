/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tapes of a recording, as a program that makes one has them; include/uapi/linux/enoki.h
 * explains them.
 */
#ifndef _SCHED_ENOKI_TAPE_H
#define _SCHED_ENOKI_TAPE_H

#include <fcntl.h>
#include <linux/enoki.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

struct tapes {
	int fd;
	struct enoki_recording recording;
	char *mapped;
};

/* Gets tapes for that policy; false with errno. */
static inline bool tapes_open(struct tapes *t, int id, __u32 size, __u32 flags)
{
	*t = (struct tapes){
		.fd = open("/dev/enoki", O_RDWR | O_CLOEXEC),
		.recording = { .tape_size = size, .flags = flags },
	};
	t->recording.policies[id / 64] = 1ULL << id % 64;
	if (t->fd < 0 || ioctl(t->fd, ENOKI_IOC_RECORD, &t->recording))
		return false;
	t->mapped = mmap(NULL, t->recording.size, PROT_READ | PROT_WRITE, MAP_SHARED, t->fd,
			 t->recording.offset);
	return t->mapped != MAP_FAILED;
}

static inline struct enoki_tape_header *tape(const struct tapes *t, unsigned int cpu)
{
	return (void *)(t->mapped + cpu * t->recording.stride);
}

static inline const struct enoki_record *tape_records(const struct tapes *t, unsigned int cpu)
{
	return (const void *)((char *)tape(t, cpu) + ENOKI_TAPE_RECORDS);
}

/* How many bytes there have been. */
static inline __u64 tape_head(const struct tapes *t, unsigned int cpu)
{
	return __atomic_load_n(&tape(t, cpu)->head, __ATOMIC_ACQUIRE);
}

/* So many of them have been read. */
static inline void tape_read_to(const struct tapes *t, unsigned int cpu, __u64 tail)
{
	__atomic_store_n(&tape(t, cpu)->tail, tail, __ATOMIC_RELEASE);
}

/* For how many records there was no room. */
static inline long tapes_lost(const struct tapes *t)
{
	unsigned int cpu;
	long lost = 0;

	for (cpu = 0; cpu < t->recording.nr_tapes; cpu++)
		lost += __atomic_load_n(&tape(t, cpu)->lost, __ATOMIC_RELAXED);
	return lost;
}

#endif /* _SCHED_ENOKI_TAPE_H */
