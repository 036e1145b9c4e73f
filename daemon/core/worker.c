/* SPDX-License-Identifier: MIT */
/*
 * The worker: starts and ends sessions, dispatches packets, advances time, and serves sessions.
 */
#include "worker.h"

#include <errno.h>
#include <string.h>

#include "adopt.h"
#include "errors.h"
#include "internal.h"
#include "lateness.h"
#include "report.h"
#include "requests.h"
#include "wakes.h"

/* The most sessions that one tick makes ready. The others wait for the next turn of the loop. */
#define TICK_SESSIONS 1024

/* The most internal timers: one hello timer for each client, and one for each of the shell's. */
#define OWN_TIMERS(limits) ((limits)->max_clients + WORKER_INTERNAL_TIMERS)

/* The sequence starts at a different number when the sessions are lost, so that an old id does not
 * name a new timer. The number is small because people type ids. */
#define SEQUENCE_FIRST_MAX UINT64_C(0xffff)

static uint32_t room_timers(const struct worker_config *config)
{
	return config->room_timers ? config->room_timers
				   : config->limits.max_timers + OWN_TIMERS(&config->limits);
}

static uint32_t room_clients(const struct worker_config *config)
{
	return config->room_clients ? config->room_clients : config->limits.max_clients;
}

size_t worker_size(const struct worker_config *config)
{
	return arena_size(room_timers(config), room_clients(config));
}

static void start(struct worker *w, const struct worker_config *config, const struct now *now)
{
	memset(w, 0, sizeof(*w));
	w->config = *config;
	w->started = now->at[PROTO_CLOCK_BOOTTIME];
}

/* A smaller difference between two readings is not a set clock: the process may be interrupted
 * while it reads the clocks. */
#define WALL_TOLERANCE_US 10000

static uint64_t wall_offset(const struct now *now)
{
	/* Only differences of this value count, so it may wrap. Both clocks are slewed together and
	 * both count a suspend: the value changes only if the wall clock is set. */
	return now->at[PROTO_CLOCK_REALTIME] - now->at[PROTO_CLOCK_BOOTTIME];
}

/* Whether the wall clock was set while no daemon was running. */
static bool was_set_unseen(const struct worker *w, const struct now *now)
{
	uint64_t change = wall_offset(now) - w->arena.header->wall_offset;

	return change + WALL_TOLERANCE_US > 2 * WALL_TOLERANCE_US;
}

void worker_init(
	struct worker *w, void *block, const struct worker_config *config, const struct now *now)
{
	start(w, config, now);
	arena_init(&w->arena, block, room_timers(config), room_clients(config));
	w->arena.header->instance = config->instance;
	w->arena.header->sequence = config->instance & SEQUENCE_FIRST_MAX;
	w->arena.header->wall_offset = wall_offset(now);
	sessions_init(&w->arena);
	lateness_detect_jumps(&w->arena, now);
}

bool worker_adopt(
	struct worker *w, void *block, const struct worker_config *config, const struct now *now)
{
	if (!adopt_fits(block, room_timers(config), room_clients(config)))
		return false;
	start(w, config, now);
	arena_view(&w->arena, block, room_timers(config), room_clients(config));
	w->dropped = w->arena.header->counters.dropped_records;
	adopt(&w->arena);
	lateness_adopt(&w->arena, now);
	w->dropped = w->arena.header->counters.dropped_records - w->dropped;
	if (was_set_unseen(w, now))
		worker_clock_set(w);
	return true;
}

size_t worker_previous_size(const struct worker_config *config)
{
	return adopt_previous_size(room_timers(config), room_clients(config));
}

bool worker_convert(void *previous, void *block, const struct worker_config *config)
{
	return adopt_convert(previous, block, room_timers(config), room_clients(config));
}

void worker_adopted(struct worker *w)
{
	ARENA_WRITE(w->arena.header->adopting, 0);
}

void worker_resume(struct worker *w, uint32_t session)
{
	w->arena.header->counters.adopted_sessions++;
	w->arena.header->counters.adopted_timers += w->arena.sessions[session].held;
	limits_tally(&w->arena, session)->adopted_sessions++;
	limits_tally(&w->arena, session)->adopted_timers += w->arena.sessions[session].held;
	w->arena.sessions[session].adoption = SESSION_SENDS_RESUMED;
	sessions_make_ready(&w->arena, session);
}

bool worker_recovers(const struct worker *w, uint32_t session)
{
	return sessions_recovers(&w->arena.sessions[session]);
}

