/* SPDX-License-Identifier: MIT */
/*
 * Reading a request, sending its answer, sending wakes, and when to do neither.
 *
 * Clients are watched edge-triggered: an open one for input, a blocked one for output only. So a
 * look at epoll costs as much as has happened since the one before, whoever has what unread: each
 * slice can afford it. A client that has sent something waits for turns until nothing is left to be
 * read.
 */
#include "clients.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "errors.h"

/* What the kernel counts for a packet beside its bytes (struct sk_buff and rounding), about. */
#define PACKET_OVERHEAD 1024

/* An answer finds room while less than this is unread: the kernel makes the send buffer twice what
 * it is asked for (socket(7)), and takes a packet whenever less than that is in it. */
#define UNREAD_MAX (2 * PROTO_PACKET_MAX)

/* A freed packet's last byte is taken off the count after the wake-up it causes. */
#define UNREAD_NONE 1

/* The kernel does not say. */
#define UNREAD_UNKNOWN INT32_MAX

/* Linux 6.16, where architectures count options as most do. */
#if !defined(SO_PASSRIGHTS) && SO_SNDBUF == 7
#	define SO_PASSRIGHTS 83
#endif

/* How many of the shortest records, of which each takes about 0.2 us, take as long as: one packet
 * that is only thrown away; a packet's system calls; closing a connection. */
#define DRAINED_RECORDS 4
#define PACKET_RECORDS	16
#define CLOSE_RECORDS	64

/* So many packets are thrown away before a connection is refused that had no session: more than a
 * client sends that waits for its hello's answer. Whoever sends more finds a reset first. */
#define REFUSED_PACKETS 8

void client_forbid_descriptors(int fd)
{
#ifdef SO_PASSRIGHTS
	int no = 0;

	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
#else
	(void)fd;
#endif
}

/* Closes a connection that was sent a last word. What its client sent and nobody read has to go
 * first: with it in the queue, the client would find a reset before that word.
 * Return: the work, in the shortest records. */
static uint32_t close_read(int fd, uint32_t most)
{
	uint32_t drained = 0;
	uint8_t byte;

	shutdown(fd, SHUT_RDWR);
	/* At most as many as its buffer held: nobody can add to them any more. An empty one looks
	 * like the end, and whoever sends such ones finds a reset. */
	while (drained < most && recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0)
		drained++;
	close(fd);
	return CLOSE_RECORDS + drained * DRAINED_RECORDS;
}

