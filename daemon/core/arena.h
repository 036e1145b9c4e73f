/* SPDX-License-Identifier: MIT */
/*
 * All state of the daemon, in one block of memory.
 *
 * The block is given by the shell: zeroed, page-aligned, arena_size() bytes, of which the kernel
 * need hold only the pages that were touched. So it "grows" by being used: arrays are laid out for
 * the stated maximum at once, a record never moves, and an index is valid for as long as its record
 * is. Nothing in the block is a pointer; struct arena below is this process's view of it.
 *
 * A timer is two records of the same index, because a descent of the tree should touch nothing that
 * it does not compare: 40 hot bytes (struct rbnode) and 40 cold ones (struct timer). Its label lies
 * in a third array, whose pages stay untouched until somebody labels a timer there.
 *
 *   timer        1 .. max_timers         0 is nil
 *   session      1 .. max_clients + 1    0 is nil, 1 the daemon's own
 *   user         1 .. max_clients        0 is nil
 *
 * The block outlives the process: it is a memfd that systemd keeps (see adopt.h). What the next
 * process trusts is records, each with a check word: a record is filled first and published by its
 * last store, and a change of more than one word is written to the header first, so that a kill
 * between any two stores leaves what one scan can resolve. Links are derived, and never trusted.
 * Records are therefore changed through ARENA_STORE and ARENA_PUBLISH only.
 *
 * A new timer gets the lowest free slot; a bitset knows which slots are free. So timers that are
 * registered one after another lie beside each other, in the order in which they will be sent.
 *
 * A session that closes hands over its trees of timers whole, in O(1). These orphaned trees form a
 * list, and new timers use it up first: each takes a root and puts its two subtrees back on the
 * list. So nothing walks over the timers of a closed session, however many there are.
 *
 * How to change the layout. An upgrade must not end a session, so each layout adopts the one before
 * it. From one release to the next the layout changes once at most. The first change after a
 * release does all of this; a later one before the next release changes only the conversion:
 *
 *   1. Copy the structs and the order of the sections, as released, into layout_N.c, and list it
 *	in meson.build. N is the released layout. The file depends on nothing that may change.
 *   2. Write layout_N_convert() there: it copies records into an empty arena of the new layout and
 *	derives nothing, because adopt() does. If a check word covers something else from now on,
 *	the conversion checks the old word and computes the new one.
 *   3. Raise ARENA_LAYOUT, have adopt_convert() call layout_N, and delete the layout before N.
 *   4. In store.c, name the memory after the new layout, and name layout N's as the previous one.
 *   5. Keep the arenas that the release writes, as tests/unit/arenas/README says, and the
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

/* The clocks that an alarm can be set by: the wire's three, and two that wake the system. */
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

/* The stated maximum: what an id's index can name. */
#define ARENA_TIMERS_MAX  ((UINT32_C(1) << PROTO_ID_INDEX_BITS) - 1)
#define ARENA_CLIENTS_MAX UINT32_C(65535)

/* The daemon's own session. */
#define ARENA_OWN_SESSION 1

/* A timer's cold half. */
struct timer {
	uint64_t sequence; /* of registrations, ever: ties among dues, and the id's upper bits */
	uint64_t every;
	uint64_t cookie;
	uint32_t session;
	uint32_t count; /* wakes asked for; 0: no end */
	uint32_t fired; /* wakes sent, modulo 2^32 */
	uint32_t check; /* check_timer() over all of it, and over due, latest, clock and label */
};

/* A timer's tag, in its hot half. */
enum timer_state {
	TIMER_FREE = 0,
	TIMER_ARMED,	  /* in its session's tree of its clock */
	TIMER_CANCELLED,  /* by another session; its own is to be told */
	TIMER_CANCELLING, /* by a packet that is being applied: gone once that is committed */
};

enum session_state {
	SESSION_FREE = 0,
	SESSION_NEW, /* no hello yet */
	SESSION_OPEN,
};

/* Whether the worker serves a session. */
enum session_serving {
	SESSION_WATCHED = 0, /* the clocks' trees of sessions hold it: an alarm rings for it */
	SESSION_READY,	     /* in the queue: there may be something to send */
	SESSION_BLOCKED,     /* its client does not read: nothing is done for it until it does */
};

