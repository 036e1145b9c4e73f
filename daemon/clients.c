/* SPDX-License-Identifier: MIT */
/*
 * The table of connections: how it begins, what of it goes into systemd's keeping and comes back
 * from there, and how it ends.
 */
#include "clients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Uids that have no name in this user namespace all look like this one (user_namespaces(7)). */
static uint32_t read_overflow_uid(void)
{
	uint32_t uid = 65534;
	FILE *f = fopen("/proc/sys/kernel/overflowuid", "re");

	if (f && fscanf(f, "%u", &uid) != 1)
		uid = 65534;
	if (f)
		fclose(f);
	return uid;
}

/* Whether this kernel has no user namespaces: /proc is there and knows of none. Without /proc, that
 * is not known. */
static bool no_user_namespaces(int error)
{
	FILE *f = error == ENOENT ? fopen("/proc/self/status", "re") : NULL;

	if (f)
		fclose(f);
	return f;
}

/* Whether every uid has its own name here, as outside of any user namespace: one line, 0 0 2^32 -
 * 1. Where that cannot be found out, the answer is no: the overflow uid is refused. */
static bool all_uids_named(void)
{
	unsigned long inside = 1, outside = 1, count = 0;
	FILE *f = fopen("/proc/self/uid_map", "re");
	int n;

	if (!f)
		return no_user_namespaces(errno);
	n = fscanf(f, "%lu %lu %lu", &inside, &outside, &count);
	fclose(f);
	return n == 3 && inside == 0 && outside == 0 && count == UINT32_MAX;
}

int clients_init(struct clients *clients, struct worker *worker, struct log *log,
	struct store *store, int epoll, uint64_t data)
{
	uint32_t count = worker->arena.header->max_clients + 2;

	*clients = (struct clients){
		.worker = worker,
		.log = log,
		.store = store,
		.epoll = epoll,
		.data = data,
		.of = calloc(count, sizeof(struct client)),
		.turns_of = calloc(count, sizeof(struct turns_user)),
		.count = count,
		.in = malloc(PROTO_PACKET_MAX),
		.out = malloc(PROTO_PACKET_MAX),
		.overflow_uid_is_nobody = !all_uids_named(),
		.overflow_uid = read_overflow_uid(),
	};
	return clients->of && clients->turns_of && clients->in && clients->out ? 0 : -ENOMEM;
}

uint32_t clients_turn(struct clients *clients, const struct now *now)
{
	struct turns turns = client_turns(clients);
	uint32_t session = turns_take(&turns);

	return session ? client_turn(clients, session, now) : 0;
}

/* Sessions that are looked at in one call. */
#define CUT_SLICE 1024

bool clients_cut(struct clients *clients)
{
	const struct arena *arena = &clients->worker->arena;

	for (int i = 0; clients->cutting && i < CUT_SLICE; i++) {
		uint32_t session = clients->cut_next++;

		clients->cutting = session < arena->header->sessions_top;
		if (session <= arena->header->sessions_top && clients->of[session].fd &&
			meter_is_out(&clients->meter, arena->sessions[session].uid)) {
			client_close(clients, session);
			break;
		}
	}
	return clients->cutting;
}

void client_queue(struct clients *clients, uint32_t session)
{
	struct client *client = &clients->of[session];

	if (client->queued)
		return;
	client->queued = true;
	client->queue_next = 0;
	*(clients->queue_last ? &clients->of[clients->queue_last].queue_next
			      : &clients->queue_first) = session;
	clients->queue_last = session;
}

/* A session that has got its first timer is to be stored, if it still has one in a while. */
void clients_note(struct clients *clients, uint32_t session, const struct now *now)
{
	struct client *client = &clients->of[session];

	if (!clients->store->open || client->stored || client->queued_at != UINT64_MAX ||
		!clients->worker->arena.sessions[session].held)
		return;
	client->queued_at = now->at[PROTO_CLOCK_MONOTONIC];
	client_queue(clients, session);
}

void clients_tend(struct clients *clients, const struct now *now)
{
	if (!clients->queue_first || clients->queue_runs)
		return;
	worker_start_chore(clients->worker, WORKER_STORE, STORE_AFTER_US, 0, now);
	clients->queue_runs = true;
}

static bool is_worth_storing(const struct clients *clients, uint32_t session)
{
	const struct client *client = &clients->of[session];

	return client->fd && client->queued_at != UINT64_MAX &&
		clients->worker->arena.sessions[session].held;
}

/* Takes the head of the queue off, unless its session has not had a timer for long enough at `at`.
 * Return: the session; 0: none. */
static uint32_t take_queued(struct clients *clients, uint64_t at)
{
	uint32_t session = clients->queue_first;
	struct client *client = &clients->of[session];

	if (!session ||
		(is_worth_storing(clients, session) && client->queued_at + STORE_AFTER_US > at))
		return 0;
	clients->queue_first = client->queue_next;
	if (!clients->queue_first)
		clients->queue_last = 0;
	client->queued = false;
	return session;
}

/* Has systemd give up what is left under the session's number, and keep what there is now.
 * Return: how many messages that took; -EAGAIN: it has no room for one, and the number stays
 * queued. */
static int store_session(struct clients *clients, uint32_t session, int patience_ms)
{
	struct client *client = &clients->of[session];
	struct store *store = clients->store;
	int messages = client->left;
	bool told = !client->left || store_remove(store, session, patience_ms);

	client->left = !told;
	if (told && is_worth_storing(clients, session) && store->sessions < STORE_SESSIONS_MAX) {
		told = client->stored = store_put(store, session, client->fd, patience_ms);
		messages++;
	}
	if (!told) {
		client_queue(clients, session);
		return -EAGAIN;
	}
	client->queued_at = UINT64_MAX;
	return messages;
}

