/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

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

enum codec_sender golden_sender(const struct vector *v)
{
	return v->from_daemon ? CODEC_FROM_DAEMON : CODEC_FROM_CLIENT;
}

bool golden_is_ok(const struct vector *v)
{
	return strcmp(v->verdict, "ok") == 0;
}

void golden_compare(const struct vector *v, const struct vector_group *g,
	const struct field *fields, size_t n_fields, const void *record)
{
	assert_int_equal(g->n_fields, n_fields);
	for (size_t i = 0; i < n_fields; i++) {
		const struct vector_field *f = &v->fields[g->first_field + i];
		const struct field *in = &fields[i];

		assert_string_equal(f->name, in->name);
		assert_int_equal(f->offset - g->offset, in->offset);
		assert_int_equal(f->width, in->width);
		assert_true(f->text == in->text);
		if (in->text)
			assert_memory_equal(
				(const uint8_t *)record + in->offset, f->bytes, in->width);
		else
			assert_true(field_number(in, record) == f->number);
	}
}

bool golden_read(int argc, char **argv)
{
	if (argc != 2)
		return false;
	vectors = vectors_read(argv[1]);
	return true;
}

int golden_forget(void **state)
{
	(void)state;
	vectors_free(&vectors);
	return 0;
}
