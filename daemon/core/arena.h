/* SPDX-License-Identifier: MIT */
/*
 * The arena: all state of the daemon, in one block of memory.
 *
 * The shell provides the block: arena_size() zeroed bytes, aligned to a page. The arrays in it have
 * room for the configured maximum from the start. So a record never moves, and its index stays
 * valid as long as the record exists. The kernel provides memory only for pages that were touched.
 * The block contains no pointer; struct arena below is this process's view of it.
 *
 *   timer        1 .. max_timers         0 is nil
 *   session      1 .. max_clients + 1    0 is nil, 1 is the daemon's own
 *   user         1 .. max_clients        0 is nil
 *
 * A timer has two records with the same index: 40 hot bytes (struct rbnode) and 40 cold bytes
 * (struct timer). So a descent of a tree touches only what it compares. Labels are in a third
 * array, whose pages stay untouched until a timer with a label lies there.
 *
 * The block outlives the process: it is a memfd in systemd's fd store, and the next process adopts
 * it (adopt.h). Each field is of one of two kinds:
 *
 *   persistent	the next process keeps it. It trusts records with a check word only if that word
 *		matches.
 *   derived	the next process derives it again from the persistent fields.
 *
 * A kill may come between any two writes. So a record is filled first, and its last write publishes
 * it; a change of several words is written to the header first. Persistent fields are changed
 * through ARENA_WRITE and ARENA_PUBLISH only.
 *
 * A new timer gets the lowest free slot; a bitset knows the free slots. So timers that are
 * registered one after another lie next to each other, in the order in which they will be sent.
 *
 * When a session closes, its trees of timers become orphans, in O(1): their roots form a list. A
 * new timer takes the first root from this list and puts the root's two subtrees back on it. So the
 * cost of closing a session does not depend on the number of its timers.
 *
 * How to change the layout. An upgrade must not end a session, so each layout adopts the previous
 * one. Between two releases the layout changes at most once. The first change after a release takes
 * all of these steps; a later change before the next release only changes the conversion:
 *
 *   1. Copy the structs and the order of the sections, as released, into layout_N.c, and list it
 *	in meson.build. N is the released layout. The file depends on nothing that may change.
 *   2. Write layout_N_convert() there: it copies the persistent fields into an empty arena of the
 *	new layout. It derives nothing, because adopt() does. If a check word covers other fields
 *	from now on, the conversion checks the old word and computes the new one.
 *   3. Raise ARENA_LAYOUT, let adopt_convert() call layout_N, and delete the layout before N.
 *   4. In fdstore.c, name the memory after the new layout, and name layout N as the previous one.
 *   5. Keep arenas that the release has written, as tests/unit/arenas/README says, and the
 *	release's commit in tests/integration/test_upgrade.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bitset.h"
#include "proto.h"
#include "rbtree.h"
#include "turns.h"

/* The clocks of alarms: the three clocks of the wire, and two clocks that wake the system. */
enum arena_clock {
	CLOCK_OF_MONOTONIC = PROTO_CLOCK_MONOTONIC,
	CLOCK_OF_BOOTTIME = PROTO_CLOCK_BOOTTIME,
	CLOCK_OF_REALTIME = PROTO_CLOCK_REALTIME,
	CLOCK_OF_BOOTTIME_ALARM,
	CLOCK_OF_REALTIME_ALARM,
	ARENA_CLOCKS,
};

#define ARENA_MAGIC  UINT64_C(0x3164726d69745454)
#define ARENA_LAYOUT 4 /* of everything in this file: see above */

/* The greatest maxima: ARENA_TIMERS_MAX is the greatest index that fits in an id. */
#define ARENA_TIMERS_MAX  ((UINT32_C(1) << PROTO_ID_INDEX_BITS) - 1)
#define ARENA_CLIENTS_MAX UINT32_C(65535)

/* The daemon's own session. */
#define ARENA_OWN_SESSION 1

/* The cold half of a timer. All of it is persistent. In the hot half, due, latest and tag are
 * persistent; the links and `least` are derived. */
struct timer {
	uint64_t sequence; /* of the registration: orders equal dues, and is part of the id */
	uint64_t every;
	uint64_t cookie;
	uint32_t session;
	uint32_t count; /* wakes asked for; 0: no end */
	uint32_t fired; /* wakes sent, modulo 2^32 */
	uint32_t check; /* check_timer(): this record, and due, latest, clock and label */
};

/* The state of a timer, in the tag of its hot half. */
enum timer_state {
	TIMER_FREE = 0,
	TIMER_ARMED,	  /* in a tree of its session */
	TIMER_CANCELLED,  /* by another session; its own session will send an event for it */
	TIMER_CANCELLING, /* by the current packet; becomes free or cancelled with the commit */
};

enum session_state {
	SESSION_FREE = 0,
	SESSION_NEW, /* no hello yet */
	SESSION_OPEN,
};

/* Whether the worker serves a session. */
enum session_serving {
	SESSION_WATCHED = 0, /* in the clocks' trees of sessions: an alarm rings for it */
	SESSION_READY,	     /* in the queue: there may be something to send */
	SESSION_BLOCKED,     /* its client does not read: the worker does nothing for it */
};