void clients_store(struct clients *clients, const struct now *now)
{
	uint64_t at = now->at[PROTO_CLOCK_MONOTONIC];
	uint32_t session;
	int r = 0;

	for (int said = 0; said < STORE_SLICE && r >= 0; said += r) {
		session = take_queued(clients, at);
		if (!session)
			break;
		r = store_session(clients, session, 0);
	}
	clients->queue_runs = clients->queue_first;
	if (clients->queue_runs)
		worker_start_chore(clients->worker, WORKER_STORE,
			STORE_EVERY_US(clients->store->sessions), 0, now);
}

void clients_close(struct clients *clients)
{
	struct proto_going_away going = {.reason = PROTO_STOPPING};
	struct codec_writer writer;
	size_t size = 0;
	uint32_t session;

	if (clients->of && clients->out) {
		codec_begin(&writer, clients->out, PROTO_GOING_AWAY, 0);
		codec_put(&writer, &going, sizeof(going));
		size = codec_end(&writer, 0);
		/* If this is a restart, whoever is stored will not notice. */
		while ((session = take_queued(clients, UINT64_MAX)) &&
			store_session(clients, session, STORE_PATIENCE_MS) >= 0)
			;
		store_flush(clients->store);
	}
	for (uint32_t i = 0; size && i < clients->count; i++) {
		if (!clients->of[i].fd)
			continue;
		if (!clients->of[i].stored)
			client_send_packet(clients->of[i].fd, clients->out, size);
		close(clients->of[i].fd);
	}
	free(clients->of);
	free(clients->turns_of);
	free(clients->in);
	free(clients->out);
	*clients = (struct clients){0};
}

/* Whether the connection is the session's: the very socket, not only the name. */
static bool belongs(const struct clients *clients, const struct store_left *left)
{
	const struct arena *arena = &clients->worker->arena;
	uint64_t cookie = client_socket_cookie(left->fd);
	const struct session *s;

	if (left->session <= ARENA_OWN_SESSION || left->session > arena->header->sessions_top)
		return false;
	s = &arena->sessions[left->session];
	return s->state == SESSION_OPEN && cookie && s->socket == cookie &&
		!clients->of[left->session].fd;
}

/* Ends a connection that nobody will serve: for its client at once, whatever becomes of systemd's
 * hold of it. */
static void drop_left(struct store *store, struct store_left *left)
{
	store_remove(store, left->session, STORE_PATIENCE_MS);
	shutdown(left->fd, SHUT_RDWR);
	close(left->fd);
	left->fd = -1;
}

static void send_left_answer(struct clients *clients)
{
	const void *answer;
	uint32_t session;
	size_t size = worker_left_answer(clients->worker, &session, &answer);
	int r = 0;

	if (!size)
		return;
	if (clients->of[session].fd)
		r = client_send(clients, session, answer, size);
	/* There was room for it when its request was read: what fills the socket now is this very
	 * answer, sent before. And who has gone is found gone in its turn. */
	if (r < 0 && r != -EAGAIN && r != -EPIPE && r != -ECONNRESET)
		client_close(clients, session);
	worker_answered(clients->worker);
}

/* For the log of level debug. */
static void tell_adoption(const struct clients *clients, uint32_t session)
{
	const struct session *s = &clients->worker->arena.sessions[session];
	struct log_about about = {s->uid, s->pid, NULL};

	log_debug(clients->log, &about,
		clients->of[session].fd ? "client %u is adopted, with %u timers"
					: "client %u was left without a connection, with %u timers",
		session, s->held);
}

void clients_adopt(struct clients *clients)
{
	struct arena_header *h = clients->worker->arena.header;
	struct store *store = clients->store;
	uint64_t dropped = clients->worker->dropped;

	for (size_t i = 0; i < store->left_count; i++) {
		struct store_left *left = &store->left[i];

		if (!belongs(clients, left)) {
			drop_left(store, left);
			continue;
		}
		client_open(clients, left->session, left->fd);
		client_forbid_descriptors(left->fd);
		clients->of[left->session].stored = true;
		client_ask_unread(&clients->of[left->session]);
		left->fd = -1;
	}
	send_left_answer(clients);
	for (uint32_t session = ARENA_OWN_SESSION + 1; session <= h->sessions_top; session++) {
		if (clients->worker->arena.sessions[session].state == SESSION_FREE)
			continue;
		tell_adoption(clients, session);
		if (!clients->of[session].fd)
			worker_disconnect(clients->worker, session);
		else if (client_watch(clients, session, EPOLL_CTL_ADD) < 0)
			client_close(clients, session);
		else
			worker_resume(clients->worker, session);
	}
	log_print(clients->log, dropped ? LOG_WARNING : LOG_INFO,
		"went on with %u sessions and %u timers; %llu records were damaged and dropped",
		h->clients, h->timers, (unsigned long long)dropped);
}

void clients_turn_away(struct clients *clients)
{
	struct proto_going_away going = {.reason = PROTO_LAYOUT};
	struct store *store = clients->store;
	struct codec_writer writer;
	size_t size;

	codec_begin(&writer, clients->out, PROTO_GOING_AWAY, 0);
	codec_put(&writer, &going, sizeof(going));
	size = codec_end(&writer, 0);
	for (size_t i = 0; i < store->left_count; i++) {
		client_send_packet(store->left[i].fd, clients->out, size);
		drop_left(store, &store->left[i]);
	}
}
