/* SPDX-License-Identifier: MIT */
/*
 * A world in one block: the real worker on its arena; a shell around it with simulated sockets and
 * clocks; clients that behave like libtoytimer at the wire; and the model, which says what all of
 * them should see. Nothing waits, and nothing depends on chance. Everything that happens is a
 * step, and a step is a kind and a number from which all its choices follow. So a history is a
 * list of steps, and any part of it is a history again.
 *
 * The daemon may be killed at each store to a record. A kill of this world is a long jump out of
 * the worker. At each store the whole world can also be copied and the copy be killed (kill.c),
 * while this world goes on and knows nothing of it.
 */
#pragma once

#include <setjmp.h>

#include "../unit/dice.h"
#include "model.h"
#include "packet.h"

#define WORLD_CLIENTS_MAX 20
#define WORLD_SOCKETS_MAX (2 * WORLD_CLIENTS_MAX)
#define CLIENT_TIMERS	  12
#define CLIENT_FLIGHT	  6
#define CLIENT_STALE	  8

/* A connection: what the kernel holds of it, and what the daemon's process does. */
struct socket {
	bool client_open, daemon_open;
	struct queue up, down;
	uint64_t cookie; /* SO_COOKIE */
	uint32_t uid, pid;
	uint32_t session; /* 0: not accepted yet */
	bool accepted;
	bool blocked, drain, stored; /* as in struct client of the daemon */
};

/* What a client knows of a timer of its own. */
enum client_timer_state {
	CLIENT_TIMER_NONE,
	CLIENT_TIMER_ASKED,	/* not answered yet */
	CLIENT_TIMER_HELD,	/* its wakes are to come */
	CLIENT_TIMER_GONE,	/* said to be no more: that it was cancelled is still to be told */
	CLIENT_TIMER_ENDED,	/* has had its last wake */
	CLIENT_TIMER_CANCELLED, /* by this client or another */
};

struct client_timer {
	enum client_timer_state state;
	uint8_t clock;
	uint32_t number; /* of its last wake */
	uint32_t until;	 /* the number of its last wake; 0: no end */
	uint64_t cookie, id, due, every;
	uint64_t woken_due, woken_overruns; /* of its last wake */
};

enum client_state {
	CLIENT_DOWN,
	CLIENT_GREETING,
	CLIENT_UP,
};

/* A client. */
struct client {
	enum client_state state;
	uint32_t uid, pid;
	bool was_up;
	uint32_t socket; /* index; meaningless while it is down */
	bool stalled;	 /* does not read */
	bool guilty;	 /* has misbehaved, and may be turned out */
	uint64_t serial; /* of the last request */
	uint64_t cookies;
	uint32_t first, count, again; /* of flight: the last `again` are to be sent again */
	struct packet *flight[CLIENT_FLIGHT];
	uint64_t stale[CLIENT_STALE]; /* ids that were its own */
	uint32_t stale_next;
	struct client_timer timers[CLIENT_TIMERS];
};

/* What the daemon was at when it was killed, as far as the model has not been told. */
enum errand {
	ERRAND_NONE,
	ERRAND_REQUEST,
	ERRAND_SERVE,
};

struct errand_at {
	enum errand errand;
	uint32_t session;
	struct packet *packet; /* the request, or the events that are sent */
	bool sent;
	bool drained; /* the worker knows that the client has read everything */
	struct now made;
};

enum step_kind {
	STEP_TURN,
	STEP_ASK,
	STEP_READ,
	STEP_TIME,
	STEP_CALM,
	STEP_QUIET,
	STEP_CONNECT,
	STEP_STALL,
	STEP_DIE,
	STEP_SET_CLOCK,
	STEP_SUSPEND,
	STEP_MISBEHAVE,
	STEP_KILL,
	STEPS,
};

struct step {
	uint8_t kind;
	uint64_t seed;
};

struct counts {
	uint64_t steps, stores, kills, copies, requests, wakes, duplicates, rings, simulated_us;
	uint64_t quiet_wakes, quiet_rings;
	uint64_t events[EVENTS];
};

