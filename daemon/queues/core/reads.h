/* SPDX-License-Identifier: MIT */
/* Packets that only read, and purges: one at a time for each client. */
#pragma once

#include "state.h"

/* Begins a list, a purge or a listing of queues. The store answers it later. packet: its
 * `size` bytes, which p points into. Return: 0; 1: the shell must disconnect the client. */
int reads_handle(struct broker *b, struct client *client, const void *packet, size_t size,
	const struct queue_codec_packet *p);

/* Answers a status at once. Return: as above. */
int reads_status(struct broker *b, struct client *client, const struct proto_header *h);
