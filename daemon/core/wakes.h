/* SPDX-License-Identifier: MIT */
/*
 * Packets of events: wakes, cancellations by others, news of an adoption or of a set clock. For
 * worker.c, which sends them.
 */
#pragma once

#include "state.h"

enum wakes_next {
	WAKES_NOTHING, /* nothing is due */
	WAKES_PACKET,  /* send the packet, then call wakes_sent() */
	WAKES_HOLD,    /* what is due may be sent only when the client has read everything */
	WAKES_END,     /* send the packet, then close the connection */
};

/*
 * Writes the session's next packet: as many events as are due and fit. Changes no timer.
 *   packet: PROTO_PACKET_MAX bytes, aligned to 8.
 *   drained: the client is known to have read everything that was sent to it.
 */
enum wakes_next wakes_write(struct worker *w, uint32_t session, const struct now *now, bool drained,
	void *packet, size_t *ret_size);

/* The last packet of wakes_write() was sent, and nothing happened since: applies its events. now:
 * the same as for wakes_write(). */
void wakes_sent(struct worker *w, const struct now *now);

/* The session's last packet is not being sent any more. */
void wakes_end_sending(struct session *s);
