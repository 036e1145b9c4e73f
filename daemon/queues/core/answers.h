/* SPDX-License-Identifier: MIT */
/* Packets to a client. They are written in broker::out, one at a time. */
#pragma once

#include "state.h"

/* Begins an answer to a request of that opcode and serial. The caller adds the records, ends the
 * packet with queue_codec_end(), and passes its size to answer_send(). */
void answer_begin(struct broker *b, struct queue_codec_writer *w, uint16_t opcode, uint64_t serial);

/* Sends the packet in broker::out. If the connection has ended, marks the client as closing. */
void answer_send(struct broker *b, struct client *client, size_t size);

/* Sends an answer with one struct proto_queue_done. h: the request's header. */
void answer_done(struct broker *b, struct client *client, const struct proto_header *h, uint64_t id,
	uint32_t status, uint64_t cursor);

/* Sends a PROTO_ERROR. text: is cut if it does not fit. The caller then
 * disconnects the client. */
void answer_error(struct broker *b, struct client *client, uint32_t status, uint64_t serial,
	const char *text);
