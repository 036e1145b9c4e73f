/* SPDX-License-Identifier: MIT */
/*
 * The lease protocol (daemon/queues/core/lease.h) as a model for spin: HOSTS hosts, QUEUES queues, and
 * every interleaving of their steps with up to FAULTS faults. A fault is one of these:
 *
 *   a host crashes; if it has just sent a round, the round may run late;
 *   a host freezes (SIGSTOP), for any time;
 *   a round is slow on its way to the database or back: the host gives it up after one or two ticks;
 *     it is lost, or runs at any later time;
 *   the last consumer of a queue leaves a host. (New consumers may come at any time. This is no fault.)
 *
 * Time is discrete. A tick is a third of the lease, so a lease is LEASE = 3 ticks. At each tick a host
 * sends one round, which renews its leases and looks at the other queues. The clocks of all hosts run
 * equally fast, and no failover loses commits: tests/sim/fleet covers different clocks and lost commits.
 *
 * No counter grows. The model has no terms and beats. Bits say whether a row is still as a host saw it,
 * or as a message names it; each change of a row clears these bits. So the number of states is finite
 * without a bound on the length of a run.
 *
 * The queues are alike, so the properties are checked for queue 0 only.
 *
 * A delivery is two steps, check and send. A host that is not frozen sends before two ticks have
 * passed. The margin of one tick must cover this time.
 *
 *   assertion on `checked`, one deliverer: no host checks while another host is between check and
 *     send, except a host that was frozen there;
 *   assertion on `ack`, the fence: no acknowledgement under an old term takes effect;
 *   assertion on `idle`, not stuck: at most STUCK ticks after the last fault, a host delivers again.
 *     Time cannot stop to avoid this: before each tick, the hosts and the database can take every step
 *     that the tick waits for.
 *
 * tests/model/run also checks broken variants. spin must refute each of them.
 */
#ifndef HOSTS
#define HOSTS 3
#endif
#ifndef QUEUES
#define QUEUES 2
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef MARGIN
#define MARGIN 1
#endif
#define LEASE 3
#ifndef STUCK
#define STUCK (LEASE + 4)
#endif

#define ALL (HOSTS * QUEUES)
#define AT(h, q) ((h) * QUEUES + (q))

/* The question of a round about a queue. */
#define TAKE_FREE 0
#define TAKE 1
#define RENEW 2
#define RELEASE 3
#define NOTHING 4

/* The state of a round. */
#define NOWHERE 0
#define SENT 1
#define ANSWERED 2

/* Of each host and queue. */
bit want[ALL];    /* there are consumers */
bit held[ALL];
bit leaving[ALL]; /* held: the host delivers nothing more, and releases it */
byte age[ALL];   /* ticks; held: since the last renewal was sent; otherwise since the host saw the row */
bit seen[ALL];   /* the row has not changed since the host saw it */
bit valid[ALL];  /* held: the host has the term of the row */
bit mine[ALL];   /* the row names this process as owner */

/* Of each host. */
bit frozen[HOSTS];
bit due[HOSTS];  /* the host must send a round */
byte round[HOSTS];
byte sent[HOSTS]; /* ticks since the round was sent */
bit slow[HOSTS];
byte checked[HOSTS]; /* ticks since the check of a delivery that is not sent yet, + 1; 0: none */
bit excused[HOSTS];  /* the host was frozen after the check */

/* Of each host and queue: the round under way. */
byte ask[ALL];
bit so[ALL];   /* sent: the row still has the beat or term of the question; answered: the answer is true */
bit done[ALL];

/* A round that runs late. */
bit late, late_dead;
byte late_host;
byte late_ask[QUEUES];
bit late_so[QUEUES];

bit free[QUEUES]; /* the row has no owner */

/* Of queue 0. */
byte ack;  /* an acknowledgement in flight; 0: none, 1: under the row's term, 2: under an old term */
byte idle; /* ticks without a deliverer since the last fault */

byte faults;

byte h, q, i; /* for loops; 0 between steps */
bit yes;

