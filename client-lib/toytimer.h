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
 * Threads: several threads may call every function on one handle, and handlers may call it, unless
 * the description of the function says otherwise. Handlers run only inside toytimer_process() and
 * toytimer_run(), in the thread that called the function. One handler of a handle runs at a time,
 * over all threads. The library holds no lock meanwhile.
 *
 * Handlers that do not return: a handler may throw a C++ exception, longjmp() out of the library,
 * end its thread, or be cancelled. The event counts as handled, and the handle stays usable. With
 * glibc, libtoytimer notices a jump at once. With another C library, it notices the jump at the
 * thread's next call, and until then no other thread gets an event. If, with another C library, the
 * program also has no unwinder (libgcc_s), the thread's next call must not be deeper on the stack
 * than the call that the jump left.
 *
 * Cancelled threads: a thread may be cancelled in any call that waits, and when a handler returns.
 * It ends within 0.1 s. The request of the call is then in the same state as after a timeout, see
 * toytimer_set_timeout().
 *
 * fork(): a handle belongs to the process that opened it. In the child, toytimer_unref() frees the
 * child's copy; do not call it if the parent had other threads. Every other call returns -ECHILD in
 * the child, or 0 if it returns a number. That includes a call that is active at the time of the
 * fork, because a handler or a signal handler forks.
 *
 * Signals: no function is async-signal-safe. A signal handler must not call a function of this
 * library, and must not jump out of one.
 *
 * All spans and instants are microseconds.
 *
 * Cost: a call that waits for an answer takes one packet to the daemon and one back. Calls that
 * queue take no system call until a packet is full.
 *
 * Errors that several functions share:
 *
 *   -EDQUOT        the limit of timers of a user (--max-timers-per-user)
 *   -ENOSPC        the limit of timers of all users (--max-timers)
 *   -EUSERS        the limit of clients of a user (--max-clients-per-user)
 *   -ENFILE        the limit of clients of all users (--max-clients)
 *   -EMFILE        out of file descriptors or memory, here or in the daemon
 *   -EPERM         the daemon does not hold CAP_WAKE_ALARM
 *   -EOPNOTSUPP    the monotonic clock cannot wake the system
 *   -EACCES        only root may do that; or the daemon does not serve this user; or this process
 *                  has no permission to use the socket
 *   -ENOENT        no such timer: it is gone, it never was, or it belongs to another user
 *   -EINVAL        an argument has a value that is not allowed
 *   -ERANGE        the instant is past the end of the clock; timerfd_settime() shortens such a
 *                  span, this library refuses it
 *   -ECONNREFUSED  timerd cannot be reached; with an open handle: not within its timeout
 *   -ETIMEDOUT     no answer within the handle's timeout
 *   -EPROTO        the daemon and this library do not understand each other
 *   -ENOMEM        out of memory
 *   -ECHILD        the handle belongs to the parent process
 *   -EBUSY         a handler called toytimer_process(), toytimer_take_events() or toytimer_run()
 *   -ENOSYS        the daemon is of an older version and does not know this call or flag
 *
 * toytimer_strerror() returns a sentence for each. toytimer_get_error() returns a sentence that
 * names the invalid argument of the last call.
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

/* As a span: without end. As an instant: never. */
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
	/* Send an event each time that the wall clock is set; only for REALTIME. -ENOSYS: the
	 * daemon is too old for it. */
	TOYTIMER_TELL_CLOCK_SET = 1 << 2
};

enum toytimer_event_type {
	TOYTIMER_WOKEN = 1,
	/* Another session of this user, or of root, cancelled the timer. The timer is gone. */
	TOYTIMER_CANCELLED = 2,
	/* The daemon refused to register or re-arm the timer: see `error`. The timer is gone if
	 * `last` is set; otherwise it stays as it was. Only for asynchronous requests, and for
	 * timers that the library registers again. */
	TOYTIMER_REFUSED = 3,
	TOYTIMER_CLOCK_SET = 4 /* the wall clock was set; the timer stays as it is */
};

