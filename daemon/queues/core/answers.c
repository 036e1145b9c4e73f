/* SPDX-License-Identifier: MIT */
#include "answers.h"

void answer_send(struct broker *b, struct client *client, size_t size)
{
	int r = b->outlet->send(b->outlet->userdata, client->number, b->out, size);

	/* timerqd reads nothing from a client that does not read, so there was room for this
	 * answer. */
	if (r < 0)
		client->closing = true;
}

void answer_error(
	struct broker *b, struct client *client, uint32_t status, uint64_t serial, const char *text)
{
	struct proto_error error = {.status = status, .serial = serial};
	struct queue_codec_writer w;

	for (size_t i = 0; i < sizeof(error.text) && text[i]; i++)
		error.text[i] = text[i];
	queue_codec_begin(&w, b->out, PROTO_ERROR, 0);
	queue_codec_put(&w, &error);
	answer_send(b, client, queue_codec_end(&w, 0));
}

void answer_begin(struct broker *b, struct queue_codec_writer *w, uint16_t opcode, uint64_t serial)
{
	queue_codec_begin(w, b->out, (uint16_t)(opcode | PROTO_ANSWER), serial);
}

void answer_done(struct broker *b, struct client *client, const struct proto_header *h, uint64_t id,
	uint32_t status, uint64_t cursor)
{
	struct proto_queue_done done = {.id = id, .status = status};
	struct queue_codec_writer w;

	answer_begin(b, &w, h->opcode & (uint16_t)~PROTO_ANSWER, h->serial);
	queue_codec_put(&w, &done);
	answer_send(b, client, queue_codec_end(&w, cursor));
}
