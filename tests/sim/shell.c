/* SPDX-License-Identifier: MIT */
/*
 * The process of the daemon around the worker: it does what the daemon's loop and clients do, with
 * queues in place of sockets. The model sees everything that passes.
 */
#include <errno.h>
#include <string.h>

#include "errors.h"
#include "wakes.h"

#include "world.h"

/* An answer has room while fewer packets than this are unread. As in the kernel, a packet that was
 * accepted stays. */
#define ROOM 3

#define INTERNAL_US UINT64_C(10000000)

static void require(const struct world *w, const char *fault)
{
	if (fault)
		world_fail(w, fault);
}

static struct socket *socket_of(struct world *w, uint32_t session)
{
	for (uint32_t i = 0; i < WORLD_SOCKETS_MAX; i++)
		if (w->sockets[i].daemon_open && w->sockets[i].accepted &&
			w->sockets[i].session == session)
			return &w->sockets[i];
	world_fail(w, "a session without a connection is served");
}

static void errand_begin(
	struct world *w, enum errand errand, uint32_t session, struct packet *packet)
{
	w->errand = (struct errand_at){.errand = errand, .session = session, .packet = packet};
}

static void errand_end(struct world *w)
{
	packet_unref(w->errand.packet);
	w->errand = (struct errand_at){0};
}

/* The session that worker_serve() will serve; 0: none. */
static uint32_t next_session(const struct world *w)
{
	const struct arena *arena = &w->worker->arena;
	uint32_t user = arena->header->ready.first;

	return user ? arena->users[user].ready.sessions.first : 0;
}

static void start_internal(struct world *w)
{
	uint64_t at = w->now.at[PROTO_CLOCK_MONOTONIC];

	worker_start_internal(w->worker, WORKER_WATCHDOG, INTERNAL_US, INTERNAL_US, &w->now);
	w->model.internal_every = INTERNAL_US;
	w->model.internal_due = at + INTERNAL_US;
	w->model.internal_latest = at + INTERNAL_US + INTERNAL_US / 4;
}

void shell_start(struct world *w)
{
	worker_init(w->worker, w->block, &w->config, &w->now);
	start_internal(w);
}

/* Ends the session and closes its connection. Packets that are in the connection stay. */
static void close_session(struct world *w, struct socket *socket)
{
	uint32_t session = socket->session;

	socket->stored = false;
	world_point(w);
	worker_disconnect(w->worker, session);
	model_close(&w->model, session);
	socket->daemon_open = false;
	queue_clear(&socket->up);
	world_point(w);
}

/* Return: false if the socket has no room, or the client has gone (ret_gone). */
static bool socket_send(struct socket *socket, struct packet *packet, bool *ret_gone)
{
	*ret_gone = !socket->client_open;
	return socket->client_open && queue_push(&socket->down, packet);
}

/* Until its client has read, the worker does not serve the session. */
static void note_blocked(struct world *w, struct socket *socket, bool drain, enum event why)
{
	world_happened(w, why);
	socket->blocked = true;
	socket->drain = drain;
	model_block(&w->model, socket->session);
}

static void accept_socket(struct world *w, struct socket *socket)
{
	struct peer peer = {socket->uid, socket->pid, socket->cookie, MODEL_COMM, {0}};
	enum proto_status expected = model_connect(&w->model, socket->uid), status;
	uint32_t session = 0;
	bool gone;

	socket->accepted = true;
	status = worker_connect(w->worker, &peer, &w->now, &session);
	if (status != expected)
		world_fail(w, "a connection was taken or refused wrongly");
	if (status) {
		uint8_t bytes[256];
		struct packet *packet = packet_new(
			bytes, errors_write(bytes, status, 0, errors_text(status)));

		socket_send(socket, packet, &gone);
		packet_unref(packet);
		socket->daemon_open = false;
		queue_clear(&socket->up);
		return;
	}
	socket->session = session;
	model_open(&w->model, session, socket->uid, socket->pid, &w->now);
}

static void end_session(struct world *w, struct socket *socket, const void *bytes, size_t size)
{
	struct packet *packet = packet_new(bytes, size);
	bool gone;

	socket_send(socket, packet, &gone);
	packet_unref(packet);
	close_session(w, socket);
}

