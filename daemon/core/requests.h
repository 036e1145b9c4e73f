/* SPDX-License-Identifier: MIT */
/*
 * Requests: applies the records of register, cancel and re-arm packets to the state.
 */
#pragma once

#include "match.h"
#include "state.h"

/* Each applies all records of a packet and appends the results to its answer, which the caller has
 * begun. */
void requests_register(struct worker *w, struct worker_request *request);
void requests_cancel(struct worker *w, struct worker_request *request);
void requests_rearm(struct worker *w, struct worker_request *request);

/* Cancels the timers that the scan finds and names each of them in the answer. Stops when the
 * answer is full. */
void requests_cancel_matching(
	struct worker *w, struct worker_request *request, struct match_scan *scan);

/* The session's packet is committed: frees the timers that it has cancelled. */
void requests_commit(struct worker *w, uint32_t session);
