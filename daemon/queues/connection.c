/* SPDX-License-Identifier: MIT */
#include "connection.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../seqpacket.h"
#include "errors.h"

/* Connections that one turn accepts. */
#define ACCEPT_SLICE 16

/* How long a listener pauses while descriptors or memory are short, microseconds. */
#define LISTENER_PAUSE_US 100000

/* How long one turn reads from connections, and how long it closes connections, microseconds: a
 * slice of timerd. */
#define SLICE_US 300

/* A client sends a batch in several packets. If a packet is longer than this, it may be one of a
 * batch, and the next one may already be there. */
#define LONG_PACKET (PROTO_PACKET_MAX / 2)

/* How many connections one call of epoll_wait() reports. */
#define EVENTS_MAX 64

/* An answer that the client's socket did not take yet. */
struct unsent {
	struct unsent *next;
	size_t size;
	uint8_t packet[];
};

struct connection {
	struct connections *all;
	int fd;
	uint32_t client;
	uint32_t uid, pid;
	uint32_t user;	 /* connections::users */
	uint32_t events; /* that the epoll set watches for */
	uint32_t ready;	 /* events to be handled; 0: it waits for no turn */
	struct unsent *first, *last;
	bool wake_refused; /* the broker waits for broker_writable() */
	bool ended;
};

static int connections_ready(sd_event_source *source, int fd, uint32_t events, void *userdata);

int connections_init(struct connections *cs, uint32_t max_clients)
{
	cs->peers = peer_read_rules();
	cs->at = calloc(max_clients, sizeof(struct connection *));
	cs->room = max_clients;
	cs->in = malloc(PROTO_PACKET_MAX);
	cs->gids = calloc(PEER_GROUPS_MAX, sizeof(*cs->gids));
	cs->users = calloc(max_clients + 1, sizeof(*cs->users));
	cs->turns = calloc(max_clients + 1, sizeof(*cs->turns));
	cs->users_top = 1;
	cs->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (cs->epoll < 0)
		return -errno;
	if (!cs->at || !cs->in || !cs->gids || !cs->users || !cs->turns)
		return -ENOMEM;
	return sd_event_add_io(cs->event, &cs->source, cs->epoll, EPOLLIN, connections_ready, cs);
}

void connections_free(struct connections *cs)
{
	sd_event_source_disable_unref(cs->source);
	if (cs->epoll >= 0)
		close(cs->epoll);
	free(cs->at);
	free(cs->in);
	free(cs->gids);
	free(cs->users);
	free(cs->turns);
}

static struct turns turns_of(struct connections *cs)
{
	return (struct turns){
		.users = &cs->ready,
		.user = cs->users,
		.session = cs->turns,
		.user_stride = sizeof(*cs->users),
		.session_stride = sizeof(*cs->turns),
	};
}

/* The entry of a user, for one more connection. O(users): only for a new connection. */
static uint32_t user_of(struct connections *cs, uint32_t uid)
{
	uint32_t user = 0;

	for (uint32_t i = 1; i < cs->users_top; i++)
		if (cs->users[i].connections && cs->users[i].uid == uid)
			user = i;
	for (uint32_t i = 1; !user; i++)
		if (!cs->users[i].connections)
			user = i;
	if (user == cs->users_top)
		cs->users_top++;
	cs->users[user].uid = uid;
	cs->users[user].connections++;
	return user;
}

static struct connection *connection_of(const struct connections *cs, uint32_t client)
{
	return cs->at[client - 1];
}

/* Makes the epoll set watch for what the connection can do now. */
static void watch(struct connection *c)
{
	struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = c};

	if (c->ended)
		return;
	if (!c->first && broker_reads(c->all->broker, c->client))
		event.events |= EPOLLIN;
	if (c->first || c->wake_refused)
		event.events |= EPOLLOUT;
	if (event.events == c->events)
		return;
	/* It fails only if the kernel has no memory for a new entry. */
	epoll_ctl(c->all->epoll, EPOLL_CTL_MOD, c->fd, &event);
	c->events = event.events;
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
	epoll_ctl(c->all->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	wants_turn(c->all);
}

/* Comes before each call on a client's socket. */
static void call_begins(struct connections *cs)
{
	meter_slice_begin(&cs->meter, meter_clock());
	meter_begin(&cs->meter);
}

/* Comes after the call. Charges the user, and cuts the user off after too many slow calls. */
static void call_ends(struct connections *cs, uint32_t uid, uint32_t pid)
{
	struct log_about about = {uid, pid, NULL};
	bool cut_off = meter_end(&cs->meter, uid);

	meter_slice_end(&cs->meter, meter_clock());
	if (!cut_off)
		return;
	log_client(cs->log, LOG_WARNING, cs->meter.now, &about, METER_CUT_OFF);
	for (uint32_t i = 0; i < cs->room; i++)
		if (cs->at[i] && cs->at[i]->uid == uid)
			end(cs->at[i]);
}

