/* SPDX-License-Identifier: MIT */
/*
 * Any history of two sessions: packets, raw or with a valid header; time passes; a clock is set;
 * connections come and go; the daemon is killed and its arena adopted. After each event the arena
 * must be valid, and no alarm may be set to an instant that has passed.
 *
 * The input is a list of events. An event is one byte, which says what happens and to whom, and the
 * arguments. Integers are little-endian. A length of 16 bits precedes each packet.
 *
 *	tests/fuzz/run session
 */
#include <string.h>

#include "../sim/exercise.h"
#include "../sim/invariants.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum event {
	EVENT_PACKET,  /* bytes */
	EVENT_REQUEST, /* opcode, and bytes of records */
	EVENT_TIME,    /* 32 bits of microseconds */
	EVENT_SET,     /* 32 bits; the wall clock is set by this number less half of its range */
	EVENT_RECONNECT,
	EVENT_ADOPT,
	EVENT_TURN,
	EVENT_SUSPEND, /* 32 bits */
};

struct fuzz {
	struct exercise e;
	void *block;
	uint32_t sessions[2]; /* 0: not connected */
	uint64_t sockets;
};

static void require(const char *fault)
{
	if (!fault)
		return;
	fprintf(stderr, "not so: %s\n", fault);
	abort();
}

static void handle(struct fuzz *f, unsigned int who, const void *packet, size_t size)
{
	if (f->sessions[who] && exercise_handle(&f->e, f->sessions[who], packet, size))
		f->sessions[who] = 0;
}

static void connect(struct fuzz *f, unsigned int who)
{
	struct peer peer = {who ? EXERCISE_UID : 0, 7, ++f->sockets, "fuzz", {0}};

	if (f->sessions[who])
		worker_disconnect(&f->e.worker, f->sessions[who]);
	f->sessions[who] = 0;
	if (worker_connect(&f->e.worker, &peer, &f->e.now, &f->sessions[who]))
		require("there is no place for two");
}

static uint16_t record_size(uint8_t opcode)
{
	static const uint16_t sizes[] = {
		[PROTO_HELLO] = sizeof(struct proto_hello),
		[PROTO_REGISTER] = sizeof(struct proto_register),
		[PROTO_CANCEL] = sizeof(struct proto_cancel),
		[PROTO_REARM] = sizeof(struct proto_rearm),
		[PROTO_LIST] = sizeof(struct proto_list),
		[PROTO_STATUS] = 0,
		[PROTO_CANCEL_MATCHING] = sizeof(struct proto_match),
		[PROTO_LIST_MATCHING] = sizeof(struct proto_match),
	};

	return sizes[opcode];
}

/* Replaces small ids with the id of the timer in that slot, which a fuzzer can hardly guess. */
static void name_timers(struct fuzz *f, uint8_t *records, const struct proto_header *header)
{
	const struct arena *arena = &f->e.worker.arena;

	if (header->opcode != PROTO_CANCEL && header->opcode != PROTO_REARM)
		return;
	for (uint32_t i = 0; i < header->count; i++) {
		uint8_t *record = records + (size_t)i * header->record_size;
		uint64_t id;

		memcpy(&id, record, sizeof(id));
		if (id <= arena->header->timers_top)
			id = timers_id(arena, (uint32_t)id);
		memcpy(record, &id, sizeof(id));
	}
}

static void request(struct fuzz *f, unsigned int who, struct input *in)
{
	uint8_t packet[4096];
	struct proto_header header = {0};
	uint8_t opcode = (uint8_t)(1 + take_number(in, 1) % PROTO_LIST_MATCHING);
	size_t size = (size_t)take_number(in, 2) % (sizeof(packet) - sizeof(header));
	const uint8_t *records = take_bytes(in, size, &size);

	header.opcode = opcode;
	header.record_size = record_size(opcode);
	header.count = header.record_size ? (uint16_t)(size / header.record_size) : 0;
	header.serial = f->e.worker.arena.sessions[f->sessions[who]].serial + 1;
	if (opcode == PROTO_HELLO || opcode == PROTO_LIST || opcode == PROTO_CANCEL_MATCHING ||
		opcode == PROTO_LIST_MATCHING)
		header.count = header.count > 1 ? 1 : header.count;
	size = (size_t)header.count * header.record_size;
	memcpy(packet + sizeof(header), records, size);
	name_timers(f, packet + sizeof(header), &header);
	memcpy(packet, &header, sizeof(header));
	handle(f, who, packet, sizeof(header) + size);
}

static void adopt(struct fuzz *f)
{
	struct exercise *e = &f->e;
	bool fits;

	require(exercise_adopt(e, f->block, &fits));
	if (!fits || e->worker.dropped)
		require("what is whole is adopted whole");
	for (unsigned int who = 0; who < 2; who++) {
		uint32_t session = f->sessions[who];

		if (session && e->worker.arena.sessions[session].state == SESSION_FREE)
			f->sessions[who] = 0; /* it had not said hello, so its session ended */
		else if (session)
			worker_resume(&e->worker, session);
	}
}

/* One turn of the loop. It may end a session that has not said hello in time. */
static void turn(struct fuzz *f)
{
	require(exercise_turn(&f->e));
	for (unsigned int who = 0; who < 2; who++)
		if (f->e.worker.arena.sessions[f->sessions[who]].state == SESSION_FREE)
			f->sessions[who] = 0;
}

static void pass(struct fuzz *f, uint64_t us, bool suspended)
{
	for (unsigned int clock = suspended; clock < PROTO_CLOCKS; clock++)
		f->e.now.at[clock] += us;
}

static void happen(struct fuzz *f, struct input *in)
{
	uint8_t what = (uint8_t)take_number(in, 1);
	unsigned int who = what >> 3 & 1;
	const uint8_t *packet;
	size_t size;

	switch (what % 8) {
	case EVENT_PACKET:
		size = (size_t)take_number(in, 2);
		packet = take_bytes(in, size, &size);
		handle(f, who, packet, size);
		break;
	case EVENT_REQUEST:
		request(f, who, in);
		break;
	case EVENT_TIME:
		pass(f, take_number(in, 4), false);
		break;
	case EVENT_SET:
		f->e.now.at[PROTO_CLOCK_REALTIME] += take_number(in, 4);
		f->e.now.at[PROTO_CLOCK_REALTIME] -= UINT32_MAX / 2;
		break;
	case EVENT_RECONNECT:
		connect(f, who);
		break;
	case EVENT_ADOPT:
		adopt(f);
		break;
	case EVENT_TURN:
		turn(f);
		break;
	case EVENT_SUSPEND:
		pass(f, take_number(in, 4), true);
		break;
	}
	require(invariants_check(&f->e.worker.arena));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct fuzz f;
	struct input in = {data, data + size};

	exercise_init(&f.e, 1);
	if (!f.block)
		f.block = aligned_alloc(4096, exercise_size(&f.e));
	if (!f.block)
		abort();
	exercise_clear(&f.e, f.block);
	f.sessions[0] = f.sessions[1] = 0;
	worker_init(&f.e.worker, f.block, &f.e.config, &f.e.now);
	connect(&f, 0);
	connect(&f, 1);
	while (in.at < in.end)
		happen(&f, &in);
	for (unsigned int who = 0; who < 2; who++)
		if (f.sessions[who])
			worker_disconnect(&f.e.worker, f.sessions[who]);
	require(invariants_check(&f.e.worker.arena));
	if (f.e.worker.arena.header->timers)
		require("nothing is left when both have gone");
	return 0;
}
