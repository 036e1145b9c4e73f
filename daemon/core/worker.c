/* SPDX-License-Identifier: MIT */
/*
 * The worker's life: sessions come and go, packets are handed to what handles them, time passes, and
 * wakes are put into packets.
 */
#include "worker.h"

#include <string.h>

#include "report.h"
#include "requests.h"

/* Sessions that one tick makes ready: the rest waits for the loop's next turn. */
#define TICK_SESSIONS 1024

/* Places of timers that are the daemon's own: a hello each, and a watchdog. */
#define OWN_TIMERS(limits) ((limits)->max_clients + 1)

/* The cookie of a timer of the daemon's own says what it is for: a session's number, or this. */
#define COOKIE_WATCHDOG 0

size_t worker_size(const struct limits *limits)
{
	return arena_size(limits->max_timers + OWN_TIMERS(limits), limits->max_clients);
}

void worker_init(
	struct worker *w, void *block, const struct worker_config *config, const struct now *now)
{
	const struct limits *limits = &config->limits;

	memset(w, 0, sizeof(*w));
	w->config = *config;
	w->started = now->at[PROTO_CLOCK_BOOTTIME];
	arena_init(&w->arena, block, limits->max_timers + OWN_TIMERS(limits), limits->max_clients);
	sessions_init(&w->arena);
}

size_t worker_error(void *packet, enum proto_status status, uint64_t serial, const char *text)
{
	struct proto_error error = {.status = status, .serial = serial};
	struct codec_writer writer;

	for (size_t i = 0; i < sizeof(error.text) && text[i]; i++)
		error.text[i] = text[i];
	codec_begin(&writer, packet, PROTO_ERROR, 0);
	codec_put(&writer, &error);
	return codec_end(&writer, 0);
}

const char *worker_status_text(enum proto_status status)
{
	switch (status) {
	case PROTO_E_CLIENTS:
		return "too many clients (--max-clients)";
	case PROTO_E_CLIENTS_USER:
		return "too many clients of this user (--max-clients-per-user)";
	case PROTO_E_DESCRIPTORS:
		return "timerd is out of file descriptors or memory";
	case PROTO_E_HELLO_TIMEOUT:
		return "no hello within 5 s";
	case PROTO_E_PASSED_DESCRIPTOR:
		return "a file descriptor came with a packet; timerd takes none";
	case PROTO_E_NOBODY:
		return "this uid is the overflow uid: it stands for every user that has no name here";
	default:
		return "protocol error";
	}
}

static uint32_t enroll_own(struct worker *w, const struct proto_register *r, const struct now *now)
{
	enum proto_status status;

	return requests_enroll(w, ARENA_OWN_SESSION, r, now, &status);
}

enum proto_status worker_connect(struct worker *w, uint32_t uid, uint32_t pid, const char *comm,
	const struct now *now, uint32_t *ret_session)
{
	struct proto_register hello = {
		.due = PROTO_HELLO_TIMEOUT_US,
		.slack = PROTO_HELLO_TIMEOUT_US / 4,
		.flags = PROTO_RELATIVE,
	};
	uint32_t user = 0, session;
	enum proto_status status = limits_take_client(&w->arena, &w->config.limits, uid, &user);

	if (status)
		return status;
	session = sessions_open(&w->arena, user, uid, pid, comm);
	if (!session) {
		limits_return_client(&w->arena, user, 0);
		return PROTO_E_CLIENTS;
	}
	hello.cookie = session;
	w->arena.sessions[session].hello_timer = enroll_own(w, &hello, now);
	*ret_session = session;
	return PROTO_OK;
}

static void drop_hello_timer(struct worker *w, struct session *s)
{
	if (s->hello_timer)
		requests_drop(w, s->hello_timer);
	s->hello_timer = 0;
}

