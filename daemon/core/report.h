/* SPDX-License-Identifier: MIT */
/*
 * The state as clients see it: the list of timers, and the counters of the status.
 */
#pragma once

#include "match.h"
#include "sessions.h"

/* Appends the timers that the scan finds to `answer`, which the caller has begun. session: the
 * reader of the list. */
void report_list(const struct arena *arena, uint32_t session, struct match_scan *scan,
	const struct now *now, struct codec_writer *answer);

/*
 * The counters that the session may see. Root sees the clients, timers and counts of all users; any
 * other session sees those of its own user. Everybody sees the same lateness figures. The caller
 * fills in what describes the process: uptime, pid, version and warnings.
 */
void report_status(const struct arena *arena, uint32_t session, const struct now *now,
	struct proto_status_answer *ret);
