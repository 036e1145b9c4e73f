/* SPDX-License-Identifier: MIT */
/*
 * Puts that are sent again. A client with a token numbers its puts; after its connection broke it
 * sends again what was not answered, and gets the answer that the put had.
 */
#pragma once

#include "state.h"

/* Asks the store for earlier puts of clients that have said hello. O(such clients). */
void puts_find(struct broker *b);

/* Whether a put packet is to be stored. If not, it was answered, or the client is closing. */
bool puts_take(struct broker *b, struct client *client, const struct proto_header *h);

/* A put of that token was sent to the store, and nobody knows whether it stands. */
void puts_note_unsure(struct broker *b, const uint8_t token[static STORE_TOKEN_SIZE]);

/* Whether a put of that token may be stored though it was not answered. */
bool puts_are_unsure(const struct broker *b, const uint8_t token[static STORE_TOKEN_SIZE]);
