/* SPDX-License-Identifier: MIT */
/*
 * The listening sockets: systemd passes them, or timerd makes one (socket_file.h).
 */
#pragma once

#include <stdbool.h>

#include "client.h"
#include "socket_file.h"

#define LISTENERS_MAX 8

/* How long the listeners pause after a shortage of descriptors. */
#define LISTENER_PAUSE_US UINT64_C(100000)

/* How long the listeners pause after they refused all waiting connections. Without a pause a
 * flood of connections takes a whole processor, and the kernel then makes timerd wait 3 ms and
 * more for a processor before it sends a wake. If more connections wait, there is no pause:
 * connections of other users may be among them, and a client that waits longer sends more
 * packets, which cost time to discard. */
#define LISTENER_REFUSED_PAUSE_US UINT64_C(1000)

struct listener {
	int fds[LISTENERS_MAX];
	unsigned int count;
	struct socket_file file;
	const char *path; /* borrowed; NULL: the sockets are systemd's */
	int spare; /* closed to accept and refuse a connection when descriptors have run out */
	uint64_t paused_until; /* monotonic microseconds; 0: not paused */
};

void listener_init(struct listener *listener);

/* Takes a socket that systemd passed under that name. Return: 0; -EINVAL after it was logged;
 * another negative errno. */
int listener_take(struct listener *listener, struct log *log, int fd, const char *name);

/*
 * Makes a socket at path and listens there.
 *   mode, folder_mode: of the socket, and of its folder if that is missing.
 * Return: 0; or a negative errno after it was logged: -EADDRINUSE if another server holds the path.
 */
int listener_open(struct listener *listener, struct log *log, const char *path, mode_t mode,
	mode_t folder_mode);

/* Closes the sockets. Removes the socket that listener_open() made. */
void listener_close(struct listener *listener);

/* Accepts some of the waiting connections; refuses them if descriptors have run out. Return:
 * true: it refused all waiting connections, and accepted none. */
bool listener_accept(
	struct listener *listener, unsigned int i, struct clients *clients, const struct now *now);
