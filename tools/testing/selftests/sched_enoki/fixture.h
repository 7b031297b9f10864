/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fixtures of the Enoki tests. Both load the policies and make the test
 * itself a SCHED_FIFO task, so that it stays in charge whatever its workers do;
 * afterwards all workers are gone, no policy has a task left, no answer was
 * refused that should never be, and the kernel warned of nothing.
 *
 * TEST_ENOKI() runs a test once and TEST_EACH() once under every policy. A program
 * defines ENOKI_ONCE or ENOKI_EACH_POLICY or both for what it uses of them.
 */
#ifndef _SCHED_ENOKI_FIXTURE_H
#define _SCHED_ENOKI_FIXTURE_H

#include "kselftest_harness.h"
#include "util.h"

#ifdef ENOKI_ONCE
FIXTURE(enoki) {
	int unused;
};

FIXTURE_SETUP(enoki)
{
	const char *problem = enoki_begin();

	ASSERT_EQ(NULL, problem) TH_LOG("%s", problem);
}

FIXTURE_TEARDOWN(enoki)
{
	EXPECT_TRUE(enoki_end());
}
#endif

#ifdef ENOKI_EACH_POLICY
FIXTURE(each_policy) {
	const struct policy *p;
};

FIXTURE_VARIANT(each_policy) {
	const struct policy *p;
};

FIXTURE_VARIANT_ADD(each_policy, fifo) {
	.p = &fifo,
};

FIXTURE_VARIANT_ADD(each_policy, wfq) {
	.p = &wfq,
};

FIXTURE_VARIANT_ADD(each_policy, shinjuku) {
	.p = &shinjuku,
};

FIXTURE_VARIANT_ADD(each_policy, locality) {
	.p = &locality,
};

FIXTURE_VARIANT_ADD(each_policy, arachne) {
	.p = &arachne,
};

FIXTURE_SETUP(each_policy)
{
	const char *problem = enoki_begin();

	ASSERT_EQ(NULL, problem) TH_LOG("%s", problem);
	ASSERT_TRUE(policy_load(variant->p));
	self->p = variant->p;
}

FIXTURE_TEARDOWN(each_policy)
{
	EXPECT_TRUE(enoki_end());
}
#endif

/* A policy of test_modules/, in a test or a setup, which is skipped where it is not built. */
#define LOAD_TEST_MODULE(module, params) do {					\
	if (test_module_load(module, params)) {					\
		ASSERT_EQ(ENOENT, errno) TH_LOG("%s: %s", module, strerror(errno)); \
		SKIP(return, "test_modules/%s.ko is not built", module);	\
	}									\
} while (0)

/* Shorthands: the harness's default limit is too short for an emulated machine. */
#define TEST_ENOKI(name)	TEST_F_TIMEOUT(enoki, name, TEST_SECONDS)
#define TEST_EACH(name)		TEST_F_TIMEOUT(each_policy, name, TEST_SECONDS)

#define NEED_CPUS(n) do {						\
	if (nr_cpus_online() < (n))					\
		SKIP(return, "needs %d CPUs", (n));			\
} while (0)

#define ENOKI_HARNESS_MAIN						\
int main(int argc, char **argv)						\
{									\
	enoki_require();						\
	return test_harness_run(argc, argv);				\
}

#endif /* _SCHED_ENOKI_FIXTURE_H */
