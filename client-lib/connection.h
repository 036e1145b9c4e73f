/* SPDX-License-Identifier: MIT */
/*
 * The connection to the daemon: connecting and reconnecting, hello, packets in and out, back-off.
 * This module knows the frame of a packet, but not its contents. Only connection_receive() and
 * connection_wait() block, the former if the caller asks for it.
 *
 * `epoll` holds the current socket and the back-off timer. A thread that waits on it need not know
 * which of the two it waits for, or that a new socket has replaced the old one.
 *
 * A failed send does not close the connection, a failed receive does: after the daemon has ended,
 * the socket may still hold wakes that it sent before.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "codec.h"
#include "proto.h"

enum connection_state {
	CONNECTION_DOWN,     /* until the back-off is over */
	CONNECTION_GREETING, /* hello is sent */
	CONNECTION_UP,
};

struct connection;

/* The protocol of a daemon. */
struct connection_kind {
	/* Checks a packet's frame, as codec_open() does. */
	enum codec_fault (*open)(const void *packet, size_t size, struct proto_header *ret);
	/* Writes the hello, with the connection's serial, into `out`. Return: its size. */
	size_t (*hello)(struct connection *c);
	/* Checks the answer to the hello, which is in `in`. Return: 0 or a negative errno. */
	int (*greeted)(struct connection *c);
};

/* timerd's. */
extern const struct connection_kind connection_timerd;

struct connection {
	const struct connection_kind *kind;
	enum connection_state state;
	int error;  /* DOWN: the reason, a negative errno */
	int fd;	    /* -1 if DOWN */
	int waited; /* a socket that connection_wait() has connected, for the next attempt; or -1 */
	int retry;  /* timerfd */
	int epoll;
	int folder;   /* the folder of a relative path, or -1: see connection.c */
	pid_t owner;  /* 0: `pages` shows a forked child; else the process that opened the
		       * connection */
	bool blocked; /* the socket is full: `out` waits */
	struct sockaddr_un address;
	socklen_t address_size;
	uint64_t serial;       /* of the last request */
	uint64_t since;	       /* CLOCK_MONOTONIC when it was last UP */
	uint64_t delay;	       /* back-off before the next attempt */
	uint64_t times;	       /* how often it was UP */
	uint64_t capabilities; /* enum proto_capability of the daemon that was connected last */
	struct pages *pages;   /* see connection.c; holds `in` and `out` */
	uint8_t *in, *out;
	struct proto_header header; /* of the packet in `in` */
	size_t in_size;		    /* 0: `in` is empty */
	size_t out_size;	    /* 0: `out` is empty */
};

/* Return: 0, or a negative errno; connection_destroy() then does nothing. */
int connection_init(struct connection *c, const char *path, const struct connection_kind *kind);

/* Closes the connection. In a forked child, the parent's connection stays. */
void connection_destroy(struct connection *c);

/* Whether this process opened the connection: false in a forked child. Makes no system call. */
bool connection_is_ours(const struct connection *c);

/* Connects and sends the hello if the back-off is over. Return: whether the state is not DOWN. */
bool connection_attempt(struct connection *c);

/* Whether the last attempt failed because the daemon's queue of connections is full. */
bool connection_is_queued_out(const struct connection *c);

/* Waits until the kernel connects to that queue, for at most timeout_ms (-1: no limit) and about
 * CONNECTION_PATIENCE_US. The kernel serves waiting threads in order. After a success, the next
 * attempt is due at once and uses the connected socket. */
void connection_wait(struct connection *c, int timeout_ms);

/* The daemon's answer to the hello is in `in`. Return: 0: it is UP, or a negative errno. */
int connection_greeted(struct connection *c);

/* Closes a connection that was lost or has failed, and arms the back-off. */
void connection_lose(struct connection *c, int error);

/* Whether connection_receive() may wait: no other event than a packet can come. */
bool connection_may_wait(const struct connection *c);

/* The longest time that connection_receive() waits, approximately; less than a second. A thread
 * that waits there is cancelled after at most this time. */
#define CONNECTION_PATIENCE_US 100000

/*
 * Receives a packet into `in` and checks its frame, unless `in` holds one already. With `wait` it
 * waits for a packet until a signal comes; one system call, where epoll needs two.
 * Return: 1: `in` holds a packet; 0: none has arrived; -ECONNRESET: the connection has ended;
 * another negative errno: it is unusable. After an error call connection_lose().
 */
int connection_receive(struct connection *c, bool wait);

/* Removes the packet from `in`. */
void connection_consume(struct connection *c);

/* Sends the packet in `out`. Return: whether `out` is empty. If it is not, epoll reports when to
 * try again. */
bool connection_send(struct connection *c);