/* Closes a socket. If this is one slow call too many, the user is cut off. */
static void close_socket(struct connections *cs, int fd, uint32_t uid, uint32_t pid)
{
	if (meter_is_out(&cs->meter, uid)) {
		seqpacket_close_aside(fd);
		return;
	}
	call_begins(cs);
	seqpacket_discard_and_close(fd, UINT32_MAX);
	call_ends(cs, uid, pid);
}

static void connection_free(struct connection *c)
{
	struct connections *cs = c->all;
	uint32_t uid = c->uid, pid = c->pid;
	int fd = c->fd;

	while (c->first) {
		struct unsent *unsent = c->first;

		c->first = unsent->next;
		free(unsent);
	}
	if (c->ready) {
		const struct turns turns = turns_of(cs);

		turns_remove(&turns, c->user, c->client);
	}
	cs->users[c->user].connections--;
	/* Removes the connection first, because a cut-off ends all further connections of the user.
	 */
	cs->at[c->client - 1] = NULL;
	free(c);
	close_socket(cs, fd, uid, pid);
}

static int send_to(struct connection *c, const void *packet, size_t size)
{
	int r;

	call_begins(c->all);
	r = seqpacket_send(c->fd, packet, size);
	call_ends(c->all, c->uid, c->pid);
	return r;
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

	if (!c || c->ended)
		return -ENOTCONN;
	r = c->first ? -EAGAIN : send_to(c, packet, size);
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

/* The same sentences as timerd's, except for the two that name the daemon. */
static const char *refusal_text(enum proto_status status)
{
	switch (status) {
	case PROTO_E_PASSED_DESCRIPTOR:
		return "a file descriptor came with a packet; timerqd takes none";
	case PROTO_E_DESCRIPTORS:
		return "timerqd is out of file descriptors or memory";
	default:
		return errors_text(status);
	}
}

/* Tells a peer why it is disconnected or refused. */
static void send_refusal(int fd, enum proto_status status)
{
	uint8_t packet[sizeof(struct proto_header) + sizeof(struct proto_error)];

	seqpacket_send(fd, packet, errors_write(packet, status, 0, refusal_text(status)));
}

/* Sends the kept answers. */
static void flush(struct connection *c)
{
	while (c->first && !c->ended) {
		struct unsent *unsent = c->first;
		int r = send_to(c, unsent->packet, unsent->size);

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

/* Reads a packet into `in`. Return: as seqpacket_receive(). */
static ssize_t read_packet(struct connection *c)
{
	ssize_t n;

	call_begins(c->all);
	n = seqpacket_receive(c->fd, c->all->in, PROTO_PACKET_MAX);
	call_ends(c->all, c->uid, c->pid);
	return n;
}

/* Reads one packet. If there are more, the epoll set reports the connection again, after all others
 * that are ready. */
static void read_one(struct connection *c)
{
	struct connections *cs = c->all;
	ssize_t n;
	int r;

	if (c->ended || c->first || !broker_reads(cs->broker, c->client))
		return;
	n = read_packet(c);
	if (n == -EAGAIN)
		return;
	if (n == -EBADMSG)
		send_refusal(c->fd, PROTO_E_PASSED_DESCRIPTOR);
	if (n <= 0) {
		end(c);
		return;
	}
	cs->batch_follows = cs->batch_follows || n > LONG_PACKET;
	r = broker_handle(cs->broker, c->client, cs->in, (size_t)n, cs->now(cs->userdata));
	wants_turn(cs);
	if (r)
		end(c);
}

static void handle_event(struct connection *c, uint32_t events)
{
	if (c->ended)
		return;
	if (events & EPOLLOUT)
		flush(c);
	if (events & EPOLLIN)
		read_one(c);
	else if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
		end(c);
	watch(c);
}

static void note_ready(struct connection *c, uint32_t events)
{
	const struct turns turns = turns_of(c->all);

	if (!c->ready)
		turns_add(&turns, c->user, c->client);
	c->ready |= events;
}

/* Handles the connections that are ready now. Turns go round by user: a client waits for at most
 * one packet of each other user, however many connections these have. Return: whether time is left.
 */
static bool handle_ready(struct connections *cs, uint64_t since)
{
	struct epoll_event reported[EVENTS_MAX];
	const struct turns turns = turns_of(cs);
	uint32_t client;
	int n = epoll_wait(cs->epoll, reported, EVENTS_MAX, 0);

	for (int i = 0; i < n; i++)
		note_ready(reported[i].data.ptr, reported[i].events);
	while ((client = turns_take(&turns))) {
		struct connection *c = connection_of(cs, client);
		uint32_t events = c->ready;

		c->ready = 0;
		handle_event(c, events);
		if (meter_clock() - since > SLICE_US)
			return false;
	}
	return true;
}

/* Reads one packet of each ready connection. After a long packet it reads all ready connections
 * once more, so that one transaction takes all packets of a batch. When the time is over, the other
 * connections are still ready, and the epoll set reports them again. */
static int connections_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct connections *cs = userdata;
	uint64_t since = meter_clock();

	(void)source;
	(void)fd;
	(void)events;
	do
		cs->batch_follows = false;
	while (handle_ready(cs, since) && cs->batch_follows);
	return 0;
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

static void refuse(struct connections *cs, int fd, enum proto_status status)
{
	struct log_about about = {.uid = LOG_NOBODY, .limit = errors_limit(status)};
	pid_t pid;

	if (peer_get_unchecked(fd, &about.uid, &pid) == 0)
		about.pid = (uint32_t)pid;
	broker_refused_client(cs->broker, status == PROTO_E_NOBODY ? LOG_NOBODY : about.uid);
	log_client(cs->log, LOG_NOTICE, meter_clock(), &about, "refused a client: %s",
		refusal_text(status));
	call_begins(cs);
	send_refusal(fd, status);
	seqpacket_discard_and_close(fd, SEQPACKET_OF_REFUSED);
	call_ends(cs, about.uid, about.pid);
}

static void accept_one(struct connections *cs, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));
	struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};
	enum proto_status status = PROTO_E_DESCRIPTORS;
	uint32_t uid = 0, client = 0;
	pid_t pid = 0;
	int r = c ? peer_get(&cs->peers, fd, &uid, &pid) : -ENOMEM;

	if (r == 0 && meter_is_out(&cs->meter, uid))
		status = PROTO_E_SLOW_SOCKETS;
	else if (r == 0)
		status = broker_connect(cs->broker, uid, own_limits(cs, fd, uid).max_clients,
			cs->now(cs->userdata), &client);
	else if (r == -EPERM)
		status = PROTO_E_NOBODY;
	if (status) {
		refuse(cs, fd, status);
		free(c);
		return;
	}
	seqpacket_forbid_descriptors(fd); /* the listener may have allowed them at first */
	*c = (struct connection){
		.all = cs,
		.fd = fd,
		.client = client,
		.uid = uid,
		.pid = (uint32_t)pid,
		.user = user_of(cs, uid),
	};
	c->events = event.events;
	cs->at[client - 1] = c;
	event.data.ptr = c;
	if (epoll_ctl(cs->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
		end(c);
	wants_turn(cs); /* it sets the timer for the hello */
}

/* Pauses a listener after an error of accept4() that says that descriptors or memory are short. The
 * listener stays readable, and without a pause the loop would spin. */
static void pause_listener(struct connections *cs, sd_event_source *listener, int error)
{
	struct log_about nobody = {LOG_NOBODY, 0, NULL};

	if (error != EMFILE && error != ENFILE && error != ENOBUFS && error != ENOMEM)
		return;
	log_client(cs->log, LOG_WARNING, meter_clock(), &nobody, "cannot take a client: %s",
		strerror(error));
	sd_event_source_set_enabled(listener, SD_EVENT_OFF);
	cs->paused[cs->paused_count++] = listener;
	cs->paused_until = cs->now(cs->userdata)->real + LISTENER_PAUSE_US;
	wants_turn(cs);
}

uint64_t connections_listen_again(struct connections *cs, uint64_t now)
{
	if (cs->paused_count && now < cs->paused_until)
		return cs->paused_until;
	while (cs->paused_count)
		sd_event_source_set_enabled(cs->paused[--cs->paused_count], SD_EVENT_ON);
	return PROTO_FOREVER;
}

int connections_accept(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct connections *cs = userdata;

	(void)events;
	meter_slice_begin(&cs->meter, meter_clock()); /* for a user who is not cut off any more */
	for (int i = 0; i < ACCEPT_SLICE; i++) {
		int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (peer < 0) {
			pause_listener(cs, source, errno);
			return 0;
		}
		accept_one(cs, peer);
	}
	return 0;
}

void connections_reap(struct connections *cs, const struct broker_now *now)
{
	uint64_t since = cs->ended_count ? meter_clock() : 0;

	for (uint32_t i = 0; cs->ended_count && i < cs->room; i++) {
		struct connection *c = cs->at[i];

		if (!c || !c->ended)
			continue;
		cs->ended_count--;
		broker_disconnect(cs->broker, c->client, now);
		connection_free(c);
		if (meter_clock() - since > SLICE_US)
			break;
	}
	if (cs->ended_count)
		wants_turn(cs);
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
		seqpacket_send(c->fd, packet, size);
		connection_free(c);
	}
}
