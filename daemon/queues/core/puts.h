/* SPDX-License-Identifier: MIT */
/*
 * Repeated puts. A client with a token numbers its puts. After its connection has broken, it sends
 * the unanswered puts again. If a put was stored already, the client gets the stored answer.
 */
#pragma once

#include "state.h"

/* Asks the store for the earlier puts of clients that have just said hello. O(such clients). */
void puts_find(struct broker *b);

/* Return: whether the caller must store the put packet. If not, it was answered, or the client is
 * closing. */
bool puts_take(struct broker *b, struct client *client, const struct proto_header *h);

/* A put of that token was sent to the store, and it is not known whether it was stored. */
void puts_note_unsure(struct broker *b, const uint8_t token[static STORE_TOKEN_SIZE]);

/* Whether the store may have an unanswered put of that token. */
bool puts_are_unsure(const struct broker *b, const uint8_t token[static STORE_TOKEN_SIZE]);
