/* SPDX-License-Identifier: MIT */
/* The store's asynchronous interface, asked and waited for. A failure in here ends the test. */
#pragma once

#include "store.h"

#define ASK_ROWS 256

/* The rows of a read, with their keys and payloads. */
struct ask_rows {
	struct store_timer rows[ASK_ROWS];
	char keys[ASK_ROWS][PROTO_QUEUE_KEY_MAX + 1];
	char payloads[ASK_ROWS][64];
	size_t n;
	struct store_beyond beyond;
	bool more;
	int error;
};

struct ask_puts {
	uint64_t serials[STORE_PUTS + 1];
	uint64_t first_ids[STORE_PUTS + 1];
	size_t n; /* without the last call */
	uint64_t last;
};

/* One transaction. Return: what done() was told. */
int ask_commit(struct store *s, struct store_change *changes, size_t n, struct store_put *put,
	uint64_t now);
int ask_change(struct store *s, struct store_change *change);
void ask_load(
	struct store *s, uint32_t queue, unsigned int clock, uint64_t until, struct ask_rows *ret);
/* At most n rows. */
void ask_load_some(struct store *s, uint32_t queue, unsigned int clock, uint64_t until, size_t n,
	struct ask_rows *ret);
void ask_list(struct store *s, uint32_t queue, bool parked, const struct store_position *after,
	size_t n, struct ask_rows *ret);
/* The only queue of a user, as of the instant `now` on each clock. */
void ask_queue(struct store *s, uint32_t uid, uint64_t now, struct store_queue *ret);
void ask_puts(struct store *s, const uint8_t *token, struct ask_puts *ret);
/* Return: how many went. */
uint64_t ask_purge(struct store *s, uint32_t queue, bool parked, size_t n, bool *ret_more);
/* Waits until the store is in that state, for some seconds. */
bool ask_state(struct store *s, enum store_state state);
