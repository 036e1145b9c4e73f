/* SPDX-License-Identifier: MIT */
/*
 * Requests: packets that wait for the store. A request keeps its packet, since changes borrow keys
 * and payloads from it, and the answers that it has so far.
 */
#pragma once

#include "state.h"

/* A request with a copy of the packet. It counts as waiting for its client and user from now on.
 * Return: NULL: no memory. */
struct request *request_new(
	struct client *client, const struct queue_codec_packet *p, const void *packet, size_t size);

/* Frees a request without an answer. The user's clients may be read from again if that was kept up
 * by the user's requests. */
void request_free(struct request *request);

/* Whether the answer consists of struct proto_queue_stored; if not, of struct proto_queue_done. */
bool request_answers_stored(const struct request *request);

/* One change of the request has this result. The last one answers the request and frees it. */
void request_changed(struct broker *b, struct change *change, uint32_t status);

/* All records are answered: sends the answer, unless the client has gone, and frees the request. */
void request_end(struct broker *b, struct request *request);