void worker_disconnect(struct worker *w, uint32_t session)
{
	struct session *s = &w->arena.sessions[session];
	uint32_t user = s->user, held = s->held;

	drop_hello_timer(w, s);
	sessions_close(&w->arena, session);
	limits_return_client(&w->arena, user, held);
}

static enum proto_status greet(struct worker *w, struct session *s, const void *packet,
	const struct proto_header *header, struct codec_writer *answer)
{
	struct proto_hello_answer hello_answer = {
		.magic = PROTO_MAGIC,
		.version = PROTO_VERSION,
		.capabilities = w->config.can_wake_system ? PROTO_CAN_WAKE_SYSTEM : 0,
		.instance = w->config.instance,
		.pid = w->config.pid,
	};
	struct proto_hello hello;

	codec_get(packet, header, 0, &hello);
	if (hello.magic != PROTO_MAGIC || hello.reserved)
		return PROTO_E_PACKET;
	if (hello.version < PROTO_VERSION)
		return PROTO_E_VERSION;
	s->state = SESSION_OPEN;
	drop_hello_timer(w, s);
	codec_put(answer, &hello_answer);
	return PROTO_OK;
}

static void list(struct worker *w, uint32_t session, const void *packet,
	const struct proto_header *header, const struct now *now, struct codec_writer *answer,
	uint64_t *ret_cursor)
{
	struct proto_list request;
	bool all;

	codec_get(packet, header, 0, &request);
	all = request.flags & PROTO_LIST_ALL;
	if (request.flags & ~(uint32_t)PROTO_LIST_ALL || request.reserved)
		answer->header.status = PROTO_E_FLAGS;
	else if (all && w->arena.sessions[session].uid != 0)
		answer->header.status = PROTO_E_PERMISSION;
	else
		*ret_cursor = report_list(w, session, header->cursor, all, now, answer);
}

/* Applies an opened packet that comes at the right time. Return: PROTO_OK, or why the session ends. */
static enum proto_status apply(struct worker *w, uint32_t session, const void *packet,
	const struct proto_header *header, const struct now *now, struct codec_writer *answer,
	uint64_t *ret_cursor)
{
	struct proto_status_answer status_answer;

	switch (header->opcode) {
	case PROTO_HELLO:
		return greet(w, &w->arena.sessions[session], packet, header, answer);
	case PROTO_REGISTER:
		requests_register(w, session, packet, header, now, answer);
		return PROTO_OK;
	case PROTO_CANCEL:
		requests_cancel(w, session, packet, header, answer);
		return PROTO_OK;
	case PROTO_REARM:
		requests_rearm(w, session, packet, header, now, answer);
		return PROTO_OK;
	case PROTO_LIST:
		list(w, session, packet, header, now, answer, ret_cursor);
		return PROTO_OK;
	default: /* PROTO_STATUS: codec_open() lets no other through */
		report_status(w, now, &status_answer);
		codec_put(answer, &status_answer);
		return PROTO_OK;
	}
}

size_t worker_handle(struct worker *w, uint32_t session, const void *packet, size_t size,
	const struct now *now, void *answer, bool *ret_end)
{
	struct session *s = &w->arena.sessions[session];
	struct proto_header header = {0};
	struct codec_writer writer;
	uint64_t cursor = 0;
	enum codec_fault fault = codec_open(packet, size, CODEC_FROM_CLIENT, &header);
	enum proto_status status;

	*ret_end = true;
	if (fault)
		return worker_error(answer, PROTO_E_PACKET, 0, codec_fault_text(fault));
	if (s->state == SESSION_NEW && header.opcode != PROTO_HELLO)
		return worker_error(answer, PROTO_E_SEQUENCE, header.serial,
			"opcode: a hello has to come first");
	if (s->state == SESSION_OPEN && header.opcode == PROTO_HELLO)
		return worker_error(answer, PROTO_E_SEQUENCE, header.serial,
			"opcode: there was a hello already");
	if (header.serial <= s->serial)
		return worker_error(answer, PROTO_E_SEQUENCE, header.serial,
			"serial: not above that of the request before");
	s->serial = header.serial;

	codec_begin(&writer, answer, header.opcode | PROTO_ANSWER, header.serial);
	status = apply(w, session, packet, &header, now, &writer, &cursor);
	if (status == PROTO_E_VERSION)
		return worker_error(
			answer, status, header.serial, "version: this timerd speaks version 1");
	if (status)
		return worker_error(answer, status, header.serial,
			"hello: magic is not that of timerd, or reserved is not 0");
	*ret_end = false;
	return codec_end(&writer, cursor);
}

