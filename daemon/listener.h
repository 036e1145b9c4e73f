/* SPDX-License-Identifier: MIT */
/*
 * The listening socket: given by systemd, or made here where no live daemon holds it.
 *
 * Two daemons must never serve one path. A lock beside the socket (PATH.lock, flock) is held for
 * the daemon's life; who has it may replace a socket that nobody answers on. It goes with the
 * process, however that ends, so what a killed daemon leaves is found to be dead.
 */
#pragma once

#include <stdbool.h>

#include "client.h"

#define LISTENERS_MAX 8

/* How soon a listener is tried again that no descriptor could be had for. */
#define LISTENER_PAUSE_US UINT64_C(100000)

struct listener {
	int fds[LISTENERS_MAX];
	unsigned int count;
	int lock;	  /* -1: the sockets are systemd's */
	const char *path; /* borrowed; NULL: likewise */
	int spare; /* given up to take, and refuse, a connection when descriptors have run out */
	/* Monotonic; 0: not. Not even that helps: a descriptor may have been closed by then. */
	uint64_t paused_until;
};

void listener_init(struct listener *listener);

/* Takes a socket that systemd passed under that name. Return: 0; -EINVAL after it was logged;
 * another negative errno. */
int listener_take(struct listener *listener, struct log *log, int fd, const char *name);

/*
 * Makes a socket at path, with its folder if that is missing.
 *   mode: of the socket.
 * Return: 0; or a negative errno after it was logged: -EADDRINUSE where a live daemon holds it.
 */
int listener_open(struct listener *listener, struct log *log, const char *path, mode_t mode);

/* Removes the socket again, if it was made here. */
void listener_close(struct listener *listener);

/* Accepts a few of the waiting connections; without a descriptor to spare, refuses them. */
void listener_accept(
	struct listener *listener, unsigned int i, struct clients *clients, const struct now *now);
