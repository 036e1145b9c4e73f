/* SPDX-License-Identifier: MIT */
/*
 * Leases: which host of a fleet serves a queue. Pure: time and messages are arguments.
 *
 * The database holds one row for each queue: (owner, term, beat). Terms come from one counter of
 * the database that never restarts. This module decides what a host asks of these rows, and whether
 * the host may deliver. The store sends the statements and reads the clock.
 *
 * A host asks in rounds. A round is one statement about many queues. At most one round is under
 * way. A round contains one question for each lease (enum lease_ask). The answer says whether the
 * question took effect, and contains the row afterwards.
 *
 *   turn:      if (now >= leases_next(ls) && leases_begin(ls, now)) send the round;
 *   answer:    lease_answer() for each lease of ls->round, then leases_end();
 *   no answer: leases_disconnected(), then leases_connected() on the new connection;
 *   delivery:  lease_delivers(l, now), right before each packet.
 *
 * Why two hosts never deliver at the same time: S is the instant at which the holder sent its last
 * successful renewal; the database ran the renewal later. The taker received the row of this beat
 * even later, at R. The holder delivers until S + length - margin. The taker asks from R + length
 * on, and succeeds only if (term, beat) is still the same. All spans are of CLOCK_BOOTTIME, which
 * nobody sets. The margin covers the different speeds of two hosts' clocks, and the time between
 * the check of lease_delivers() and the send(). A process that halts longer than this between check
 * and send, or a virtual machine whose clock stands still in a pause, can deliver once more, under
 * the old term. The fence makes this harmless: a change of timers names owner and term, and changes
 * nothing if they do not match the row.
 *
 * A statement can run long after its connection broke. So each question names what it may change: a
 * late renewal or release names a term that is over, and a late take names an old (term, beat) or a
 * free row. None of them can take a lease away from its holder while the holder delivers, because a
 * host that asked to release a term never holds this term again.
 *
 * Not thread-safe. No function fails or allocates.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "list.h"

/* Microseconds of CLOCK_BOOTTIME. */
#define LEASE_LENGTH_US UINT64_C(15000000)
#define LEASE_POLL_US	UINT64_C(1000000)

struct lease_config {
	uint64_t length; /* a lease ends this long after the holder sent its last renewal */
	uint64_t margin; /* the holder stops delivering this long before the end */
	uint64_t renew;	 /* time between two renewals; also how long a round may take */
	uint64_t poll;	 /* time between two reads of leases that other hosts hold */
};

/* The configuration for a length: a margin of a tenth, a renewal each third, a poll each second,
 * but no fewer polls than renewals. */
static inline struct lease_config lease_config_of(uint64_t length)
{
	return (struct lease_config){
		.length = length,
		.margin = length / 10,
		.renew = length / 3,
		.poll = length / 3 < LEASE_POLL_US ? length / 3 : LEASE_POLL_US,
	};
}

enum lease_owner {
	LEASE_NOBODY, /* free or released; also a queue without a row: term and beat are 0 */
	LEASE_ME,     /* this process: a host is a boot id and a random number */
	LEASE_OTHER,
};

struct lease_row {
	enum lease_owner owner;
	uint64_t term, beat;
};

enum lease_state {
	LEASE_NONE,	 /* not wanted, and this host does not have it */
	LEASE_STANDBY,	 /* wanted, but this host does not have it, as far as it knows */
	LEASE_HELD,	 /* this host has it, under `term`; but see lease_delivers() */
	LEASE_RELEASING, /* being released; this host delivers no more */
};

/* What a round asks about a lease. Each names all conditions; beat and term are those of the
 * struct lease. */
enum lease_ask {
	LEASE_ASK_NOTHING,
	LEASE_ASK_READ,	     /* read the row */
	LEASE_ASK_TAKE_FREE, /* if the owner is nobody: owner me, the next term, beat 0 */
	LEASE_ASK_TAKE,	     /* if (term, beat) is `seen`, for any owner: the same */
	LEASE_ASK_RENEW,     /* if the owner is me and the term is `term`: beat + 1 */
	LEASE_ASK_RELEASE,   /* if the owner is me and the term is `term`: owner nobody */
};

/* The lease of one queue, a member of the store's struct of this queue. Only lease.c writes it. */
struct lease {
	enum lease_state state;
	enum lease_ask ask;    /* of the round under way */
	uint64_t term;	       /* held, releasing; 0: not known yet */
	uint64_t until;	       /* held: from this instant on the host does not deliver */
	struct lease_row seen; /* standby: the row in the last answer */
	uint64_t since;	       /* standby: (term, beat) has not changed since then */
	bool has_seen;	       /* seen and since are valid */
	bool wanted;	       /* by consumers of this host */
	bool unsure;	       /* a take had no answer: this host may be the owner */
	bool locked;	       /* held: the last renewal had no effect because of a lock */
	struct link of_state;  /* leases::held, standby, urgent */
	struct link of_round;  /* leases::round */
};

