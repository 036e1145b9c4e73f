/* SPDX-License-Identifier: MIT */
/*
 * Reads requests, sends answers and wakes, and decides when to do neither.
 *
 * epoll watches clients edge-triggered: an open client for input, a blocked one for output only. So
 * the cost of an epoll_wait() depends on what has happened since the last one, and not on how many
 * clients have unread input. Each slice can afford that. A client that has sent something stays in
 * the queue (client_turns()) until timerd has read everything.
 */
#include "client.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client_parts.h"
#include "errors.h"
#include "seqpacket.h"

/* About what the kernel counts for a packet in addition to its bytes: struct sk_buff and
 * rounding. */
#define PACKET_OVERHEAD 1024

/* An answer has room while fewer bytes than this are unread. The kernel makes the send buffer twice
 * as large as asked for (socket(7)), and accepts a packet while it holds less than that. */
#define UNREAD_MAX (2 * PROTO_PACKET_MAX)

/* The kernel wakes us before it subtracts the last byte of a packet that the client has read. */
#define UNREAD_NONE 1

/* What each of these costs, in cancel records of about 0.2 us each: discarding a packet; the system
 * calls for a packet; closing a connection. */
#define DISCARD_COST 4
#define PACKET_COST  16
#define CLOSE_COST   64

/* Closes a connection after a last packet. Return: the cost, in cancel records. */
static uint32_t discard_and_close(int fd, uint32_t most)
{
	return CLOSE_COST + seqpacket_discard_and_close(fd, most) * DISCARD_COST;
}

struct turns client_turns(struct clients *clients)
{
	return (struct turns){
		.users = &clients->turns,
		.user = clients->turns_by_user,
		.user_stride = sizeof(*clients->turns_by_user),
		.session = &clients->by_session->turn,
		.session_stride = sizeof(*clients->by_session),
	};
}

static void enqueue(struct clients *clients, uint32_t session)
{
	struct turns turns = client_turns(clients);

	if (!clients->by_session[session].queued)
		turns_add(&turns, clients->worker->arena.sessions[session].user, session);
	clients->by_session[session].queued = true;
}

static void dequeue(struct clients *clients, uint32_t session)
{
	struct turns turns = client_turns(clients);

	if (clients->by_session[session].queued)
		turns_remove(&turns, clients->worker->arena.sessions[session].user, session);
	clients->by_session[session].queued = false;
}

/* Charges the user for a call on one of its sockets. meter_begin() was before that call. */
static void charge(struct clients *clients, uint32_t uid, uint32_t pid)
{
	struct log_about about = {uid, pid, NULL};

	if (!meter_end(&clients->meter, uid))
		return;
	log_client(clients->log, LOG_WARNING, clients->meter.now, &about, METER_CUT_OFF);
	clients->cut_off_pending = true;
	clients->cut_off_next = ARENA_OWN_SESSION + 1;
}

static void charge_session(struct clients *clients, uint32_t session)
{
	const struct session *s = &clients->worker->arena.sessions[session];

	charge(clients, s->uid, s->pid);
}

/* Whether the session's user was cut off: no call is made on that user's sockets any more. O(1)
 * while nobody is being cut off. */
static bool is_cut_off(const struct clients *clients, uint32_t session)
{
	return clients->cut_off_pending &&
		meter_is_out(&clients->meter, clients->worker->arena.sessions[session].uid);
}

/* Ends the session. Return: its connection, which the caller closes. */
static int client_detach(struct clients *clients, uint32_t session)
{
	struct client *client = &clients->by_session[session];
	const struct session *s = &clients->worker->arena.sessions[session];
	struct log_about about = {s->uid, s->pid, NULL};
	int fd = client->fd;

	log_debug(clients->log, &about, "client %u disconnects, with %u timers", session, s->held);
	fdstore_queue_remove(&clients->fdstore_queue, session);
	dequeue(clients, session);
	worker_disconnect(clients->worker, session);
	epoll_ctl(clients->epoll, EPOLL_CTL_DEL, fd, NULL);
	client_reset(clients, session, 0);
	return fd;
}

void client_close(struct clients *clients, uint32_t session)
{
	const struct session *s = &clients->worker->arena.sessions[session];
	uint32_t uid = s->uid, pid = s->pid;
	bool stored = fdstore_queue_is_stored(&clients->fdstore_queue, session);
	int fd = client_detach(clients, session);

	if (meter_is_out(&clients->meter, uid)) {
		seqpacket_close_aside(fd);
		return;
	}
	meter_begin(&clients->meter);
	/* systemd may hold the connection for a while. Its client sees the end at once. */
	if (stored)
		shutdown(fd, SHUT_RDWR);
	close(fd);
	charge(clients, uid, pid);
}

