/* SPDX-License-Identifier: MIT */
/*
 * Whose turn it is: a queue of users, and for each user a queue of sessions.
 *
 * A turn goes to the first session of the first user. That user then goes behind all other users,
 * and the session leaves the queue. So a user with many sessions gets as many turns as a user with
 * one, and a new session waits for at most one turn of each other user and for its own user's
 * sessions. Wakes and requests each have such a queue.
 *
 * All operations are O(1). The records belong to the caller; 0 is nil. A queue knows links, not
 * what they mean.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct turns_link {
	uint32_t next, prev;
};

struct turns_list {
	uint32_t first, last;
};

/* A user's part of a queue. All zero: it has no session there. */
struct turns_user {
	struct turns_link link; /* turns::users */
	struct turns_list sessions;
};

/* A view of one queue: records of the caller, in arrays that have other fields too. */
struct turns {
	struct turns_list *users;
	void *user;    /* struct turns_user of user 0 */
	void *session; /* struct turns_link of session 0 */
	size_t user_stride, session_stride;
};

/* Puts a session, which is not in the queue, behind the other sessions of its user. */
void turns_add(const struct turns *turns, uint32_t user, uint32_t session);

/* Takes a session, which is in the queue, out of it. */
void turns_remove(const struct turns *turns, uint32_t user, uint32_t session);

/* Takes the session out whose turn it is. Return: the session; 0: the queue is empty. */
uint32_t turns_take(const struct turns *turns);