void worker_refused_client(struct worker *w, uint32_t uid)
{
	limits_count_refused_client(&w->arena, uid);
}

enum proto_status worker_may_connect(
	const struct worker *w, uint32_t uid, const struct limits_own *own)
{
	struct limits limits = limits_with(&w->config.limits, own);

	return limits_check_client(&w->arena, &limits, uid);
}

void worker_set_limits(struct worker *w, const struct limits *limits, uint32_t warnings)
{
	w->config.limits = *limits;
	w->config.warnings = warnings;
}

void worker_set_own(struct worker *w, uint32_t session, const struct limits_own *own)
{
	w->arena.sessions[session].max_timers = own->max_timers;
}

enum proto_status worker_connect(
	struct worker *w, const struct peer *peer, const struct now *now, uint32_t *ret_session)
{
	struct limits limits = limits_with(&w->config.limits, &peer->own);
	uint32_t user = 0, session;
	enum proto_status status = limits_take_client(&w->arena, &limits, peer->uid, &user);

	if (status) {
		worker_refused_client(w, peer->uid);
		return status;
	}
	session = sessions_open(&w->arena, user, peer);
	lateness_unblock(&w->arena, session, now);
	internal_await_hello(&w->arena, session, now);
	*ret_session = session;
	return PROTO_OK;
}

void worker_disconnect(struct worker *w, uint32_t session)
{
	struct session *s = &w->arena.sessions[session];
	uint32_t user = s->user, held = s->held;

	internal_drop_hello(&w->arena, session);
	/* A new session in this slot must not be taken for the one that sent the current packet. */
	if (w->arena.header->applying.session == session)
		worker_answered(w);
	sessions_close(&w->arena, session);
	limits_return_client(&w->arena, user, held);
}

static enum proto_status greet(struct worker *w, struct worker_request *request)
{
	struct proto_hello_answer hello_answer = {
		.magic = PROTO_MAGIC,
		.version = PROTO_VERSION,
		.capabilities = PROTO_CAN_MATCH | PROTO_CAN_TELL_CLOCK_SET |
			(w->config.can_wake_system ? PROTO_CAN_WAKE_SYSTEM : 0u),
		.instance = w->arena.header->instance,
		.pid = w->config.pid,
	};
	struct proto_hello hello;

	codec_get(request->packet, &request->header, 0, &hello, sizeof(hello));
	if (hello.magic != PROTO_MAGIC || hello.reserved)
		return PROTO_E_PACKET;
	if (hello.version < PROTO_VERSION)
		return PROTO_E_VERSION;
	ARENA_PUBLISH(w->arena.sessions[request->session].state, SESSION_OPEN);
	internal_drop_hello(&w->arena, request->session);
	codec_put(&request->answer, &hello_answer, sizeof(hello_answer));
	return PROTO_OK;
}

/* Lists or cancels the timers that match. */
static void match(struct worker *w, struct worker_request *request, const struct proto_match *m)
{
	const struct proto_header *header = &request->header;
	struct match_scan scan;
	enum proto_status status = match_begin(
		&w->arena, request->session, m, header->cursor, &scan);

	if (status) {
		request->answer.header.status = (uint16_t)status;
		return;
	}
	if (header->opcode == PROTO_CANCEL_MATCHING)
		requests_cancel_matching(w, request, &scan);
	else
		report_list(&w->arena, request->session, &scan, request->now, &request->answer);
	request->cursor = match_cursor(&w->arena, &scan);
	w->extra_cost = match_cost(&scan);
	if (header->opcode == PROTO_CANCEL_MATCHING)
		w->extra_cost += request->answer.header.count;
}

static void match_packet(struct worker *w, struct worker_request *request)
{
	const struct proto_header *header = &request->header;
	struct proto_match m = {0};
	struct proto_list list;

	if (header->opcode != PROTO_LIST) {
		codec_get(request->packet, header, 0, &m, sizeof(m));
	} else {
		codec_get(request->packet, header, 0, &list, sizeof(list));
		m.flags = list.flags & PROTO_LIST_ALL ? PROTO_MATCH_EVERYBODY : 0;
		if (list.flags & ~(uint32_t)PROTO_LIST_ALL || list.reserved) {
			request->answer.header.status = PROTO_E_FLAGS;
			return;
		}
	}
	match(w, request, &m);
}

