/* SPDX-License-Identifier: MIT */
/*
 * Opens, adopts and closes the table of connections.
 */
#include "clients.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_parts.h"
#include "seqpacket.h"

int clients_init(struct clients *clients, struct worker *worker, struct log *log,
	const struct config *config, struct fdstore *store, int epoll, uint64_t epoll_data)
{
	int r;
	uint32_t count = worker->arena.header->max_clients + 2;

	*clients = (struct clients){
		.worker = worker,
		.log = log,
		.epoll = epoll,
		.epoll_data = epoll_data,
		.by_session = calloc(count, sizeof(struct client)),
		.turns_by_user = calloc(count, sizeof(struct turns_user)),
		.count = count,
		.in = malloc(PROTO_PACKET_MAX),
		.out = malloc(PROTO_PACKET_MAX),
		.peer_rules = peer_read_rules(),
		.config = config,
		.relimit_next = UINT32_MAX,
		.gids = calloc(PEER_GROUPS_MAX, sizeof(*clients->gids)),
	};
	r = fdstore_queue_init(&clients->fdstore_queue, store, worker, count);
	if (!clients->by_session || !clients->turns_by_user || !clients->in || !clients->out ||
		!clients->gids)
		return -ENOMEM;
	return r;
}

uint32_t clients_handle_next(struct clients *clients, const struct now *now)
{
	struct turns turns = client_turns(clients);
	uint32_t session = turns_take(&turns);

	return session ? client_handle_next(clients, session, now) : 0;
}

/* How many sessions one call checks. */
#define CUT_OFF_SLICE 1024

bool clients_cut_off_next(struct clients *clients)
{
	const struct arena *arena = &clients->worker->arena;

	for (int i = 0; clients->cut_off_pending && i < CUT_OFF_SLICE; i++) {
		uint32_t session = clients->cut_off_next++;

		clients->cut_off_pending = session < arena->header->sessions_top;
		if (session <= arena->header->sessions_top && clients->by_session[session].fd &&
			meter_is_out(&clients->meter, arena->sessions[session].uid)) {
			client_close(clients, session);
			break;
		}
	}
	return clients->cut_off_pending;
}

void clients_relimit(struct clients *clients, const struct config *config)
{
	clients->config = config;
	clients->relimit_next = ARENA_OWN_SESSION + 1;
}

static void relimit(struct clients *clients, uint32_t session)
{
	struct limits_own own = client_own_limits(clients, clients->by_session[session].fd,
		clients->worker->arena.sessions[session].uid);

	worker_set_own(clients->worker, session, &own);
}

/* How many clients one call gives their limits: each takes two system calls. */
#define RELIMIT_SLICE 64

bool clients_relimit_next(struct clients *clients)
{
	uint32_t top = clients->worker->arena.header->sessions_top;

	for (int i = 0; clients->relimit_next <= top && i < RELIMIT_SLICE; i++) {
		if (clients->by_session[clients->relimit_next].fd)
			relimit(clients, clients->relimit_next);
		clients->relimit_next++;
	}
	return clients->relimit_next <= top;
}

void clients_close(struct clients *clients)
{
	struct proto_going_away going = {.reason = PROTO_STOPPING};
	struct codec_writer writer;
	size_t size = 0;

	if (clients->fdstore_queue.entries && clients->by_session && clients->out) {
		codec_begin(&writer, clients->out, PROTO_GOING_AWAY, 0);
		codec_put(&writer, &going, sizeof(going));
		size = codec_end(&writer, 0);
		/* If this is a restart, the clients of stored connections notice nothing. */
		fdstore_queue_flush(&clients->fdstore_queue);
	}
	for (uint32_t i = 0; size && i < clients->count; i++) {
		if (!clients->by_session[i].fd)
			continue;
		if (!fdstore_queue_is_stored(&clients->fdstore_queue, i))
			seqpacket_send(clients->by_session[i].fd, clients->out, size);
		close(clients->by_session[i].fd);
	}
	fdstore_queue_free(&clients->fdstore_queue);
	free(clients->by_session);
	free(clients->turns_by_user);
	free(clients->gids);
	free(clients->in);
	free(clients->out);
	*clients = (struct clients){0};
}