/* The beat or the term of the row has changed. */
inline changed() {
	i = 0;
	do
	:: i < HOSTS ->
		if
		:: seen[AT(i, q)] && !held[AT(i, q)] -> age[AT(i, q)] = 0
		:: else
		fi;
		seen[AT(i, q)] = 0;
		if
		:: round[i] == SENT && ask[AT(i, q)] == TAKE -> so[AT(i, q)] = 0
		:: round[i] == ANSWERED && !done[AT(i, q)] -> so[AT(i, q)] = 0
		:: else
		fi;
		i++
	:: else -> break
	od;
	if
	:: late && late_ask[q] == TAKE -> late_so[q] = 0
	:: else
	fi;
	i = 0
}

/* The term of the row has ended: nothing that refers to it is valid any more. */
inline ended() {
	i = 0;
	do
	:: i < HOSTS ->
		valid[AT(i, q)] = 0;
		mine[AT(i, q)] = 0;
		if
		:: round[i] == SENT && (ask[AT(i, q)] == RENEW || ask[AT(i, q)] == RELEASE) ->
			so[AT(i, q)] = 0
		:: round[i] == ANSWERED && done[AT(i, q)] -> so[AT(i, q)] = 0
		:: else
		fi;
		i++
	:: else -> break
	od;
	i = 0;
	if
	:: late && (late_ask[q] == RENEW || late_ask[q] == RELEASE) -> late_so[q] = 0
	:: else
	fi;
	if
	:: q == 0 && ack == 1 -> ack = 2
	:: else
	fi
}

inline taken() {
	changed();
	ended();
	free[q] = 0
}

#ifdef NO_RELEASE_TERM
#define ANY_RELEASE || (mine[AT(late_host, q)] && !late_dead)
#else
#define ANY_RELEASE
#endif
#ifdef NO_BEAT
#define SAME(x) 1
#else
#define SAME(x) (x)
#endif

/* The database runs the round of h, for all queues in one step. */
inline execute() {
	q = 0;
	do
	:: q < QUEUES ->
		if
		:: ask[AT(h, q)] == RENEW && so[AT(h, q)] ->
			changed();
			done[AT(h, q)] = 1
		:: (ask[AT(h, q)] == TAKE && SAME(so[AT(h, q)])) ||
		   (ask[AT(h, q)] == TAKE_FREE && free[q]) ->
			taken();
			mine[AT(h, q)] = 1;
			done[AT(h, q)] = 1
		:: ask[AT(h, q)] == RELEASE && so[AT(h, q)] ->
			ended();
			free[q] = 1;
			done[AT(h, q)] = 1
		:: else -> done[AT(h, q)] = 0
		fi;
		so[AT(h, q)] = 1;
		q++
	:: else -> break
	od;
	q = 0;
	round[h] = ANSWERED
}

inline execute_late() {
	idle = 0;
	q = 0;
	do
	:: q < QUEUES ->
		if
		:: late_ask[q] == RENEW && late_so[q] -> changed()
		:: (late_ask[q] == TAKE && SAME(late_so[q])) || (late_ask[q] == TAKE_FREE && free[q]) ->
			taken();
			mine[AT(late_host, q)] = !late_dead
		:: late_ask[q] == RELEASE && (late_so[q] ANY_RELEASE) ->
			ended();
			free[q] = 1
		:: else
		fi;
		late_ask[q] = 0;
		late_so[q] = 0;
		q++
	:: else -> break
	od;
	q = 0;
	late = 0;
	late_dead = 0;
	late_host = 0
}

inline begin_round() {
	q = 0;
	do
	:: q < QUEUES ->
		if
		:: held[AT(h, q)] ->
			ask[AT(h, q)] = (leaving[AT(h, q)] -> RELEASE : RENEW);
			so[AT(h, q)] = valid[AT(h, q)]
		:: !held[AT(h, q)] && !want[AT(h, q)] ->
			/* The row may show that an unanswered take of this host took effect: release it. */
			ask[AT(h, q)] = (mine[AT(h, q)] -> RELEASE : NOTHING);
			so[AT(h, q)] = mine[AT(h, q)]
		:: !held[AT(h, q)] && want[AT(h, q)] && (age[AT(h, q)] == LEASE || (seen[AT(h, q)] && mine[AT(h, q)])) ->
			ask[AT(h, q)] = TAKE;
			so[AT(h, q)] = seen[AT(h, q)]
		:: else ->
			ask[AT(h, q)] = TAKE_FREE;
			so[AT(h, q)] = 0
		fi;
		q++
	:: else -> break
	od;
	q = 0;
	round[h] = SENT;
	sent[h] = 0;
	due[h] = 0
}

