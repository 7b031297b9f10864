/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What is done to the answers of policies where they are asked: see fault.c.
 */
#ifndef _KERNEL_SCHED_ENOKI_FAULT_H
#define _KERNEL_SCHED_ENOKI_FAULT_H

enum enoki_fault {
	ENOKI_FAULT_DROP,
	ENOKI_FAULT_DELAY,
	ENOKI_FAULT_DUPLICATE,
	ENOKI_FAULT_GARBAGE,
	ENOKI_NR_FAULTS
};

#ifdef CONFIG_FAULT_INJECTION_DEBUG_FS

bool enoki_fault(enum enoki_fault kind);
void enoki_fault_delay(void);
bool enoki_fault_bool(bool answer);
s32 enoki_fault_cpu(s32 answer, s32 prev_cpu);
s64 enoki_fault_count(s64 answer);
bool enoki_fault_key(bool named, struct enoki_key *key);
struct enoki_task *enoki_fault_pick(struct enoki_task *token, u64 *slice_ns);
struct enoki_task *enoki_fault_back(struct enoki_task *token);

#else

static inline bool enoki_fault(enum enoki_fault kind) { return false; }
static inline void enoki_fault_delay(void) { }
static inline bool enoki_fault_bool(bool answer) { return answer; }
static inline s32 enoki_fault_cpu(s32 answer, s32 prev_cpu) { return answer; }
static inline s64 enoki_fault_count(s64 answer) { return answer; }
static inline bool enoki_fault_key(bool named, struct enoki_key *key) { return named; }

static inline struct enoki_task *enoki_fault_pick(struct enoki_task *token, u64 *slice_ns)
{
	return token;
}

static inline struct enoki_task *enoki_fault_back(struct enoki_task *token)
{
	return token;
}

#endif

#endif /* _KERNEL_SCHED_ENOKI_FAULT_H */
