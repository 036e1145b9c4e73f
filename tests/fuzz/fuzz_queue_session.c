/* SPDX-License-Identifier: MIT */
/*
 * Any history of three clients of timerqd's broker; two of them have the same user. The events:
 * packets, raw or with a valid header; time passes; a clock is set or held; a store works piece by
 * piece and fails; clients come, go and stop reading; the broker dies. After each event
 * world_check() compares the broker with its store. The broker is that of tests/unit, with room for
 * little in memory.
 *
 * The input is a list of events. An event is one byte, which says what happens and to whom, and the
 * arguments. Integers are little-endian. A length of 16 bits precedes each packet.
 *
 *	tests/fuzz/run queue_session
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "broker_world.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLIENTS 3

enum event {
	EVENT_PACKET,  /* bytes */
	EVENT_REQUEST, /* opcode, bytes of records, bytes of the area */
	EVENT_TIME,    /* 24 bits of microseconds */
	EVENT_SET,     /* 24 bits; the wall clock is set by this number less half of its range */
	EVENT_CLIENT,  /* connects, disconnects, or stops reading */
	EVENT_STORE,   /* does one piece of work, or fails from now on */
	EVENT_TURN,
	EVENT_RESTART,
};

static struct world w;
static struct world_client *clients[CLIENTS];

static bool may_ask(const struct world_client *c)
{
	return c && !c->ended && broker_reads(w.b, c->number);
}

static void connect(unsigned int who)
{
	static const uint8_t tokens[2][PROTO_QUEUE_TOKEN_SIZE] = {"one", "two"};
	/* The last client knows the token of the first. */
	static const struct {
		uint32_t uid;
		const uint8_t *token;
	} kinds[CLIENTS] = {{1000, tokens[0]}, {1000, tokens[1]}, {1001, tokens[0]}};

	clients[who] = world_connect(&w, kinds[who].uid, kinds[who].token, false);
}

static void open_queues(struct world_client *c)
{
	world_begin(&w, c, PROTO_QUEUE_OPEN);
	for (char i = '1'; i < '1' + WORLD_QUEUES; i++) {
		char name[2] = {'q', i};
		struct proto_queue_open open = {
			.uid = PROTO_QUEUE_OWN,
			.name_size = 2,
			.name = queue_codec_add_bytes(&w.writer, name, 2),
		};

		queue_codec_put(&w.writer, &open);
	}
	world_send(&w, c, 0);
}

/* Fills in what a fuzzer can hardly guess: numbers of queues, and offsets in the area. */
static void mend(uint16_t opcode, void *record, size_t area)
{
	struct proto_queue_put *put = record;
	struct proto_queue_cancel *cancel = record;
	struct proto_queue_reschedule *reschedule = record;
	struct proto_queue_open *open = record;
	uint32_t *queue = NULL;

	switch (opcode) {
	case PROTO_QUEUE_OPEN:
		open->name = 0;
		open->name_size = (uint16_t)(open->name_size % (area + 1));
		break;
	case PROTO_QUEUE_PUT:
		put->data = 0;
		put->key_size = (uint16_t)(put->key_size % (area + 1));
		put->payload_size = (uint32_t)(put->payload_size % (area - put->key_size + 1));
		queue = &put->queue;
		break;
	case PROTO_QUEUE_CANCEL:
		cancel->key = 0;
		cancel->key_size = (uint16_t)(cancel->key_size % (area + 1));
		queue = &cancel->queue;
		break;
	case PROTO_QUEUE_RESCHEDULE:
		reschedule->key = 0;
		reschedule->key_size = (uint16_t)(reschedule->key_size % (area + 1));
		queue = &reschedule->queue;
		break;
	case PROTO_QUEUE_ACK:
		queue = &((struct proto_queue_ack *)record)->queue;
		break;
	case PROTO_QUEUE_RETRY:
		queue = &((struct proto_queue_retry *)record)->queue;
		break;
	case PROTO_QUEUE_REVIVE:
		queue = &((struct proto_queue_revive *)record)->queue;
		break;
	case PROTO_QUEUE_CONSUME:
	case PROTO_QUEUE_DETACH:
	case PROTO_QUEUE_PURGE:
	case PROTO_QUEUE_LIST:
		queue = record;
		break;
	default:
		break;
	}
	if (queue)
		*queue %= WORLD_QUEUES + 2;
}