/* How far a session has recovered from the end of an earlier process. It goes through these states
 * in this order. */
enum session_adoption {
	SESSION_NOT_ADOPTED = 0,
	SESSION_ADOPTED,       /* worker_resume() was not called yet */
	SESSION_SENDS_RESUMED, /* it must send a resumed event */
	SESSION_SENDS_AGAIN,   /* it must send the wakes of sent_at again */
	SESSION_RECOVERED, /* its client may still send requests again that have arrived before */
};

/* The clocks on which lateness is measured: monotonic and boottime. */
#define ARENA_MEASURES 2

/* The check word covers uid, pid, born, socket and comm, which never change. */
struct session {
	/* derived */
	struct rbtree timers[ARENA_CLOCKS]; /* over arena::nodes */
	uint32_t user;
	uint32_t user_next, user_prev; /* list user::sessions */

	/* persistent */
	uint32_t uid, pid;

	/* derived */
	uint32_t held;	     /* number of timers */
	uint32_t max_timers; /* of its user, by a rule for that user or group; 0: no rule says */

	/* persistent */
	uint64_t serial; /* of the last applied request: writing it commits the packet */
	uint64_t born;	 /* arena_header::sequence at its start: its timers have greater numbers */
	uint64_t socket; /* SO_COOKIE: the next process finds the session's connection by it */
	uint64_t sent_at[PROTO_CLOCKS]; /* the time for which its last packet of wakes was made */
	/* For lateness.h: the time since which its client reads, and the last time at which it
	 * asked for a timer whose due + slack had passed. */
	uint64_t reads_from[ARENA_MEASURES], past_at[ARENA_MEASURES];
	uint32_t check; /* check_session() */

	/* derived */
	/* Timers that other sessions have cancelled, and that its client must be told of. */
	uint32_t cancelled_first, cancelled_last; /* linked by the child before */
	struct turns_link ready; /* in arena_header::ready; if free, next is in sessions_free */
	uint32_t hello_timer;	 /* the internal timer that waits for its hello */

	/* persistent */
	uint8_t state; /* enum session_state */

	/* derived */
	uint8_t serving;  /* enum session_serving */
	uint16_t fault;	  /* the enum proto_status that ends the session; 0: none */
	uint8_t adoption; /* enum session_adoption */

	/* persistent */
	/* No bool: damage may leave any byte here. */
	uint8_t wants_clock_set;   /* it has registered a timer with PROTO_TELL_CLOCK_SET */
	uint8_t clock_set_pending; /* it must send an event because the wall clock was set */
	/* check_sending() from before a packet of wakes is sent until it is applied; else 0. An
	 * adopted session keeps it until it has sent these wakes again. */
	uint32_t sending;
	char comm[PROTO_COMM_MAX];
};

/* The counts of one user's sessions, for the status that this user sees: see limits.h. */
struct tally {
	uint64_t registered, woken, cancelled, refused;
	uint64_t wakeups; /* packets of wakes */
	uint64_t adopted_sessions, adopted_timers;
};

struct user {
	/* derived; persistent only: uid, clients and tally, for limits_remember_all() */
	uint32_t uid;
	uint32_t timers, clients;
	uint32_t sessions; /* the first; linked by session::user_next */
	struct tally tally;
	uint32_t next;		 /* in a chain of arena::buckets, or in header::users_free */
	struct turns_user ready; /* its sessions in arena_header::ready */
};

/* The tally of a user without a client. Persistent. */
struct remembered {
	uint32_t uid, used;
	struct tally tally;
};

/* Remembered tallies with the same hash share a set. In a set, the user who left last comes
 * first. */
#define REMEMBERED_SETS 512
#define REMEMBERED_WAYS 8

/* Buckets of the histogram: exact below 16, then 16 for each power of two, so that a bucket is at
 * most 6 % wide. */
#define LATENESS_STEPS	 16
#define LATENESS_BUCKETS (61 * LATENESS_STEPS)

/* Persistent. */
struct counters {
	uint64_t registered, woken, cancelled, refused, wakeups;
	uint64_t restarts, adopted_sessions, adopted_timers, dropped_records;
	uint64_t late_max;
	uint64_t late[LATENESS_BUCKETS];
};

/* A change of several words of a timer. It is written here first, so that the next process can
 * repeat it after a kill. Persistent. */
struct arena_intent {
	uint32_t timer; /* 0: none; published last */
	uint32_t check; /* check_timer() of the timer after the change */
	uint32_t count, fired;
	uint64_t due, latest, every;
};

/* The packet that is being applied. After a kill, the next process undoes an uncommitted packet,
 * and sends the answer of a committed one again. Persistent. */
struct arena_applying {
	uint32_t session; /* 0: none; published last */
	uint32_t answer_size;
	uint64_t serial;   /* the packet is committed if the session's serial is not less */
	uint64_t sequence; /* arena_header::sequence before the packet */
	uint32_t rearmed;  /* number of re-armed timers; arena::rearmed has their old values */
	uint32_t check;	   /* check_applying() */
};