/* The leases of one host. */
struct leases {
	struct lease_config config;
	bool connected, under_way;
	bool settled;	     /* leases of earlier timelines are over: see leases_connected() */
	uint64_t sent;	     /* when the round under way was sent */
	uint64_t renew_at;   /* the next renewal of all held leases */
	uint64_t poll_at;    /* when to read all leases that others hold */
	bool again;	     /* the next round begins at once, for leases with `locked` */
	uint64_t hold_until; /* no lease is taken before: see leases_connected() */
	uint64_t timeline;   /* of the database; 0: none was seen */
	struct link held;    /* lease::of_state */
	struct link standby; /* the same, in the order of `since` */
	struct link urgent;  /* the same: the next round asks, and begins at once */
	struct link round;   /* lease::of_round: the leases in the round under way */
};

/* Begins without a connection. */
void leases_init(struct leases *ls, const struct lease_config *config);

/* Begins as LEASE_NONE. */
void lease_init(struct lease *l);

/* The queue has consumers on this host. Does nothing if it is wanted already. */
void lease_want(struct leases *ls, struct lease *l);

/* The last consumer left, or the host stops: releases the lease if it is held. The host delivers no
 * more from now on. A clean stop waits for leases_gone(). */
void lease_unwant(struct leases *ls, struct lease *l);

/* Somebody says that the lease was released (NOTIFY): the next round asks at once. */
void lease_hint(struct leases *ls, struct lease *l);

/* A change of timers named this host and `term`, but the row did not match: the lease is lost. Does
 * nothing if the lease is not held under this term any more. */
void lease_lost(struct leases *ls, struct lease *l, uint64_t term);

/* Whether the host may deliver a wake of this queue. O(1). */
static inline bool lease_delivers(const struct lease *l, uint64_t now)
{
	return l->state == LEASE_HELD && now < l->until;
}

/* There is a connection.
 *   timeline: a number that identifies the database's system identifier and timeline; never 0.
 *   settled: the database says that some host has waited for a lease under this timeline.
 * A timeline that differs from the last one means that another server took over, and may have lost
 * the last commits. Then rows cannot be trusted as before. The host counts the unchanged time of
 * each row anew, and drops leases whose time is over. Another host may still deliver under a term
 * that is lost. So, if the timeline is not settled, the host takes no lease for the length of a
 * lease. A host that has just started does the same: it knows no last timeline. */
void leases_connected(struct leases *ls, uint64_t now, uint64_t timeline, bool settled);

/* Whether the round that begins now must write into the database that the timeline is settled, in
 * the same transaction. */
bool leases_settle(const struct leases *ls, uint64_t now);

/* The host received the answer to that transaction. */
void leases_settled(struct leases *ls);

/* The connection is gone, or an answer takes longer than leases_give_up(). The round under way may
 * have taken effect, or may do so later. */
void leases_disconnected(struct leases *ls);

/* When the next round begins; a past instant: now; UINT64_MAX: not before an answer or a call of
 * this module. O(1). */
uint64_t leases_next(const struct leases *ls);

/* Begins a round, sent at `now`: puts all leases that have a question into ls->round, with their
 * questions. It may begin before leases_next(). Return: whether there is a question. O(n) in
 * the leases that are held, standby or urgent. */
bool leases_begin(struct leases *ls, uint64_t now);

/* The instant at which the caller must give up the round; UINT64_MAX: no round is under way. */
uint64_t leases_give_up(const struct leases *ls);

/* The answer for one lease of the round under way.
 *   done: the question took effect.
 *   row: after the question.
 *   now: when the answer was received; not earlier.
 * Return: whether the state changed. */
bool lease_answer(
	struct leases *ls, struct lease *l, bool done, const struct lease_row *row, uint64_t now);

/* The answer for one lease if the question had no effect, perhaps because another session of the
 * database holds a lock. A held lease stays held unless the row shows that it is lost, and the next
 * round tries to renew it. Return: as lease_answer(). */
bool lease_locked(struct leases *ls, struct lease *l, const struct lease_row *row, uint64_t now);

/* All answers of the round under way have come. */
void leases_end(struct leases *ls);

/* Whether no lease is held or being released. O(n). */
bool leases_gone(const struct leases *ls);
