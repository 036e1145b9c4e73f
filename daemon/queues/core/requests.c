/* SPDX-License-Identifier: MIT */
/*
 * The life of a request: from the packet to its answer.
 */
#include "requests.h"

#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "list.h"
#include "opened.h"
#include "users.h"

struct request *request_new(
	struct client *client, const struct queue_codec_packet *p, const void *packet, size_t size)
{
	struct request *request = malloc(sizeof(*request) + size);
	size_t count = p->header.count;

	if (!request)
		return NULL;
	*request = (struct request){
		.client = client,
		.user = client->user,
		.opened = client->opened,
		.serial = p->header.serial,
		.opcode = p->header.opcode,
		.count = p->header.count,
		.charge = sizeof(*request) + size +
			count * (sizeof(struct change) + sizeof(*request->answers)),
		.answers = calloc(count + 1, sizeof(*request->answers)),
	};
	if (!request->answers) {
		free(request);
		return NULL;
	}
	if (request->opened)
		request->opened->references++;
	memcpy(request->packet, packet, size);
	link_init(&request->put_link);
	link_insert(&client->requests, &request->of_client);
	client->pending += request->charge;
	client->pending_count++;
	/* After its client has disconnected, a request counts for its user until it is done. */
	client->user->pending += request->charge;
	return request;
}

void request_free(struct request *request)
{
	struct client *client = request->client;
	struct user *user = request->user;
	bool was_full = user->pending >= BROKER_PENDING_PER_USER;

	if (client) {
		client->pending -= request->charge;
		client->pending_count--;
	}
	link_remove(&request->of_client);
	link_remove(&request->put_link);
	user->pending -= request->charge;
	opened_unref(request->opened);
	free(request->answers);
	free(request);
	if (was_full && user->pending < BROKER_PENDING_PER_USER)
		user_resume(user);
}

bool request_answers_stored(const struct request *request)
{
	return request->opcode == PROTO_QUEUE_PUT || request->opcode == PROTO_QUEUE_RESCHEDULE;
}

static void count_refusals(struct broker *b, const struct request *request)
{
	for (uint32_t i = 0; i < request->count && request->opcode == PROTO_QUEUE_PUT; i++)
		BROKER_COUNT(b, request->user, refused, request->answers[i].status != 0);
}

void request_end(struct broker *b, struct request *request)
{
	struct client *client = request->client;
	struct queue_codec_writer w;

	count_refusals(b, request);
	if (client && !client->closing) {
		answer_begin(b, &w, request->opcode, request->serial);
		for (uint32_t i = 0; i < request->count; i++) {
			const struct proto_queue_stored *a = &request->answers[i];
			struct proto_queue_done done = {.id = a->id, .status = a->status};

			if (request_answers_stored(request))
				queue_codec_put(&w, a);
			else
				queue_codec_put(&w, &done);
		}
		answer_send(b, client, queue_codec_end(&w, 0));
	}
	request_free(request);
	if (client)
		b->outlet->resume(b->outlet->userdata, client->number);
}

void request_changed(struct broker *b, struct change *change, uint32_t status)
{
	struct request *request = change->request;
	struct proto_queue_stored *a = &request->answers[change->record];

	if (!request_answers_stored(request))
		a->id = !status && change->c.id ? change->c.id : a->id;
	else if (status) /* of a transaction that failed, too */
		*a = (struct proto_queue_stored){0};
	a->status = status;
	if (!--request->waiting)
		request_end(b, request);
}