/* An event of a timer. The event that a handler gets is valid until the handler returns. */
typedef struct toytimer_event {
	enum toytimer_event_type type;
	int error;	/* REFUSED: the reason, a negative errno; otherwise 0 */
	uint64_t timer; /* the timer's name at this handle */
	uint64_t id;	/* the timer's number at the daemon, see `toytimerctl list`; 0: the daemon
			    * refused the timer, or it waits to be registered again */
	uint64_t due;	/* WOKEN: the due that this wake is for, on the timer's clock */
	uint64_t late;	/* WOKEN: how much later than `due` the daemon sent the wake */
	uint64_t overruns; /* WOKEN: further periods that had passed when the daemon sent the wake;
			    * more may have passed when the handler runs */
	int last; /* non-zero: no event of this timer follows, unless the handler re-arms the
			    * timer */
} toytimer_event;

/*
 * The library calls a handler for each event of a timer. A handler may call any function of this
 * library on this handle, except toytimer_process(), toytimer_take_events() and toytimer_run().
 * After the last event the timer's name is gone, unless the handler of that event re-arms the timer
 * before it returns.
 * Return: a negative number ends toytimer_process() and toytimer_run(), which return it. Any other
 * number has no effect.
 */
typedef int (*toytimer_handler)(toytimer *t, const toytimer_event *event, void *userdata);

/* Describes a timer. A timer whose due has passed wakes at once. Zero the struct first: members
 * that a later version adds then have their defaults. */
typedef struct toytimer_registration {
	uint64_t due;	/* the first instant on the clock; with RELATIVE the span until then */
	uint64_t slack; /* how much later than due the wake may come, to share a wake-up */
	/* The period; 0: none. The dues are first + n * every. If several dues have passed when the
	 * daemon sends a wake, that wake stands for all of them: see overruns. */
	uint64_t every;
	/* How many wakes (not dues). 0: one wake without a period, no end with a period. */
	uint32_t count;
	enum toytimer_clock clock;
	unsigned int flags;	  /* enum toytimer_flag */
	const char *label;	  /* printable UTF-8, copied; NULL: none */
	toytimer_handler handler; /* NULL: the library drops the timer's events */
	void *userdata;
	uint64_t reserved[2]; /* 0 */
} toytimer_registration;

/*
 * Opens a session with timerd.
 *   path: of the socket. NULL: $TIMERD_SOCKET, or /run/timerd/socket if that variable is empty or
 *     not set. A relative path is resolved against the current directory of this call, also for
 *     later reconnections. -EINVAL: the path is empty or too long for the address of a socket
 *     (107 bytes).
 * The new handle has one reference, which the caller owns. The call fails at once if the daemon is
 * absent or refuses another client. It waits up to 25 s for a slow daemon.
 */
int toytimer_open(toytimer **ret, const char *path);

/* Opens a session with the daemon of this user, at $XDG_RUNTIME_DIR/timerd/socket. Otherwise like
 * toytimer_open(). -ENOMEDIUM: the variable is not set, or the program must not trust it
 * (secure_getenv(3)). */
int toytimer_open_user(toytimer **ret);

/* Adds a reference, for another thread or owner. Does nothing for NULL. Returns t. */
toytimer *toytimer_ref(toytimer *t);

/* Drops a reference. The last one closes the connection, and the daemon drops the timers of the
 * handle. If a handler drops the last one, this happens when the handler returns, and
 * toytimer_run() returns 0. The function that a listing calls must not drop the last one. Does
 * nothing for NULL. Returns NULL. */
toytimer *toytimer_unref(toytimer *t);

/*
 * Sets how long a blocking call waits for the daemon's answer. A reconnection counts as part of
 * that time. The default is 25 s, like that of sd-bus. TOYTIMER_FOREVER: without end. Returns 0.
 *
 * After a call timed out: a timer that the call was to register does not exist; if the daemon has
 * it, the library cancels it there as soon as it can. A timer that the call cancelled has no more
 * events; the library cancels it at the daemon as soon as it can. A re-arming may or may not take
 * place. The handle tries to reconnect as long as it exists, inside toytimer_process() and inside
 * every call that waits.
 */
int toytimer_set_timeout(toytimer *t, uint64_t timeout);

/* Returns a descriptor for poll, epoll or sd-event. It is readable while toytimer_process() has
 * something to do. It stays the same for the life of the handle. The library owns it: do not read
 * from it or close it. */
int toytimer_get_fd(toytimer *t);