int client_watch(struct clients *clients, uint32_t session, int operation)
{
	const struct client *client = &clients->by_session[session];
	struct epoll_event event = {
		.events = (client->blocked ? EPOLLOUT : EPOLLIN | EPOLLRDHUP) | EPOLLET,
		.data.u64 = clients->epoll_data + session,
	};

	return epoll_ctl(clients->epoll, operation, client->fd, &event) < 0 ? -errno : 0;
}

uint32_t client_update_unread(struct client *client)
{
	client->unread = seqpacket_unread(client->fd);
	return client->unread;
}

static bool has_room(struct client *client)
{
	return client->unread < UNREAD_MAX || client_update_unread(client) < UNREAD_MAX;
}

int client_send(struct clients *clients, uint32_t session, const void *packet, size_t size)
{
	struct client *client = &clients->by_session[session];
	int r;

	if (is_cut_off(clients, session))
		return -ECONNRESET;
	meter_begin(&clients->meter);
	r = seqpacket_send(client->fd, packet, size);
	charge_session(clients, session);
	if (r == 0 && client->unread < UINT32_MAX / 2)
		client->unread += (uint32_t)size + PACKET_OVERHEAD;
	return r;
}

/* The worker must not serve the session. until_read_all: until the client has read everything;
 * otherwise until an answer has room. */
static void client_block(struct clients *clients, uint32_t session, bool until_read_all)
{
	struct client *client = &clients->by_session[session];

	dequeue(clients, session);
	client->blocked = true;
	client->until_read_all = until_read_all;
	/* If the client has read in the meantime, the kernel reports that at once. */
	if (client_watch(clients, session, EPOLL_CTL_MOD) < 0)
		client_close(clients, session);
}

static void client_unblock(struct clients *clients, uint32_t session, const struct now *now)
{
	struct client *client = &clients->by_session[session];
	uint32_t unread = client_update_unread(client);

	if (unread == SEQPACKET_UNREAD_UNKNOWN) {
		client_close(clients, session); /* it could stay blocked for ever */
		return;
	}
	if (client->until_read_all ? unread > UNREAD_NONE : unread >= UNREAD_MAX)
		return;
	client->blocked = false;
	if (client_watch(clients, session, EPOLL_CTL_MOD) < 0)
		client_close(clients, session);
	else
		worker_unblock(clients->worker, session, now);
}

static void read_comm(pid_t pid, char comm[static PROTO_COMM_MAX])
{
	char path[32];
	ssize_t n = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		n = read(fd, comm, PROTO_COMM_MAX);
		close(fd);
	}
	/* The first line only. Control characters must not reach an administrator's terminal. */
	for (ssize_t i = 0; i < PROTO_COMM_MAX; i++) {
		if (i >= n || comm[i] == '\n')
			n = 0, comm[i] = 0;
		else if ((unsigned char)comm[i] < 0x20 || (unsigned char)comm[i] > 0x7e)
			comm[i] = '?';
	}
}

void client_reset(struct clients *clients, uint32_t session, int fd)
{
	clients->by_session[session] = (struct client){.fd = fd};
}

struct limits_own client_own_limits(const struct clients *clients, int fd, uint32_t uid)
{
	struct config_who who = {.uid = uid, .gids = clients->gids};

	if (clients->config->has_groups)
		who.gid_count = peer_get_groups(fd, clients->gids);
	return (struct limits_own){
		.max_timers = (uint32_t)config_own(clients->config, &who, OWN_MAX_TIMERS),
		.max_clients = (uint32_t)config_own(clients->config, &who, OWN_MAX_CLIENTS),
	};
}

/* Return: PROTO_OK, or why timerd takes no client of that user. ret_own: its own limits. */
static enum proto_status check_user(
	const struct clients *clients, int fd, uint32_t uid, struct limits_own *ret_own)
{
	if (meter_is_out(&clients->meter, uid))
		return PROTO_E_SLOW_SOCKETS;
	*ret_own = client_own_limits(clients, fd, uid);
	return worker_may_connect(clients->worker, uid, ret_own);
}

void client_refuse(struct clients *clients, int fd, enum proto_status status, const struct now *now)
{
	struct log_about about = {.uid = LOG_NOBODY, .limit = errors_limit(status)};
	uint8_t packet[256];
	size_t size = errors_write(packet, status, 0, errors_text(status));
	pid_t pid;

	if (peer_get_unchecked(fd, &about.uid, &pid) == 0)
		about.pid = (uint32_t)pid;
	worker_refused_client(clients->worker, status == PROTO_E_NOBODY ? UINT32_MAX : about.uid);
	log_client(clients->log, LOG_NOTICE, now->at[PROTO_CLOCK_MONOTONIC], &about,
		"refused a client: %s", errors_text(status));
	meter_begin(&clients->meter);
	seqpacket_send(fd, packet, size);
	discard_and_close(fd, SEQPACKET_OF_REFUSED);
	charge(clients, about.uid, about.pid);
}

