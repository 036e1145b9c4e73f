/* SPDX-License-Identifier: MIT */
/*
 * The worker: one state, changed by three things only: a packet (worker_handle), the passing of
 * time (worker_tick), and a packet of events that was sent (worker_serve). It reads no clock, holds
 * no descriptor and allocates nothing. So the same code runs in the daemon and in the tests'
 * simulated worlds.
 *
 * The shell's turn of the loop:
 *
 *	now = clocks; for each client that can be read: worker_handle();
 *	more = worker_tick(now);
 *	while (worker_serve(now, outlet).session) {}
 *	set the alarm of each clock to worker_next(clock);
 *	sleep, unless there is more to do
 *
 * Errors follow one rule: an enum proto_status is a result for the client; the core itself cannot
 * fail.
 *
 * Not thread-safe: one thread owns a worker.
 */
#pragma once

#include "state.h"

/* Bytes of the block that worker_init() needs. */
size_t worker_size(const struct worker_config *config);

/* Starts with no session. block: worker_size() zeroed bytes, aligned to a page, the caller's. */
void worker_init(
	struct worker *w, void *block, const struct worker_config *config, const struct now *now);

/*
 * Starts with the sessions that another worker left in the block: see adopt.h. Each of them is
 * blocked until worker_resume() or worker_disconnect() says what became of its client.
 *   block: worker_size() bytes, of any content.
 * Return: whether the block is an arena of this layout and room; if not, it is untouched.
 */
bool worker_adopt(
	struct worker *w, void *block, const struct worker_config *config, const struct now *now);

/* Bytes of a block of the layout before this one: an earlier version of the daemon left it. */
size_t worker_previous_size(const struct worker_config *config);

/*
 * Converts a block of the layout before this one into one that worker_adopt() takes: see adopt.h.
 *   previous: worker_previous_size() bytes, of any content; block: worker_size() zeroed bytes.
 * Return: whether it was one; if not, block is untouched.
 */
bool worker_convert(void *previous, void *block, const struct worker_config *config);

/* A whole turn was made of what was adopted, so that it can be: a process that ends before counts
 * as an attempt, of which there are sixteen. */
void worker_adopted(struct worker *w);

/* The client of an adopted session is still there: it will be told, and served. */
void worker_resume(struct worker *w, uint32_t session);

/*
 * Whether an adopted session has first to be sent what may not have reached its client: until then
 * no packet of it may be handled. Else a timer could be cancelled or re-armed whose wake has long
 * been seen.
 */
bool worker_recovers(const struct worker *w, uint32_t session);

/* The answer that the other worker may not have sent any more: to be sent to ret_session first of
 * all, then worker_answered(). Return: its size in bytes; 0: there is none. */
size_t worker_left_answer(const struct worker *w, uint32_t *ret_session, const void **ret_answer);

/* Whether a client of that user would be taken, at less cost than to find out who it is. Return: as
 * worker_connect(). */
enum proto_status worker_may_connect(const struct worker *w, uint32_t uid);

/*
 * A client has connected. It has to say hello within PROTO_HELLO_TIMEOUT_US.
 * Return: PROTO_OK and its session, or PROTO_E_CLIENTS, PROTO_E_CLIENTS_USER.
 */
enum proto_status worker_connect(
	struct worker *w, const struct peer *peer, const struct now *now, uint32_t *ret_session);

/* Counts a client that was refused for another reason. uid: UINT32_MAX if nobody knows it. */
void worker_refused_client(struct worker *w, uint32_t uid);

/* The client has gone, or is to go: drops the session and its timers. O(log clients). */
void worker_disconnect(struct worker *w, uint32_t session);

/*
 * Handles one packet, all of it, and writes the answer.
 *   ret_answer: in the arena, until the next call; once it was sent, worker_answered().
 *   ret_end: set if the session is to end once the answer, an error event, was sent.
 * Return: the answer's size in bytes; 0: none is due, for the packet came again after an adoption.
 */
size_t worker_handle(struct worker *w, uint32_t session, const void *packet, size_t size,
	const struct now *now, const void **ret_answer, bool *ret_end);
void worker_answered(struct worker *w);

/* Makes ready the sessions that have something due, and does what the daemon itself has due. Return:
 * whether there are more sessions than one call takes. */
bool worker_tick(struct worker *w, const struct now *now);

/* Whether a session waits to be served. */
bool worker_busy(const struct worker *w);

/* Where worker_serve() sends. Each function gets `user`, the shell's own. */
struct worker_outlet {
	void *user;
	void *packet; /* PROTO_PACKET_MAX bytes, aligned to 8: packets are written here */

	/* Sends a packet to the session's client. Return: 0; -EAGAIN: there is no room; another
	 * negative errno: the connection is broken. */
	int (*send)(void *user, uint32_t session, const void *packet, size_t size);

	/* Return: whether the client has read everything that was sent to it. */
	bool (*has_read_all)(void *user, uint32_t session);

	/* Sends a last packet (size 0: none), closes the connection, and calls
	 * worker_disconnect(). */
	void (*close)(void *user, uint32_t session, const void *packet, size_t size);
};

enum worker_outcome {
	WORKER_SERVED, /* its packet was sent, or there was nothing to send */
	WORKER_FULL,   /* blocked: there was no room for its packet */
	WORKER_UNREAD, /* blocked: its client must read everything before it gets further wakes */
	WORKER_CLOSED, /* the outlet has closed it */
};

struct worker_served {
	uint32_t session; /* 0: no session waits to be served */
	enum worker_outcome outcome;
	bool recovered;	  /* worker_recovers() was true before and is false now */
	uint32_t records; /* that were sent */
	size_t size;	  /* of the packet that was sent, in bytes; 0: none was */
};

/*
 * Serves the session whose turn it is, by user and then by session: writes its next packet of wakes
 * or other events, sends it, and only then applies it to the state. A failure in between loses
 * nothing. A blocked session is served again after worker_unblock().
 *
 * A timer gets a further wake only when its client has read everything. So a client that does not
 * read finds one wake with a count of overruns, and not a queue of wakes.
 */
struct worker_served worker_serve(
	struct worker *w, const struct now *now, const struct worker_outlet *outlet);

/* Serves the session no more until worker_unblock(): its client has to read first. */
void worker_block(struct worker *w, uint32_t session);
void worker_unblock(struct worker *w, uint32_t session, const struct now *now);

/* The instant on a clock at which the alarm has to ring; TIMERS_FOREVER: none. O(1). */
uint64_t worker_next(const struct worker *w, unsigned int clock);

/* How many records were refused since the last call, and what the last of them was refused with. */
uint32_t worker_take_refusals(struct worker *w, enum proto_status *ret_status);

/* The wall clock was set. worker_tick() has those sessions told that want it. */
void worker_clock_set(struct worker *w);

/* Counts that an alarm has woken the daemon. */
void worker_rang(struct worker *w);

/* What the daemon does at times of its own, by timers in the tree like everybody's. */
enum worker_chore {
	WORKER_WATCHDOG = 1 << 0,
	WORKER_STORE = 1 << 1,
	WORKER_WATCHDOG_AGAIN = 1 << 2,
};

#define WORKER_CHORES 3 /* that there are */

/*
 * Has a chore come up `delay` microseconds from now, and each `every` from then on (0: once). It
 * may come a quarter of its delay later, so that it shares others' wake-ups.
 */
void worker_start_chore(struct worker *w, enum worker_chore chore, uint64_t delay, uint64_t every,
	const struct now *now);

/* The chores that have come up since the last call. */
unsigned int worker_take_chores(struct worker *w);
