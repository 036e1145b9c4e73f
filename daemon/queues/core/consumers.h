/* SPDX-License-Identifier: MIT */
/* Consumers: how they attach and detach, and how they get wakes. */
#pragma once

#include "state.h"

/* Delivers a slice of the due wakes. Return: whether there are more. */
bool consumers_deliver(struct broker *b);

/* Attaches a client to a queue that it has opened. Return: PROTO_OK; PROTO_Q_WINDOW, PROTO_E_RANGE,
 * PROTO_Q_ATTACHED (it is a consumer of that queue already), PROTO_E_DESCRIPTORS (no memory). */
uint32_t consumer_attach(
	struct client *client, const struct proto_queue_consume *request, struct broker *b);

/* Detaches a consumer and frees it, and its queue if nothing else uses the queue. The consumer's
 * unacknowledged wakes go back to the queue. count: an attempt counts for the oldest one. */
void consumer_detach(struct broker *b, struct consumer *consumer, bool count);
