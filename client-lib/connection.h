/* SPDX-License-Identifier: MIT */
/*
 * One connection to the daemon, and the next one when it is lost: socket, hello, packets in and
 * out, back-off. Knows packets, but nothing of what they are about. Nothing here blocks but
 * connection_receive(), if asked to.
 *
 * `epoll` holds the current socket and the timer of the back-off, so that what waits on it need not
 * know which of the two there is to wait for, nor when one socket follows another.
 *
 * Sending never closes a connection, receiving does: when the peer is gone, there may be wakes to
 * be read that it sent before.
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

/* Which daemon is spoken to. */
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
	int error;  /* DOWN: why, a negative errno */
	int fd;	    /* -1 if DOWN */
	int waited; /* connected by connection_wait(), for the next attempt; or -1 */
	int retry;  /* timerfd */
	int epoll;
	int folder;   /* that the path counts from, or -1: see connection.c */
	pid_t owner;  /* 0: a child finds its pages wiped; else who made it */
	bool blocked; /* out waits for the socket to take it */
	struct sockaddr_un address;
	socklen_t address_size;
	uint64_t serial;       /* of the last request */
	uint64_t since;	       /* CLOCK_MONOTONIC when it was last UP */
	uint64_t delay;	       /* back-off before the next attempt */
	uint64_t times;	       /* that it was UP */
	uint64_t capabilities; /* enum proto_capability of the daemon that was connected last */
	struct pages *pages;   /* see connection.c; `in` and `out` are its */
	uint8_t *in, *out;
	struct proto_header header; /* of the packet in `in` */
	size_t in_size;		    /* 0: none there */
	size_t out_size;	    /* 0: none is to be sent */
};

/* Return: 0 or a negative errno; then connection_destroy() has nothing to do. */
int connection_init(struct connection *c, const char *path, const struct connection_kind *kind);

/* Ends it: for the daemon too, unless this process is a forked child. */
void connection_destroy(struct connection *c);

/* Whether this is the process that made it, at no cost. */
bool connection_is_ours(const struct connection *c);

/* Connects and says hello, if that is due. Return: whether the state is DOWN no more. */
bool connection_attempt(struct connection *c);

/* Whether the last attempt failed because the daemon's queue of connections is full. */
bool connection_is_queued_out(const struct connection *c);

/* Waits in the kernel for a place in that queue, where the next in line gets the place that becomes
 * free; for at most timeout_ms (-1: no end) and about CONNECTION_PATIENCE_US. If it gets one, the
 * next attempt is due at once and uses it. */
void connection_wait(struct connection *c, int timeout_ms);

/* The daemon's answer to the hello is in `in`. Return: 0: it is UP, or a negative errno. */
int connection_greeted(struct connection *c);

/* It is lost or has failed, for that reason. Arms the back-off. */
void connection_lose(struct connection *c, int error);

/* Whether all that there can be to wait for is a packet: else epoll knows more. */
bool connection_may_wait(const struct connection *c);

/* How long connection_receive() waits, at most: about. Below a second, as timevals go. It is also
 * how long the cancelling of a thread takes that waits there. */
#define CONNECTION_PATIENCE_US 100000

/*
 * Receives a packet into `in` and checks its frame, unless one is there already. With `wait` it
 * waits for one if none is there, in one system call where epoll would take two; until a signal
 * comes, too.
 * Return: 1: there is one; 0: there is none now; -ECONNRESET: the connection has ended; another
 * negative errno: it is useless. Call connection_lose() then.
 */
int connection_receive(struct connection *c, bool wait);

/* Done with the packet in `in`. */
void connection_consume(struct connection *c);

/* Sends what is in `out`. Return: whether out is free. If not, epoll tells when to try again. */
bool connection_send(struct connection *c);
