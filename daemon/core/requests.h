/* SPDX-License-Identifier: MIT */
/*
 * Requests: what register, cancel and re-arm do to the state, record by record.
 */
#pragma once

#include "match.h"
#include "state.h"

/* Answers one opened packet of that opcode, all records of it, through an answer that was begun. */
void requests_register(struct worker *w, uint32_t session, const void *packet,
	const struct proto_header *header, const struct now *now, struct codec_writer *answer);
void requests_cancel(struct worker *w, uint32_t session, const void *packet,
	const struct proto_header *header, struct codec_writer *answer);
void requests_rearm(struct worker *w, uint32_t session, const void *packet,
	const struct proto_header *header, const struct now *now, struct codec_writer *answer);

/* Cancels what the scan finds, as far as the answer, which was begun, has room to name it. */
void requests_cancel_matching(
	struct worker *w, uint32_t session, struct match_scan *scan, struct codec_writer *answer);

/* The session's packet is committed: what it cancelled goes. */
void requests_commit(struct worker *w, uint32_t session);
