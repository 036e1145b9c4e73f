/* SPDX-License-Identifier: MIT */
/*
 * Limits of clients and timers, for each user and in total.
 *
 * Each uid that has a session has one account (struct user). Only the totals limit root. A few of
 * the clients in total are reserved for root, so that an administrator can connect when users have
 * taken all others.
 *
 * The account is dropped with the user's last client, but its tally is kept. So a user who runs one
 * command after another sees the counts of all of them. There is room for 4096 tallies, in sets of
 * eight by the hash of the uid. A new tally in a full set replaces the one whose user left first.
 */
#pragma once

#include "arena.h"

/* Set by the command line and the configuration file. */
struct limits {
	uint32_t max_timers, max_timers_per_user;
	uint32_t max_clients, max_clients_per_user;
};

/*
 * The limits that the configuration file gives to one user, or to the members of a group. The shell
 * knows whom they are for, and passes them with each client. They replace the limits per user, so
 * they never bind root. Two processes of one user can be in different groups. So the limits of each
 * client are compared with what all clients of its user hold together.
 */
struct limits_own {
	uint32_t max_timers, max_clients; /* 0: as for every user */
};

#define LIMITS_TIMERS		4000000 /* untouched memory costs nothing */
#define LIMITS_TIMERS_PER_USER	10000
#define LIMITS_CLIENTS		16384
#define LIMITS_CLIENTS_PER_USER 64
/* The clients of max_clients that are reserved for root: a sixteenth, at most this many. */
#define LIMITS_ROOT_RESERVE 8

/* The limits for a client: its own ones replace those for every user. */
static inline struct limits limits_with(const struct limits *limits, const struct limits_own *own)
{
	struct limits result = *limits;

	if (own->max_timers)
		result.max_timers_per_user = own->max_timers;
	if (own->max_clients)
		result.max_clients_per_user = own->max_clients;
	return result;
}

/* Whether the limits allow one more client of uid. O(1) expected. Return: PROTO_OK,
 * PROTO_E_CLIENTS, PROTO_E_CLIENTS_USER. */
enum proto_status limits_check_client(
	const struct arena *arena, const struct limits *limits, uint32_t uid);

/*
 * Checks the limits and counts one more client of uid. O(1) expected.
 * Return: PROTO_OK and the user's account, or PROTO_E_CLIENTS, PROTO_E_CLIENTS_USER.
 */
enum proto_status limits_take_client(
	struct arena *arena, const struct limits *limits, uint32_t uid, uint32_t *ret_user);

/* Counts the client of an adopted session. It checks no limit: an adopted session stays even if the
 * limits are lower now. Return: the account. */
uint32_t limits_adopt_client(struct arena *arena, uint32_t uid);

/* Counts a client that was refused. O(1) expected. */
void limits_count_refused_client(struct arena *arena, uint32_t uid);

/* Remembers the tallies of all accounts. Adoption calls it before arena_reset(). */
void limits_remember_all(struct arena *arena);

/* Counts one client fewer, and the timers that its session still held. */
void limits_return_client(struct arena *arena, uint32_t user, uint32_t timers);

/* The tally of a session's user. */
static inline struct tally *limits_tally(const struct arena *arena, uint32_t session)
{
	return &arena->users[arena->sessions[session].user].tally;
}

/* Whether the limits allow the user of this session one more timer. pending: new timers that are
 * not counted yet. Return: PROTO_OK, PROTO_E_TIMERS, PROTO_E_TIMERS_USER. */
enum proto_status limits_check_timer(
	const struct arena *arena, const struct limits *limits, uint32_t session, uint32_t pending);

/* Counts n timers more; counts n timers fewer. */
void limits_take_timers(struct arena *arena, uint32_t user, uint32_t n);
void limits_return_timers(struct arena *arena, uint32_t user, uint32_t n);