/* The host forgets its round. */
inline forget_round() {
	q = 0;
	do
	:: q < QUEUES ->
		ask[AT(h, q)] = 0;
		so[AT(h, q)] = 0;
		done[AT(h, q)] = 0;
		q++
	:: else -> break
	od;
	q = 0;
	round[h] = NOWHERE;
	sent[h] = 0;
	slow[h] = 0
}

inline receive() {
	q = 0;
	do
	:: q < QUEUES ->
		if
		:: ask[AT(h, q)] == NOTHING
		:: ask[AT(h, q)] == RELEASE ->
			held[AT(h, q)] = 0;
			leaving[AT(h, q)] = 0;
			valid[AT(h, q)] = 0;
			seen[AT(h, q)] = 0;
			age[AT(h, q)] = 0
		:: ask[AT(h, q)] < RELEASE && done[AT(h, q)] ->
			held[AT(h, q)] = 1;
			leaving[AT(h, q)] = !want[AT(h, q)] || leaving[AT(h, q)];
			age[AT(h, q)] = sent[h];
			valid[AT(h, q)] = so[AT(h, q)];
			seen[AT(h, q)] = 0
		:: ask[AT(h, q)] < RELEASE && !done[AT(h, q)] && (held[AT(h, q)] || !seen[AT(h, q)]) ->
			held[AT(h, q)] = 0;
			leaving[AT(h, q)] = 0;
			valid[AT(h, q)] = 0;
			age[AT(h, q)] = 0;
			seen[AT(h, q)] = so[AT(h, q)]
		:: else
		fi;
		q++
	:: else -> break
	od;
	forget_round()
}

/* The connection of h breaks. Its round may run late. */
inline let_loose() {
	late = 1;
	late_host = h;
	q = 0;
	do
	:: q < QUEUES ->
		late_ask[q] = ask[AT(h, q)];
		late_so[q] = so[AT(h, q)];
		q++
	:: else -> break
	od;
	forget_round()
}

/* Counts a fault, and restarts the wait of the queue. */
inline fault() {
	faults++;
	idle = 0
}

inline crash() {
	q = 0;
	do
	:: q < QUEUES ->
		held[AT(h, q)] = 0;
		leaving[AT(h, q)] = 0;
		age[AT(h, q)] = 0;
		seen[AT(h, q)] = 0;
		valid[AT(h, q)] = 0;
		mine[AT(h, q)] = 0;
		q++
	:: else -> break
	od;
	q = 0;
	checked[h] = 0;
	excused[h] = 0;
	frozen[h] = 0;
	due[h] = 1;
	if
	:: late && late_host == h -> late_dead = 1
	:: else
	fi
}

inline freeze() {
	frozen[h] = 1;
	if
	:: checked[h] -> excused[h] = 1; checked[h] = 1
	:: else
	fi
}

#define CAN_DELIVER(h) (held[AT(h, 0)] && !leaving[AT(h, 0)] && age[AT(h, 0)] < LEASE - MARGIN)

/* The first step of a delivery. */
inline check() {
	i = 0;
	do
	:: i < HOSTS ->
		assert(i == h || !checked[i] || excused[i]); /* one deliverer */
		i++
	:: else -> break
	od;
	i = 0;
	checked[h] = 1
}

inline send() {
	if
	:: ack == 0 -> ack = (valid[AT(h, 0)] -> 1 : 2)
	:: else
	fi;
	checked[h] = 0;
	excused[h] = 0
}

inline acknowledge() {
#ifdef NO_TERM
	assert(ack != 2); /* fence */
#endif
	ack = 0
}

inline leave() {
	want[AT(h, q)] = 0;
	if
	:: held[AT(h, q)] -> leaving[AT(h, q)] = 1
	:: else ->
		seen[AT(h, q)] = 0;
		age[AT(h, q)] = 0
	fi
}

/* Whether a tick may pass: undisturbed hosts and messages take less than a tick. */
#define PROMPT(h) (frozen[h] || (checked[h] < 2 && \
	(slow[h] -> sent[h] < 2 : round[h] == NOWHERE && !due[h])))
