/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Connections taken, and packets read from one, before others have their turn. */
#define ACCEPT_SLICE 16
#define READ_SLICE   4

/* An answer that its client had no room for. */
struct unsent {
	struct unsent *next;
	size_t size;
	uint8_t packet[];
};

struct connection {
	struct connections *all;
	int fd;
	uint32_t client;
	sd_event_source *source;
	struct unsent *first, *last;
	bool wake_refused; /* the broker waits for broker_writable() */
	bool ended;
};

int connections_init(struct connections *cs, uint32_t max_clients)
{
	cs->peers = peer_read_rules();
	cs->at = calloc(max_clients, sizeof(struct connection *));
	cs->room = max_clients;
	cs->in = malloc(PROTO_PACKET_MAX);
	cs->gids = calloc(PEER_GROUPS_MAX, sizeof(*cs->gids));
	return cs->at && cs->in && cs->gids ? 0 : -ENOMEM;
}

void connections_free(struct connections *cs)
{
	free(cs->at);
	free(cs->in);
	free(cs->gids);
}

static struct connection *connection_of(const struct connections *cs, uint32_t client)
{
	return cs->at[client - 1];
}

/* Has the loop watch for what the connection may do now. */
static void watch(struct connection *c)
{
	uint32_t events = EPOLLRDHUP;

	if (!c->first && !c->ended && broker_reads(c->all->broker, c->client))
		events |= EPOLLIN;
	if (c->first || c->wake_refused)
		events |= EPOLLOUT;
	sd_event_source_set_io_events(c->source, events);
}

static void connection_free(struct connection *c)
{
	while (c->first) {
		struct unsent *unsent = c->first;

		c->first = unsent->next;
		free(unsent);
	}
	sd_event_source_disable_unref(c->source);
	/* What its client sent and nobody read has to go first: with it in the queue the client
	 * would find a reset before the last word. */
	shutdown(c->fd, SHUT_RDWR);
	for (uint8_t byte; recv(c->fd, &byte, 1, MSG_DONTWAIT) > 0;)
		;
	close(c->fd);
	c->all->at[c->client - 1] = NULL;
	free(c);
}

static void wants_turn(const struct connections *cs)
{
	cs->wants_turn(cs->userdata);
}

static void end(struct connection *c)
{
	if (!c->ended)
		c->all->ended_count++;
	c->ended = true;
	sd_event_source_set_enabled(c->source, SD_EVENT_OFF);
	wants_turn(c->all);
}