int client_send_packet(int fd, const void *packet, size_t size)
{
	for (;;) {
		if (send(fd, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

struct turns client_turns(struct clients *clients)
{
	return (struct turns){
		.users = &clients->turns,
		.user = clients->turns_of,
		.user_stride = sizeof(*clients->turns_of),
		.session = &clients->of->turn,
		.session_stride = sizeof(*clients->of),
	};
}

static void wait_for_turn(struct clients *clients, uint32_t session)
{
	struct turns turns = client_turns(clients);

	if (!clients->of[session].waits)
		turns_add(&turns, clients->worker->arena.sessions[session].user, session);
	clients->of[session].waits = true;
}

static void wait_no_more(struct clients *clients, uint32_t session)
{
	struct turns turns = client_turns(clients);

	if (clients->of[session].waits)
		turns_remove(&turns, clients->worker->arena.sessions[session].user, session);
	clients->of[session].waits = false;
}

/* After a call that touched a socket of that user, before which was meter_begin(). */
static void charge(struct clients *clients, uint32_t uid, uint32_t pid)
{
	struct log_about about = {uid, pid, NULL};

	if (!meter_end(&clients->meter, uid))
		return;
	log_client(clients->log, LOG_WARNING, clients->meter.now, &about,
		"cut off a user for 10 s: %d calls on its sockets took more than 2 ms each",
		METER_CALLS);
	clients->cutting = true;
	clients->cut_next = ARENA_OWN_SESSION + 1;
}

static void charge_session(struct clients *clients, uint32_t session)
{
	const struct session *s = &clients->worker->arena.sessions[session];

	charge(clients, s->uid, s->pid);
}

/* Ends the session. Return: its connection, which is the caller's to close. */
static int client_detach(struct clients *clients, uint32_t session)
{
	struct client *client = &clients->of[session];
	const struct session *s = &clients->worker->arena.sessions[session];
	struct log_about about = {s->uid, s->pid, NULL};
	int fd = client->fd;

	log_debug(clients->log, &about, "client %u disconnects, with %u timers", session, s->held);
	if (client->stored)
		client->left = !store_remove(clients->store, session, 0);
	wait_no_more(clients, session);
	worker_disconnect(clients->worker, session);
	epoll_ctl(clients->epoll, EPOLL_CTL_DEL, fd, NULL);
	client_open(clients, session, 0);
	if (client->left)
		client_queue(clients, session);
	return fd;
}

void client_close(struct clients *clients, uint32_t session)
{
	const struct session *s = &clients->worker->arena.sessions[session];
	uint32_t uid = s->uid, pid = s->pid;
	bool stored = clients->of[session].stored;
	int fd = client_detach(clients, session);

	meter_begin(&clients->meter);
	/* Its client is not to depend on systemd's giving its own up. */
	if (stored)
		shutdown(fd, SHUT_RDWR);
	close(fd);
	charge(clients, uid, pid);
}

int client_watch(struct clients *clients, uint32_t session, int operation)
{
	const struct client *client = &clients->of[session];
	struct epoll_event event = {
		.events = (client->blocked ? EPOLLOUT : EPOLLIN | EPOLLRDHUP) | EPOLLET,
		.data.u64 = clients->data + session,
	};

	return epoll_ctl(clients->epoll, operation, client->fd, &event) < 0 ? -errno : 0;
}

uint32_t client_ask_unread(struct client *client)
{
	int bytes;

	if (ioctl(client->fd, SIOCOUTQ, &bytes) < 0 || bytes < 0)
		bytes = UNREAD_UNKNOWN;
	client->unread = (uint32_t)bytes;
	return client->unread;
}

static bool has_room(struct client *client)
{
	return client->unread < UNREAD_MAX || client_ask_unread(client) < UNREAD_MAX;
}

int client_send(struct clients *clients, uint32_t session, const void *packet, size_t size)
{
	struct client *client = &clients->of[session];
	int r;

	meter_begin(&clients->meter);
	r = client_send_packet(client->fd, packet, size);
	charge_session(clients, session);
	if (r == 0 && client->unread < UINT32_MAX / 2)
		client->unread += (uint32_t)size + PACKET_OVERHEAD;
	return r;
}

/* The worker serves the session no more until its client has read. drain: all there is. */
static void client_block(struct clients *clients, uint32_t session, bool drain)
{
	struct client *client = &clients->of[session];

	wait_no_more(clients, session);
	client->blocked = true;
	client->drain = drain;
	/* If it has read in the meantime, the kernel reports that at once: nothing is missed. */
	if (client_watch(clients, session, EPOLL_CTL_MOD) < 0)
		client_close(clients, session);
}

static void client_unblock(struct clients *clients, uint32_t session, const struct now *now)
{
	struct client *client = &clients->of[session];
	uint32_t unread = client_ask_unread(client);

	if (unread == UNREAD_UNKNOWN) {
		client_close(clients, session); /* it might be blocked for ever */
		return;
	}
	if (client->drain ? unread > UNREAD_NONE : unread >= UNREAD_MAX)
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
	/* A line; what is not printable would reach an administrator's terminal. */
	for (ssize_t i = 0; i < PROTO_COMM_MAX; i++) {
		if (i >= n || comm[i] == '\n')
			n = 0, comm[i] = 0;
		else if ((unsigned char)comm[i] < 0x20 || (unsigned char)comm[i] > 0x7e)
			comm[i] = '?';
	}
}

static const char *limit_of(enum proto_status status)
{
	switch (status) {
	case PROTO_E_CLIENTS:
		return "--max-clients";
	case PROTO_E_CLIENTS_USER:
		return "--max-clients-per-user";
	case PROTO_E_TIMERS:
		return "--max-timers";
	case PROTO_E_TIMERS_USER:
		return "--max-timers-per-user";
	default:
		return NULL;
	}
}

void client_open(struct clients *clients, uint32_t session, int fd)
{
	struct client *client = &clients->of[session];

	/* The number's place in the queue is not the connection's: what it no longer needs is
	 * passed over. */
	*client = (struct client){
		.fd = fd,
		.left = client->left,
		.queued = client->queued,
		.queue_next = client->queue_next,
		.queued_at = UINT64_MAX,
	};
}

uint64_t client_socket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) < 0 ? 0 : cookie;
}

/* Return: PROTO_OK, or why no client of that user is taken. */
static enum proto_status check_user(const struct clients *clients, uint32_t uid)
{
	if (uid == (uid_t)-1 || (clients->overflow_uid_is_nobody && uid == clients->overflow_uid))
		return PROTO_E_NOBODY;
	if (meter_is_out(&clients->meter, uid))
		return PROTO_E_SLOW_SOCKETS;
	return worker_may_connect(clients->worker, uid);
}

/* Who made the connection. uid: (uid_t)-1 where the kernel does not say. */
static struct ucred peer_of(int fd)
{
	struct ucred ucred = {.uid = (uid_t)-1};
	socklen_t size = sizeof(ucred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &size) < 0)
		ucred.uid = (uid_t)-1;
	return ucred;
}

void client_refuse(struct clients *clients, int fd, enum proto_status status, const struct now *now)
{
	struct ucred ucred = peer_of(fd);
	struct log_about about = {ucred.uid, (uint32_t)ucred.pid, limit_of(status)};
	uint8_t packet[256];
	size_t size = errors_write(packet, status, 0, errors_text(status));

	worker_refused_client(clients->worker, status == PROTO_E_NOBODY ? UINT32_MAX : ucred.uid);
	log_client(clients->log, LOG_NOTICE, now->at[PROTO_CLOCK_MONOTONIC], &about,
		"refused a client: %s", errors_text(status));
	meter_begin(&clients->meter);
	client_send_packet(fd, packet, size);
	close_read(fd, REFUSED_PACKETS);
	charge(clients, ucred.uid, (uint32_t)ucred.pid);
}

/* Makes an accepted connection the session's. Return: 0, or a negative errno. */
static int take_over(struct clients *clients, uint32_t session, int fd)
{
	int room = UNREAD_MAX;

	client_open(clients, session, fd);
	client_forbid_descriptors(fd); /* it may have connected before the listener was */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) < 0)
		return -errno;
	return client_watch(clients, session, EPOLL_CTL_ADD);
}