/* Gives an accepted connection to the session. Return: 0, or a negative errno. */
static int take_over(struct clients *clients, uint32_t session, int fd)
{
	int room = UNREAD_MAX;

	client_reset(clients, session, fd);
	seqpacket_forbid_descriptors(fd); /* the listener may have allowed them at first */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) < 0)
		return -errno;
	return client_watch(clients, session, EPOLL_CTL_ADD);
}

bool client_accept(struct clients *clients, int fd, const struct now *now)
{
	char comm[PROTO_COMM_MAX] = {0};
	enum proto_status status;
	uint32_t uid, session;
	struct limits_own own = {0};
	struct peer peer;
	pid_t pid;

	/* In a flood most clients are refused, so that check comes first and costs little. */
	status = PROTO_E_NOBODY;
	if (peer_get(&clients->peer_rules, fd, &uid, &pid) == 0)
		status = check_user(clients, fd, uid, &own);
	if (status) {
		client_refuse(clients, fd, status, now);
		return false;
	}
	read_comm(pid, comm);
	peer = (struct peer){uid, (uint32_t)pid, seqpacket_cookie(fd), comm, own};
	status = worker_connect(clients->worker, &peer, now, &session);
	if (status) {
		client_refuse(clients, fd, status, now);
		return false;
	}
	if (take_over(clients, session, fd) < 0) {
		worker_disconnect(clients->worker, session);
		clients->by_session[session].fd = 0;
		client_refuse(clients, fd, PROTO_E_DESCRIPTORS, now);
		return false;
	}
	log_debug(clients->log, &(struct log_about){uid, (uint32_t)pid, NULL},
		"client %u connects: %.*s", session, PROTO_COMM_MAX, comm);
	return true;
}

/* Receives one packet into clients->in. Return: as seqpacket_receive(). */
static ssize_t receive(struct clients *clients, uint32_t session)
{
	ssize_t n;

	meter_begin(&clients->meter);
	n = seqpacket_receive(clients->by_session[session].fd, clients->in, PROTO_PACKET_MAX);
	charge_session(clients, session);
	return n;
}

/* Logs which records of the last packet were refused, and who sent them. */
static void log_refusals(struct clients *clients, uint32_t session, const struct now *now)
{
	const struct session *s = &clients->worker->arena.sessions[session];
	struct log_about about = {s->uid, s->pid, NULL};
	enum proto_status status;
	uint32_t count = worker_take_refusals(clients->worker, &status);

	about.limit = errors_limit(status);
	if (count && !about.limit)
		log_debug(
			clients->log, &about, "refused %u registrations: status %d", count, status);
	if (count && about.limit)
		log_client(clients->log, LOG_NOTICE, now->at[PROTO_CLOCK_MONOTONIC], &about,
			"refused %u registrations: the limit is reached (%s)", count, about.limit);
}

/* Logs each user who cancels another user's timers. */
static void log_interventions(struct clients *clients, uint32_t session, const struct now *now)
{
	const struct worker *w = clients->worker;
	const struct session *s = &w->arena.sessions[session];
	struct log_about about = {s->uid, s->pid, NULL};

	for (uint32_t i = 0; i < w->intervention_count; i++) {
		const struct worker_intervention *done = &w->interventions[i];

		log_client(clients->log, LOG_NOTICE, now->at[PROTO_CLOCK_MONOTONIC], &about,
			"uid %u cancelled %u timer%s of uid %u, pid %u: %" PRIu64 "%s", s->uid,
			done->count, done->count == 1 ? "" : "s", done->uid, done->pid, done->id,
			done->count == 1 ? "" : " and others");
	}
}

/* Ends a session with an error event for its client. Return: the cost, in cancel records. */
static uint32_t client_end(struct clients *clients, uint32_t session, const void *packet,
	size_t size, const struct now *now)
{
	const struct session *s = &clients->worker->arena.sessions[session];
	struct log_about about = {s->uid, s->pid, NULL};
	struct proto_header header;
	struct proto_error error;
	uint32_t cost;

	if (codec_open(packet, size, CODEC_FROM_DAEMON, &header) == CODEC_OK) {
		codec_get(packet, &header, 0, &error, sizeof(error));
		log_client(clients->log, LOG_INFO, now->at[PROTO_CLOCK_MONOTONIC], &about,
			"ended a session: %.*s", (int)sizeof(error.text), error.text);
	}
	meter_begin(&clients->meter);
	seqpacket_send(clients->by_session[session].fd, packet, size);
	cost = discard_and_close(client_detach(clients, session), UINT32_MAX);
	charge(clients, about.uid, about.pid);
	return cost;
}