/* The clocks that lateness is measured on: monotonic and boottime. */
#define ARENA_MEASURES 2

struct session {
	struct rbtree timers[ARENA_CLOCKS]; /* over arena::nodes */
	uint32_t user;
	uint32_t user_next, user_prev; /* user::sessions */
	uint32_t uid, pid;
	uint32_t held;	 /* timers */
	uint64_t serial; /* of the last request that was applied: storing it commits that packet */
	uint64_t born;	 /* arena_header::sequence when it opened: older timers are not its own */
	uint64_t socket; /* SO_COOKIE of its connection: by this the next process knows it again */
	uint64_t sent_at[PROTO_CLOCKS]; /* the time for which its last packet of wakes was made */
	/* For lateness.h: since when its client reads, and when it last asked for what was past. */
	uint64_t reads_from[ARENA_MEASURES], asked_at[ARENA_MEASURES];
	uint32_t check; /* check_session() over what never changes */
	uint32_t cancelled_first,
		cancelled_last;	 /* cancelled by others, linked by what is before in a tree */
	struct turns_link ready; /* arena_header::ready; next, if free: sessions_free */
	uint32_t hello_timer;	 /* the daemon's own timer that waits for its hello */
	uint8_t state, serving;
	uint16_t fault;	      /* enum proto_status that ends it; 0: none */
	bool resumed;	      /* it has been adopted: its client may send again what had arrived */
	bool tell_resumed;    /* and is to be told so */
	bool send_again;      /* it was adopted while sending: wakes are made anew for that time */
	bool wants_clock_set; /* it has registered a timer with PROTO_TELL_CLOCK_SET */
	bool tell_clock_set;  /* and is to be told that the wall clock was set */
	/* check_sending() while that packet may be sent and its wakes are not all taken off;
	 * else 0. */
	uint32_t sending;
	char comm[PROTO_COMM_MAX];
};

/* What a user's sessions have done, as status shows it to that user: see limits.h. */
struct tally {
	uint64_t registered, woken, cancelled, refused;
	uint64_t wakeups; /* packets of wakes */
	uint64_t adopted_sessions, adopted_timers;
};

struct user {
	uint32_t uid;
	uint32_t timers, clients;
	uint32_t sessions; /* the first; linked by session::user_next */
	struct tally tally;
	uint32_t next;		 /* arena::buckets; free: header::users_free */
	struct turns_user ready; /* its sessions in arena_header::ready */
};

/* The tally of a user who has no client. */
struct remembered {
	uint32_t uid, used;
	struct tally tally;
};

/* Users without a client whose tallies are kept: those with the same hash share a set, in which the
 * last one to leave comes first. */
#define REMEMBERED_SETS 512
#define REMEMBERED_WAYS 8

/* Log-linear: exact below 16, then 16 steps to each doubling, so that a step is 6 % of its
 * value. */
#define LATENESS_STEPS	 16
#define LATENESS_BUCKETS (61 * LATENESS_STEPS)

struct counters {
	uint64_t registered, woken, cancelled, refused, wakeups;
	uint64_t restarts, adopted_sessions, adopted_timers, dropped_records;
	uint64_t late_max;
	uint64_t late[LATENESS_BUCKETS];
};

/* A change to a timer that takes more than one store: written here first, done again by the next
 * process if this one was killed in the midst of it. */
struct arena_intent {
	uint32_t timer; /* 0: none; published last */
	uint32_t check; /* check_timer() of the timer as it will be */
	uint32_t count, fired;
	uint64_t due, latest, every;
};

/* The packet that is being handled. It is applied as a whole or not at all, and its answer,
 * which lies in arena::answer, is sent again if this process is killed before it knows that it
 * was sent. */
struct arena_applying {
	uint32_t session; /* 0: none; published last */
	uint32_t answer_size;
	uint64_t serial;   /* committed where the session's serial has reached it */
	uint64_t sequence; /* arena_header::sequence before it */
	uint32_t rearmed;  /* timers that it has re-armed: what they were is in arena::rearmed */
	uint32_t check;	   /* check_applying() of session, serial and sequence */
};

/* Where a clock last jumped against the one that measures its timers' lateness: see lateness.c. */
struct arena_jump {
	uint64_t at, previous;	/* this jump and the one before it, on that one */
	uint64_t before, after; /* how far ahead of it the clock was, modulo 2^64 */
};