/* From here on the errand owns the packet. */
static void handle(struct world *w, struct socket *socket, struct packet *packet)
{
	uint32_t session = socket->session;
	const void *bytes;
	struct packet *answer;
	size_t size;
	bool end, gone;

	errand_begin(w, ERRAND_REQUEST, session, packet);
	size = worker_handle(
		w->worker, session, packet->bytes, packet->size, &w->now, &bytes, &end);
	require(w,
		model_request(&w->model, session, packet->bytes, packet->size, &w->now,
			&(struct model_answer){bytes, size, end}));
	errand_end(w);
	w->counts.requests++;
	world_point(w);
	if (end) {
		end_session(w, socket, bytes, size);
		return;
	}
	if (!size)
		return;
	answer = packet_new(bytes, size);
	if (!socket_send(socket, answer, &gone) && !gone)
		world_fail(w, "there was no room for an answer");
	packet_unref(answer);
	world_point(w);
	worker_answered(w->worker);
}

static void read_socket(struct world *w, struct socket *socket)
{
	struct packet *packet;

	if (socket->down.count >= ROOM) {
		worker_block(w->worker, socket->session);
		note_blocked(w, socket, false, EVENT_BLOCKED);
		return;
	}
	packet = queue_pop(&socket->up);
	if (packet)
		handle(w, socket, packet);
	else if (!socket->client_open)
		close_session(w, socket);
}

static bool may_unblock(const struct socket *socket)
{
	return socket->drain ? !socket->down.count : socket->down.count < ROOM;
}

static void event(struct world *w, struct socket *socket)
{
	if (!socket->daemon_open)
		return;
	if (!socket->accepted) {
		accept_socket(w, socket);
		return;
	}
	if (!socket->blocked) {
		if (!worker_recovers(w->worker, socket->session))
			read_socket(w, socket);
		return;
	}
	if (!socket->client_open) {
		close_session(w, socket);
		return;
	}
	if (!may_unblock(socket))
		return;
	socket->blocked = false;
	world_happened(w, EVENT_UNBLOCKED);
	worker_unblock(w->worker, socket->session, &w->now);
	model_unblock(&w->model, socket->session, &w->now);
}

/* Asks the model whether this packet is the right one for the session. */
static void check_wakes(
	struct world *w, uint32_t session, enum wakes_next next, const void *bytes, size_t size)
{
	require(w,
		model_wakes(&w->model, session, &w->now, w->errand.drained, next, bytes, size,
			&w->errand.made));
}

static int outlet_send(void *user, uint32_t session, const void *bytes, size_t size)
{
	struct world *w = user;
	struct socket *socket = socket_of(w, session);
	bool gone;

	check_wakes(w, session, WAKES_PACKET, bytes, size);
	w->errand.packet = packet_new(bytes, size);
	world_point(w);
	w->errand.sent = socket_send(socket, w->errand.packet, &gone);
	world_point(w);
	if (gone)
		return -EPIPE;
	return w->errand.sent ? 0 : -EAGAIN;
}

static bool outlet_has_read_all(void *user, uint32_t session)
{
	struct world *w = user;

	check_wakes(w, session, WAKES_HOLD, NULL, 0);
	w->errand.drained = !socket_of(w, session)->down.count;
	return w->errand.drained;
}

static void outlet_close(void *user, uint32_t session, const void *bytes, size_t size)
{
	struct world *w = user;
	struct socket *socket = socket_of(w, session);

	if (!size) {
		close_session(w, socket);
		return;
	}
	check_wakes(w, session, WAKES_END, bytes, size);
	end_session(w, socket, bytes, size);
}

static void shown_served(struct world *w, const struct worker_served *served)
{
	const struct packet *packet = w->errand.packet;

	if (served->outcome == WORKER_CLOSED)
		return;
	if (served->outcome != WORKER_SERVED) {
		bool drain = served->outcome == WORKER_UNREAD;

		note_blocked(
			w, socket_of(w, served->session), drain, drain ? EVENT_HELD : EVENT_FULL);
	} else if (packet) {
		model_sent(&w->model, served->session, packet->bytes, packet->size, &w->errand.made,
			&w->now);
	} else {
		check_wakes(w, served->session, WAKES_NOTHING, NULL, 0);
	}
}

