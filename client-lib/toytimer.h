/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer: be woken by timerd, the timer service.
 *
 * A handle is one session with the daemon. It owns the timers that are registered through it: they
 * end when its last reference is dropped. If the daemon restarts, the handle reconnects by itself
 * and registers again all timers that still have a wake to come.
 *
 * The interface follows sd-bus. Functions return a negative errno on failure and leave output
 * parameters untouched then. The library prints nothing, changes no signal and starts no thread.
 *
 * Threads: every function may be called from several threads on one handle, and from within a
 * callback, unless its description says otherwise. Callbacks run only inside toytimer_process() and
 * toytimer_run(), in the thread that called it. One callback of a handle runs at a time. The
 * library holds no lock meanwhile.
 *
 * Callbacks that do not return: a callback may throw a C++ exception, longjmp() out of the library,
 * end its thread, or be cancelled. The event counts as handled, and the handle stays usable. With
 * glibc the library notices a jump at once. With another C library it notices the jump at the
 * thread's next call, and until then no other thread gets an event.
 *
 * Cancelled threads: a thread may be cancelled in any call that waits. It ends within 0.1 s. What
 * the call asked for is then in the same state as after a timeout, see toytimer_set_timeout().
 *
 * fork(): a handle belongs to the process that opened it. In the child, toytimer_unref() frees the
 * child's copy; do not call it if the parent had other threads. Every other call returns -ECHILD in
 * the child, or 0 if it returns a number. That includes a call that ran a callback or slept when the
 * callback or a signal handler forked.
 *
 * Signals: no function is async-signal-safe. Do not call one from a signal handler, and do not jump
 * out of one from there.
 *
 * All spans and instants are microseconds.
 *
 * Cost: a call that waits for an answer takes one packet to the daemon and one back. Calls that
 * queue take no system call until a packet is full.
 *
 * Errors that several functions share:
 *   -EDQUOT       the limit of timers of a user (--max-timers-per-user)
 *   -ENOSPC       the limit of timers in all (--max-timers)
 *   -EUSERS       the limit of clients of a user (--max-clients-per-user)
 *   -ENFILE       the limit of clients in all (--max-clients)
 *   -EMFILE       out of file descriptors or memory, here or in the daemon
 *   -EPERM        the daemon does not hold CAP_WAKE_ALARM
 *   -EOPNOTSUPP   monotonic cannot wake the system
 *   -EACCES       only root may do that, or the daemon does not serve this user
 *   -ENOENT       no such timer: gone, never was, or not yours
 *   -EINVAL       an argument is out of its domain
 *   -ERANGE       the instant is past the end of the clock; timerfd_settime() would shorten a
 *                 relative due, this library refuses it
 *   -ECONNREFUSED timerd cannot be reached; with an open handle: not within its timeout
 *   -ETIMEDOUT    no answer within the handle's timeout
 *   -EPROTO       the daemon and this library do not understand each other
 *   -ENOMEM       out of memory
 *   -ECHILD       the handle belongs to the parent process
 *   -EBUSY        from within a callback: toytimer_process() and toytimer_run()
 *   -ENOSYS       the daemon is of an older version and does not know this call or flag
 * toytimer_strerror() returns a sentence for each. toytimer_get_error() returns a sentence that
 * says which argument of the last call was invalid.
 *
 * This is version 0: before 1.0, a release may still change this interface incompatibly.
 */
#ifndef TOYTIMER_H
#define TOYTIMER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct toytimer toytimer;

/* Without end, as a span. As an instant: never. */
#define TOYTIMER_FOREVER UINT64_MAX

/* The greatest length of a label, in bytes. */
#define TOYTIMER_LABEL_MAX 24

enum toytimer_clock {
	TOYTIMER_MONOTONIC = 0, /* stops in suspend */
	TOYTIMER_BOOTTIME = 1,	/* goes on in suspend */
	TOYTIMER_REALTIME = 2	/* wall-clock time since the Unix epoch; can be set */
};

