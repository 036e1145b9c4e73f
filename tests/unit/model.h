/* SPDX-License-Identifier: MIT */
/*
 * What the worker should do, as simply as possible: all timers in one array, sorted by due and
 * order of registration, and searched from end to end for every question. Numbers have 128 bits
 * where the compiler has such a type, so no sum of what a client sends can overflow.
 *
 * The model knows only the limits, packets and promises of the core. The core chooses the ids and
 * the test tells them to the model.
 *
 * It catches what the model of the simulation (tests/sim/model.h) cannot: faults of long batches
 * (a run of more than eight registrations that is not sorted, a wake that is skipped after
 * sixteen) and of numbers at the edges of the protocol. That one catches faults of kills, adoption
 * and sending again, which never happen here.
 */
#pragma once

#include "limits.h"
#include "sessions.h"

#define MODEL_TIMERS  200
#define MODEL_CLIENTS 24

#ifdef __SIZEOF_INT128__
typedef unsigned __int128 wide;
#else
typedef uint64_t wide; /* 32-bit machines have nothing wider */
#endif

/* An instant from here on never comes. */
#define MODEL_NEVER ((wide)UINT64_MAX)

/* Sums and products end at the largest number, which is never either. Only a `wide` of 64 bits
 * reaches it. */
static inline wide model_sum(wide a, wide b)
{
	wide sum;

	return __builtin_add_overflow(a, b, &sum) ? (wide)-1 : sum;
}

static inline wide model_product(wide a, wide b)
{
	wide product;

	return __builtin_mul_overflow(a, b, &product) ? (wide)-1 : product;
}

struct model_timer {
	wide due, slack, every;
	uint64_t order; /* of registration */
	uint64_t id, cookie;
	uint32_t client;
	uint32_t clock; /* enum arena_clock */
	uint32_t sent;	/* wakes */
	uint32_t until; /* wakes, sent ones included; 0: no end */
	char label[PROTO_LABEL_MAX];
};

struct model_client {
	bool open, greeted, stalled, blocked;
	uint32_t uid, session;
	wide hello_due;
	uint32_t unread; /* packets */
	struct proto_cancelled cancelled[MODEL_TIMERS];
	uint32_t n_cancelled; /* timers whose cancelled event was not sent yet */
};

/* What the sessions of one user have done. */
struct model_tally {
	bool used;
	uint32_t uid;
	uint64_t registered, woken, cancelled, refused;
};

#define MODEL_USERS 8

struct model {
	struct limits limits;
	uint32_t room; /* packets that a client's socket holds */
	struct now now;
	struct model_timer timers[MODEL_TIMERS]; /* by due, then order */
	uint32_t n_timers;
	struct model_client clients[MODEL_CLIENTS];
	uint64_t order;
	uint64_t registered, woken, cancelled, refused;
	struct model_tally tallies[MODEL_USERS];
};

/* The packet that a client gets when it is served. */
struct model_packet {
	bool blocked, ends;
	uint16_t opcode; /* 0: nothing */
	uint32_t n;
	struct proto_cancelled cancelled[MODEL_TIMERS];
	struct proto_wake wakes[MODEL_TIMERS];
};

/* A set of enum proto_status. */
#define MODEL_STATUS(status) (UINT64_C(1) << (status))

/* All reasons to refuse the record, as a set. 0: it must be accepted. */
uint64_t model_refusals(
	const struct model *model, uint32_t client, const struct proto_register *r, wide *ret_due);
uint64_t model_rearm_refusals(
	const struct model *model, uint32_t client, const struct proto_rearm *r, wide *ret_due);

/* Applies the accepted ones. */
void model_register(struct model *model, uint32_t client, const struct proto_register *r, wide due,
	uint64_t id);
void model_rearm(struct model *model, const struct proto_rearm *r, wide due);

/* Return: whether there was such a timer that this client may cancel. */
bool model_cancel(struct model *model, uint32_t client, uint64_t id);

const struct model_timer *model_find(const struct model *model, uint64_t id);

/* The reasons to refuse the user one more client. PROTO_E_CLIENTS is bit 0. 0: it is accepted. */
uint64_t model_client_refusals(const struct model *model, uint32_t uid);
void model_open(struct model *model, uint32_t client, uint32_t uid, uint32_t session);
void model_close(struct model *model, uint32_t client);

/* Serves the client. ret: the packet that it must get now. */
void model_serve(struct model *model, uint32_t client, struct model_packet *ret);

/* Whether there is something to send to the client. */
bool model_due(const struct model *model, uint32_t client);

/* When the alarm of that clock has to ring: the smallest due + slack; UINT64_MAX: never. */
uint64_t model_next(const struct model *model, uint32_t clock);

/* The smallest due + slack of all clients' timers, even while the client does not read. uid: of one
 * user, or MODEL_ANYBODY. */
uint64_t model_next_of_clients(const struct model *model, uint32_t clock, int64_t uid);

/* The tally of a user, even of one without a client. */
struct model_tally *model_tally(struct model *model, uint32_t uid);

/* The number of timers that count against the limits. A cancelled timer counts until its session
 * has sent the event. */
uint32_t model_held(const struct model *model, int64_t uid);
uint32_t model_count_clients(const struct model *model, int64_t uid);

/* Any user, as an argument uid. */
#define MODEL_ANYBODY (-1)
