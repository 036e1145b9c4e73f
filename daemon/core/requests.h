/* SPDX-License-Identifier: MIT */
/*
 * Requests: applies the records of register, cancel and re-arm packets to the state.
 */
#pragma once

#include "match.h"
#include "state.h"

/* Each applies all records of one checked packet and appends the results to `answer`, which the
 * caller has begun. */
void requests_register(struct worker *w, uint32_t session, const void *packet,
	const struct proto_header *header, const struct now *now, struct codec_writer *answer);
void requests_cancel(struct worker *w, uint32_t session, const void *packet,
	const struct proto_header *header, struct codec_writer *answer);
void requests_rearm(struct worker *w, uint32_t session, const void *packet,
	const struct proto_header *header, const struct now *now, struct codec_writer *answer);

/* Cancels the timers that the scan finds and names each of them in `answer`. Stops when the answer
 * is full. */
void requests_cancel_matching(
	struct worker *w, uint32_t session, struct match_scan *scan, struct codec_writer *answer);

/* The session's packet is committed: frees the timers that it has cancelled. */
void requests_commit(struct worker *w, uint32_t session);
