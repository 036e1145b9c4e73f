/* SPDX-License-Identifier: MIT */
/*
 * The order of turns: a queue of users, and for each user a queue of sessions.
 *
 * A turn goes to the first session of the first user. This user then becomes the last in the queue,
 * and the session leaves the queue. So a user with many sessions gets as many turns as a user with
 * one. A new session waits for at most one turn of each other user, and for the earlier sessions of
 * its own user. Wakes and requests each have such a queue.
 *
 * All operations are O(1). The caller owns the records; index 0 is nil.
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

/* A user's part of a queue. All zero: the user has no session in the queue. */
struct turns_user {
	struct turns_link link; /* turns::users */
	struct turns_list sessions;
};

/* A view of one queue, whose links are fields in the caller's arrays of records. */
struct turns {
	struct turns_list *users;
	void *user;    /* struct turns_user of user 0 */
	void *session; /* struct turns_link of session 0 */
	size_t user_stride, session_stride;
};

/* Adds a session, which is not in the queue, after the other sessions of its user. */
void turns_add(const struct turns *turns, uint32_t user, uint32_t session);

/* Removes a session from the queue. */
void turns_remove(const struct turns *turns, uint32_t user, uint32_t session);

/* Removes the session whose turn it is. Return: the session; 0: the queue is empty. */
uint32_t turns_take(const struct turns *turns);
