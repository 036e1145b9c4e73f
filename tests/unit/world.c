/* SPDX-License-Identifier: MIT */
/*
 * The world of world.h. Each client has a counter of unread packets in place of a socket.
 */
#include "world.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PAGE 4096

struct limits world_limits(uint32_t timers, uint32_t clients)
{
	return (struct limits){
		.max_timers = timers,
		.max_timers_per_user = timers,
		.max_clients = clients,
		.max_clients_per_user = clients,
	};
}

struct world *world_new(const struct limits *limits)
{
	struct worker_config config = {
		.limits = *limits,
		.can_wake_system = true,
		.pid = 4711,
		.instance = 42,
		.version = "1.2.3",
	};
	struct world *world = calloc(1, sizeof(*world));
	size_t size = worker_size(&config);

	assert_non_null(world);
	assert_int_equal(size % PAGE, 0);
	world->block = aligned_alloc(PAGE, size);
	world->clients = calloc(limits->max_clients + 2, sizeof(world->clients[0]));
	assert_non_null(world->block);
	assert_non_null(world->clients);
	memset(world->block, 0, size);
	world->now = (struct now){{
		[PROTO_CLOCK_MONOTONIC] = WORLD_MONOTONIC,
		[PROTO_CLOCK_BOOTTIME] = WORLD_BOOTTIME,
		[PROTO_CLOCK_REALTIME] = WORLD_REALTIME,
	}};
	worker_init(&world->worker, world->block, &config, &world->now);
	return world;
}

void world_free(struct world *world)
{
	free(world->block);
	free(world->clients);
	free(world->events);
	free(world);
}

enum proto_status world_try_connect(struct world *world, uint32_t uid, uint32_t *ret_session)
{
	struct peer peer = {.uid = uid, .pid = 1000 + uid, .comm = "client"};
	enum proto_status status = worker_connect(&world->worker, &peer, &world->now, ret_session);

	if (!status)
		world->clients[*ret_session] = (struct world_client){0};
	return status;
}

void world_hello(struct world *world, uint32_t session)
{
	struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};

	world_request(world, session, PROTO_HELLO, &hello, 1, 0);
}

uint32_t world_connect(struct world *world, uint32_t uid)
{
	uint32_t session = 0;

	assert_int_equal(world_try_connect(world, uid, &session), PROTO_OK);
	world_hello(world, session);
	return session;
}

void world_disconnect(struct world *world, uint32_t session)
{
	worker_disconnect(&world->worker, session);
}

enum proto_status world_packet(
	struct world *world, uint32_t session, const void *packet, size_t size)
{
	struct proto_error error;
	bool end = false;
	size_t answered = worker_handle(
		&world->worker, session, packet, size, &world->now, &world->answer_packet, &end);

	assert_int_equal(
		codec_open(world->answer_packet, answered, CODEC_FROM_DAEMON, &world->answer),
		CODEC_OK);
	assert_int_equal(world->answer.opcode == PROTO_ERROR, end);
	if (!end) {
		worker_answered(&world->worker);
		return PROTO_OK;
	}
	codec_get(world->answer_packet, &world->answer, 0, &error, sizeof(error));
	assert_in_range(error.status, PROTO_E_CLIENTS, PROTO_E_SLOW_SOCKETS);
	assert_true(error.text[0] && codec_label_valid(error.text, sizeof(error.text)));
	return error.status;
}

void world_request(struct world *world, uint32_t session, enum proto_opcode opcode,
	const void *records, uint32_t count, uint64_t cursor)
{
	struct codec_writer writer;
	const uint8_t *record = records;

	codec_begin(&writer, world->in, opcode, ++world->clients[session].serial);
	for (uint32_t i = 0; i < count; i++)
		codec_put(&writer, record + (size_t)i * writer.header.record_size,
			writer.header.record_size);
	assert_int_equal(
		world_packet(world, session, world->in, codec_end(&writer, cursor)), PROTO_OK);
	assert_int_equal(world->answer.opcode, opcode | PROTO_ANSWER);
	assert_int_equal(world->answer.serial, world->clients[session].serial);
	if (opcode != PROTO_LIST && opcode != PROTO_STATUS && opcode != PROTO_LIST_MATCHING &&
		opcode != PROTO_CANCEL_MATCHING)
		assert_int_equal(world->answer.count, count);
}

void world_answer(const struct world *world, uint32_t i, void *ret)
{
	assert_true(i < world->answer.count);
	codec_get(world->answer_packet, &world->answer, i, ret, world->answer.record_size);
}

struct proto_registered world_register(
	struct world *world, uint32_t session, const struct proto_register *r)
{
	struct proto_registered registered;

	world_request(world, session, PROTO_REGISTER, r, 1, 0);
	world_answer(world, 0, &registered);
	assert_int_equal(registered.status == PROTO_OK, registered.id != 0);
	assert_int_equal(registered.id >> PROTO_ID_BITS, 0);
	return registered;
}

struct proto_registered world_rearm(
	struct world *world, uint32_t session, const struct proto_rearm *r)
{
	struct proto_registered registered;

	world_request(world, session, PROTO_REARM, r, 1, 0);
	world_answer(world, 0, &registered);
	assert_int_equal(registered.id, registered.status ? 0 : r->id);
	return registered;
}

enum proto_status world_cancel(struct world *world, uint32_t session, uint64_t id)
{
	struct proto_cancel cancel = {id};
	struct proto_cancel_answer answer;

