/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "golden.h"

struct vectors vectors;
static const char *name; /* of the current packet */

const char *const golden_fault_names[CODEC_FAULTS] = {
	[CODEC_OK] = "ok",
	[CODEC_EMPTY] = "empty",
	[CODEC_SHORT_HEADER] = "short-header",
	[CODEC_OVERSIZE] = "oversize",
	[CODEC_OPCODE] = "opcode",
	[CODEC_RECORD_SIZE] = "record-size",
	[CODEC_COUNT] = "count",
	[CODEC_LENGTH] = "length",
	[CODEC_SERIAL] = "serial",
	[CODEC_STATUS] = "status",
	[CODEC_AREA] = "area",
};

bool golden_next(const struct vector *v)
{
	name = v < vectors.all + vectors.n ? v->name : NULL;
	return name;
}

int golden_say_which(void **state)
{
	(void)state;
	if (name)
		print_error("golden packet: %s\n", name);
	name = NULL;
	return 0;
}

int golden_run_tests(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
	int failed;

	if (argc != 2)
		return 2;
	vectors = vectors_read(argv[1]);
	failed = _cmocka_run_group_tests("golden packets", tests, n, NULL, NULL);
	vectors_free(&vectors);
	return failed;
}
