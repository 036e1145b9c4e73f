/* SPDX-License-Identifier: MIT */
/*
 * The worker's state: the arena, and what a worker need not remember after a kill.
 *
 * The files of the core that apply packets and write events share this struct. The shell uses it
 * through worker.h.
 */
#pragma once

#include "codec.h"
#include "limits.h"
#include "sessions.h"

struct worker_config {
	struct limits
		limits; /* max_timers + max_clients + 2 is at most what the arena has room for */
	uint32_t room_timers, room_clients; /* what the arena is laid out for; 0: for the limits */
	bool can_wake_system;		    /* the daemon holds CAP_WAKE_ALARM */
	uint32_t pid;
	uint64_t instance;   /* names this life of the sessions */
	const char *version; /* kept, not copied */
	uint32_t warnings;   /* settings that are not as they were asked for: for the status */
};

/* The last packet that wakes_write() wrote: what wakes_sent() changes once it is sent. */
struct wakes_batch {
	struct now at; /* the time for which they were made */
	uint32_t session, count;
	uint16_t opcode;
	/* On each clock the last timer that it wakes; with all before it in its tree, these are
	 * all. */
	uint32_t last[ARENA_CLOCKS];
	uint32_t timers[PROTO_RECORDS_MAX(struct proto_cancelled)];
};

/* Timers of one session of another user, which root has cancelled in one packet. */
struct worker_taken {
	uint32_t uid, pid; /* whose they were */
	uint32_t count;
	uint64_t id; /* of the first */
};

#define WORKER_TAKEN_MAX 8

struct worker {
	struct arena arena;
	struct worker_config config;
	uint64_t started;    /* boottime */
	uint64_t dropped;    /* records that worker_adopt() found damaged */
	unsigned int chores; /* enum worker_chore: have come up */
	/* Timers that the packet being applied cancels: as many as one can. */
	uint32_t cancelling_count;
	/* timer << 1 | whether it is another session's */
	uint32_t cancelling[PROTO_RECORDS_MAX(struct proto_cancel_answer)];

	uint32_t clock_set_next; /* the session to be told next that the clock was set; 0: none */
	uint32_t work;		 /* beside its records, of the last packet: in the shortest ones */
	/* By the last packet. Where there are more sessions, the rest counts for the last of them. */
	uint32_t taken_count;
	struct worker_taken taken[WORKER_TAKEN_MAX];
	uint32_t refusals; /* since worker_take_refusals() */
	enum proto_status refused_with;
	struct wakes_batch batch;
};