/* Returns the poll events to wait for on that descriptor: POLLIN. */
int toytimer_get_events(toytimer *t);

/*
 * Sends queued requests, receives, reconnects, and calls the handler of one event. Never blocks.
 * Returns 1 if it called a handler (call again: there may be more events); 0 if there was no event,
 * or if another thread runs a handler now; the handler's result if that is negative; or a negative
 * errno. Several threads may call it at the same time.
 *
 * Once 4096 events wait, the library merges a further wake of a timer into the timer's waiting
 * wake, and counts it in overruns.
 */
int toytimer_process(toytimer *t);

/*
 * Takes events instead of calling their handlers, for programs in which a call from C is expensive.
 *   ret_events: the events, oldest first
 *   ret_userdatas: the userdata of the timer of each event; may be NULL
 *   n: how many events there is room for, at least 1
 * Returns how many events it took. It takes all events that wait, up to n. If none waits, it first
 * does what toytimer_process() does before it calls a handler. Returns 0 if there was no event, or
 * if another thread runs a handler now. After a timer's last event its name is gone. Timers without
 * a handler have no events here either. Never blocks. Cost: O(1) for each event.
 */
int toytimer_take_events(toytimer *t, toytimer_event *ret_events, void **ret_userdatas, size_t n);

/* Waits until toytimer_process() has something to do, or until timeout has passed. Returns 1 in the
 * first case, 0 in the second, and -EINTR after a signal. -EBADF: the program has closed a
 * descriptor of the handle. */
int toytimer_wait(toytimer *t, uint64_t timeout);

/* Processes events until no timer remains, until toytimer_stop(), or until a handler returns a
 * negative number. Returns 0, the handler's negative result, or -EINTR if a signal arrives while it
 * waits. */
int toytimer_run(toytimer *t);

/*
 * Ends each active toytimer_run() of this handle, in any thread. toytimer_run() returns 0 when its
 * current handler has returned. If no toytimer_run() is active, the next one returns 0 at once and
 * processes no event; several calls before it count as one. Unprocessed events stay. Do not call it
 * from a signal handler. Returns 0.
 */
int toytimer_stop(toytimer *t);

/*
 * Registers a timer, and waits for the answer.
 *   ret_timer: the timer's name at this handle. It stays the same over reconnections. May be NULL.
 */
int toytimer_register(toytimer *t, const toytimer_registration *r, uint64_t *ret_timer);

/*
 * Registers n timers, with as few packets as possible.
 *   ret_timers: n names, 0 for each refused timer. May be NULL.
 *   ret_errors: n results, 0 or a negative errno. May be NULL.
 * Returns the number of registered timers. If it returns a negative errno, it has sent nothing and
 * registered nothing. If the daemon refuses a timer, the other timers are registered all the same.
 * After a timeout, only the timers whose answers have arrived are registered.
 */
int toytimer_register_many(toytimer *t, const toytimer_registration *r, size_t n,
	uint64_t *ret_timers, int *ret_errors);

/* Queues a registration and returns. The library sends queued requests when a packet is full, in
 * toytimer_flush(), in toytimer_process() and in any blocking call. If the daemon refuses the
 * timer, its handler gets TOYTIMER_REFUSED. */
int toytimer_register_async(toytimer *t, const toytimer_registration *r, uint64_t *ret_timer);

/* Sends queued requests until the socket is full. Does not wait for answers. Returns 0. */
int toytimer_flush(toytimer *t);

/*
 * Cancels a timer of this handle, and waits for the daemon's answer. When it returns, no handler of
 * the timer starts any more. It does not wait for a handler that another thread runs now, see
 * toytimer_cancel_wait(). Returns 0 if the timer is cancelled. It also returns 0 if the timer's
 * last event, of whatever type, had arrived but was not processed: the library drops that event.
 * -ENOENT: the library has called the handler of the last event (which may re-arm the timer), or
 * there is no such timer.
 */
int toytimer_cancel(toytimer *t, uint64_t timer);

/*
 * Cancels a timer like toytimer_cancel(), and then waits until no other thread runs a handler of
 * the timer. Then the caller can free what the handler uses. If a handler makes this call, the call
 * does not wait for that handler. Do not hold a lock that the handler takes: call and handler then
 * wait for each other until the handle's timeout. Returns what toytimer_cancel() returns.
 * -ETIMEDOUT: a handler may still run.
 */