struct world {
	/* How it is made; see world_init(). */
	struct worker_config config;
	uint32_t clients_count;
	uint64_t branch_every; /* a copy is killed at one in so many stores; 0: none is */
	uint64_t branch_only;  /* only at this store of a step; 0: at any */
	uint64_t branch_steps; /* that a copy goes on for */
	bool branch_kills;     /* only copies are killed */
	bool trace;

	uint64_t seed;
	uint64_t step;	      /* the number of the one that is made */
	uint64_t step_stores; /* in it so far */
	uint64_t kill_in;     /* stores; 0: goes on */
	bool is_copy;
	uint64_t copied_step, copied_store; /* where it was made, and killed */
	jmp_buf killed;

	struct now now;
	uint64_t cookies, pids;
	bool more;	    /* the daemon has work left */
	bool clock_set;	    /* since the daemon looked */
	uint64_t adoptions; /* begun since one was far enough to count them */
	struct errand_at errand;
	struct counts counts, copies_counts;
	struct client clients[WORLD_CLIENTS_MAX];
	struct socket sockets[WORLD_SOCKETS_MAX];
	struct model model;
	size_t block_size;
	void *block;
	struct worker *worker;
};

/* Makes a world whose kind follows from the seed. small: of a few dozen timers, cheap to copy. */
void world_init(struct world *w, uint64_t seed, bool small);
void world_destroy(struct world *w);

/* The step of that number in the history of a seed. */
struct step world_step_of(uint64_t seed, uint64_t number);

/* Makes the step of that number in the history of a seed, and looks at everything afterwards. */
void world_step(struct world *w, uint64_t seed, uint64_t number);

/* The daemon is killed here and now, and another one adopts what it left. */
void world_kill(struct world *w);

/* Lets everything come to its end that has one, and looks whether it did. */
void world_settle(struct world *w);

/* All clients go: nothing may be left. */
void world_end(struct world *w);

/* The clocks go on. */
void world_pass(struct world *w, uint64_t us, bool suspended);

/* Counts an event. */
static inline void world_happened(struct world *w, enum event event)
{
	w->counts.events[event]++;
}

/* So much time passes, and the alarm rings. */
void world_ring(struct world *w, uint64_t us);

/* Turns and reads until nobody has anything to do. */
void world_calm(struct world *w);

/* When the first alarm rings, from now; TIMERS_FOREVER: none is set. */
uint64_t world_next_alarm(const struct world *w);

const char *world_step_name(unsigned int kind);

/* A point at which the daemon may be killed. */
void world_point(struct world *w);

/* Where a world fails, for another process to see. A kill of a copy counts as its world's step. */
struct world_place {
	uint64_t step;
	uint64_t store;	   /* at which the copy was killed; 0: it is no copy */
	const char *fault; /* NULL: it did not say */
};
void world_watch(struct world_place *place);

/* Says what is wrong and where, and ends the process. */
_Noreturn void world_fail(const struct world *w, const char *fault);

/* For a reader of a failure: what happens, if that is wanted. */
void world_say(const struct world *w, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* shell.c: the daemon's loop. */
void shell_start(struct world *w);
void shell_turn(struct world *w, struct dice *dice);
bool shell_has_work(const struct world *w);
void shell_adopt(struct world *w);

/* client.c: the clients. */
void client_connect(struct world *w, struct client *client, struct dice *dice);
void client_ask(struct world *w, struct client *client, struct dice *dice);
void client_misbehave(struct world *w, struct client *client, struct dice *dice);
void client_flush(struct world *w, struct client *client);
bool client_read(struct world *w, struct client *client);
void client_die(struct world *w, struct client *client);
void client_check_settled(
	const struct world *w, const struct client *client, const struct now *since);

/* client_events.c: what a client makes of what it reads. */
void client_take(struct world *w, struct client *client, const struct packet *packet);
struct client_timer *client_find(struct client *client, uint64_t cookie);

/* quiet.c: a while in which nothing happens but that timers come due. */
void quiet_time(struct world *w, struct dice *dice);

/* kill.c: copies of the world, and their fate. */
void kill_branch(struct world *w, uint64_t seed);
