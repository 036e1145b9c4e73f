/* SPDX-License-Identifier: MIT */
/*
 * The worker's state: the arena, and fields that the next process does not need after a kill.
 *
 * The files of the core that apply packets and write events share struct worker. The shell uses it
 * only through worker.h.
 */
#pragma once

#include "codec.h"
#include "limits.h"
#include "sessions.h"

struct worker_config {
	struct limits limits; /* the arena has room for max_timers and all internal timers */
	uint32_t room_timers, room_clients; /* the maxima of the arena; 0: from the limits */
	bool can_wake_system;		    /* the daemon holds CAP_WAKE_ALARM */
	uint32_t pid;
	uint64_t instance;   /* a new number whenever the sessions are lost */
	const char *version; /* the caller's; not copied */
	uint32_t warnings;   /* for the status: settings that the daemon could not apply */
};

/* A checked packet that is being applied, and its answer. */
struct worker_request {
	uint32_t session;
	const void *packet; /* borrowed */
	struct proto_header header;
	const struct now *now;
	struct codec_writer answer;
	uint64_t cursor; /* of the answer */
};

/* The last packet that wakes_write() wrote, for wakes_sent(). */
struct wakes_batch {
	struct now at; /* the time for which the wakes were made */
	uint32_t session, count;
	uint16_t opcode;
	/* On each clock the last timer that the packet wakes. It also wakes all timers before that
	 * one in its tree. */
	uint32_t last[ARENA_CLOCKS];
	uint32_t timers[PROTO_RECORDS_MAX(struct proto_cancelled)];
};

/* What root did to another user's process: the timers of this process that one packet has
 * cancelled. For the log. */
struct worker_intervention {
	uint32_t uid, pid; /* of the timers' owner */
	uint32_t count;
	uint64_t id; /* of the first timer */
};

#define WORKER_INTERVENTIONS_MAX 8

struct worker {
	struct arena arena;
	struct worker_config config;
	uint64_t started;     /* boottime */
	uint64_t dropped;     /* records that worker_adopt() found damaged */
	unsigned int expired; /* enum worker_internal: since worker_take_internal() */
	/* The timers that the current packet cancels. Each is timer << 1 | whether the timer
	 * belongs to another session. */
	uint32_t cancelling_count;
	uint32_t cancelling[PROTO_RECORDS_MAX(struct proto_cancel_answer)];

	uint32_t clock_set_next; /* the next session to inform of a set clock; 0: none */
	uint32_t extra_cost;	 /* of the last packet, in units of one cancel record */
	/* Of the last packet. If there are more owners than entries, the last entry also counts the
	 * timers of the others. */
	uint32_t intervention_count;
	struct worker_intervention interventions[WORKER_INTERVENTIONS_MAX];
	uint32_t refusals; /* since worker_take_refusals() */
	enum proto_status refused_with;
	struct wakes_batch batch;
};