static void request(struct world_client *c, struct input *in)
{
	_Alignas(8) uint8_t record[128];
	uint16_t opcode = (uint16_t)(PROTO_QUEUE_HELLO +
		take_number(in, 1) % (PROTO_QUEUE_STATUS - PROTO_QUEUE_HELLO + 1));
	size_t area_size, size, at = 0, width;
	const uint8_t *area = take_bytes(in, (size_t)take_number(in, 1), &area_size), *records;

	records = take_bytes(in, (size_t)take_number(in, 2) % 4096, &size);
	if (!may_ask(c))
		return;
	world_begin(&w, c, opcode);
	width = w.writer.header.record_size;
	if (opcode == PROTO_QUEUE_OPEN || opcode == PROTO_QUEUE_PUT ||
		opcode == PROTO_QUEUE_CANCEL || opcode == PROTO_QUEUE_RESCHEDULE)
		queue_codec_add_bytes(&w.writer, area, area_size);
	do {
		size_t some = size - at < width ? size - at : width;

		memset(record, 0, sizeof(record));
		memcpy(record, records + at, some);
		at += some;
		mend(opcode, record, area_size);
		if (width)
			queue_codec_put(&w.writer, record);
	} while (at < size && width && queue_codec_fits(&w.writer, 0) &&
		opcode != PROTO_QUEUE_HELLO && opcode < PROTO_QUEUE_PURGE &&
		opcode != PROTO_QUEUE_CONSUME && opcode != PROTO_QUEUE_DETACH);
	world_send(&w, c, opcode == PROTO_QUEUE_PUT ? ++c->put : take_number(in, 1));
}

static void packet(struct world_client *c, struct input *in)
{
	size_t size = (size_t)take_number(in, 2);
	const uint8_t *bytes = take_bytes(in, size, &size);

	if (!may_ask(c))
		return;
	c->serial++; /* if it was a valid request */
	world_send_bytes(&w, c, bytes, size);
}

static void change_client(unsigned int who, uint64_t how)
{
	struct world_client *c = clients[who];

	if (!c) {
		connect(who);
	} else if (how % 4 == 0) {
		world_disconnect(&w, c);
		clients[who] = NULL;
	} else if (how % 4 == 1) {
		c->stuck = !c->stuck;
		if (!c->stuck)
			broker_writable(w.b, c->number);
	} else if (may_ask(c)) {
		open_queues(c);
	}
}

static void change_store(uint64_t how)
{
	static const struct {
		enum store_state state;
		int error;
	} kinds[] = {
		{STORE_OK, 0},
		{STORE_FULL, -ENOSPC},
		{STORE_FAILED, -EIO},
		{STORE_FAILED, -EINPROGRESS},
		{STORE_OK, -ENOMEM},
		{STORE_AWAY, -ENOTCONN},
	};

	if (how < 128) {
		store_memory_step(&w.store);
		return;
	}
	how %= sizeof(kinds) / sizeof(kinds[0]);
	w.store.state = kinds[how].state;
	w.store.commit_error = kinds[how].error;
	w.store.read_error = how == 2 ? -EIO : 0;
}

/* Return: whether the broker has nothing to do at once. */
static bool happen(struct input *in)
{
	uint8_t what = (uint8_t)take_number(in, 1);
	unsigned int who = (what >> 3) % CLIENTS;

	switch (what % 8) {
	case EVENT_PACKET:
		packet(clients[who], in);
		return false;
	case EVENT_REQUEST:
		request(clients[who], in);
		return false;
	case EVENT_TIME:
		world_pass(&w, take_number(in, 3));
		return false;
	case EVENT_SET:
		w.now.at[PROTO_CLOCK_REALTIME] += take_number(in, 3);
		w.now.at[PROTO_CLOCK_REALTIME] -= 1 << 23;
		w.now.held[PROTO_CLOCK_REALTIME] = w.now.held[PROTO_CLOCK_BOOTTIME] = what & 64;
		return false;
	case EVENT_CLIENT:
		change_client(who, take_number(in, 1));
		return false;
	case EVENT_STORE:
		change_store(take_number(in, 1));
		return false;
	case EVENT_TURN:
		world_serve(&w);
		return true;
	default:
		world_restart(&w, take_number(in, 1) % 4);
		memset(clients, 0, sizeof(clients));
		return false;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};

	w = (struct world){.limits = {20, 4096, 8, 8}};
	world_start(&w);
	for (unsigned int who = 0; who < CLIENTS; who++) {
		connect(who);
		world_settle(&w);
		open_queues(clients[who]);
	}
	while (in.at < in.end)
		world_check(&w, happen(&in));
	world_check(&w, false);
	world_end(&w);
	memset(clients, 0, sizeof(clients));
	return 0;
}