int toytimer_cancel_wait(toytimer *t, uint64_t timer);

/*
 * Cancels a timer without waiting for the daemon. When it returns 0, no handler of the timer starts
 * any more, and the timer's name is gone. No event follows, and the daemon cannot refuse the
 * request. The library sends the request like those of toytimer_register_async(). If the connection
 * ends first, the library does not register the timer again. Returns 0. -ENOENT like
 * toytimer_cancel(). -ENOMEM: the timer stays as it was.
 */
int toytimer_cancel_async(toytimer *t, uint64_t timer);

/* Cancels n timers like toytimer_cancel(). ret_errors is like that of toytimer_register_many().
 * Returns how many timers it cancelled. */
int toytimer_cancel_many(toytimer *t, const uint64_t *timers, size_t n, int *ret_errors);

/* Cancels a timer by its number at the daemon. The timer may belong to any session of this user;
 * for root, to any session of any user. */
int toytimer_cancel_id(toytimer *t, uint64_t id);

/*
 * Gives a timer a new due, slack, period and count, and waits for the answer. The timer keeps its
 * clock, label, handler, name and rank among equal dues. Of the flags, only RELATIVE has an effect.
 * If a wake had arrived before the call, its handler still runs; its due is an old one. -ENOENT:
 * the daemon had sent the timer's last wake, or there is no such timer. -ENOMEM and -ETIMEDOUT: the
 * daemon may have re-armed the timer, or does so later. While the handler of a timer's last event
 * runs, the timer can be re-armed too, whatever the type of the event. The library then registers
 * it again: under the same name, with a new number at the daemon, and last among equal dues.
 */
int toytimer_rearm(toytimer *t, uint64_t timer, const toytimer_registration *r);

/*
 * Re-arms a timer like toytimer_rearm(), without waiting for the daemon. The library sends the
 * request like those of toytimer_register_async(). If the daemon accepts the new values, no event
 * reports it. The handler sees a failure that comes after the call returned 0:
 *   - The daemon sent the last wake before it read the request: the handler gets that wake, with
 *     `last` set, and may re-arm the timer.
 *   - The daemon refuses the new values: the handler gets TOYTIMER_REFUSED with the error, and
 *     `last` is 0. The timer stays as it was.
 *   - The timer had to be registered again (from its last handler, or after a reconnection), and
 *     the daemon refuses it: the handler gets TOYTIMER_REFUSED with `last` set. The timer is gone.
 * A timer whose registration is not answered yet can be re-armed too. Until the library has
 * processed the answer, toytimer_get_timer() returns the old due. Returns 0. -ENOENT: the timer's
 * last wake has arrived, or there is no such timer. -EINVAL, -ERANGE and -ENOMEM: the timer stays
 * as it was.
 */
int toytimer_rearm_async(toytimer *t, uint64_t timer, const toytimer_registration *r);

/*
 * Looks up a timer of this handle, in O(1) and without a request to the daemon.
 *   ret_id: its number at the daemon; 0: the daemon does not have it yet, or not again after a
 *     reconnection. May be NULL.
 *   ret_due: its next due on its clock, or its last due if the last wake has arrived. May be NULL.
 * Returns 0 or -ENOENT.
 */
int toytimer_get_timer(toytimer *t, uint64_t timer, uint64_t *ret_id, uint64_t *ret_due);

/* Returns how many timers this handle holds. A timer counts until its last event is processed. */
size_t toytimer_count(toytimer *t);

/* A timer as the daemon lists it. It is valid until the handler returns. */
typedef struct toytimer_listed {
	uint64_t id;
	const char *label; /* "" if none */
	enum toytimer_clock clock;
	unsigned int flags; /* TOYTIMER_WAKE_SYSTEM */
	uint64_t due;
	int64_t left; /* until the due; negative: the due has passed */
	uint64_t slack;
	uint64_t every;
	uint32_t count;
	uint32_t fired; /* wakes so far, modulo 2^32 */
	uint32_t uid, pid;
	const char *comm; /* of the process when it connected; "" if the daemon cannot see it */
} toytimer_listed;

