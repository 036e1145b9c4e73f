/* SPDX-License-Identifier: MIT */
/*
 * Makes, inherits and serves the listening sockets.
 */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "seqpacket.h"

/* How long one slice of the loop accepts or refuses connections, in microseconds: it accepts
 * about 4 connections that later close, or refuses about 20. With 16 accepted ones a slice, half
 * of the wakes of another user were a millisecond late in a flood; with 4 the delay was a third
 * of that. A number of connections would be no bound: the packets that a refused client has sent
 * decide how long closing its connection takes. */
#define ACCEPT_US 250

/* How many connections may wait. /proc/sys/net/core/somaxconn bounds it. */
#define BACKLOG 4096

void listener_init(struct listener *listener)
{
	*listener = (struct listener){
		.spare = open("/dev/null", O_RDONLY | O_CLOEXEC),
	};
	socket_file_init(&listener->file);
}

int listener_take(struct listener *listener, struct log *log, int fd, const char *name)
{
	int flags;

	if (listener->count >= LISTENERS_MAX) {
		log_print(log, LOG_ERR, "'%s' from systemd is one socket too many: timerd takes %d",
			name, LISTENERS_MAX);
		return -EINVAL;
	}
	if (sd_is_socket(fd, AF_UNIX, SOCK_SEQPACKET, true) <= 0) {
		log_print(log, LOG_ERR,
			"'%s' from systemd is not a listening SOCK_SEQPACKET socket of AF_UNIX",
			name);
		return -EINVAL;
	}
	flags = fcntl(fd, F_GETFL);
	/* A blocking socket would block the loop. */
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	seqpacket_forbid_descriptors(fd);
	listener->fds[listener->count++] = fd;
	return 0;
}

int listener_open(struct listener *listener, struct log *log, const char *path, mode_t mode,
	mode_t folder_mode)
{
	int fd = socket_file_make(&listener->file, log, path, mode, folder_mode);

	if (fd < 0)
		return fd;
	listener->fds[listener->count++] = fd;
	listener->path = path;
	seqpacket_forbid_descriptors(fd);
	if (listen(fd, BACKLOG) == 0)
		return 0;
	log_print(log, LOG_ERR, "cannot listen on %s: %s", path, strerror(errno));
	return -EIO;
}

void listener_close(struct listener *listener)
{
	socket_file_remove(&listener->file);
	for (unsigned int i = 0; i < listener->count; i++)
		close(listener->fds[i]);
	if (listener->spare >= 0)
		close(listener->spare);
	*listener = (struct listener){.spare = -1};
	socket_file_init(&listener->file);
}

static bool is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Closes the spare descriptor to accept the first waiting connection, and refuses it. If even that
 * fails, pauses the listeners: a descriptor may become free meanwhile. Return: whether a connection
 * was refused. */
static bool refuse_one(
	struct listener *listener, unsigned int i, struct clients *clients, const struct now *now)
{
	struct log_about nobody = {LOG_NOBODY, 0, NULL};
	int fd;

	log_client(clients->log, LOG_WARNING, now->at[PROTO_CLOCK_MONOTONIC], &nobody,
		"cannot take a client: %s", strerror(errno));
	if (listener->spare >= 0)
		close(listener->spare);
	fd = accept4(listener->fds[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		client_refuse(clients, fd, PROTO_E_DESCRIPTORS, now);
	else if (is_shortage(errno))
		listener->paused_until = now->at[PROTO_CLOCK_MONOTONIC] + LISTENER_PAUSE_US;
	listener->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return fd >= 0;
}

bool listener_accept(
	struct listener *listener, unsigned int i, struct clients *clients, const struct now *now)
{
	uint64_t since = meter_clock();
	bool taken = false, refused = false;

	while (!listener->paused_until && meter_clock() - since < ACCEPT_US) {
		int fd = accept4(listener->fds[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0 && client_accept(clients, fd, now))
			taken = true;
		else if (fd >= 0)
			refused = true;
		else if (is_shortage(errno))
			refused = refuse_one(listener, i, clients, now) || refused;
		else
			return refused && !taken; /* no connection waits any more */
	}
	return false;
}
