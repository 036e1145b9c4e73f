/* SPDX-License-Identifier: MIT */
/*
 * The sentences of error events: each status has one, and a sentence that is too long is cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "errors.h"

static void test_every_status_has_a_sentence_that_fits(void **state)
{
	char text[PROTO_ERROR_TEXT_MAX * 2];
	uint8_t packet[256];
	struct proto_header header;
	struct proto_error error;
	size_t size;

	(void)state;
	for (unsigned int status = 0; status < 256; status++)
		assert_true(errors_text((enum proto_status)status)[0]);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	size = errors_write(packet, PROTO_E_PACKET, 9, text);
	assert_int_equal(codec_open(packet, size, CODEC_FROM_DAEMON, &header), CODEC_OK);
	codec_get(packet, &header, 0, &error, sizeof(error));
	assert_int_equal(error.serial, 9);
	assert_memory_equal(error.text, text, sizeof(error.text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_status_has_a_sentence_that_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