static uint32_t client_handle(
	struct clients *clients, uint32_t session, size_t received, const struct now *now)
{
	const void *answer;
	bool end;
	size_t size = worker_handle(
		clients->worker, session, clients->in, received, now, &answer, &end);
	int r = 0;

	if (end)
		return client_end(clients, session, answer, size, now);
	log_refusals(clients, session, now);
	log_interventions(clients, session, now);
	if (size)
		r = client_send(clients, session, answer, size);
	/* A client that does not wait for answers may have closed its end already. Its packets
	 * still count: timerd reads the end of file after them. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET) {
		client_close(clients, session);
		return CLOSE_COST;
	}
	if (size)
		worker_answered(clients->worker);
	fdstore_queue_add(&clients->fdstore_queue, session, clients->by_session[session].fd, now);
	enqueue(clients, session);
	return PACKET_COST + (uint32_t)(received / sizeof(struct proto_cancel)) +
		clients->worker->extra_cost;
}

static uint32_t client_read(struct clients *clients, uint32_t session, const struct now *now)
{
	struct client *client = &clients->by_session[session];
	ssize_t n;

	if (!has_room(client)) {
		worker_block(clients->worker, session);
		client_block(clients, session, false);
		return 1;
	}
	n = receive(clients, session);
	if (n == -EAGAIN) {
		/* -EAGAIN means that no packet is there, and that epoll reports the next one.
		 * If epoll has reported an event since the last packet, another one may have come
		 * meanwhile: EPOLL_CTL_MOD makes epoll report again what is there. */
		if (client->reported && client_watch(clients, session, EPOLL_CTL_MOD) < 0)
			client_close(clients, session);
		client->reported = false;
		return 1;
	}
	client->reported = false;
	if (n == -EBADMSG)
		return client_end(clients, session, clients->out,
			errors_write(clients->out, PROTO_E_PASSED_DESCRIPTOR, 0,
				errors_text(PROTO_E_PASSED_DESCRIPTOR)),
			now);
	if (n < 0 || (n == 0 && seqpacket_has_hung_up(client->fd))) {
		client_close(clients, session);
		return CLOSE_COST;
	}
	return client_handle(clients, session, (size_t)n, now);
}

void client_event(struct clients *clients, uint32_t session, uint32_t events, const struct now *now)
{
	struct client *client = &clients->by_session[session];

	if (!client->fd) /* an earlier event of the same epoll_wait() has closed it */
		return;
	if (client->blocked && !(events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)))
		client_unblock(clients, session, now);
	else
		enqueue(clients, session);
	client->reported = true;
}

uint32_t client_handle_next(struct clients *clients, uint32_t session, const struct now *now)
{
	clients->by_session[session].queued = false;
	/* Only a hang-up queues a blocked client. */
	if (clients->by_session[session].blocked || is_cut_off(clients, session)) {
		client_close(clients, session);
		return CLOSE_COST;
	}
	/* Its wakes come first. Then client_serve() makes epoll report this client again. */
	if (worker_recovers(clients->worker, session))
		return 1;
	return client_read(clients, session, now);
}

/* The user data of the functions below. */
struct serving {
	struct clients *clients;
	const struct now *now;
};

static int outlet_send(void *user, uint32_t session, const void *packet, size_t size)
{
	const struct serving *serving = user;

	return client_send(serving->clients, session, packet, size);
}

static bool outlet_has_read_all(void *user, uint32_t session)
{
	const struct serving *serving = user;

	return client_update_unread(&serving->clients->by_session[session]) <= UNREAD_NONE;
}

static void outlet_close(void *user, uint32_t session, const void *packet, size_t size)
{
	const struct serving *serving = user;

	if (size)
		client_end(serving->clients, session, packet, size, serving->now);
	else
		client_close(serving->clients, session);
}

bool client_serve(struct clients *clients, const struct now *now, size_t *ret_size)
{
	struct serving serving = {clients, now};
	const struct worker_outlet outlet = {
		.user = &serving,
		.packet = clients->out,
		.send = outlet_send,
		.has_read_all = outlet_has_read_all,
		.close = outlet_close,
	};
	struct worker_served served = worker_serve(clients->worker, now, &outlet);

	if (served.outcome == WORKER_FULL || served.outcome == WORKER_UNREAD)
		client_block(clients, served.session, served.outcome == WORKER_UNREAD);
	else if (served.recovered && client_watch(clients, served.session, EPOLL_CTL_MOD) < 0)
		client_close(clients, served.session);
	*ret_size = served.size;
	return served.session;
}