#if HOSTS == 3
#define ALL_PROMPT (PROMPT(0) && PROMPT(1) && PROMPT(2))
#else
#define ALL_PROMPT (PROMPT(0) && PROMPT(1))
#endif

inline tick_host() {
	due[h] = 1;
	if
	:: CAN_DELIVER(h) && !frozen[h] -> idle = 0
	:: want[AT(h, 0)] && !frozen[h] -> yes = 1
	:: else
	fi;
	if
	:: round[h] != NOWHERE && sent[h] < LEASE -> sent[h]++
	:: else
	fi;
	if
	:: checked[h] && !frozen[h] && !excused[h] -> checked[h]++
	:: else
	fi;
	q = 0;
	do
	:: q < QUEUES ->
		if
		:: (held[AT(h, q)] || seen[AT(h, q)]) && age[AT(h, q)] < LEASE -> age[AT(h, q)]++
		:: else
		fi;
		q++
	:: else -> break
	od;
	q = 0
}

inline tick() {
	idle++;
	h = 0;
	do
	:: h < HOSTS -> tick_host(); h++
	:: else -> break
	od;
	h = 0;
	if
	:: yes -> yes = 0
	:: else -> idle = 0 /* no host has a consumer */
	fi;
	assert(idle <= STUCK) /* not stuck */
}

inline choose_host() {
	if
	:: h = 0
	:: h = 1
#if HOSTS == 3
	:: h = 2
#endif
	fi
}

#define GOES_ON(h) (!frozen[h] && !checked[h])
#define FAULT (faults < FAULTS)
#define BEGINS(h) (due[h] && round[h] == NOWHERE && GOES_ON(h))

active proctype fleet() {
	h = 0;
	do
	:: h < HOSTS ->
		due[h] = 1;
		want[AT(h, 0)] = 1;
		want[AT(h, QUEUES - 1)] = 1;
		h++
	:: else -> break
	od;
	h = 0;
	free[0] = 1;
	free[QUEUES - 1] = 1;
	do
	:: atomic { ALL_PROMPT -> d_step { tick() } }
	:: atomic { late -> d_step { execute_late() } }
	:: atomic { ack -> d_step { acknowledge() } }
	:: atomic {
		choose_host();
		if
		/* A round arrives at once, or is slow on its way there or back, or its sender dies. */
		:: BEGINS(h) -> d_step { begin_round(); execute() }
		:: BEGINS(h) && FAULT -> d_step { fault(); begin_round(); slow[h] = 1 }
		:: BEGINS(h) && FAULT && !late -> d_step { fault(); begin_round(); let_loose(); crash() }
		:: slow[h] && round[h] == SENT -> d_step { execute() }
		:: round[h] == ANSWERED && !slow[h] && FAULT -> d_step { fault(); slow[h] = 1 }
		:: round[h] == ANSWERED && GOES_ON(h) -> d_step { receive() }
		/* The host gives a slow round up. */
		:: slow[h] && sent[h] && GOES_ON(h) -> d_step { forget_round(); due[h] = 1 }
		:: slow[h] && sent[h] && GOES_ON(h) && round[h] == SENT && !late ->
			d_step { let_loose(); due[h] = 1 }
		:: GOES_ON(h) && CAN_DELIVER(h) -> d_step { check() }
		:: !frozen[h] && checked[h] -> d_step { send() }
		:: !frozen[h] && FAULT -> d_step { fault(); freeze() }
		:: frozen[h] -> frozen[h] = 0
		/* The last consumer of a queue leaves, or the first one comes. */
		:: GOES_ON(h) && FAULT && want[AT(h, 0)] -> d_step { q = 0; fault(); leave() }
		:: GOES_ON(h) && !want[AT(h, 0)] -> d_step { want[AT(h, 0)] = 1; idle = 0 }
#if QUEUES == 2
		:: GOES_ON(h) && FAULT && want[AT(h, 1)] -> d_step { q = 1; fault(); leave(); q = 0 }
		:: GOES_ON(h) && !want[AT(h, 1)] -> want[AT(h, 1)] = 1
#endif
		:: FAULT -> d_step { fault(); forget_round(); crash() }
		fi;
		h = 0
	}
	od
}
