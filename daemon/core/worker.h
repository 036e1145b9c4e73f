/* SPDX-License-Identifier: MIT */
/*
 * The worker: the interface of the core to the shell (the daemon or a test).
 *
 * Three calls change the worker's state: worker_handle() for a packet from a client, worker_tick()
 * for the passing of time, and worker_serve() for a packet of events to a client. The worker reads
 * no clock, holds no descriptor and allocates nothing. So the same code runs in the daemon and in
 * the simulated worlds of the tests.
 *
 * One turn of the shell's loop:
 *
 *	now = read the clocks
 *	for each client with a packet: worker_handle()
 *	more = worker_tick(now)
 *	while (worker_serve(now, outlet).session) {}
 *	set the alarm of each clock to worker_next(clock)
 *	sleep, unless `more` is set
 *
 * The core cannot fail: an enum proto_status is a result for the client.
 *
 * Not thread-safe: one thread owns a worker.
 */
#pragma once

#include "state.h"

/* The size in bytes of the block that worker_init() needs. */
size_t worker_size(const struct worker_config *config);

/* Starts without sessions. block: worker_size() zeroed bytes, aligned to a page. The caller owns
 * the block and keeps it as long as the worker. */
void worker_init(
	struct worker *w, void *block, const struct worker_config *config, const struct now *now);

/*
 * Starts with the sessions of an earlier worker, which the block contains: see adopt.h. Each
 * session is blocked until the shell calls worker_resume() or worker_disconnect() for it.
 *   block: worker_size() bytes of any content.
 * Return: true if the block is an arena of this layout and size; else the block is unchanged.
 */
bool worker_adopt(
	struct worker *w, void *block, const struct worker_config *config, const struct now *now);

/* The size in bytes of a block of the previous layout, which an earlier version of timerd uses. */
size_t worker_previous_size(const struct worker_config *config);

/*
 * Converts a block of the previous layout into a block for worker_adopt(): see adopt.h.
 *   previous: worker_previous_size() bytes of any content.
 *   block: worker_size() zeroed bytes.
 * Return: true if `previous` has the previous layout; else `block` is unchanged.
 */
bool worker_convert(void *previous, void *block, const struct worker_config *config);

/* The adopted state has survived a whole turn of the loop: resets the count of attempts. A
 * process that ends before this call counts as a failed attempt; after 16 of them the daemon
 * starts empty. */
void worker_adopted(struct worker *w);

/* The client of an adopted session is still connected: the session sends it a resumed event and
 * goes on. */
void worker_resume(struct worker *w, uint32_t session);

/*
 * Whether an adopted session has events to send again, because they may not have reached its
 * client. Until it has sent them, the shell must not handle packets of this client. Otherwise the
 * client could cancel or re-arm a timer whose wake it has already received.
 */
bool worker_recovers(const struct worker *w, uint32_t session);

/* The answer that the earlier worker wrote but may not have sent. The shell sends it to
 * ret_session before anything else, then calls worker_answered(). Return: its size in bytes; 0:
 * there is none. */
size_t worker_unsent_answer(const struct worker *w, uint32_t *ret_session, const void **ret_answer);

/* Whether the limits allow a client of this user now. The shell asks before it does the costlier
 * work of identifying the process. Return: as worker_connect(). */
enum proto_status worker_may_connect(
	const struct worker *w, uint32_t uid, const struct limits_own *own);

/* Puts other limits in force. Who holds more than they allow keeps it. The arena must have room for
 * them: see worker_config. */
void worker_set_limits(struct worker *w, const struct limits *limits, uint32_t warnings);

/* Puts other limits in force for the client of one session. */
void worker_set_own(struct worker *w, uint32_t session, const struct limits_own *own);

/*
 * Opens a session for a new client, which must send its hello within PROTO_HELLO_TIMEOUT_US.
 * Return: PROTO_OK and the session, or PROTO_E_CLIENTS, PROTO_E_CLIENTS_USER.
 */
enum proto_status worker_connect(
	struct worker *w, const struct peer *peer, const struct now *now, uint32_t *ret_session);

/* Counts a client that the shell refused for another reason. uid: UINT32_MAX if unknown. */
void worker_refused_client(struct worker *w, uint32_t uid);

/* Ends the session and drops its timers. O(log clients), for any number of timers. */
void worker_disconnect(struct worker *w, uint32_t session);

