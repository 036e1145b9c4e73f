/* SPDX-License-Identifier: MIT */
/*
 * What a user may hold: one account for each uid that has a session, and the totals.
 *
 * Root is bound by the totals alone, and of the clients' total a few places are root's, so that an
 * administrator gets in while users hold all the rest.
 *
 * An account goes with its user's last client. Its tally is remembered then, so that a user who runs
 * one command after the other finds what the one before has done. There is room for 4096 users; of
 * eight with the same hash, the one who left first is forgotten for a new one.
 */
#pragma once

#include "arena.h"

/* What main's options set. */
struct limits {
	uint32_t max_timers, max_timers_per_user;
	uint32_t max_clients, max_clients_per_user;
};

#define LIMITS_TIMERS		4000000 /* untouched memory costs nothing */
#define LIMITS_TIMERS_PER_USER	10000
#define LIMITS_CLIENTS		16384
#define LIMITS_CLIENTS_PER_USER 64
/* Places among max_clients that only root may take: a sixteenth, at most this many. */
#define LIMITS_ROOT_RESERVE 8

/* Whether uid may have one client more. O(1) expected. Return: PROTO_OK, PROTO_E_CLIENTS,
 * PROTO_E_CLIENTS_USER. */
enum proto_status limits_check_client(
	const struct arena *arena, const struct limits *limits, uint32_t uid);

/*
 * Takes a client's place for uid. O(1) expected.
 * Return: PROTO_OK and the user's account, or PROTO_E_CLIENTS, PROTO_E_CLIENTS_USER.
 */
enum proto_status limits_take_client(
	struct arena *arena, const struct limits *limits, uint32_t uid, uint32_t *ret_user);

/* The same for a session that is adopted: whatever the limits are now, it stays. Return: the
 * account. */
uint32_t limits_adopt_client(struct arena *arena, uint32_t uid);

/* Counts a client that was refused. O(1) expected. */
void limits_count_refused_client(struct arena *arena, uint32_t uid);

/* Before arena_reset() of an arena that is adopted: remembers the tallies of all accounts. */
void limits_remember_all(struct arena *arena);

/* Gives it back, and with it the timers that the session still held. */
void limits_return_client(struct arena *arena, uint32_t user, uint32_t timers);

/* The tally of a session's user. */
static inline struct tally *limits_tally(const struct arena *arena, uint32_t session)
{
	return &arena->users[arena->sessions[session].user].tally;
}

/* Whether that user may hold one timer more, besides `pending` new ones that are not counted yet.
 * Return: PROTO_OK, PROTO_E_TIMERS, PROTO_E_TIMERS_USER. */
enum proto_status limits_check_timer(
	const struct arena *arena, const struct limits *limits, uint32_t user, uint32_t pending);

/* Counts timers held: one more, so many fewer. */
void limits_take_timer(struct arena *arena, uint32_t user);
void limits_return_timers(struct arena *arena, uint32_t user, uint32_t n);