static void write_status(const struct worker *w, uint32_t session, const struct now *now,
	struct proto_status_answer *ret)
{
	report_status(&w->arena, session, now, ret);
	ret->uptime = now->at[PROTO_CLOCK_BOOTTIME] - w->started;
	ret->pid = w->config.pid;
	ret->warnings = w->config.warnings;
	for (size_t i = 0; i < sizeof(ret->version) && w->config.version[i]; i++)
		ret->version[i] = w->config.version[i];
}

/* Applies a checked packet. Return: PROTO_OK, or why the session ends. */
static enum proto_status apply(struct worker *w, struct worker_request *request)
{
	struct proto_status_answer status_answer;

	switch (request->header.opcode) {
	case PROTO_HELLO:
		return greet(w, request);
	case PROTO_REGISTER:
		requests_register(w, request);
		return PROTO_OK;
	case PROTO_CANCEL:
		requests_cancel(w, request);
		return PROTO_OK;
	case PROTO_REARM:
		requests_rearm(w, request);
		return PROTO_OK;
	case PROTO_LIST:
	case PROTO_LIST_MATCHING:
	case PROTO_CANCEL_MATCHING:
		match_packet(w, request);
		return PROTO_OK;
	default: /* PROTO_STATUS: codec_open() accepts no other opcode */
		write_status(w, request->session, request->now, &status_answer);
		codec_put(&request->answer, &status_answer, sizeof(status_answer));
		return PROTO_OK;
	}
}

void worker_answered(struct worker *w)
{
	timer_state_answered(&w->arena);
}

size_t worker_unsent_answer(const struct worker *w, uint32_t *ret_session, const void **ret_answer)
{
	struct arena_applying applying = w->arena.header->applying;
	struct proto_header header;

	/* adopt() has checked that the session is open and has committed this packet. */
	if (!applying.session ||
		codec_open(w->arena.answer, applying.answer_size, CODEC_FROM_DAEMON, &header) ||
		header.serial != applying.serial)
		return 0;
	*ret_session = applying.session;
	*ret_answer = w->arena.answer;
	return applying.answer_size;
}

/* Checks that the packet is the next one of the session. The client of an adopted session may send
 * packets again that were already applied: they are ignored. Return: PROTO_OK, or why the session
 * ends. */
static enum proto_status check_turn(const struct session *s, const struct proto_header *header,
	const char **ret_text, bool *ret_ignore)
{
	*ret_ignore = false;
	if (s->state == SESSION_NEW && header->opcode != PROTO_HELLO)
		*ret_text = "opcode: a hello has to come first";
	else if (s->state == SESSION_OPEN && header->opcode == PROTO_HELLO)
		*ret_text = "opcode: there was a hello already";
	else if (header->serial == s->serial + 1)
		return PROTO_OK;
	else if (s->adoption == SESSION_NOT_ADOPTED)
		*ret_text = "serial: not one more than that of the request before";
	else
		*ret_ignore = true;
	return *ret_ignore ? PROTO_OK : PROTO_E_SEQUENCE;
}

size_t worker_handle(struct worker *w, uint32_t session, const void *packet, size_t size,
	const struct now *now, const void **ret_answer, bool *ret_end)
{
	struct worker_request request = {.session = session, .packet = packet, .now = now};
	struct proto_header *header = &request.header;
	uint8_t *answer = w->arena.answer;
	enum codec_fault fault = codec_open(packet, size, CODEC_FROM_CLIENT, header);
	enum proto_status status = PROTO_E_PACKET;
	const char *text = codec_fault_text(fault);
	bool ignore = false;

	*ret_answer = answer;
	*ret_end = true;
	w->extra_cost = 0;
	w->intervention_count = 0;
	if (!fault)
		status = check_turn(&w->arena.sessions[session], header, &text, &ignore);
	if (status)
		return errors_write(answer, status, header->serial, text);
	*ret_end = false;
	if (ignore)
		return 0;

	timer_state_begin(&w->arena, session, header->serial);
	codec_begin(&request.answer, answer, header->opcode | PROTO_ANSWER, header->serial);
	status = apply(w, &request);
	if (status) {
		*ret_end = true;
		return errors_write(answer, status, header->serial,
			status == PROTO_E_VERSION
				? "version: this timerd speaks version 1"
				: "hello: magic is not that of timerd, or reserved is not 0");
	}
	size = codec_end(&request.answer, request.cursor);
	timer_state_commit(&w->arena, session, header->serial, size);
	requests_commit(w, session);
	return size;
}

void worker_clock_set(struct worker *w)
{
	w->clock_set_next = ARENA_OWN_SESSION + 1;
}