bool worker_tick(struct worker *w, const struct now *now)
{
	return sessions_collect(&w->arena, now, TICK_SESSIONS) || w->arena.header->ready_first;
}

/* A timer of the daemon's own is due. */
static void own_fired(struct worker *w, uint32_t timer, const struct now *now)
{
	uint64_t cookie = w->arena.timers[timer].cookie;

	if (cookie == COOKIE_WATCHDOG) {
		w->watchdog_due = true;
		sessions_withdraw(&w->arena, timer);
		timers_advance(&w->arena, timer, now->at[PROTO_CLOCK_MONOTONIC]);
		sessions_enroll(&w->arena, timer);
		return;
	}
	requests_drop(w, timer);
	w->arena.sessions[cookie].hello_timer = 0;
	w->arena.sessions[cookie].fault = PROTO_E_HELLO_TIMEOUT;
	sessions_make_ready(&w->arena, (uint32_t)cookie);
}

static void serve_own(struct worker *w, const struct now *now)
{
	const struct rbtree *tree = &w->arena.sessions[ARENA_OWN_SESSION]
					     .timers[CLOCK_OF_MONOTONIC];

	for (unsigned int i = 0; i < TICK_SESSIONS && tree->first; i++) {
		if (w->arena.nodes[tree->first].due > now->at[PROTO_CLOCK_MONOTONIC])
			break;
		own_fired(w, tree->first, now);
	}
	worker_settle(w, ARENA_OWN_SESSION, now, false);
}

uint32_t worker_ready(struct worker *w, const struct now *now)
{
	uint32_t session = sessions_take_ready(&w->arena);

	if (session != ARENA_OWN_SESSION)
		return session;
	serve_own(w, now);
	session = sessions_take_ready(&w->arena);
	if (session != ARENA_OWN_SESSION)
		return session;
	/* More of its own than one slice: the loop's next turn goes on with it. */
	sessions_make_ready(&w->arena, ARENA_OWN_SESSION);
	return 0;
}

/* Cancellations by others go first: what is gone has to be known before what comes next. */
static void write_cancelled(struct worker *w, struct session *s, struct codec_writer *writer)
{
	struct arena *arena = &w->arena;
	uint32_t timer;

	for (timer = s->told_first; timer && !codec_full(writer);
		timer = arena->nodes[timer].child[0]) {
		struct proto_cancelled cancelled = {
			.cookie = arena->timers[timer].cookie,
			.id = timers_id(arena, timer),
		};

		codec_put(writer, &cancelled);
		w->batch.timers[w->batch.count++] = timer;
	}
}

static uint64_t lateness(const struct arena *arena, uint32_t timer, uint64_t at)
{
	/* The clock may have been set back since the timer was found due. */
	return at > arena->nodes[timer].due ? at - arena->nodes[timer].due : 0;
}

static void write_wake(struct worker *w, uint32_t timer, uint64_t at, struct codec_writer *writer)
{
	const struct arena *arena = &w->arena;
	const struct timer *t = &arena->timers[timer];
	struct proto_wake wake = {
		.cookie = t->cookie,
		.id = timers_id(arena, timer),
		.due = arena->nodes[timer].due,
		.late = lateness(arena, timer, at),
		.overruns = timers_overruns(arena, timer, at),
		.number = t->fired + 1,
		.flags = timers_last(arena, timer, at) ? PROTO_WAKE_LAST : 0,
	};

	codec_put(writer, &wake);
	w->batch.timers[w->batch.count++] = timer;
}

