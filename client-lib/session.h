/* SPDX-License-Identifier: MIT */
/*
 * The state of a session with the daemon: its connection, its timers, its waiting events, its
 * requests without an answer, and the running handler. The lock of the handle guards all of it.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock_offset.h"
#include "connection.h"
#include "events.h"
#include "progress.h"
#include "proto.h"
#include "registry.h"

#define REQUESTS_MAX 64

/* Both the request and the answer must fit into a packet. */
#define CANCELS_MAX PROTO_RECORDS_MAX(struct proto_cancel_answer)
#define REARMS_MAX  PROTO_RECORDS_MAX(struct proto_rearm)

/* A blocking call that waits for the answers to its registrations. It is on the stack of the
 * waiting thread. */
struct batch {
	size_t pending;
	int registered;
	uint64_t *timers; /* NULL: not wanted */
	int *errors;	  /* NULL: not wanted */
};

struct cancel_item {
	uint64_t timer; /* 0: only the id is known */
	uint64_t id;
	size_t index; /* in the caller's arrays */
	int error;
};

struct rearm_item {
	uint64_t timer;		   /* 0: the timer has ended, the item is not sent */
	struct proto_rearm record; /* id 0: not known yet */
};

/* A request, except for a registration. A PROTO_CANCEL or a PROTO_REARM has several items. */
struct call {
	struct call *next; /* requests::first */
	uint64_t after;	   /* is sent after this many registrations, see registry::queued */
	uint16_t opcode;
	bool done;
	bool detached;	   /* nobody waits for the answer, which frees the call */
	bool asynchronous; /* nobody has ever waited: a refusal becomes an event */
	int result;	   /* of the whole request, or of its last re-arming */
	size_t n, room;	   /* items */
	size_t resolved;   /* items of a PROTO_REARM that need no answer before they are sent */
	union {
		void *items;
		struct cancel_item *cancels;
		struct rearm_item *rearms;
		/* One page of a listing, or of a cancelling by user and label. */
		struct {
			struct proto_match match;
			uint64_t cursor;	      /* of the request, then of the answer */
			struct proto_listed *records; /* of a listing */
			uint64_t n;		      /* listed or cancelled */
		} page;
		struct proto_status_answer status;
	};
};

struct request {
	uint64_t serial;
	uint16_t opcode;
	uint16_t count;
	uint32_t first;	   /* PROTO_REGISTER: its first timer; the others follow in the list */
	struct call *call; /* of the other requests */
};

struct requests {
	struct request ring[REQUESTS_MAX];
	uint32_t head, length;
	uint32_t again; /* the last ones of the ring, to send again: see requests_resume() */
	struct call *first, *last; /* the queue of calls that are not sent */
	size_t calls;		   /* how many are in that queue */
};

struct dispatch {
	bool running;
	bool free_at_end;     /* the last reference was dropped within the handler */
	pthread_t thread;     /* runs the handler */
	uintptr_t function;   /* calls handlers: see dispatch_is_here() */
	const void *frame;    /* the stack of the handler is below this address */
	uint64_t number;      /* counts the calls of handlers; each frame has its number */
	uint64_t timer;	      /* the name of the handler's timer, which may have ended */
	unsigned int awaited; /* threads that wait for the handler's end */
};

struct session {
	struct clock_offsets offsets;
	uint64_t wall_offset; /* realtime - boottime at the last event TOYTIMER_CLOCK_SET */
	struct connection connection;
	struct registry timers;
	struct events events;
	struct requests requests;
	struct dispatch dispatch;
	struct progress progress; /* wakes the threads that wait */
};
