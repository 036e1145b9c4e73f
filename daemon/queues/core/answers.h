/* SPDX-License-Identifier: MIT */
/* Packets to a client. They are written into broker::out, one at a time. */
#pragma once

#include "state.h"

/* Begins an answer to a request of that opcode and serial. The caller puts its records and ends it
 * with queue_codec_end(), whose result answer_send() takes. */
void answer_begin(struct broker *b, struct queue_codec_writer *w, uint16_t opcode, uint64_t serial);

/* Sends the packet in broker::out. A client that has gone is marked as closing. */
void answer_send(struct broker *b, struct client *client, size_t size);

/* Sends an answer of one struct proto_queue_done. h: the request's header. */
void answer_done(struct broker *b, struct client *client, const struct proto_header *h, uint64_t id,
	uint32_t status, uint64_t cursor);

/* Sends a PROTO_ERROR. text: a literal; what does not fit is cut off. The caller ends the client.
 */
void answer_error(struct broker *b, struct client *client, uint32_t status, uint64_t serial,
	const char *text);
