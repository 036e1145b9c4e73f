/* SPDX-License-Identifier: MIT */
/*
 * Making, inheriting and serving the listening sockets.
 */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "seqpacket.h"

/* How long connections are taken or refused in one slice of the loop, microseconds: 4 or so that are
 * taken and later close, 20 or so that are refused. With 16 that were taken, half of another's wakes
 * were a millisecond late in a flood; with 4 a third of that. Time is the measure, since closing a
 * refused connection takes as long as what its client put into it. */
#define ACCEPT_US 250

/* More may wait: /proc/sys/net/core/somaxconn bounds it. */
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

	if (listener->count >= LISTENERS_MAX ||
		sd_is_socket(fd, AF_UNIX, SOCK_SEQPACKET, true) <= 0) {
		log_print(log, LOG_ERR,
			"'%s' from systemd is not a listening SOCK_SEQPACKET of AF_UNIX, or the "
			"%uth of them",
			name, listener->count + 1);
		return -EINVAL;
	}
	flags = fcntl(fd, F_GETFL);
	/* One that blocks would block the loop. */
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

/* Makes room with the spare descriptor, and tells the one at the head of the queue why it has to
 * go. Return: whether one was refused. */
static bool refuse_one(
	struct listener *listener, unsigned int i, struct clients *clients, const struct now *now)
{
	struct log_about nobody = {UINT32_MAX, 0, NULL};
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
			return refused && !taken; /* none waits any more: epoll knows */
	}
	return false;
}