/* As many as one packet can re-arm. */
#define ARENA_REARMED_MAX PROTO_RECORDS_MAX(struct proto_rearm)

struct arena_header {
	uint64_t magic;
	uint64_t size;	   /* of the block */
	uint64_t instance; /* names this life of the sessions */
	uint32_t layout;
	uint32_t adopting; /* attempts to adopt it that have not come to their end */
	uint32_t max_timers, max_clients;
	uint32_t timers_top,
		timers_orphaned; /* highest index ever used; list by parent of trees left behind */
	uint32_t sessions_top, sessions_free;
	uint32_t users_top, users_free;
	struct turns_list ready;  /* users that have sessions to be served, by user::ready */
	uint32_t timers, clients; /* held now, those of the daemon itself left out */
	uint64_t sequence;
	uint64_t
		wall_offset; /* realtime - boottime, as of the last setting that all were told of */
	struct arena_intent intent;
	struct arena_applying applying;
	struct rbtree watched[ARENA_CLOCKS]; /* over arena_heads(): sessions by their first due */
	struct arena_jump jumps[ARENA_CLOCKS];
	struct counters counters;
};

struct arena {
	struct arena_header *header;
	struct rbnode *nodes;
	struct timer *timers;
	char (*labels)[PROTO_LABEL_MAX];
	struct session *sessions;
	struct rbnode *heads;
	struct user *users;
	struct bitset free;	       /* timers that are free and in no tree left behind */
	uint8_t *answer;	       /* PROTO_PACKET_MAX bytes */
	struct arena_intent *rearmed;  /* ARENA_REARMED_MAX */
	uint32_t *buckets;	       /* of users, by uid */
	struct remembered *remembered; /* REMEMBERED_SETS * REMEMBERED_WAYS */
	uint32_t buckets_mask;
};

/*
 * A store to a record. In a test build each one is a point at which the process may be killed; else
 * it is a store. ARENA_PUBLISH is one that no other store may move across: the compiler must not,
 * and a kill comes between two instructions, so that no more is needed.
 */
#ifdef ARENA_STORE_HOOK
void arena_store_hook(void);
#else
#	define arena_store_hook() ((void)0)
#endif
#define ARENA_STORE(place, value)   \
	do {                        \
		(place) = (value);  \
		arena_store_hook(); \
	} while (0)
#define ARENA_PUBLISH(place, value)                                    \
	do {                                                           \
		__atomic_signal_fence(__ATOMIC_SEQ_CST);               \
		__atomic_store_n(&(place), (value), __ATOMIC_RELEASE); \
		__atomic_signal_fence(__ATOMIC_SEQ_CST);               \
		arena_store_hook();                                    \
	} while (0)

/* Bytes that a block for so many needs. Both are at most the stated maximum. */
size_t arena_size(uint32_t max_timers, uint32_t max_clients);

/* Looks at a block of arena_size() bytes, aligned to a page, whatever is in it. It stays the
 * caller's. */
void arena_view(struct arena *arena, void *block, uint32_t max_timers, uint32_t max_clients);

/* Sets all that is derived from the records to what it is where there are none. */
void arena_reset(struct arena *arena);

/* Makes a zeroed block an arena. */
void arena_init(struct arena *arena, void *block, uint32_t max_timers, uint32_t max_clients);

/* A timer to be filled; 0: there is none left. O(1). */
uint32_t arena_take_timer(struct arena *arena);

/* Gives back all timers of a tree at once, by its root; 0: does nothing. O(1). */
void arena_orphan_timers(struct arena *arena, uint32_t root);

/* Gives back one timer, which is free and in no tree. O(1). */
void arena_give_timer(struct arena *arena, uint32_t timer);

/* A zeroed session. The caller has a client's place for it (limits.h), so there is one left.
 * O(1). */
uint32_t arena_take_session(struct arena *arena);
void arena_free_session(struct arena *arena, uint32_t session);

/* The nodes by which a clock's tree holds sessions. */
static inline struct rbnode *arena_heads(const struct arena *arena, unsigned int clock)
{
	return arena->heads + (size_t)clock * (arena->header->max_clients + 2);
}