/* The last jump of a clock against the clock that measures the lateness of its timers: see
 * lateness.c. Persistent. */
struct arena_jump {
	uint64_t at, previous;	/* times of the last two jumps on the measuring clock */
	uint64_t before, after; /* clock - measuring clock (mod 2^64), around the last jump */
};

/* The most re-arms in one packet. */
#define ARENA_REARMED_MAX PROTO_RECORDS_MAX(struct proto_rearm)

struct arena_header {
	/* persistent */
	uint64_t magic;
	uint64_t size;	   /* of the block */
	uint64_t instance; /* a new number whenever the sessions are lost */
	uint32_t layout;
	uint32_t adopting; /* attempts to adopt the block that failed or still run */
	uint32_t max_timers, max_clients;

	/* derived; after a kill the greatest indexes say where a scan may end */
	uint32_t timers_top;	  /* the greatest index ever used */
	uint32_t timers_orphaned; /* the first orphaned tree; linked by the parent of their roots */
	uint32_t sessions_top, sessions_free;
	uint32_t users_top, users_free;
	struct turns_list ready;  /* users with ready sessions, linked by user::ready */
	uint32_t timers, clients; /* current numbers, without the daemon's own */

	/* persistent */
	uint64_t sequence; /* of the last registration; adoption raises it to that of the records */
	uint64_t wall_offset; /* realtime - boottime when the wall clock was last set */
	struct arena_intent intent;
	struct arena_applying applying;

	/* derived */
	struct rbtree watched[ARENA_CLOCKS]; /* over arena_heads(): sessions by their first due */

	/* persistent */
	struct arena_jump jumps[ARENA_CLOCKS];
	struct counters counters;
};

/* The view of a process. The arrays are in the block. */
struct arena {
	struct arena_header *header;

	/* persistent, with derived fields */
	struct rbnode *nodes;
	struct timer *timers;
	char (*labels)[PROTO_LABEL_MAX];
	struct session *sessions;

	/* derived */
	struct rbnode *heads;
	struct user *users;
	struct bitset free; /* free timers that are in no orphaned tree */

	/* persistent */
	uint8_t *answer;	      /* PROTO_PACKET_MAX bytes */
	struct arena_intent *rearmed; /* ARENA_REARMED_MAX */

	uint32_t *buckets;	       /* derived: of users, by uid */
	struct remembered *remembered; /* persistent: REMEMBERED_SETS * REMEMBERED_WAYS */
	uint32_t buckets_mask;
};

/*
 * ARENA_WRITE and ARENA_PUBLISH write one field of a record. In a test build the process may be
 * killed after each of them. The compiler moves no write across ARENA_PUBLISH. That is enough: a
 * kill comes between two instructions, so the order in the hardware does not matter.
 */
#ifdef ARENA_WRITE_HOOK
void arena_write_hook(void);
#else
#	define arena_write_hook() ((void)0)
#endif
#define ARENA_WRITE(field, value)   \
	do {                        \
		(field) = (value);  \
		arena_write_hook(); \
	} while (0)
#define ARENA_PUBLISH(field, value)                                    \
	do {                                                           \
		__atomic_signal_fence(__ATOMIC_SEQ_CST);               \
		__atomic_store_n(&(field), (value), __ATOMIC_RELEASE); \
		__atomic_signal_fence(__ATOMIC_SEQ_CST);               \
		arena_write_hook();                                    \
	} while (0)

/* The size in bytes of a block for these maxima, which are at most ARENA_TIMERS_MAX and
 * ARENA_CLIENTS_MAX. */
size_t arena_size(uint32_t max_timers, uint32_t max_clients);

/* Makes a view of a block of arena_size() bytes of any content, aligned to a page. The caller owns
 * the block. */
void arena_view(struct arena *arena, void *block, uint32_t max_timers, uint32_t max_clients);

/* Sets the derived fields of the header and the arrays to those of an empty arena. */
void arena_reset(struct arena *arena);

/* Makes a zeroed block an arena. */
void arena_init(struct arena *arena, void *block, uint32_t max_timers, uint32_t max_clients);

/* Takes a free timer slot; 0: there is none. O(1). */
uint32_t arena_take_timer(struct arena *arena);

/* Makes all timers of a tree orphans, to be used again. root: 0 does nothing. O(1). */
void arena_orphan_timers(struct arena *arena, uint32_t root);

/* Gives back one timer slot, which is free and in no tree. O(1). */
void arena_give_timer(struct arena *arena, uint32_t timer);

/* Takes a session and zeroes it. The caller has counted the client within the limits (limits.h), so
 * there is a free one. O(1). */
uint32_t arena_take_session(struct arena *arena);
void arena_free_session(struct arena *arena, uint32_t session);

/* The nodes of a clock's tree of sessions. */
static inline struct rbnode *arena_heads(const struct arena *arena, unsigned int clock)
{
	return arena->heads + (size_t)clock * (arena->header->max_clients + 2);
}