	world_request(world, session, PROTO_CANCEL, &cancel, 1, 0);
	world_answer(world, 0, &answer);
	assert_int_equal(answer.id, id);
	return answer.status;
}

struct proto_status_answer world_status(struct world *world, uint32_t session)
{
	struct proto_status_answer answer;

	world_request(world, session, PROTO_STATUS, NULL, 0, 0);
	world_answer(world, 0, &answer);
	return answer;
}

uint64_t world_timer(struct world *world, uint32_t session, uint8_t clock, uint64_t in)
{
	struct proto_register r = {.due = in, .clock = clock, .flags = PROTO_RELATIVE};
	struct proto_registered registered = world_register(world, session, &r);

	assert_int_equal(registered.status, PROTO_OK);
	assert_int_equal(registered.due, world->now.at[clock] + in);
	return registered.id;
}

size_t world_list(struct world *world, uint32_t session, uint32_t flags, struct proto_listed *ret,
	size_t most)
{
	struct proto_list list = {.flags = flags};
	size_t n = 0;

	world->answer.cursor = 0;
	do {
		world_request(world, session, PROTO_LIST, &list, 1, world->answer.cursor);
		assert_int_equal(world->answer.status, PROTO_OK);
		assert_true(n + world->answer.count <= most);
		for (uint32_t i = 0; i < world->answer.count; i++)
			world_answer(world, i, &ret[n++]);
	} while (world->answer.cursor);
	return n;
}

void world_pass(struct world *world, uint64_t span)
{
	for (int clock = 0; clock < PROTO_CLOCKS; clock++)
		world->now.at[clock] += span;
}

/* Keeps each record of a packet that was sent. */
static void keep(struct world *world, uint32_t session, size_t size)
{
	struct proto_header header;

	assert_int_equal(codec_open(world->out, size, CODEC_FROM_DAEMON, &header), CODEC_OK);
	if (world->n_events + header.count + 1 > world->events_room) {
		world->events_room = 2 * world->events_room + header.count + 1;
		world->events = realloc(
			world->events, world->events_room * sizeof(world->events[0]));
		assert_non_null(world->events);
	}
	if (header.opcode == PROTO_CLOCK_SET)
		world->events[world->n_events++] = (struct world_event){
			.session = session, .opcode = header.opcode};
	for (uint32_t i = 0; i < header.count; i++) {
		struct world_event *event = &world->events[world->n_events++];

		*event = (struct world_event){.session = session, .opcode = header.opcode};
		if (header.opcode == PROTO_WAKE)
			codec_get(world->out, &header, i, &event->wake, sizeof(event->wake));
		else if (header.opcode == PROTO_CANCELLED)
			codec_get(world->out, &header, i, &event->cancelled,
				sizeof(event->cancelled));
		else
			codec_get(world->out, &header, i, &event->error, sizeof(event->error));
	}
}

static int outlet_send(void *user, uint32_t session, const void *packet, size_t size)
{
	struct world *world = user;
	struct world_client *client = &world->clients[session];

	assert_false(client->blocked);
	assert_ptr_equal(packet, world->out);
	if (client->unread == WORLD_ROOM)
		return -EAGAIN;
	keep(world, session, size);
	client->unread += client->stalled;
	return 0;
}

static bool outlet_has_read_all(void *user, uint32_t session)
{
	const struct world *world = user;

	return !world->clients[session].unread;
}

static void outlet_close(void *user, uint32_t session, const void *packet, size_t size)
{
	struct world *world = user;

	assert_ptr_equal(packet, world->out);
	keep(world, session, size);
	world_disconnect(world, session);
}

struct world_served world_serve(struct world *world)
{
	const struct worker_outlet outlet = {
		.user = world,
		.packet = world->out,
		.send = outlet_send,
		.has_read_all = outlet_has_read_all,
		.close = outlet_close,
	};
	struct worker_served served = worker_serve(&world->worker, &world->now, &outlet);
	bool closed = served.outcome == WORKER_CLOSED;
	bool blocked = served.outcome == WORKER_FULL || served.outcome == WORKER_UNREAD;

	if (blocked)
		world->clients[served.session].blocked = true;
	return (struct world_served){served.session, served.size != 0, blocked, closed};
}

void world_turn(struct world *world)
{
	bool more;

	do {
		more = worker_tick(&world->worker, &world->now);
		while (world_serve(world).session)
			;
	} while (more || worker_busy(&world->worker));
}

bool world_sleep(struct world *world, uint64_t until)
{
	uint64_t span = until - world->now.at[PROTO_CLOCK_MONOTONIC];
	bool rings = false;

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint64_t at = worker_next(&world->worker, clock);
		uint64_t now = timers_now(&world->now, clock);

		if (at == TIMERS_FOREVER || (at > now && at - now >= span))
			continue;
		span = at > now ? at - now : 0;
		rings = true;
	}
	world_pass(world, span);
	if (rings) {
		worker_rang(&world->worker);
		world->rings++;
		world_turn(world);
	}
	return rings;
}

void world_read(struct world *world, uint32_t session)
{
	struct world_client *client = &world->clients[session];

	client->unread = 0;
	if (client->blocked)
		worker_unblock(&world->worker, session, &world->now);
	client->blocked = false;
}

void world_forget(struct world *world)
{
	world->n_events = 0;
}