static int send_packet(int fd, const void *packet, size_t size)
{
	ssize_t n;

	do
		n = send(fd, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

static bool is_wake(const void *packet)
{
	uint16_t opcode;

	memcpy(&opcode, packet, sizeof(opcode));
	return le16toh(opcode) == PROTO_QUEUE_WAKE;
}

static int keep(struct connection *c, const void *packet, size_t size)
{
	struct unsent *unsent = malloc(sizeof(*unsent) + size);

	if (!unsent)
		return -ENOMEM;
	unsent->next = NULL;
	unsent->size = size;
	memcpy(unsent->packet, packet, size);
	*(c->last ? &c->last->next : &c->first) = unsent;
	c->last = unsent;
	return 0;
}

int connections_send(void *userdata, uint32_t client, const void *packet, size_t size)
{
	struct connection *c = connection_of(userdata, client);
	int r;

	if (!c)
		return -ENOTCONN;
	r = c->first ? -EAGAIN : send_packet(c->fd, packet, size);
	if (r == -EAGAIN && is_wake(packet))
		c->wake_refused = true;
	else if (r == -EAGAIN)
		r = keep(c, packet, size);
	if (r < 0 && r != -EAGAIN)
		end(c);
	watch(c);
	return r;
}

void connections_resume(void *userdata, uint32_t client)
{
	struct connection *c = connection_of(userdata, client);

	if (c)
		watch(c);
}

void connections_end(void *userdata, uint32_t client)
{
	struct connection *c = connection_of(userdata, client);

	if (c)
		end(c);
}

/* Sends what was kept. */
static void flush(struct connection *c)
{
	while (c->first) {
		struct unsent *unsent = c->first;
		int r = send_packet(c->fd, unsent->packet, unsent->size);

		if (r == -EAGAIN)
			return;
		if (r < 0) {
			end(c);
			return;
		}
		c->first = unsent->next;
		if (!c->first)
			c->last = NULL;
		free(unsent);
	}
	c->wake_refused = false;
	broker_writable(c->all->broker, c->client);
	wants_turn(c->all);
}

static void read_packets(struct connection *c)
{
	struct connections *cs = c->all;

	for (int i = 0; i < READ_SLICE && !c->ended && !c->first; i++) {
		ssize_t n;
		int r;

		if (!broker_reads(cs->broker, c->client))
			return;
		/* A peer that is gone with something unread: the error comes first, and then what
		 * it sent before, which may be acknowledgements. */
		do
			n = recv(c->fd, cs->in, PROTO_PACKET_MAX, MSG_DONTWAIT | MSG_TRUNC);
		while (n < 0 && errno == ECONNRESET);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			end(c);
			return;
		}
		r = broker_handle(cs->broker, c->client, cs->in, (size_t)n, cs->now(cs->userdata));
		wants_turn(cs);
		if (r)
			end(c);
	}
}

static int connection_event(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct connection *c = userdata;

	(void)source;
	(void)fd;
	if (events & EPOLLOUT)
		flush(c);
	if (events & EPOLLIN)
		read_packets(c);
	else if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		end(c);
	watch(c);
	return 0;
}

/* Tells a peer why it is not served. */
static void refuse(int fd, uint32_t status, const char *text)
{
	struct proto_error error = {.status = status};
	uint8_t packet[sizeof(struct proto_header) + sizeof(error)];
	struct codec_writer w;

	strncpy(error.text, text, sizeof(error.text) - 1);
	codec_begin(&w, packet, PROTO_ERROR, 0);
	codec_put(&w, &error, sizeof(error));
	send_packet(fd, packet, codec_end(&w, 0));
	shutdown(fd, SHUT_WR);
	close(fd);
}

static const char *refusal_text(uint32_t status)
{
	switch (status) {
	case PROTO_E_CLIENTS:
		return "too many clients (--max-clients)";
	case PROTO_E_CLIENTS_USER:
		return "too many clients of this user (--max-clients-per-user)";
	case PROTO_E_NOBODY:
		return "this uid is the overflow uid: it stands for every user without a name here";
	default:
		return "timerqd is out of file descriptors or memory";
	}
}

/* The limits of this user. fd: a connection of the user, for its groups; -1: there is none. */
static struct broker_own own_limits(const struct connections *cs, int fd, uint32_t uid)
{
	const struct config *config = cs->setup->config;
	struct config_who who = {.uid = uid, .gids = cs->gids};

	if (config->has_groups && fd >= 0)
		who.gid_count = peer_get_groups(fd, cs->gids);
	return (struct broker_own){
		.max_timers = (uint32_t)config_own(config, &who, OWN_MAX_QUEUE_TIMERS),
		.max_clients = (uint32_t)config_own(config, &who, OWN_MAX_QUEUE_CLIENTS),
		.max_bytes = config_own(config, &who, OWN_MAX_QUEUE_BYTES),
	};
}

struct broker_own connections_own(void *userdata, uint32_t client, uint32_t uid)
{
	struct connections *cs = userdata;
	const struct connection *c = client ? connection_of(cs, client) : NULL;

	return own_limits(cs, c ? c->fd : -1, uid);
}

static void accept_one(struct connections *cs, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	uint32_t uid = 0, client = 0, status = PROTO_E_DESCRIPTORS;
	pid_t pid;
	int r = c ? peer_get(&cs->peers, fd, &uid, &pid) : -ENOMEM;

	if (r == 0)
		status = broker_connect(
			cs->broker, uid, own_limits(cs, fd, uid).max_clients, &client);
	else if (r == -EPERM)
		status = PROTO_E_NOBODY;
	if (status) {
		log_print(cs->log, LOG_DEBUG, "client refused: %s", refusal_text(status));
		refuse(fd, status, refusal_text(status));
		free(c);
		return;
	}
	*c = (struct connection){.all = cs, .fd = fd, .client = client};
	cs->at[client - 1] = c;
	r = sd_event_add_io(cs->event, &c->source, fd, EPOLLIN | EPOLLRDHUP, connection_event, c);
	if (r < 0)
		end(c);
}

int connections_accept(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct connections *cs = userdata;

	(void)source;
	(void)events;
	for (int i = 0; i < ACCEPT_SLICE; i++) {
		int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (peer < 0)
			return 0;
		accept_one(cs, peer);
	}
	return 0;
}

void connections_reap(struct connections *cs, const struct broker_now *now)
{
	for (uint32_t i = 0; cs->ended_count && i < cs->room; i++) {
		struct connection *c = cs->at[i];

		if (!c || !c->ended)
			continue;
		cs->ended_count--;
		broker_disconnect(cs->broker, c->client, now);
		connection_free(c);
	}
}

void connections_close(struct connections *cs)
{
	struct proto_going_away going = {.reason = PROTO_STOPPING};
	uint8_t packet[sizeof(struct proto_header) + sizeof(going)];
	struct codec_writer w;
	size_t size;

	codec_begin(&w, packet, PROTO_GOING_AWAY, 0);
	codec_put(&w, &going, sizeof(going));
	size = codec_end(&w, 0);
	for (uint32_t i = 0; cs->at && i < cs->room; i++) {
		struct connection *c = cs->at[i];

		if (!c)
			continue;
		send_packet(c->fd, packet, size);
		connection_free(c);
	}
}