bool client_accept(struct clients *clients, int fd, const struct now *now)
{
	struct ucred ucred = peer_of(fd);
	struct log_about about = {ucred.uid, (uint32_t)ucred.pid, NULL};
	char comm[PROTO_COMM_MAX] = {0};
	enum proto_status status;
	struct peer peer;
	uint32_t session;

	/* In a flood most are refused: that comes first, and costs little. */
	status = check_user(clients, ucred.uid);
	if (status) {
		client_refuse(clients, fd, status, now);
		return false;
	}
	read_comm(ucred.pid, comm);
	peer = (struct peer){ucred.uid, (uint32_t)ucred.pid, client_socket_cookie(fd), comm};
	status = worker_connect(clients->worker, &peer, now, &session);
	if (status) {
		client_refuse(clients, fd, status, now);
		return false;
	}
	if (take_over(clients, session, fd) < 0) {
		worker_disconnect(clients->worker, session);
		clients->of[session].fd = 0;
		client_refuse(clients, fd, PROTO_E_DESCRIPTORS, now);
		return false;
	}
	log_debug(clients->log, &about, "client %u connects: %.*s", session, PROTO_COMM_MAX, comm);
	return true;
}

/* Receives one packet into clients->in. Return: its size, more than PROTO_PACKET_MAX where it did
 * not fit; -EAGAIN; -EBADMSG where a descriptor came with it; another negative errno. */
static ssize_t receive(struct clients *clients, uint32_t session)
{
	int fd = clients->of[session].fd;
	struct iovec iov = {.iov_base = clients->in, .iov_len = PROTO_PACKET_MAX};
	/* No room for control data: where descriptors can be passed (client_forbid_descriptors()),
	 * the kernel drops them and says so. */
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	meter_begin(&clients->meter);
	/* That the client has gone without reading comes before what it sent, once. */
	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		n = -errno;
	charge_session(clients, session);
	if (n < 0)
		return n;
	if (msg.msg_flags & MSG_CTRUNC)
		return -EBADMSG;
	if (msg.msg_flags & MSG_TRUNC)
		return PROTO_PACKET_MAX + 1;
	return n;
}

/* Tells the administrator what the last packet was refused, and who sent it. */
static void log_refusals(struct clients *clients, uint32_t session, const struct now *now)
{
	const struct session *s = &clients->worker->arena.sessions[session];
	struct log_about about = {s->uid, s->pid, NULL};
	enum proto_status status;
	uint32_t count = worker_take_refusals(clients->worker, &status);

	about.limit = limit_of(status);
	if (count && !about.limit)
		log_debug(
			clients->log, &about, "refused %u registrations: status %d", count, status);
	if (count && about.limit)
		log_client(clients->log, LOG_NOTICE, now->at[PROTO_CLOCK_MONOTONIC], &about,
			"refused %u registrations: the limit is reached (%s)", count, about.limit);
}