enum toytimer_flag {
	TOYTIMER_RELATIVE = 1 << 0,    /* due is a span from now */
	TOYTIMER_WAKE_SYSTEM = 1 << 1, /* wake the machine from suspend; not for MONOTONIC */
	/* Send an event each time that the wall clock is set; only for REALTIME. -ENOSYS: the daemon
	 * is too old for it. */
	TOYTIMER_TELL_CLOCK_SET = 1 << 2
};

enum toytimer_event_type {
	TOYTIMER_WOKEN = 1,
	TOYTIMER_CANCELLED =
		2, /* another session of this user, or root, cancelled it; it is gone */
	/* Registered or re-armed asynchronously, or registered again: see error. The timer is gone if
	 * `last` is set, else it stays as it was. */
	TOYTIMER_REFUSED = 3,
	TOYTIMER_CLOCK_SET = 4 /* the wall clock was set; the timer stays as it is */
};

/* What happened to a timer; valid during the callback. */
typedef struct toytimer_event {
	enum toytimer_event_type type;
	int error;	   /* REFUSED: why, a negative errno; else 0 */
	uint64_t timer;	   /* the name under which this handle knows it */
	uint64_t id;	   /* the daemon's, as `toytimerctl list` shows it; 0: see libtoytimer(3) */
	uint64_t due;	   /* WOKEN: the due that this wake is for, on its clock */
	uint64_t late;	   /* WOKEN: sent - due */
	uint64_t overruns; /* WOKEN: further periods that had passed when it was sent (not
			    * when its handler runs) */
	int last;	   /* non-zero: no event of this timer comes after this one, unless the
			    * handler re-arms it */
} toytimer_event;

/*
 * Called for each event of a timer. It may call any function of this library on this handle, except
 * toytimer_process() and toytimer_run(). After the last event the timer's name is gone, unless the
 * handler of that event re-arms the timer before it returns. Return: a negative number is returned
 * by toytimer_process(), and ends toytimer_run(), which returns it. Any other number has no effect.
 */
typedef int (*toytimer_handler)(toytimer *t, const toytimer_event *event, void *userdata);

/* When to be woken, and how. A due that has passed wakes at once. Zero the struct first: members
 * that a later version adds then have their defaults. */
typedef struct toytimer_registration {
	uint64_t due;	/* the first instant on the clock, or with RELATIVE the span until it */
	uint64_t slack; /* how much later the wake may come; saves wake-ups of the machine */
	/* Period; 0 = none. The dues are first + n * every. If several dues have passed when the wake
	 * is sent, one wake stands for all of them: see overruns. */
	uint64_t every;
	uint32_t count; /* how many wakes (not dues); 0 = one without a period, no end with one */
	enum toytimer_clock clock;
	unsigned int flags;	  /* enum toytimer_flag */
	const char *label;	  /* NULL = none; printable UTF-8, copied */
	toytimer_handler handler; /* NULL: the event is dropped */
	void *userdata;
	uint64_t reserved[2]; /* 0 */
} toytimer_registration;

/*
 * Connects to timerd and says hello.
 *   path: of the socket; NULL: $TIMERD_SOCKET unless that is empty, else /run/timerd/socket. A
 *     relative one counts from the folder that is the current one now, also for reconnections.
 *     -EINVAL: it is empty or, as an absolute path, longer than 107 bytes.
 * The new handle has one reference, the caller's. Blocks for at most 25 s, and only for a daemon
 * that is there; an absent one, or one that has no place for us, is an error at once.
 */
int toytimer_open(toytimer **ret, const char *path);

/* Opens the daemon of this user, at $XDG_RUNTIME_DIR/timerd/socket. Otherwise as toytimer_open().
 * -ENOMEDIUM: the variable is not set, or not to be trusted (secure_getenv(3)). */
int toytimer_open_user(toytimer **ret);

/* A further reference, for another thread or owner. NULL does nothing. Returns t. */
toytimer *toytimer_ref(toytimer *t);