/* Return: whether a session waited to be served. */
static bool serve_session(struct world *w)
{
	_Alignas(8) uint8_t bytes[PROTO_PACKET_MAX];
	const struct worker_outlet outlet = {
		.user = w,
		.packet = bytes,
		.send = outlet_send,
		.has_read_all = outlet_has_read_all,
		.close = outlet_close,
	};
	struct worker_served served;

	/* worker_serve() serves the first session of the first user. */
	errand_begin(w, ERRAND_SERVE, next_session(w), NULL);
	served = worker_serve(w->worker, &w->now, &outlet);
	if (served.session != w->errand.session)
		world_fail(w, "another session was served than that whose turn it was");
	if (served.session)
		shown_served(w, &served);
	errand_end(w);
	return served.session;
}

static void serve(struct world *w, uint32_t packets)
{
	bool more;

	if (w->clock_set) {
		worker_clock_set(w->worker);
		model_clock_set(&w->model);
		w->clock_set = false;
	}
	more = worker_tick(w->worker, &w->now);
	model_look(&w->model, &w->now);
	while (packets-- && serve_session(w))
		;
	if (worker_take_internal(w->worker) & WORKER_WATCHDOG)
		model_internal(&w->model, &w->now);
	w->more = more || worker_busy(w->worker);
}

/* The daemon sleeps: no work may remain, and the alarms must be right. */
static void check_asleep(struct world *w)
{
	bool blocked[MODEL_SESSIONS_MAX] = {0};

	for (uint32_t i = 0; i < WORLD_SOCKETS_MAX; i++) {
		const struct socket *socket = &w->sockets[i];
		bool linked = socket->daemon_open && socket->accepted;

		if (linked && socket->blocked)
			blocked[socket->session] = true;
		else if (linked && model_due(&w->model, socket->session, &w->now))
			world_fail(w, "the daemon sleeps over what is due");
		else if (linked && worker_recovers(w->worker, socket->session))
			world_fail(w, "the daemon sleeps and a session is not read from");
	}
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		if (worker_next(w->worker, clock) != model_next(&w->model, clock, blocked))
			world_fail(w, "an alarm is set wrongly");
}

/* systemd stores a connection some time after its session has got a timer. */
static void store_some(struct world *w, struct dice *dice)
{
	for (uint32_t i = 0; i < WORLD_SOCKETS_MAX; i++) {
		struct socket *socket = &w->sockets[i];

		if (socket->daemon_open && socket->session && !socket->stored &&
			w->worker->arena.sessions[socket->session].held && dice_once_in(dice, 2))
			socket->stored = true;
	}
}

bool shell_has_work(const struct world *w)
{
	bool work = w->more;

	for (uint32_t i = 0; i < WORLD_SOCKETS_MAX; i++) {
		const struct socket *socket = &w->sockets[i];

		if (!socket->daemon_open)
			continue;
		work |= !socket->accepted || !socket->client_open;
		work |= socket->blocked ? may_unblock(socket) : socket->up.count > 0;
	}
	return work;
}

void shell_turn(struct world *w, struct dice *dice)
{
	uint32_t n = 2 * w->clients_count, start = (uint32_t)dice_below(dice, n);
	bool all = dice_once_in(dice, 3);

	for (uint32_t i = 0; i < n; i++)
		if (all || dice_below(dice, 4))
			event(w, &w->sockets[(start + i) % n]);
	store_some(w, dice);
	serve(w, all ? 64 : 1 + (uint32_t)dice_below(dice, 4));
	if (!w->more)
		check_asleep(w);
}

/* Tells the model the result of the work that the kill interrupted. */
static void reconcile(struct world *w)
{
	struct errand_at *errand = &w->errand;
	const struct session *s = &w->worker->arena.sessions[errand->session];
	struct model_session *m = &w->model.sessions[errand->session];
	struct proto_header header;
	const void *answer = NULL;
	uint32_t session = 0;
	size_t size;

	if (errand->errand == ERRAND_SERVE && errand->packet && errand->sent && m->greeted)
		model_sent_in_part(&w->model, &w->worker->arena, errand->session,
			errand->packet->bytes, errand->packet->size, &errand->made, &w->now);
	if (errand->errand == ERRAND_SERVE) {
		m->again = sessions_send_again(s);
		memcpy(m->sent_at.at, s->sent_at, sizeof(s->sent_at));
	}
	/* This change stays even if the packet is undone. */
	if (errand->errand == ERRAND_REQUEST && m->greeted && s->wants_clock_set)
		m->wants_clock_set = true;
	if (errand->errand == ERRAND_REQUEST && m->greeted && s->state == SESSION_OPEN)
		world_happened(w, s->serial == m->serial ? EVENT_TAKEN_BACK : EVENT_COMMITTED);
	if (errand->errand != ERRAND_REQUEST || !m->greeted || s->state != SESSION_OPEN ||
		codec_open(errand->packet->bytes, errand->packet->size, CODEC_FROM_CLIENT,
			&header) != CODEC_OK ||
		s->serial != header.serial || m->serial == header.serial)
		return;
	size = worker_unsent_answer(w->worker, &session, &answer);
	if (!size || session != errand->session)
		world_fail(w, "a packet was committed, and there is no answer");
	require(w,
		model_request(&w->model, session, errand->packet->bytes, errand->packet->size,
			&w->now, &(struct model_answer){answer, size, false}));
}