/* Who cancels what is another user's leaves a trace. */
static void log_taken(struct clients *clients, uint32_t session, const struct now *now)
{
	const struct worker *w = clients->worker;
	const struct session *s = &w->arena.sessions[session];
	struct log_about about = {s->uid, s->pid, NULL};

	for (uint32_t i = 0; i < w->taken_count; i++) {
		const struct worker_taken *taken = &w->taken[i];

		log_client(clients->log, LOG_NOTICE, now->at[PROTO_CLOCK_MONOTONIC], &about,
			"uid %u cancelled %u timer%s of uid %u, pid %u: %" PRIu64 "%s", s->uid,
			taken->count, taken->count == 1 ? "" : "s", taken->uid, taken->pid,
			taken->id, taken->count == 1 ? "" : " and others");
	}
}

/* Ends a session with a last word for its client, an error event. Return: the work, in the shortest
 * records. */
static uint32_t client_end(struct clients *clients, uint32_t session, const void *packet,
	size_t size, const struct now *now)
{
	const struct session *s = &clients->worker->arena.sessions[session];
	struct log_about about = {s->uid, s->pid, NULL};
	struct proto_header header;
	struct proto_error error;
	uint32_t work;

	if (codec_open(packet, size, CODEC_FROM_DAEMON, &header) == CODEC_OK) {
		codec_get(packet, &header, 0, &error, sizeof(error));
		log_client(clients->log, LOG_INFO, now->at[PROTO_CLOCK_MONOTONIC], &about,
			"ended a session: %.*s", (int)sizeof(error.text), error.text);
	}
	meter_begin(&clients->meter);
	client_send_packet(clients->of[session].fd, packet, size);
	work = close_read(client_detach(clients, session), UINT32_MAX);
	charge(clients, about.uid, about.pid);
	return work;
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
	log_taken(clients, session, now);
	if (size)
		r = client_send(clients, session, answer, size);
	/* A client that does not wait for answers may have gone already; what it sent still counts,
	 * and the end of file comes after it. */
	if (r < 0 && r != -EPIPE && r != -ECONNRESET) {
		client_close(clients, session);
		return CLOSE_RECORDS;
	}
	if (size)
		worker_answered(clients->worker);
	clients_note(clients, session, now);
	wait_for_turn(clients, session);
	return PACKET_RECORDS + (uint32_t)(received / sizeof(struct proto_cancel)) +
		clients->worker->work;
}

/* An empty packet looks like the end of file, but that one comes with a hang-up. */
static bool has_hung_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0;
}

static uint32_t client_read(struct clients *clients, uint32_t session, const struct now *now)
{
	struct client *client = &clients->of[session];
	ssize_t n;

	if (!has_room(client)) {
		worker_block(clients->worker, session);
		client_block(clients, session, false);
		return 1;
	}
	n = receive(clients, session);
	if (n == -EAGAIN) {
		/* Epoll told otherwise: have it tell again what there is, if there is something. */
		if (client->told && client_watch(clients, session, EPOLL_CTL_MOD) < 0)
			client_close(clients, session);
		client->told = false;
		return 1;
	}
	client->told = false;
	if (n == -EBADMSG)
		return client_end(clients, session, clients->out,
			errors_write(clients->out, PROTO_E_PASSED_DESCRIPTOR, 0,
				errors_text(PROTO_E_PASSED_DESCRIPTOR)),
			now);
	if (n < 0 || (n == 0 && has_hung_up(client->fd))) {
		client_close(clients, session);
		return CLOSE_RECORDS;
	}
	return client_handle(clients, session, (size_t)n, now);
}

void client_event(struct clients *clients, uint32_t session, uint32_t events, const struct now *now)
{
	struct client *client = &clients->of[session];

	if (!client->fd) /* closed by an event before this one of the same look */
		return;
	if (client->blocked && !(events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)))
		client_unblock(clients, session, now);
	else
		wait_for_turn(clients, session);
	client->told = true;
}

uint32_t client_turn(struct clients *clients, uint32_t session, const struct now *now)
{
	clients->of[session].waits = false;
	if (clients->of[session].blocked) { /* so it has hung up */
		client_close(clients, session);
		return CLOSE_RECORDS;
	}
	/* It is ready; once it was served, client_serve() has epoll tell of it again. */
	if (worker_recovers(clients->worker, session))
		return 1;
	return client_read(clients, session, now);
}

/* What worker_serve() gives back to the functions below. */
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

	return client_ask_unread(&serving->clients->of[session]) <= UNREAD_NONE;
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