enum toytimer_list_flag {
	TOYTIMER_LIST_ALL = 1 << 0 /* timers of all users; -EACCES: only root may ask for them */
};

/*
 * Calls the handler for each timer of this user, in no order. If the handler returns a number other
 * than 0, the listing ends and the call returns that number. The library receives some hundred
 * timers at a time, so memory does not grow with their number. The listing may miss a timer that is
 * registered or ends while it runs. -ECONNRESET: the connection ended after the handler was called
 * for some timers; list again.
 */
int toytimer_list(toytimer *t, unsigned int flags,
	int (*handler)(const toytimer_listed *listed, void *userdata), void *userdata);

enum toytimer_match_flag {
	TOYTIMER_MATCH_USER = 1 << 0,	  /* timers of `uid`; another user's only for root */
	TOYTIMER_MATCH_EVERYBODY = 1 << 1 /* timers of all users; only for root; not with USER */
};

/* Selects timers. If all members are 0: all timers of all sessions of this user. */
typedef struct toytimer_match {
	unsigned int flags;   /* enum toytimer_match_flag */
	uint32_t uid;	      /* with USER; otherwise 0 */
	const char *label;    /* exactly this label; NULL: any; "": timers without a label */
	uint64_t reserved[2]; /* 0 */
} toytimer_match;

/* Lists the timers that match, like toytimer_list(). match NULL: all timers of this user. -EACCES:
 * only root may ask for these timers. -ENOSYS: the daemon is too old for this call. */
int toytimer_list_matching(toytimer *t, const toytimer_match *match,
	int (*handler)(const toytimer_listed *listed, void *userdata), void *userdata);

/*
 * Cancels the timers that match, and waits for the answer. For timers of this handle it has the
 * effect of toytimer_cancel(): their handlers do not start any more. Other sessions get
 * TOYTIMER_CANCELLED.
 *   match: NULL: all timers of this user
 *   ret_cancelled: how many timers it cancelled; 0 is a success too. May be NULL.
 * Returns 0. After an error some of the timers may be cancelled. The call may miss a timer that is
 * registered while it runs. -EACCES and -ENOSYS like toytimer_list_matching(). The daemon cancels
 * some thousand at a time and serves other clients in between.
 */
int toytimer_cancel_matching(toytimer *t, const toytimer_match *match, uint64_t *ret_cancelled);

/*
 * The daemon's counters since its start. For root they cover all users. For another user, `next`,
 * the members from `clients` to `wakeups`, and the adopted ones cover only this user's clients and
 * timers.
 */
typedef struct toytimer_status {
	char version[32];
	uint32_t pid;
	uint64_t uptime;
	uint64_t clients, timers;
	uint64_t next; /* span until the first due + slack of a timer; FOREVER: no timer */
	uint64_t registered, woken, cancelled, refused;
	uint64_t wakeups;
	/* Lateness, see timerd(8): it counts from when the daemon could first send the wake. */
	uint64_t late_p50, late_p99, late_max;
	uint64_t restarts; /* how often a daemon has taken over the sessions of the one before */
	uint64_t adopted_sessions, adopted_timers; /* taken over, in all restarts together */
	uint64_t dropped_records;		   /* damaged records that a restart dropped */
	uint64_t warnings;     /* settings that the daemon could not apply; its log names them */
	uint64_t reserved[15]; /* 0 */
} toytimer_status;

/* Stores the daemon's counters in *ret, and waits for the answer. */
int toytimer_get_status(toytimer *t, toytimer_status *ret);

/* Returns how many times this handle has reconnected. */
uint64_t toytimer_get_reconnects(toytimer *t);

/* Returns a constant sentence for an error of this library, positive or negative. It has no newline
 * and is never NULL. */
const char *toytimer_strerror(int error);

/* Returns a constant sentence about this thread's last call that returned -EINVAL, -ERANGE or
 * -EMSGSIZE, or -EACCES for opening a handle or for the name of a queue. The sentence names the
 * argument or member, or says who refused the connection and why. It has no newline and is never
 * NULL. "" if there was no such call. */
const char *toytimer_get_error(void);

/* Returns the time of a clock in microseconds, rounded down; 0 if there is no such clock. */
uint64_t toytimer_now(enum toytimer_clock clock);

#ifdef __cplusplus
}
#endif

#endif