/* Return: whether a timer had to be passed over because its client may not have read its last wake. */
static bool write_wakes(struct worker *w, const struct session *s, const struct now *now,
	bool drained, struct codec_writer *writer)
{
	const struct arena *arena = &w->arena;

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint32_t timer = s->timers[clock].first;
		uint64_t at = timers_now(now, clock);

		for (; timer && arena->nodes[timer].due <= at;
			timer = rbtree_next(arena->nodes, timer)) {
			if (codec_full(writer))
				return false;
			if (!drained && arena->timers[timer].fired)
				return true;
			write_wake(w, timer, at, writer);
		}
	}
	return false;
}

enum worker_send worker_wakes(struct worker *w, uint32_t session, const struct now *now,
	bool drained, void *packet, size_t *ret_size)
{
	struct session *s = &w->arena.sessions[session];
	struct codec_writer writer;
	bool held = false;

	if (s->fault) {
		*ret_size = worker_error(packet, s->fault, 0, worker_status_text(s->fault));
		return WORKER_END;
	}
	w->batch.session = session;
	w->batch.count = 0;
	w->batch.opcode = s->told_first ? PROTO_CANCELLED : PROTO_WAKE;
	codec_begin(&writer, packet, w->batch.opcode, 0);
	if (s->told_first)
		write_cancelled(w, s, &writer);
	else
		held = write_wakes(w, s, now, drained, &writer);
	if (!w->batch.count)
		return held ? WORKER_HOLD : WORKER_NOTHING;
	*ret_size = codec_end(&writer, 0);
	return WORKER_PACKET;
}

static void told(struct worker *w, struct session *s, uint32_t timer)
{
	s->told_first = w->arena.nodes[timer].child[0];
	if (!s->told_first)
		s->told_last = 0;
	arena_free_timer(&w->arena, timer);
	s->held--;
	limits_return_timer(&w->arena, s->user);
}

static void woken(struct worker *w, uint32_t timer, const struct now *now)
{
	struct arena *arena = &w->arena;
	uint64_t at = timers_now(now, timers_clock(arena, timer));
	bool last = timers_last(arena, timer, at);

	report_late(&arena->header->counters, lateness(arena, timer, at));
	arena->header->counters.woken++;
	if (last) {
		requests_drop(w, timer);
		return;
	}
	sessions_withdraw(arena, timer);
	timers_advance(arena, timer, at);
	sessions_enroll(arena, timer);
}

void worker_wakes_sent(struct worker *w, const struct now *now)
{
	struct worker_batch *batch = &w->batch;

	for (uint32_t i = 0; i < batch->count; i++) {
		if (batch->opcode == PROTO_CANCELLED)
			told(w, &w->arena.sessions[batch->session], batch->timers[i]);
		else
			woken(w, batch->timers[i], now);
	}
	batch->count = 0;
}

void worker_settle(struct worker *w, uint32_t session, const struct now *now, bool blocked)
{
	if (blocked)
		sessions_block(&w->arena, session);
	else if (sessions_due(&w->arena, session, now))
		sessions_make_ready(&w->arena, session);
	else
		sessions_watch(&w->arena, session);
}

void worker_unblock(struct worker *w, uint32_t session)
{
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

void worker_start_watchdog(struct worker *w, uint64_t every, const struct now *now)
{
	struct proto_register watchdog = {
		.cookie = COOKIE_WATCHDOG,
		.due = every,
		.slack = every / 4,
		.every = every,
		.flags = PROTO_RELATIVE,
	};

	enroll_own(w, &watchdog, now);
}

bool worker_take_watchdog(struct worker *w)
{
	bool due = w->watchdog_due;

	w->watchdog_due = false;
	return due;
}