/* Drops a reference; the last one closes the connection and drops its timers. Not to be called by
 * a callback for the last reference. NULL does nothing. Always returns NULL. */
toytimer *toytimer_unref(toytimer *t);

/*
 * How long a blocking call waits for the daemon's answer, a reconnection included. At first 25 s,
 * as sd-bus has it. TOYTIMER_FOREVER: without end. Returns 0.
 *
 * What a call that timed out had asked for: a registration does not stand; a cancelled timer has no
 * more events, and goes as soon as the daemon can be told; of a re-arming it is open whether it
 * takes place. The reconnecting goes on for as long as the handle lives, whoever waits.
 */
int toytimer_set_timeout(toytimer *t, uint64_t timeout);

/* A descriptor for poll, epoll or sd-event: readable while toytimer_process() has something to do.
 * It stays the same for the handle's life, reconnections included, and is the library's: not to be
 * read from or closed. */
int toytimer_get_fd(toytimer *t);

/* Which poll events to wait for on it: POLLIN. */
int toytimer_get_events(toytimer *t);

/*
 * Sends what is queued, receives, reconnects, and calls the handler of one event. Never blocks.
 * Returns 1 if it called a handler (call again: there may be more events); 0 if there was no event,
 * or another thread runs a handler now; what the handler returned, if that is negative; or a
 * negative errno. Other threads may process events at the same time.
 *
 * Once 4096 events wait, further wakes of a timer are merged into the one that waits, and counted
 * in its overruns.
 */
int toytimer_process(toytimer *t);

/* Waits until toytimer_process() has something to do, or for timeout. Returns 1 or 0 (timed out),
 * -EINTR when a signal was delivered. */
int toytimer_wait(toytimer *t, uint64_t timeout);

/* Processes events until no timer is left, toytimer_stop() is called, or a handler returns a
 * negative number. Returns 0, or what the handler returned; -EINTR when a signal was delivered
 * while it waited. */
int toytimer_run(toytimer *t);

/*
 * Ends each toytimer_run() of this handle that is under way, in whatever thread: it returns 0 once
 * the handler that it runs, if any, has returned. If none is under way, the next toytimer_run()
 * returns 0 at once, without a look at events; several calls before it count as one. Events that
 * are not processed stay. Not to be called from a signal handler. Returns 0.
 */
int toytimer_stop(toytimer *t);

/*
 * Registers, and waits for the answer.
 *   ret_timer: the timer's name at this handle; it stays the same over reconnections. May be NULL.
 */
int toytimer_register(toytimer *t, const toytimer_registration *r, uint64_t *ret_timer);

/*
 * Registers n at once: they travel in as few packets as can hold them.
 *   ret_timers: n names, 0 for each that was refused. May be NULL.
 *   ret_errors: n results, 0 or a negative errno. May be NULL.
 * Returns how many were registered, or a negative errno if none was asked for, in which case none
 * stands. A refusal concerns its own record alone, and so does a timeout: those that were answered
 * stand.
 */
int toytimer_register_many(toytimer *t, const toytimer_registration *r, size_t n,
	uint64_t *ret_timers, int *ret_errors);

/* Queues a registration and returns; it is sent with others by toytimer_flush(), by any blocking
 * call, by toytimer_process(), or when a packet is full. A refusal comes as TOYTIMER_REFUSED. */
int toytimer_register_async(toytimer *t, const toytimer_registration *r, uint64_t *ret_timer);

/* Sends what is queued, as far as the socket takes it, without waiting for answers. Returns 0. */
int toytimer_flush(toytimer *t);

/*
 * Cancels a timer of this handle, and waits for the daemon's answer. When it returns, no handler of
 * the timer starts any more. One that another thread runs just now is not waited for, see
 * toytimer_cancel_wait().
 * Returns 0: cancelled. That holds also for a timer whose last event, a wake or another session's
 * cancelling, had arrived here and was not processed yet: the event is dropped.
 * -ENOENT: the handler of its last event has been called (and may re-arm the timer), or there is no
 * such timer.
 */
