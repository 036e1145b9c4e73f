/* SPDX-License-Identifier: MIT */
/* Consumers: how they attach and detach, and how they get wakes. */
#pragma once

#include "state.h"

/* Delivers a slice of what is due. Return: whether there is more. */
bool consumers_deliver(struct broker *b);

/* Attaches a client to a queue that it has opened. Return: PROTO_OK; PROTO_Q_WINDOW, PROTO_E_RANGE,
 * PROTO_Q_ATTACHED (it consumes that queue already), PROTO_E_DESCRIPTORS (no memory). */
uint32_t consumer_attach(
	struct client *client, const struct proto_queue_consume *request, struct broker *b);

/* Detaches a consumer and frees it, and its queue too if that is done with. Its unacknowledged
 * wakes go back. count: an attempt of the oldest one is counted. */
void consumer_detach(struct broker *b, struct consumer *consumer, bool count);
