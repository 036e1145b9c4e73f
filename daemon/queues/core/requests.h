/* SPDX-License-Identifier: MIT */
/*
 * Requests: packets that wait for the store. A request keeps a copy of its packet, because changes
 * borrow keys and payloads from it, and the answers to its records so far.
 */
#pragma once

#include "state.h"

/* Makes a request with a copy of the packet. It counts against the limits of its client and user.
 * Return: NULL: no memory. */
struct request *request_new(
	struct client *client, const struct queue_codec_packet *p, const void *packet, size_t size);

/* Frees a request without an answer. If the user had too many requests, the shell may then read
 * from its clients again. */
void request_free(struct request *request);

/* Whether the answer consists of struct proto_queue_stored; if not, of struct proto_queue_done. */
bool request_answers_stored(const struct request *request);

/* One change of the request has this result. After the last one the request is answered and freed.
 * */
void request_changed(struct broker *b, struct change *change, uint32_t status);

/* All records are answered: sends the answer, unless the client has gone, and frees the request. */
void request_end(struct broker *b, struct request *request);
