/* SPDX-License-Identifier: MIT */
/*
 * The listening socket: given by systemd, or made here (socket_file.h).
 */
#pragma once

#include <stdbool.h>

#include "client.h"
#include "socket_file.h"

#define LISTENERS_MAX 8

/* How soon a listener is tried again that no descriptor could be had for. */
#define LISTENER_PAUSE_US UINT64_C(100000)

/* How long the listeners rest when all connections that waited were refused. Without a rest a flood
 * of them takes a whole processor, and then the kernel has timerd wait 3 ms and more for one before
 * it sends a wake. While others wait there is no rest: those of other users are among them, and a
 * client fills its connection with more to be thrown away the longer it waits. */
#define LISTENER_REST_US UINT64_C(1000)

struct listener {
	int fds[LISTENERS_MAX];
	unsigned int count;
	struct socket_file file;
	const char *path; /* borrowed; NULL: the sockets are systemd's */
	int spare; /* given up to take, and refuse, a connection when descriptors have run out */
	/* Monotonic; 0: not. Not even that helps, and a descriptor may have been closed by then; or
	 * the listeners rest. */
	uint64_t paused_until;
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

/* Removes the socket again, if it was made here. */
void listener_close(struct listener *listener);

/* Accepts a few of the waiting connections; without a descriptor to spare, refuses them. Return:
 * whether it refused all that waited. */
bool listener_accept(
	struct listener *listener, unsigned int i, struct clients *clients, const struct now *now);