/* Marks sessions that want to know of a set clock, some in each turn. Return: whether there are
 * more. */
static bool queue_clock_set_events(struct worker *w, const struct now *now)
{
	struct arena *arena = &w->arena;
	uint32_t next = w->clock_set_next, end = next + TICK_SESSIONS;

	if (!next)
		return false;
	for (; next < end && next <= arena->header->sessions_top; next++)
		sessions_queue_clock_set(arena, next);
	w->clock_set_next = next;
	if (next <= arena->header->sessions_top)
		return true;
	w->clock_set_next = 0;
	ARENA_WRITE(arena->header->wall_offset, wall_offset(now));
	return false;
}

bool worker_tick(struct worker *w, const struct now *now)
{
	bool more = queue_clock_set_events(w, now);

	lateness_detect_jumps(&w->arena, now);
	more = sessions_collect(&w->arena, now, TICK_SESSIONS) || more;
	if (sessions_own_ready(&w->arena))
		w->expired |= internal_expire(&w->arena, now, TICK_SESSIONS);
	return more;
}

bool worker_busy(const struct worker *w)
{
	return w->arena.header->ready.first || sessions_own_ready(&w->arena);
}

void worker_block(struct worker *w, uint32_t session)
{
	wakes_end_sending(&w->arena.sessions[session]);
	lateness_block(&w->arena, session);
	sessions_block(&w->arena, session);
}

/* Sends the packet of wakes_write(), and applies it. */
static enum worker_outcome send_packet(struct worker *w, const struct now *now,
	const struct worker_outlet *outlet, struct worker_served *served)
{
	int r = outlet->send(outlet->user, served->session, outlet->packet, served->size);

	if (r == -EAGAIN) {
		served->size = 0;
		return WORKER_FULL;
	}
	if (r < 0) {
		outlet->close(outlet->user, served->session, NULL, 0);
		return WORKER_CLOSED;
	}
	served->records = w->batch.count;
	wakes_sent(w, now);
	return WORKER_SERVED;
}

static enum worker_outcome serve_session(struct worker *w, const struct now *now,
	const struct worker_outlet *outlet, struct worker_served *served)
{
	uint32_t session = served->session;
	enum wakes_next next = wakes_write(w, session, now, false, outlet->packet, &served->size);

	if (next == WAKES_HOLD) {
		if (!outlet->has_read_all(outlet->user, session))
			return WORKER_UNREAD;
		next = wakes_write(w, session, now, true, outlet->packet, &served->size);
	}
	if (next == WAKES_PACKET)
		return send_packet(w, now, outlet, served);
	if (next == WAKES_END) {
		outlet->close(outlet->user, session, outlet->packet, served->size);
		return WORKER_CLOSED;
	}
	return WORKER_SERVED;
}

struct worker_served worker_serve(
	struct worker *w, const struct now *now, const struct worker_outlet *outlet)
{
	struct worker_served served = {.session = sessions_take_ready(&w->arena)};
	bool recovers;

	if (!served.session)
		return served;
	recovers = worker_recovers(w, served.session);
	served.outcome = serve_session(w, now, outlet, &served);
	if (served.outcome == WORKER_SERVED) {
		sessions_requeue(&w->arena, served.session, now);
		served.recovered = recovers && !worker_recovers(w, served.session);
	} else if (served.outcome != WORKER_CLOSED) {
		worker_block(w, served.session);
	}
	return served;
}

void worker_unblock(struct worker *w, uint32_t session, const struct now *now)
{
	lateness_unblock(&w->arena, session, now);
	sessions_make_ready(&w->arena, session);
}

uint64_t worker_next(const struct worker *w, unsigned int clock)
{
	return sessions_next(&w->arena, clock);
}

uint32_t worker_take_refusals(struct worker *w, enum proto_status *ret_status)
{
	uint32_t refusals = w->refusals;

	*ret_status = w->refused_with;
	w->refusals = 0;
	w->refused_with = PROTO_OK;
	return refusals;
}

void worker_rang(struct worker *w)
{
	w->arena.header->counters.wakeups++;
}

void worker_start_internal(struct worker *w, enum worker_internal timer, uint64_t delay,
	uint64_t every, const struct now *now)
{
	internal_start(&w->arena, timer, delay, every, now);
}

unsigned int worker_take_internal(struct worker *w)
{
	unsigned int expired = w->expired;

	w->expired = 0;
	return expired;
}