/* Whether the connection belongs to the session of its name. The name alone does not prove it: an
 * earlier process may have died before it removed the connection of an earlier session. */
static bool belongs(const struct clients *clients, const struct fdstore_connection *inherited)
{
	const struct arena *arena = &clients->worker->arena;
	uint64_t cookie = seqpacket_cookie(inherited->fd);
	const struct session *s;

	if (inherited->session <= ARENA_OWN_SESSION ||
		inherited->session > arena->header->sessions_top)
		return false;
	s = &arena->sessions[inherited->session];
	return s->state == SESSION_OPEN && cookie && s->socket == cookie &&
		!clients->by_session[inherited->session].fd;
}

/* Closes an inherited connection that has no session. systemd may hold the connection for a while;
 * its client sees the end at once. */
static void close_inherited(struct fdstore *store, struct fdstore_connection *inherited)
{
	fdstore_remove_session(store, inherited->session, FDSTORE_PATIENCE_MS);
	shutdown(inherited->fd, SHUT_RDWR);
	close(inherited->fd);
	inherited->fd = -1;
}

static void send_inherited_answer(struct clients *clients)
{
	const void *answer;
	uint32_t session;
	size_t size = worker_unsent_answer(clients->worker, &session, &answer);
	int r = 0;

	if (!size)
		return;
	if (clients->by_session[session].fd)
		r = client_send(clients, session, answer, size);
	/* The answer had room when its request was read. So if there is no room now, the earlier
	 * process has sent this answer. If the client has gone, its end of file says so later. */
	if (r < 0 && r != -EAGAIN && r != -EPIPE && r != -ECONNRESET)
		client_close(clients, session);
	worker_answered(clients->worker);
}

static void log_adoption(const struct clients *clients, uint32_t session)
{
	const struct session *s = &clients->worker->arena.sessions[session];
	struct log_about about = {s->uid, s->pid, NULL};

	log_debug(clients->log, &about,
		clients->by_session[session].fd
			? "client %u is adopted, with %u timers"
			: "client %u has no connection any more, with %u timers",
		session, s->held);
}

void clients_adopt(struct clients *clients)
{
	struct arena_header *h = clients->worker->arena.header;
	struct fdstore *store = clients->fdstore_queue.store;
	uint64_t dropped = clients->worker->dropped;

	for (size_t i = 0; i < store->connection_count; i++) {
		struct fdstore_connection *inherited = &store->connections[i];

		if (!belongs(clients, inherited)) {
			close_inherited(store, inherited);
			continue;
		}
		client_reset(clients, inherited->session, inherited->fd);
		seqpacket_forbid_descriptors(inherited->fd);
		fdstore_queue_set_stored(&clients->fdstore_queue, inherited->session);
		client_update_unread(&clients->by_session[inherited->session]);
		inherited->fd = -1;
	}
	send_inherited_answer(clients);
	for (uint32_t session = ARENA_OWN_SESSION + 1; session <= h->sessions_top; session++) {
		if (clients->worker->arena.sessions[session].state == SESSION_FREE)
			continue;
		log_adoption(clients, session);
		if (!clients->by_session[session].fd)
			worker_disconnect(clients->worker, session);
		else if (client_watch(clients, session, EPOLL_CTL_ADD) < 0)
			client_close(clients, session);
		else
			worker_resume(clients->worker, session);
		if (clients->by_session[session].fd)
			relimit(clients, session);
	}
	log_print(clients->log, dropped ? LOG_WARNING : LOG_INFO,
		"adopted %u sessions and %u timers; %llu records were damaged and dropped",
		h->clients, h->timers, (unsigned long long)dropped);
}

void clients_dismiss_inherited(struct clients *clients)
{
	struct proto_going_away going = {.reason = PROTO_LAYOUT};
	struct fdstore *store = clients->fdstore_queue.store;
	struct codec_writer writer;
	size_t size;

	codec_begin(&writer, clients->out, PROTO_GOING_AWAY, 0);
	codec_put(&writer, &going, sizeof(going));
	size = codec_end(&writer, 0);
	for (size_t i = 0; i < store->connection_count; i++) {
		seqpacket_send(store->connections[i].fd, clients->out, size);
		close_inherited(store, &store->connections[i]);
	}
}