/*
 * Handles one whole packet and writes the answer.
 *   ret_answer: lies in the arena and is valid until the next call. The shell calls
 *	worker_answered() after it has sent the answer.
 *   ret_end: true if the answer is an error event, after which the shell ends the session.
 * Return: the answer's size in bytes; 0: no answer, because the client has sent this packet again
 * after an adoption.
 */
size_t worker_handle(struct worker *w, uint32_t session, const void *packet, size_t size,
	const struct now *now, const void **ret_answer, bool *ret_end);
void worker_answered(struct worker *w);

/* Makes sessions with due timers ready, and handles the internal timers that are due. One call does
 * a bounded amount of work. Return: true if more sessions have due timers. */
bool worker_tick(struct worker *w, const struct now *now);

/* Whether a session waits for worker_serve(), or an internal timer for worker_tick(). */
bool worker_busy(const struct worker *w);

/* The functions with which worker_serve() sends. Each of them gets `user` as its first argument. */
struct worker_outlet {
	void *user;
	void *packet; /* a buffer for packets: PROTO_PACKET_MAX bytes, aligned to 8 */

	/* Sends a packet to the session's client. Return: 0; -EAGAIN: the socket is full; another
	 * negative errno: the connection is broken. */
	int (*send)(void *user, uint32_t session, const void *packet, size_t size);

	/* Return: whether the client has read all packets that were sent to it. */
	bool (*has_read_all)(void *user, uint32_t session);

	/* Sends a last packet (size 0: none), closes the connection, and calls
	 * worker_disconnect(). */
	void (*close)(void *user, uint32_t session, const void *packet, size_t size);
};

enum worker_outcome {
	WORKER_SERVED, /* the packet was sent, or there was nothing to send */
	WORKER_FULL,   /* the session is blocked: its socket is full */
	WORKER_UNREAD, /* the session is blocked: its client must first read all packets */
	WORKER_CLOSED, /* the outlet has closed the session */
};

struct worker_served {
	uint32_t session; /* 0: no session waits to be served */
	enum worker_outcome outcome;
	bool recovered;	  /* worker_recovers() was true before and is false now */
	uint32_t records; /* number of records sent */
	size_t size;	  /* bytes of the packet sent; 0: none */
};

/*
 * Serves the session whose turn it is (turns.h): writes its next packet of events, sends it, and
 * then applies it to the state. A failure before the last step loses no event. A blocked session is
 * served again after worker_unblock().
 *
 * A timer gets another wake only when its client has read all packets. So a client that does not
 * read for a while finds one wake with a count of overruns, not a queue of wakes.
 */
struct worker_served worker_serve(
	struct worker *w, const struct now *now, const struct worker_outlet *outlet);

/* Stops serving the session until worker_unblock(), because its client does not read. */
void worker_block(struct worker *w, uint32_t session);
void worker_unblock(struct worker *w, uint32_t session, const struct now *now);

/* The instant on a clock at which the alarm must ring; TIMERS_FOREVER: never. O(1). */
uint64_t worker_next(const struct worker *w, unsigned int clock);

/* Return: the number of records refused since the last call. ret_status: why the last of them was
 * refused. */
uint32_t worker_take_refusals(struct worker *w, enum proto_status *ret_status);

/* The wall clock was set: worker_tick() informs the sessions that have asked for it. */
void worker_clock_set(struct worker *w);

/* Counts one wake-up of the daemon by an alarm. */
void worker_rang(struct worker *w);

/* The internal timers of the shell: see internal.h. */
enum worker_internal {
	WORKER_WATCHDOG = 1 << 0,
	WORKER_FDSTORE = 1 << 1,
	WORKER_WATCHDOG_AGAIN = 1 << 2,
};

#define WORKER_INTERNAL_TIMERS 3 /* the number of values above */

/*
 * Starts an internal timer that expires in `delay` microseconds, and then every `every`
 * microseconds (0: once). Its slack is a quarter of the delay, so that it can share a wake-up with
 * other timers.
 */
void worker_start_internal(struct worker *w, enum worker_internal timer, uint64_t delay,
	uint64_t every, const struct now *now);

/* The internal timers (a set of enum values) that have expired since the last call. */
unsigned int worker_take_internal(struct worker *w);
