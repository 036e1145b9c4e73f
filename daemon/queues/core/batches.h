/* SPDX-License-Identifier: MIT */
/* Packets of records that change something: puts, cancels, acknowledgements and the like. */
#pragma once

#include "state.h"

/* Handles such a packet, after it was checked. packet: its `size` bytes, which p points into.
 * Return: 0; 1: the shell must disconnect the client. */
int batches_handle(struct broker *b, struct client *client, const void *packet, size_t size,
	const struct queue_codec_packet *p);
