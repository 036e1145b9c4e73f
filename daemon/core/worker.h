/* SPDX-License-Identifier: MIT */
/*
 * The worker: one state, changed by three things only: a packet (worker_handle), the passing of
 * time (worker_tick), and wakes that were sent (worker_wakes_sent). It reads no clock, holds no
 * descriptor and allocates nothing, so the same code runs in the daemon and under a simulated
 * world.
 *
 * The shell's turn of the loop:
 *
 *	now = clocks; for each client that can be read: worker_handle();
 *	more = worker_tick(now);
 *	while ((session = worker_ready(w))) {
 *		worker_wakes(); … send …; worker_wakes_sent(); worker_settle();
 *	}
 *	arm the alarm of each clock to worker_next(clock); sleep, unless there is more
 *	or the next ring is so near that it is not worth it
 *
 * Errors follow one doctrine: enum proto_status is a result for the client; the core itself cannot
 * fail. A wake is taken off only after it was sent, so that a failure in between loses none.
 *
 * Not thread-safe: one thread owns a worker.
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

/* Wakes that worker_wakes() has put into a packet and that worker_wakes_sent() will take off. */
struct worker_batch {
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
	struct timers_run run;	 /* of the packet being applied */
	uint32_t clock_set_next; /* the session to be told next that the clock was set; 0: none */
	uint32_t work;		 /* beside its records, of the last packet: in the shortest ones */
	/* By the last packet. Where there are more sessions, the rest counts for the last of them. */
	uint32_t taken_count;
	struct worker_taken taken[WORKER_TAKEN_MAX];
	uint32_t refusals; /* since worker_take_refusals() */
	enum proto_status refused_with;
	struct worker_batch batch;
};

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

/* The session whose turn it is, by user and then by session; it has to be settled afterwards. 0:
 * nobody is ready. O(1). */
uint32_t worker_ready(struct worker *w);

enum worker_send {
	WORKER_NOTHING, /* there is nothing due */
	WORKER_PACKET,	/* send the packet, then worker_wakes_sent() */
	WORKER_HOLD,	/* what is due may only be sent once the client has read all before it */
	WORKER_END,	/* send the packet, then disconnect */
};

/*
 * Writes the session's next packet of wakes or of other events: as many as are due and fit.
 *   packet: PROTO_PACKET_MAX bytes, aligned to 8.
 *   drained: the client is known to have read everything that was sent to it. Only then does a
 *   timer get a further wake: so a client that does not read finds one wake with the count of
 *   overruns, and not a queue of them.
 */
enum worker_send worker_wakes(struct worker *w, uint32_t session, const struct now *now,
	bool drained, void *packet, size_t *ret_size);

/* The last packet of worker_wakes() was sent, and nothing happened since: takes its wakes off. now:
 * as worker_wakes() had it. */
void worker_wakes_sent(struct worker *w, const struct now *now);

/* The session was served. blocked: its client has to read first; then worker_unblock(). */
void worker_settle(struct worker *w, uint32_t session, const struct now *now, bool blocked);
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

/* Writes an error event; also for peers that have no session. Return: its size in bytes. */
size_t worker_error(void *packet, enum proto_status status, uint64_t serial, const char *text);

/* A sentence for a status that ends a session. Never NULL. */
const char *worker_status_text(enum proto_status status);