int toytimer_cancel(toytimer *t, uint64_t timer);

/*
 * The same, and waits until no other thread runs a handler of the timer: after it, what the handler
 * uses can be freed. Within a handler it does not wait for that handler, and returns what
 * toytimer_cancel() does. To call it with a lock that the handler takes is a deadlock, which ends
 * with the handle's timeout.
 * Returns what toytimer_cancel() does; -ETIMEDOUT: a handler may still run.
 */
int toytimer_cancel_wait(toytimer *t, uint64_t timer);

/*
 * Cancels a timer without waiting for the daemon. When it returns 0, no handler of the timer starts
 * any more, and its name is gone: no event follows, and the daemon cannot refuse it. The request
 * travels with others, as toytimer_register_async() says. If the daemon is lost before it is told,
 * the timer is not registered again. Returns 0; -ENOENT as toytimer_cancel(); -ENOMEM: the timer
 * stays as it was.
 */
int toytimer_cancel_async(toytimer *t, uint64_t timer);

/* toytimer_cancel() for n; ret_errors as in toytimer_register_many(). Returns how many were
 * cancelled. */
int toytimer_cancel_many(toytimer *t, const uint64_t *timers, size_t n, int *ret_errors);

/* Cancels by the daemon's id, a timer of any session of this user, or as root of any user's. */
int toytimer_cancel_id(toytimer *t, uint64_t id);

/*
 * Gives a timer another due, slack, period and count (clock, label, handler and name stay, as does
 * its rank among equal dues), and waits for the answer. Of flags, RELATIVE counts.
 * A wake that had arrived before is still handed out; its due is one of the old ones.
 * -ENOENT: its last wake won.
 * While the handler of a timer's last event runs, whatever that event is, the timer can be re-armed
 * too: it is then registered again, last among equal dues, under the same name and another id.
 */
int toytimer_rearm(toytimer *t, uint64_t timer, const toytimer_registration *r);

/*
 * The same without waiting for the daemon. The request travels with others, as
 * toytimer_register_async() says. An accepted re-arming has no event of its own. What goes wrong
 * after the call returned 0, the handler sees:
 *   - Its last wake was sent before the daemon read the request: that wake comes, with its `last`
 *     set. Its handler may re-arm the timer.
 *   - The daemon refuses the new values: TOYTIMER_REFUSED with the error and `last` 0. The timer
 *     stays as it was.
 *   - The timer is registered again (from its last handler, or after a reconnection) and refused:
 *     TOYTIMER_REFUSED with `last` set. The timer is gone.
 * A timer whose registration is not answered yet can be re-armed too. toytimer_get_timer() tells
 * the former due until the answer is processed. Returns 0; -ENOENT: its last wake has arrived here;
 * -EINVAL, -ERANGE and -ENOMEM: the timer stays as it was.
 */
int toytimer_rearm_async(toytimer *t, uint64_t timer, const toytimer_registration *r);

/* What the daemon calls a timer of this handle (0: it is not registered yet, or not again), and its
 * next due on its clock, or its last if that wake has come. Either may be NULL. */
int toytimer_get_timer(toytimer *t, uint64_t timer, uint64_t *ret_id, uint64_t *ret_due);

/* How many timers this handle holds. A timer counts until its last event is processed. */
size_t toytimer_count(toytimer *t);

/* A timer as the daemon lists it; valid during the callback. */
typedef struct toytimer_listed {
	uint64_t id;
	const char *label; /* "" if none */
	enum toytimer_clock clock;
	unsigned int flags; /* TOYTIMER_WAKE_SYSTEM */
	uint64_t due;
	int64_t left; /* due - now; negative: late */
	uint64_t slack;
	uint64_t every;
	uint32_t count;
	uint32_t fired; /* wakes so far, modulo 2^32 */
	uint32_t uid, pid;
	const char *comm;
} toytimer_listed;