/* Checks that a session whose sending was not interrupted does not send again. */
static void check_again(struct world *w)
{
	for (uint32_t i = ARENA_OWN_SESSION + 1; i < MODEL_SESSIONS_MAX; i++) {
		const struct model_session *m = &w->model.sessions[i];
		const struct session *s = &w->worker->arena.sessions[i];

		if (m->open && m->greeted && sessions_send_again(s) != m->again)
			world_fail(w, "a session sends again what it did not, or does not");
	}
}

static void send_left_answer(struct world *w)
{
	const void *bytes;
	uint32_t session;
	size_t size = worker_unsent_answer(w->worker, &session, &bytes);
	struct packet *packet;
	bool gone;

	if (!size)
		return;
	world_happened(w, EVENT_LEFT_ANSWER);
	packet = packet_new(bytes, size);
	/* The answer had room before. If the socket is full, it is this answer that fills it. */
	for (uint32_t i = 0; i < WORLD_SOCKETS_MAX; i++)
		if (w->sockets[i].daemon_open && w->sockets[i].session == session)
			socket_send(&w->sockets[i], packet, &gone);
	packet_unref(packet);
	world_point(w);
	worker_answered(w->worker);
}

/* The kernel closes a killed process's descriptors, except those that systemd stores. */
static void close_unstored(struct world *w)
{
	for (uint32_t i = 0; i < WORLD_SOCKETS_MAX; i++) {
		struct socket *socket = &w->sockets[i];

		socket->blocked = false;
		if (!socket->daemon_open || !socket->accepted || socket->stored)
			continue;
		world_happened(w, EVENT_UNSTORED);
		if (socket->session)
			model_close(&w->model, socket->session);
		socket->daemon_open = false;
		queue_clear(&socket->up);
	}
}

static bool has_socket(const struct world *w, uint32_t session)
{
	for (uint32_t i = 0; i < WORLD_SOCKETS_MAX; i++)
		if (w->sockets[i].daemon_open && w->sockets[i].accepted &&
			w->sockets[i].session == session &&
			w->sockets[i].cookie == w->worker->arena.sessions[session].socket)
			return true;
	return false;
}

static uint64_t records_in_hand(const struct world *w)
{
	struct proto_header header = {0};

	if (w->errand.packet && w->errand.packet->size >= sizeof(header))
		memcpy(&header, w->errand.packet->bytes, sizeof(header));
	return header.count;
}

void shell_adopt(struct world *w)
{
	if (!worker_adopt(w->worker, w->block, &w->config, &w->now))
		world_fail(w, "the arena was not adopted");
	if (w->worker->dropped)
		world_fail(w, "a record was dropped as damaged");
	reconcile(w);
	require(w,
		model_recount(&w->model, &w->worker->arena.header->counters, records_in_hand(w),
			w->adoptions));
	w->adoptions = 0;
	errand_end(w);
	check_again(w);
	model_adopted(&w->model, &w->now);
	close_unstored(w);
	send_left_answer(w);
	for (uint32_t session = ARENA_OWN_SESSION + 1;
		session <= w->worker->arena.header->sessions_top; session++) {
		if (w->worker->arena.sessions[session].state == SESSION_FREE)
			continue;
		if (!has_socket(w, session)) {
			worker_disconnect(w->worker, session);
			continue;
		}
		world_happened(w, EVENT_RESUMED);
		model_resumed(&w->model, session);
		worker_resume(w->worker, session);
	}
	worker_adopted(w->worker);
	start_internal(w);
	w->more = true;
}
