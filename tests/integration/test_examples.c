/* SPDX-License-Identifier: MIT */
/*
 * Runs the programs of client-lib/examples against the real daemon. Each ends with status 0, and
 * each line of its output reports a wake. If another session cancels its timer, the program reports
 * no wake, and fails. $EXAMPLES has their paths, separated by colons.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <toytimer.h>
#include <unistd.h>

#include "daemon.h"

static struct test_daemon d;

static FILE *start(const char *program, const char *socket)
{
	char command[512];
	FILE *f;

	snprintf(command, sizeof(command), "%s %s", program, socket);
	f = popen(command, "re");
	assert_non_null(f);
	return f;
}

/* Return: its exit status; how many lines it printed, and how many of them report a wake. */
static int finish(FILE *f, size_t *ret_lines, size_t *ret_wakes)
{
	char line[256];

	*ret_lines = *ret_wakes = 0;
	while (fgets(line, sizeof(line), f)) {
		(*ret_lines)++;
		*ret_wakes += strstr(line, " us late\n") != NULL;
	}
	return pclose(f);
}

static int run(const char *program, const char *socket, size_t *ret_lines, size_t *ret_wakes)
{
	return finish(start(program, socket), ret_lines, ret_wakes);
}

static int take_id(const toytimer_listed *listed, void *userdata)
{
	*(uint64_t *)userdata = listed->id;
	return 1;
}

/* Cancels the first timer that the program registers. */
static void cancel_one(void)
{
	toytimer *t = NULL;
	uint64_t id;

	assert_int_equal(toytimer_open(&t, daemon_socket(&d)), 0);
	while (toytimer_list(t, 0, take_id, &id) != 1)
		usleep(1000);
	assert_int_equal(toytimer_cancel_id(t, id), 0);
	toytimer_unref(t);
}

static void test_each_example_does_as_its_page_says(void **state)
{
	char *examples = strdup(daemon_binary("EXAMPLES")), *rest = examples, *program;
	size_t lines, wakes, n = 0;
	FILE *f;

	(void)state;
	daemon_start(&d, NULL);
	while ((program = strsep(&rest, ":"))) {
		print_message("%s\n", program);
		assert_int_equal(run(program, daemon_socket(&d), &lines, &wakes), 0);
		assert_true(wakes > 0);
		assert_int_equal(lines, wakes);
		assert_int_not_equal(run(program, "/nonexistent 2>/dev/null", &lines, &wakes), 0);
		assert_int_equal(lines, 0);
		f = start(program, daemon_socket(&d));
		cancel_one();
		assert_int_not_equal(finish(f, &lines, &wakes), 0);
		assert_int_equal(lines, wakes);
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
		cmocka_unit_test(test_each_example_does_as_its_page_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
