/* SPDX-License-Identifier: MIT */
/*
 * What the daemon should do, written a second time and naively: an array of timers, searched from
 * end to end. The model stands at the daemon's sockets. It sees each packet that the daemon
 * handles and each that the daemon is about to send, says what is wrong with it, and changes as
 * the daemon should. It learns nothing from the daemon but ids.
 *
 * It catches what the model of the unit tests (tests/unit/model.h) cannot: faults of kills at any
 * store, of adoption, and of packets that are sent again (a packet of wakes that differs the
 * second time). That one catches faults of long batches and of numbers at the edges of the
 * protocol: packets are short here, and a world is small enough to be copied at each store.
 *
 * A fault is a sentence. NULL means that there is none.
 */
#pragma once

#include "events.h"
#include "wakes.h"
#include "worker.h"

#define MODEL_TIMERS_MAX   128
#define MODEL_SESSIONS_MAX 24
#define MODEL_JUMP	   1000	       /* microseconds that a clock may jump unnoticed */
#define MODEL_COMM	   "simulated" /* of each client */

struct model_timer {
	uint32_t session;
	uint8_t clock;	/* enum arena_clock */
	bool cancelled; /* by another session; its own has not been told */
	uint32_t count, fired;
	uint64_t id, cookie, due, latest, every;
	uint64_t order; /* of registration */
	/* Since when it could have been sent, by what measures its clock; 0: it cannot be yet. */
	uint64_t since;
	bool excused; /* that was later than its due + slack */
	bool past;    /* it was so when it was asked for, since its last wake */
	char label[PROTO_LABEL_MAX];
};

struct model_session {
	bool open, greeted;
	bool late; /* its hello was read when its time had passed: it may still be ended for that */
	bool resumed, tell; /* adopted; to be told so */
	bool blocked;	    /* its client does not read */
	bool wants_clock_set;
	bool clock_set_pending; /* it has to be told that the clock was set */
	bool may_clock_set; /* or may be: a daemon that was killed did not note whom it had told */
	bool again;	    /* adopted while wakes were being sent, which were made for: */
	struct now sent_at;
	uint32_t uid, pid;
	uint64_t serial;
	uint64_t hello_due;
};

/* What a status should say that is counted. */
struct model_counts {
	uint64_t registered, woken, cancelled, refused, wakeups;
	uint64_t restarts, adopted_sessions, adopted_timers;
	/* The greatest lateness is between these: of the wakes that had no excuse, and of all. */
	uint64_t late_least, late_most;
};

#define MODEL_USERS 8

struct model {
	const struct worker_config *config;
	uint64_t *events; /* counted, by enum event */
	struct model_session sessions[MODEL_SESSIONS_MAX];
	uint64_t order;
	uint64_t started; /* the daemon that runs now: boottime */
	struct model_counts counts;
	struct now looked;		      /* the last reading of the clocks */
	struct model_counts own[MODEL_USERS]; /* of each user, by model_own() */
	uint32_t own_uids[MODEL_USERS], users;
	bool own_lost; /* a daemon was killed: it may count twice what it was at */
	uint64_t internal_due, internal_latest, internal_every; /* of the watchdog */
	uint32_t count;
	struct model_timer
		timers[MODEL_TIMERS_MAX]; /* last: a copy needs those only that there are */
};

/* The slot of the live timer with this id; 0: there is none. */
uint32_t model_slot(const struct arena *arena, uint64_t id);

void model_init(struct model *m, const struct worker_config *config, uint64_t *events,
	const struct now *now);

/* Copies all entries in use. `to` keeps its own counts of events. */
void model_copy(struct model *to, const struct model *from);

/* How to answer a new connection of that uid; a session was opened; a session has ended. */
enum proto_status model_connect(struct model *m, uint32_t uid);
void model_open(
	struct model *m, uint32_t session, uint32_t uid, uint32_t pid, const struct now *now);
void model_close(struct model *m, uint32_t session);

/* The daemon has handled a packet of the session, and gave this answer. */
struct model_answer {
	const void *bytes;
	size_t size;
	bool end;
};
const char *model_request(struct model *m, uint32_t session, const void *packet, size_t size,
	const struct now *now, const struct model_answer *answer);

/* The clocks were read; a client stops reading; a client reads again. */
void model_look(struct model *m, const struct now *now);
void model_block(struct model *m, uint32_t session);
void model_unblock(struct model *m, uint32_t session, const struct now *now);

/* Whether the daemon's late_max can be this. */
bool model_late(const struct model *m, uint64_t late_max);

/* What worker_serve() was about to do. ret_made: the time for which the wakes were made. */
const char *model_wakes(struct model *m, uint32_t session, const struct now *now, bool drained,
	enum wakes_next what, const void *packet, size_t size, struct now *ret_made);

/* The daemon has sent a packet of events, and has removed its wakes. */
void model_sent(struct model *m, uint32_t session, const void *packet, size_t size,
	const struct now *made, const struct now *now);

/* The same if the daemon was killed meanwhile: the arena shows which wakes it has removed. */
void model_sent_in_part(struct model *m, const struct arena *arena, uint32_t session,
	const void *packet, size_t size, const struct now *made, const struct now *now);

/* Another daemon has adopted the arena. */
void model_adopted(struct model *m, const struct now *now);

/* A session's client was there. */
void model_resumed(struct model *m, uint32_t session);

/*
 * A killed daemon may have counted a record that the next daemon counts again. Checks that the
 * counters are off by no more than that, and takes them over.
 *   most: records that the daemon had in hand at a kill
 *   kills: since the last check
 */
const char *model_recount(
	struct model *m, const struct counters *counters, uint64_t most, uint64_t kills);

/* The wall clock was set. */
void model_clock_set(struct model *m);

/* The internal timer has expired. */
void model_internal(struct model *m, const struct now *now);

/* When the alarm of a clock should ring, if these sessions are blocked. */
uint64_t model_next(const struct model *m, unsigned int clock, const bool *blocked);

/* The same without internal timers. blocked: NULL: none. uid: of one user; NULL: of all. */
uint64_t model_next_of_clients(
	const struct model *m, unsigned int clock, const bool *blocked, const uint32_t *uid);

/* Whether the session has something due. */
bool model_due(const struct model *m, uint32_t session, const struct now *now);

/* Whether the arena has just these sessions and timers, with just these values. */
const char *model_compare(const struct model *m, const struct arena *arena);

/* For the parts of the model. */
struct model_counts *model_own(struct model *m, uint32_t uid);
struct model_timer *model_find(struct model *m, uint64_t id);
void model_remove(struct model *m, struct model_timer *t);
void model_asked(struct model_timer *t, const struct now *now);
void model_advanced(struct model_timer *t, const struct now *made, const struct now *now);
void model_count_late(struct model *m, const struct model_timer *t, const struct now *now);
uint32_t model_held(const struct model *m, const uint32_t *uid);
