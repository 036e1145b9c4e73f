/* SPDX-License-Identifier: MIT */
/*
 * A fleet in a simulation: hosts that run lease.c, a database of lease rows, and what lies between
 * them. Everything comes from one seed. A step is one event: a turn of a host, a statement that the
 * database runs, an answer that arrives, or a disturbance.
 *
 * Time is microseconds of no clock in the world. Each host has its own CLOCK_BOOTTIME, which runs a
 * little too fast or too slow, and stands still while its virtual machine is paused.
 *
 * What is checked, at the step at which it happens:
 *  - Two hosts never deliver from one queue at one instant. A host counts as delivering for as long
 *    as lease_delivers() says so, and for CHECK_TO_SEND longer. A host whose machine was paused
 *    since it sent its last renewal, or that was stopped between the check and the send(), may
 *    deliver under its old term: that is counted as a repeat.
 *  - No acknowledgement changes a timer under a term that is over.
 *  - A queue that an undisturbed host wants has a host that delivers: within a lease and a look
 *    after the owner was disturbed, and within a look after it was released.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "dice.h"
#include "lease.h"

#define FLEET_HOSTS  3
#define FLEET_QUEUES 3

/* What is wrong on purpose. The simulation must find each of these. */
enum fleet_mutant {
	FLEET_SOUND,
	FLEET_NO_MARGIN,      /* the holder stops when its lease ends, not earlier */
	FLEET_NO_FENCE,	      /* the database takes acknowledgements of any term */
	FLEET_NO_COMPARE,     /* a take does not look whether the beat stands still */
	FLEET_ANY_RELEASE,    /* a release does not name its term */
	FLEET_DATABASE_CLOCK, /* the database's clock decides when a lease is over */
	FLEET_NO_HOLD,	      /* a host does not notice that another server took over */
	FLEET_NO_STORED,  /* a host that starts does not look whether another server took over */
	FLEET_RARE_LOOKS, /* standbys look too seldom to take over in time */
	FLEET_MUTANTS,
};

/* What happened how often. A run in which one of these never happened shows too little. */
enum fleet_event {
	FLEET_TAKES_FREE,
	FLEET_TAKES_OVER,
	FLEET_RENEWALS,
	FLEET_RELEASES,
	FLEET_LOST,
	FLEET_ACKS,
	FLEET_FENCED,	/* acknowledgements of an old term */
	FLEET_REPEATS,	/* deliveries under an old term while another host delivers */
	FLEET_LATE_ACK, /* statements that ran after their connection broke */
	FLEET_LATE_ROUND,
	FLEET_KILLS,
	FLEET_STOPS,
	FLEET_FREEZES,
	FLEET_HALTS, /* between check and send */
	FLEET_PAUSES,
	FLEET_CUTS,
	FLEET_RESETS,
	FLEET_DROPS,
	FLEET_STALLS,
	FLEET_RESTARTS,
	FLEET_FAILOVERS,
	FLEET_LOSSY_FAILOVERS,
	FLEET_STARTS_AFTER, /* hosts that start after a failover, before any host has waited */
	FLEET_CLOCK_STEPS,
	FLEET_ROW_LOCKS, /* another session locks the row of a queue */
	FLEET_LOCKED,	 /* questions that found a row locked */
	FLEET_COMES_AND_GOES,
	FLEET_EVENTS,
};

struct fleet_message {
	uint64_t at; /* when it arrives; UINT64_MAX: there is none */
	uint32_t host, owner, epoch;
	bool is_ack, answered, settles;
	uint32_t n;
	struct {
		uint32_t queue;
		enum lease_ask ask;
		uint64_t term, beat; /* what the question names */
		struct lease_row row;
		bool done, locked;
	} part[FLEET_QUEUES];
};

struct fleet_host {
	struct leases leases;
	struct lease lease[FLEET_QUEUES];
	struct fleet_message round, ack;
	uint32_t owner; /* of this process; a later process has another */
	uint32_t epoch; /* of the database when it connected */
	bool up, stopping, broken;
	int64_t ppm;		    /* its clock is so much too fast */
	uint64_t clock_true, clock; /* its clock was `clock` at `clock_true` */
	uint64_t turn;		    /* its next turn */
	uint64_t stopped_until;	    /* SIGSTOP, a pause, or down */
	uint64_t resumed;	    /* its clock when its last pause ended */
	uint64_t excused_until;	    /* see fleet_is_excused() */
	uint64_t cut_until, reconnect, stop_by, ack_again;
	uint64_t well_since;		     /* undisturbed since then */
	uint64_t wanted_since[FLEET_QUEUES]; /* UINT64_MAX: not wanted */
	uint64_t halted_term[FLEET_QUEUES];  /* to be sent on, if it was stopped there; 0: none */
	bool hint[FLEET_QUEUES];
};

