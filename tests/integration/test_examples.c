/* SPDX-License-Identifier: MIT */
/*
 * The programs of client-lib/examples against the real daemon: each ends by itself, well, and says
 * something about being woken on each line. $EXAMPLES holds their paths, parted by colons.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon.h"

static struct test_daemon d;

/* Return: its exit status; the lines that it printed, and those that tell of a wake. */
static int run(const char *program, const char *socket, size_t *ret_lines, size_t *ret_wakes)
{
	char command[512], line[256];
	FILE *f;

	snprintf(command, sizeof(command), "%s %s", program, socket);
	f = popen(command, "re");
	assert_non_null(f);
	*ret_lines = *ret_wakes = 0;
	while (fgets(line, sizeof(line), f)) {
		(*ret_lines)++;
		*ret_wakes += strstr(line, " us late\n") != NULL;
	}
	return pclose(f);
}

static void test_examples(void **state)
{
	char *examples = strdup(daemon_binary("EXAMPLES")), *rest = examples, *program;
	size_t lines, wakes, n = 0;

	(void)state;
	daemon_start(&d, NULL);
	while ((program = strsep(&rest, ":"))) {
		print_message("%s\n", program);
		assert_int_equal(run(program, daemon_socket(&d), &lines, &wakes), 0);
		assert_true(wakes > 0);
		assert_int_equal(lines, wakes);
		assert_int_not_equal(run(program, "/nonexistent 2>/dev/null", &lines, &wakes), 0);
		assert_int_equal(lines, 0);
		n++;
	}
	assert_true(n >= 2);
	free(examples);
	assert_int_equal(daemon_stop(&d), 0);
	daemon_clean(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_examples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
