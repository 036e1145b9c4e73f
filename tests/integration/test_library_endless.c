/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer and a daemon whose listing does not end. The library leaves it as soon as the listing
 * cannot be that of any daemon, even if the caller waits without end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>

#include "peer.h"
#include "recorder.h"

struct listing {
	size_t records; /* in each answer */
	uint64_t step;	/* from one cursor to the next */
	uint64_t asked; /* how many answers the library read before it closed the connection */
	uint64_t asked_max;
};

static void answer(struct peer *p, const struct listing *listing, uint64_t cursor)
{
	struct proto_listed record = {.id = 1};
	struct codec_writer w;

	codec_begin(&w, p->out, PROTO_LIST | PROTO_ANSWER, p->header.serial);
	for (size_t i = 0; i < listing->records; i++)
		codec_put(&w, &record, sizeof(record));
	peer_send(p, codec_end(&w, cursor));
}

static void *peer_main(void *userdata)
{
	struct listing *listing = userdata;
	uint64_t cursor = 1;

	/* After it has closed the connection, the library connects again. When its handle has been
	 * released, that connection may still wait here. */
	while (!listing->asked) {
		struct peer *p = peer_accept();

		/* The connection stays open. Only the listing is wrong. */
		if (peer_receive(p)) {
			peer_say_hello(p, PROTO_MAGIC, PROTO_VERSION);
			while (peer_receive(p) && p->header.opcode == PROTO_LIST) {
				listing->asked++;
				answer(p, listing, cursor);
				cursor += listing->step;
			}
		}
		peer_end(p, true);
	}
	return NULL;
}

static int ignore(const toytimer_listed *listed, void *userdata)
{
	(void)listed;
	(void)userdata;
	return 0;
}

static void test_an_endless_listing_is_ended(void **state)
{
	static const struct listing listings[] = {
		{.records = 1, .step = 0, .asked_max = 2},
		{.records = 0, .step = 0, .asked_max = 2},
		{.records = 0, .step = UINT64_C(1) << 20, .asked_max = 5},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(listings) / sizeof(listings[0]); i++) {
		struct listing listing = listings[i];
		pthread_t thread;
		toytimer *t;

		assert_int_equal(pthread_create(&thread, NULL, peer_main, &listing), 0);
		assert_int_equal(toytimer_open(&t, peer_path), 0);
		assert_int_equal(toytimer_set_timeout(t, TOYTIMER_FOREVER), 0);
		assert_int_equal(toytimer_list(t, 0, ignore, NULL), -EPROTO);
		toytimer_unref(t);
		pthread_join(thread, NULL);
		assert_true(listing.asked <= listing.asked_max);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_endless_listing_is_ended),
	};

	return cmocka_run_group_tests(tests, peer_start, peer_stop);
}
