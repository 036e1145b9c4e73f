/* SPDX-License-Identifier: MIT */
/*
 * Making, inheriting and serving the listening sockets.
 */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* Connections taken in one turn of the loop, so that a flood of them leaves room for others. With
 * 16, half of another's wakes were a millisecond late in a flood; with 4 a third of that. */
#define ACCEPT_SLICE 4

/* More may wait: /proc/sys/net/core/somaxconn bounds it. */
#define BACKLOG 4096

void listener_init(struct listener *listener)
{
	*listener = (struct listener){
		.lock = -1,
		.spare = open("/dev/null", O_RDONLY | O_CLOEXEC),
	};
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
	client_forbid_descriptors(fd);
	listener->fds[listener->count++] = fd;
	return 0;
}

/* Return: the locked descriptor, -EWOULDBLOCK where another has the lock, another negative
 * errno. */
static int take_lock(const char *path)
{
	char lock[sizeof(((struct sockaddr_un *)0)->sun_path) + 8];
	int fd, error;

	snprintf(lock, sizeof(lock), "%s.lock", path);
	fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/* Whether somebody answers at the address: a daemon that was activated by systemd holds no lock. */
static bool is_live(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool live;

	if (fd < 0)
		return false;
	live = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
		errno == EAGAIN;
	close(fd);
	return live;
}

/* Return: 0 if there is one now or before, a negative errno. */
static int make_folder(const char *path)
{
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char *slash;

	snprintf(folder, sizeof(folder), "%s", path);
	slash = strrchr(folder, '/');
	if (!slash || slash == folder)
		return 0;
	*slash = 0;
	return mkdir(folder, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

static int bind_socket(const struct sockaddr_un *address, mode_t mode)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return -errno;
	/* Nobody may connect before the mode is what it should be: that comes before listen(). */
	if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 &&
		chmod(address->sun_path, mode) == 0) {
		client_forbid_descriptors(fd);
		if (listen(fd, BACKLOG) == 0)
			return fd;
	}
	error = -errno;
	close(fd);
	return error;
}

/* Removes what a dead daemon left. Return: 0, or -EEXIST where the path is not a socket at all. */
static int clear_path(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	return unlink(path) < 0 ? -errno : 0;
}

int listener_open(struct listener *listener, struct log *log, const char *path, mode_t mode)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int folder, fd;

	if (!*path || strlen(path) >= sizeof(address.sun_path)) {
		log_print(log, LOG_ERR, "socket path '%s' is empty or longer than %zu bytes", path,
			sizeof(address.sun_path) - 1);
		return -ENAMETOOLONG;
	}
	memcpy(address.sun_path, path, strlen(path));
	folder = make_folder(path);
	listener->lock = take_lock(path);
	if (listener->lock == -EWOULDBLOCK || (listener->lock >= 0 && is_live(&address))) {
		log_print(log, LOG_ERR, "another timerd holds %s", path);
		return -EADDRINUSE;
	}
	if (listener->lock < 0) {
		/* Where the folder is missing, why it could not be made says more than that it
		 * is. */
		if (folder < 0)
			log_print(log, LOG_ERR, "cannot make the folder of %s: %s", path,
				strerror(-folder));
		else
			log_print(log, LOG_ERR, "cannot lock %s.lock: %s", path,
				strerror(-listener->lock));
		return listener->lock;
	}
	fd = clear_path(path);
	if (fd == 0)
		fd = bind_socket(&address, mode);
	if (fd < 0) {
		log_print(log, LOG_ERR, "cannot make the socket %s: %s", path, strerror(-fd));
		return fd;
	}
	listener->fds[listener->count++] = fd;
	listener->path = path;
	return 0;
}

void listener_close(struct listener *listener)
{
	for (unsigned int i = 0; i < listener->count; i++)
		close(listener->fds[i]);
	if (listener->path)
		unlink(listener->path);
	/* The lock's file stays: to remove it would let two daemons lock two files of one name. */
	if (listener->lock >= 0)
		close(listener->lock);
	if (listener->spare >= 0)
		close(listener->spare);
	*listener = (struct listener){.lock = -1, .spare = -1};
}

static bool is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Makes room with the spare descriptor, and tells the one at the head of the queue why it has to
 * go. */
static void refuse_one(struct listener *listener, int listening, uint64_t now)
{
	int fd;

	if (listener->spare >= 0)
		close(listener->spare);
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		client_refuse(fd, PROTO_E_DESCRIPTORS);
	else if (is_shortage(errno))
		listener->paused_until = now + LISTENER_PAUSE_US;
	listener->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void listener_accept(
	struct listener *listener, unsigned int i, struct clients *clients, const struct now *now)
{
	struct log_about nobody = {UINT32_MAX, 0, NULL};
	uint64_t at = now->at[PROTO_CLOCK_MONOTONIC];

	for (int n = 0; n < ACCEPT_SLICE && !listener->paused_until; n++) {
		int fd = accept4(listener->fds[i], NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			client_accept(clients, fd, now);
			continue;
		}
		if (!is_shortage(errno))
			return; /* none waits any more, or one has gone again: epoll knows */
		log_client(clients->log, LOG_WARNING, at, &nobody, "cannot take a client: %s",
			strerror(errno));
		refuse_one(listener, listener->fds[i], at);
	}
}
