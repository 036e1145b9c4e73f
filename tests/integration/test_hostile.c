/* SPDX-License-Identifier: MIT */
/*
 * Hostile clients at the socket of a real daemon: packets that end the connection, and records that
 * are refused one by one. tests/README.md lists the tests of hostile input at the other levels.
 *
 * test_hostile VECTORS
 */
#include "hostile.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct test_daemon d;
struct vectors vectors;
struct wire wire;
static struct witness witness;

int hostile_begin(void **state)
{
	(void)state;
	daemon_start(&d, "--log-level", "notice", NULL);
	witness_start(&witness, daemon_socket(&d));
	return 0;
}

int hostile_end(void **state)
{
	struct witness_report report = witness_stop(&witness);

	(void)state;
	check(report.wakes > 0);
	print_message("meanwhile %" PRIu64 " wakes, none early, none lost, %" PRIu64
		      " periods merged, the latest after %" PRIu64 " us\n",
		report.wakes, report.missed, report.late_max);
	check(daemon_stop(&d) == 0);
	daemon_clean(&d);
	return 0;
}

int main(int argc, char **argv)
{
	int failed;

	if (argc != 2)
		return 2;
	vectors = vectors_read(argv[1]);
	failed = hostile_packets() + hostile_records();
	vectors_free(&vectors);
	return failed;
}
