/* SPDX-License-Identifier: MIT */
/*
 * Which timers a request means that names none by its id: those of a user, of a label, of all.
 *
 * A scan of the arena's places answers it, a bounded number of places a request. The next request
 * goes on from the place that the answer's cursor tells. A timer that lives throughout is found
 * once; one that is registered meanwhile may be missed.
 */
#pragma once

#include "codec.h"
#include "timers.h"

/* Places that one request looks at: bounds its cost, about 50 us. */
#define MATCH_PLACES 16384

/* So many places take as long as one of the shortest records. */
#define MATCH_PLACES_A_RECORD 32

struct match_scan {
	uint64_t cursor; /* the next place */
	uint32_t places; /* that this request may still look at */
	bool everybody;
	bool by_label;
	uint32_t uid;
	char label[PROTO_LABEL_MAX];
};

/*
 * Starts a scan for that session from place `cursor` on, 0: the first.
 * Return: PROTO_OK, or why the session may not ask that.
 */
enum proto_status match_begin(const struct arena *arena, uint32_t session,
	const struct proto_match *m, uint64_t cursor, struct match_scan *ret);

/* The next timer that is meant, armed and not the daemon's own; 0: there is none, or this request
 * has looked at enough. */
uint32_t match_next(const struct arena *arena, struct match_scan *scan);

/* Where the next request goes on; 0: all places have been looked at. */
uint64_t match_cursor(const struct arena *arena, const struct match_scan *scan);

/* What the scan cost beside its records, in the shortest records. */
uint32_t match_work(const struct match_scan *scan);