struct fleet_row {
	uint32_t owner; /* 0: nobody */
	uint64_t term, beat;
	int64_t renewed; /* on the database's clock: for FLEET_DATABASE_CLOCK */
};

struct fleet_database {
	struct fleet_row rows[FLEET_QUEUES], replica[FLEET_QUEUES];
	uint64_t terms, replica_terms; /* the counter */
	uint64_t timeline;
	uint64_t settled, replica_settled; /* the timeline that hosts have waited for */
	uint32_t epoch;			   /* connections of an older one are broken */
	uint64_t stalled_until;
	uint64_t locked_until[FLEET_QUEUES]; /* by a session that is no host's */
	int64_t clock_offset;
	uint32_t lag; /* the replica gets one in so many commits, with all before */
};

#define FLEET_LATE 4

struct fleet {
	struct lease_config config;
	enum fleet_mutant mutant;
	struct dice dice;
	uint64_t now, steps, disturb_at;
	uint32_t owners; /* processes so far */
	struct fleet_host hosts[FLEET_HOSTS];
	struct fleet_database db;
	struct fleet_message late[FLEET_LATE]; /* of broken connections */
	uint64_t served[FLEET_QUEUES];	       /* when somebody delivered last */
	uint64_t moved[FLEET_QUEUES];	       /* when its wait was disturbed last */
	uint64_t free_since[FLEET_QUEUES];     /* UINT64_MAX: it has an owner */
	uint64_t events[FLEET_EVENTS];
	uint64_t longest_wait, longest_free; /* of a queue with an undisturbed standby */
	const char *wrong;		     /* what was found; NULL: nothing */
	uint32_t wrong_queue;
};

/* Its config is the world's: all hosts have one. */
void fleet_begin(struct fleet *f, uint64_t seed, enum fleet_mutant mutant);

/* Runs one event. Return: whether all is right so far. */
bool fleet_step(struct fleet *f);

/* fleet_chaos.c: disturbs something, and says when next. */
void fleet_disturb(struct fleet *f);

/* fleet_database.c: */

/* The database runs a statement. */
void fleet_execute(struct fleet *f, struct fleet_message *m);
/* A message arrives at the database. Return: whether it ran. */
bool fleet_arrive(struct fleet *f, struct fleet_message *m);

/* For fleet_chaos.c and fleet_database.c. */

#define FLEET_NEVER UINT64_MAX

static inline uint64_t fleet_later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The host's CLOCK_BOOTTIME now. */
uint64_t fleet_clock(const struct fleet *f, const struct fleet_host *h);
/* A process begins on a host that has none. */
void fleet_boot(struct fleet *f, struct fleet_host *h);
/* Nothing runs on the host for a span; queues that wait for it wait longer. */
void fleet_stop_host(struct fleet *f, struct fleet_host *h, uint64_t span);
/* The host, and the queues that it owns or may own, were disturbed until `until`. */
void fleet_disturbed(struct fleet *f, struct fleet_host *h, uint64_t until);
/* The connection breaks. What is on its way to the database may arrive late, or not at all. */
void fleet_break(struct fleet *f, struct fleet_host *h);
/* Whether its clock stood still since it sent the renewal on which its lease rests. A failover that
 * loses the takeover of this lease makes the old term valid again, and for one lease two hosts
 * can hold it: a paused machine and lost commits are two faults at once. */
bool fleet_is_excused(const struct fleet *f, const struct fleet_host *h, uint32_t queue);
/* The earliest instant from which the bound for the host to get the queue counts. */
uint64_t fleet_waits_since(const struct fleet *f, const struct fleet_host *h, uint32_t queue);
/* Something is wrong. Only the first call counts. */
void fleet_note_wrong(struct fleet *f, uint32_t queue, const char *what);