enum toytimer_list_flag {
	TOYTIMER_LIST_ALL = 1 << 0 /* everybody's; for root, else -EACCES */
};

/*
 * Calls back for each timer of this user, in no order. A non-zero return ends the listing and is
 * returned. Timers are received and handed out some hundred at a time, so that a listing of a
 * million takes no more memory than one of a thousand. One that comes or goes meanwhile may be
 * missed. -ECONNRESET: the daemon was lost after some had been handed out; list again.
 */
int toytimer_list(toytimer *t, unsigned int flags,
	int (*handler)(const toytimer_listed *listed, void *userdata), void *userdata);

enum toytimer_match_flag {
	TOYTIMER_MATCH_USER = 1 << 0,	  /* timers of uid; of another user only for root */
	TOYTIMER_MATCH_EVERYBODY = 1 << 1 /* of all users; for root, and without USER */
};

/* Which timers are meant. All zero: all those of this user, from all of its sessions. */
typedef struct toytimer_match {
	unsigned int flags;   /* enum toytimer_match_flag */
	uint32_t uid;	      /* with USER; else 0 */
	const char *label;    /* NULL: any; else just this one, "": none */
	uint64_t reserved[2]; /* 0 */
} toytimer_match;

/* toytimer_list() of those timers; NULL: of all of this user. -EACCES: only root may ask that.
 * -ENOSYS: the daemon is too old for it. */
int toytimer_list_matching(toytimer *t, const toytimer_match *match,
	int (*handler)(const toytimer_listed *listed, void *userdata), void *userdata);

/*
 * Cancels those timers, and waits until it is done. Timers of this handle are cancelled as by
 * toytimer_cancel(): no handler of them starts any more. Other sessions get TOYTIMER_CANCELLED.
 *   match: NULL: all of this user
 *   ret_cancelled: how many there were, which may be none; may be NULL
 * Returns 0; on another error some may be cancelled. One that is registered meanwhile may be
 * missed. -EACCES and -ENOSYS as above. The daemon does it some thousand at a time, so that nobody
 * waits.
 */
int toytimer_cancel_matching(toytimer *t, const toytimer_match *match, uint64_t *ret_cancelled);

/* The daemon's counters, since its start. For another user than root, those from clients to wakeups
 * and those of adoptions are about this user's own clients, and next is about this user's timers.
 * */
typedef struct toytimer_status {
	char version[32];
	uint32_t pid;
	uint64_t uptime;
	uint64_t clients, timers;
	uint64_t next; /* until the alarm rings for a timer; FOREVER: never */
	uint64_t registered, woken, cancelled, refused;
	uint64_t wakeups;
	/* Lateness in the sense of timerd(8): from when a wake could first have been sent. */
	uint64_t late_p50, late_p99, late_max;
	uint64_t restarts;			   /* of the daemon, that its sessions survived */
	uint64_t adopted_sessions, adopted_timers; /* that were gone on with, in all */
	uint64_t dropped_records;		   /* found damaged then, and dropped */
	uint64_t warnings;     /* settings that the daemon could not hold to; its log says which */
	uint64_t reserved[15]; /* 0 */
} toytimer_status;

int toytimer_get_status(toytimer *t, toytimer_status *ret);

/* How many times this handle has reconnected. */
uint64_t toytimer_get_reconnects(toytimer *t);

/* A sentence for an error of this library, without a newline; never NULL; constant. */
const char *toytimer_strerror(int error);

/* What was wrong with the last call of this thread that returned -EINVAL: a sentence that names the
 * argument or member, without a newline; never NULL; constant. "" before any, and for a NULL
 * handle. */
const char *toytimer_get_error(void);

/* Microseconds of a clock now, rounded down; 0 for a clock that there is not. */
uint64_t toytimer_now(enum toytimer_clock clock);

#ifdef __cplusplus
}
#endif

#endif
