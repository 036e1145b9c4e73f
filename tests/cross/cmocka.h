/* SPDX-License-Identifier: MIT */
/*
 * As much of cmocka as the unit tests use, for machines for which Debian has no package of it
 * beside the native one. A failure jumps out of the test, as with cmocka.
 */
#pragma once

#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
	const char *name;
	void (*test)(void **state);
	int (*setup)(void **state);
	int (*teardown)(void **state);
	void *initial_state; /* NULL: that of the group */
};

static jmp_buf cross_out;

_Noreturn static inline void cross_leave(const char *file, int line, const char *what, int result)
{
	printf("%s:%d: %s\n", file, line, what);
	longjmp(cross_out, result);
}

/* A function, because gcc warns of a comparison with a constant 0. */
static inline int cross_in_range(uint64_t x, uint64_t least, uint64_t most)
{
	return x >= least && x <= most;
}

#define CROSS_FAIL(what) cross_leave(__FILE__, __LINE__, what, 1)
#define assert_true(c)	 ((c) ? (void)0 : CROSS_FAIL(#c))
#define assert_false(c)	 assert_true(!(c))
#define assert_int_equal(a, b)                                                      \
	do {                                                                        \
		uint64_t cross_a = (uint64_t)(a), cross_b = (uint64_t)(b);          \
		if (cross_a != cross_b) {                                           \
			printf("%#" PRIx64 " != %#" PRIx64 "\n", cross_a, cross_b); \
			CROSS_FAIL(#a " == " #b);                                   \
		}                                                                   \
	} while (0)
#define assert_int_not_equal(a, b)    assert_true((uint64_t)(a) != (uint64_t)(b))
#define assert_ptr_equal(a, b)	      assert_true((const void *)(a) == (const void *)(b))
#define assert_null(p)		      assert_true((p) == NULL)
#define assert_non_null(p)	      assert_true((p) != NULL)
#define assert_string_equal(a, b)     assert_true(strcmp((a), (b)) == 0)
#define assert_string_not_equal(a, b) assert_true(strcmp((a), (b)) != 0)
#define assert_memory_equal(a, b, n)  assert_true(memcmp((a), (b), (n)) == 0)
#define assert_in_range(x, least, most) \
	assert_true(cross_in_range((uint64_t)(x), (uint64_t)(least), (uint64_t)(most)))
#define fail_msg(...)	   (printf(__VA_ARGS__), CROSS_FAIL("failed"))
#define fail()		   CROSS_FAIL("failed")
#define skip()		   cross_leave(__FILE__, __LINE__, "skipped", 2)
#define print_message(...) printf(__VA_ARGS__)
#define print_error(...)   printf(__VA_ARGS__)

#define cmocka_unit_test_setup_teardown(f, s, t) \
	{                                        \
#		f, f, s, t, NULL                \
	}
#define cmocka_unit_test(f)             \
	{                               \
#		f, f, NULL, NULL, NULL \
	}
#define cmocka_unit_test_setup(f, s) \
	{                            \
#		f, f, s, NULL, NULL \
	}
#define cmocka_unit_test_teardown(f, t) \
	{                               \
#		f, f, NULL, t, NULL    \
	}

/* Return: how many failed. */
static inline int cross_run(
	const struct CMUnitTest *tests, size_t n, int (*setup)(void **), int (*teardown)(void **))
{
	void *group = NULL;
	volatile int failed = 0;

	if (setup && setup(&group))
		return 1;
	for (volatile size_t i = 0; i < n; i++) {
		void *state = tests[i].initial_state ? tests[i].initial_state : group;

		if (tests[i].setup && tests[i].setup(&state)) {
			failed++;
			continue;
		}
		switch (setjmp(cross_out)) {
		case 0:
			tests[i].test(&state);
			break;
		case 1:
			printf("FAILED: %s\n", tests[i].name);
			failed++;
			break;
		}
		if (tests[i].teardown)
			tests[i].teardown(&state);
	}
	if (teardown)
		teardown(&group);
	return failed;
}

#define cmocka_run_group_tests(tests, setup, teardown) \
	(cross_run((tests), sizeof(tests) / sizeof((tests)[0]), (setup), (teardown)) != 0)
#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
	cmocka_run_group_tests(tests, setup, teardown)
