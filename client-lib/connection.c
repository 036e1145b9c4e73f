/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "codec.h"
#include "connection.h"
#include "descriptor.h"
#include "text.h"
#include "toytimer.h"

_Static_assert(sizeof(time_t) == 8, "time_t holds every due");

#define HELLO_SERIAL 1

#define DELAY_FIRST_US UINT64_C(10000)
#define DELAY_MOST_US  UINT64_C(1000000)

/* If the daemon's queue of connections is full, it may have room again at any moment. A thread
 * that only processes events cannot wait for that in the kernel, so it tries again soon. */
#define DELAY_QUEUED_US UINT64_C(5000)

/* After the loss of a connection that lasted this long, or on which a request was answered, the
 * library reconnects at once. Otherwise it waits: perhaps the library's own requests end the
 * daemon, which would then end each time that it starts. */
#define LIFE_LEAST_US DELAY_MOST_US

/* A mapping that fork() wipes. A forked child thus finds out that it is a child. getpid() would
 * cost a system call for each registration. */
struct pages {
	uint8_t in[PROTO_PACKET_MAX];
	uint8_t out[PROTO_PACKET_MAX];
	bool ours;
};

static int map_pages(struct connection *c)
{
	void *p = mmap(NULL, sizeof(*c->pages), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);

	if (p == MAP_FAILED)
		return -ENOMEM;
	c->pages = p;
	c->in = c->pages->in;
	c->out = c->pages->out;
	c->pages->ours = true;
	/* If the kernel or the emulator does not know this advice, compare the pid each time. */
	if (madvise(p, sizeof(*c->pages), MADV_WIPEONFORK) < 0)
		c->owner = getpid();
	return 0;
}

bool connection_is_ours(const struct connection *c)
{
	return c->pages->ours && (!c->owner || c->owner == getpid());
}

/* Sets the address of the socket. Return: 0; -EINVAL: the path is too long for an address. */
static int set_address(struct connection *c, const char *folder, const char *path)
{
	int n = snprintf(c->address.sun_path, sizeof(c->address.sun_path), "%s%s%s", folder,
		*folder ? "/" : "", path);

	if (n < 0 || (size_t)n >= sizeof(c->address.sun_path))
		return text_invalid("path: too long for the address of a socket");
	c->address.sun_family = AF_UNIX;
	c->address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
	return 0;
}

/*
 * A relative path starts at the current folder when the handle is opened: the program may change
 * its folder before the next connection. If the absolute path is too long for an address, or the
 * folder has no path, the address uses an open descriptor of the folder.
 */
