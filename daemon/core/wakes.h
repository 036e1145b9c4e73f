/* SPDX-License-Identifier: MIT */
/*
 * Packets of events: wakes, cancellations by another session, an adoption, a set wall clock. For
 * worker.c, which sends them.
 */
#pragma once

#include "state.h"

enum wakes_next {
	WAKES_NOTHING, /* nothing is due */
	WAKES_PACKET,  /* send the packet, then call wakes_sent() */
	WAKES_HOLD,    /* wakes are due, but the client must first read all packets */
	WAKES_END,     /* send the packet, then close the connection */
};

/*
 * Writes the session's next packet, with as many due events as fit. Changes no timer.
 *   packet: PROTO_PACKET_MAX bytes, aligned to 8.
 *   drained: true if the client has read all packets that were sent to it.
 */
enum wakes_next wakes_write(struct worker *w, uint32_t session, const struct now *now, bool drained,
	void *packet, size_t *ret_size);

/* Applies the events of the last packet of wakes_write(), which was sent. Nothing has changed the
 * state in between. now: the same as for wakes_write(). */
void wakes_sent(struct worker *w, const struct now *now);

/* The session's last packet is no longer in transit: it was sent, or will not be sent. */
void wakes_end_sending(struct session *s);
