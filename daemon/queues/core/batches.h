/* SPDX-License-Identifier: MIT */
/* Packets of records that change something: puts, cancels, acknowledgements and the like. */
#pragma once

#include "state.h"

/* Handles such a packet, which was checked. packet: its size bytes, which p reads. Return: 0; 1:
 * the client is to be disconnected. */
int batches_handle(struct broker *b, struct client *client, const void *packet, size_t size,
	const struct queue_codec_packet *p);