static int set_path(struct connection *c, const char *path)
{
	char folder[PATH_MAX];

	if (!*path)
		return text_invalid("path: empty");
	if (*path == '/')
		return set_address(c, "", path);
	if (getcwd(folder, sizeof(folder)) && set_address(c, folder, path) == 0)
		return 0;
	c->folder = descriptor_keep(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (c->folder < 0)
		return c->folder;
	snprintf(folder, sizeof(folder), "/proc/self/fd/%d", c->folder);
	return set_address(c, folder, path);
}

static int watch(struct connection *c, int operation, int fd, uint32_t events)
{
	struct epoll_event event = {.events = events};

	return epoll_ctl(c->epoll, operation, fd, &event) < 0 ? text_local(errno) : 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* A forked child that runs no other program may also hold the socket. The shutdown tells the daemon
 * nevertheless. The removal from epoll prevents an event for the closed connection. */
static void disconnect(struct connection *c)
{
	if (c->fd < 0)
		return;
	shutdown(c->fd, SHUT_RDWR);
	(void)watch(c, EPOLL_CTL_DEL, c->fd, 0);
	close_fd(&c->fd);
}

void connection_destroy(struct connection *c)
{
	if (!c->pages)
		return;
	if (connection_is_ours(c))
		disconnect(c);
	close_fd(&c->fd);
	close_fd(&c->waited);
	close_fd(&c->retry);
	close_fd(&c->epoll);
	close_fd(&c->folder);
	munmap(c->pages, sizeof(*c->pages));
	c->pages = NULL;
}

void connection_lose(struct connection *c, int error)
{
	bool queued_out = error == -ETIMEDOUT;
	uint64_t delay = queued_out ? DELAY_QUEUED_US : c->delay;
	struct itimerspec when = {
		.it_value.tv_sec = (time_t)(delay / 1000000),
		.it_value.tv_nsec = (long)(delay % 1000000) * 1000 + 1, /* 0 would disarm it */
	};

	disconnect(c);
	c->state = CONNECTION_DOWN;
	c->error = error;
	c->in_size = 0;
	c->out_size = 0;
	c->blocked = false;
	/* It fails only for invalid arguments. */
	(void)timerfd_settime(c->retry, 0, &when, NULL);
	if (queued_out)
		return;
	c->delay = c->delay ? c->delay * 2 : DELAY_FIRST_US;
	if (c->delay > DELAY_MOST_US)
		c->delay = DELAY_MOST_US;
}

int connection_init(struct connection *c, const char *path, const struct connection_kind *kind)
{
	int r;

	*c = (struct connection){
		.kind = kind,
		.fd = -1,
		.waited = -1,
		.retry = -1,
		.epoll = -1,
		.folder = -1,
	};
	r = map_pages(c);
	if (r < 0)
		return r;
	r = set_path(c, path);
	if (r == 0)
		r = c->epoll = descriptor_keep(epoll_create1(EPOLL_CLOEXEC));
	if (r >= 0)
		r = c->retry = descriptor_keep(
			timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
	if (r >= 0)
		r = watch(c, EPOLL_CTL_ADD, c->retry, EPOLLIN);
	if (r < 0)
		connection_destroy(c);
	else
		connection_lose(c, 0); /* and due at once */
	return r;
}

static int connect_errno(int error)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
	case ECONNREFUSED:
	case ECONNRESET:
		return -ECONNREFUSED;
	case EACCES:
	case EPERM:
		return text_refused(
			-EACCES, "permission denied for the socket, or for a folder on its path");
	case EAGAIN: /* its backlog is full */
		return -ETIMEDOUT;
	case EPROTOTYPE: /* a socket of another type */
		return -EPROTO;
	default:
		return -error;
	}
}

static int open_socket(struct connection *c)
{
	const struct timeval patience = {.tv_usec = CONNECTION_PATIENCE_US};
	int r;

	if (c->waited >= 0) {
		c->fd = c->waited;
		c->waited = -1;
	} else {
		r = descriptor_keep(
			socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
		if (r < 0)
			return r;
		c->fd = r;
		do
			r = connect(c->fd, (const struct sockaddr *)&c->address, c->address_size);
		while (r < 0 && errno == EINTR);
		if (r < 0)
			return connect_errno(errno);
	}
	/* Only connect() must not block. Each later call has a flag that says whether it may. */
	if (setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0 ||
		fcntl(c->fd, F_SETFL, 0) < 0)
		return -errno;
	return watch(c, EPOLL_CTL_ADD, c->fd, EPOLLIN);
}

bool connection_is_queued_out(const struct connection *c)
{
	return c->state == CONNECTION_DOWN && c->error == -ETIMEDOUT && c->waited < 0;
}

void connection_wait(struct connection *c, int timeout_ms)
{
	const struct itimerspec at_once = {.it_value.tv_nsec = 1};
	long us = timeout_ms < 0 || timeout_ms > CONNECTION_PATIENCE_US / 1000
		? CONNECTION_PATIENCE_US
		: timeout_ms * 1000L;
	const struct timeval patience = {.tv_usec = us > 0 ? us : 1};
	int fd = descriptor_keep(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
		connect(fd, (const struct sockaddr *)&c->address, c->address_size) == 0)
		c->waited = fd;
	else if (fd >= 0)
		close(fd);
	/* Other errors: the next attempt meets them again and reports them. */
	if (c->waited >= 0)
		(void)timerfd_settime(c->retry, 0, &at_once, NULL);
}

static enum codec_fault timerd_open(const void *packet, size_t size, struct proto_header *ret)
{
	return codec_open(packet, size, CODEC_FROM_DAEMON, ret);
}

static size_t timerd_hello(struct connection *c)
{
	struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	struct codec_writer w;

	codec_begin(&w, c->out, PROTO_HELLO, c->serial);
	codec_put(&w, &hello, sizeof(hello));
	return codec_end(&w, 0);
}

static int timerd_greeted(struct connection *c)
{
	struct proto_hello_answer answer;

	codec_get(c->in, &c->header, 0, &answer, sizeof(answer));
	if (answer.magic != PROTO_MAGIC || answer.version != PROTO_VERSION)
		return -EPROTO;
	c->capabilities = answer.capabilities;
	return 0;
}

const struct connection_kind connection_timerd = {
	.open = timerd_open,
	.hello = timerd_hello,
	.greeted = timerd_greeted,
};

static void send_hello(struct connection *c)
{
	c->serial = HELLO_SERIAL;
	c->out_size = c->kind->hello(c);
	connection_send(c);
}

bool connection_attempt(struct connection *c)
{
	uint64_t rang;
	int r;

	if (c->state != CONNECTION_DOWN)
		return true;
	if (read(c->retry, &rang, sizeof(rang)) < 0)
		return false;
	r = open_socket(c);
	if (r < 0) {
		connection_lose(c, r);
		return false;
	}
	c->state = CONNECTION_GREETING;
	send_hello(c);
	return true;
}

int connection_greeted(struct connection *c)
{
	uint64_t now = toytimer_now(TOYTIMER_MONOTONIC);
	int r;

	if (c->header.status)
		return text_refusal(c->header.status);
	r = c->header.serial == c->serial ? c->kind->greeted(c) : -EPROTO;
	if (r < 0)
		return r;
	if (c->times == 0 || now - c->since >= LIFE_LEAST_US)
		c->delay = 0;
	c->state = CONNECTION_UP;
	c->error = 0;
	c->since = now;
	c->times++;
	return 0;
}

bool connection_may_wait(const struct connection *c)
{
	return c->state == CONNECTION_UP && !c->blocked;
}

int connection_receive(struct connection *c, bool wait)
{
	ssize_t n;

	if (c->in_size)
		return 1;
	/* If the daemon closes the socket before it has read all of our packets, recv() first
	 * returns ECONNRESET, and only its next call returns what the daemon has sent. So receive
	 * again. */
	do
		n = recv(c->fd, c->in, PROTO_PACKET_MAX,
			wait ? MSG_TRUNC : MSG_TRUNC | MSG_DONTWAIT);
	while (n < 0 && ((errno == EINTR && !wait) || errno == ECONNRESET));
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	if (c->kind->open(c->in, (size_t)n, &c->header) != CODEC_OK)
		return -EPROTO;
	c->in_size = (size_t)n;
	return 1;
}

void connection_consume(struct connection *c)
{
	c->in_size = 0;
	if (c->header.opcode & PROTO_ANSWER && c->header.serial > HELLO_SERIAL)
		c->delay = 0;
}

static void set_blocked(struct connection *c, bool blocked)
{
	if (c->blocked == blocked)
		return;
	c->blocked = blocked;
	(void)watch(c, EPOLL_CTL_MOD, c->fd, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

bool connection_send(struct connection *c)
{
	ssize_t n;

	if (!c->out_size) {
		set_blocked(c, false);
		return true;
	}
	do
		n = send(c->fd, c->out, c->out_size, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM)) {
		set_blocked(c, true);
		return false;
	}
	/* EPIPE, ECONNRESET: the next receive reports the end. For other errors, cause it. */
	if (n < 0 && errno != EPIPE && errno != ECONNRESET)
		shutdown(c->fd, SHUT_RDWR);
	set_blocked(c, false);
	c->out_size = 0;
	return true;
}
