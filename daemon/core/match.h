/* SPDX-License-Identifier: MIT */
/*
 * Finds the timers that a request names by user or label, and not by id.
 *
 * A scan of the arena's timer slots finds them. One request looks at a bounded number of slots; the
 * cursor of its answer is the slot where the next request continues. A scan finds each timer that
 * lives throughout exactly once. It may miss a timer that is registered meanwhile.
 */
#pragma once

#include "codec.h"
#include "timers.h"

/* Slots that one request looks at: this bounds its cost, about 50 us. */
#define MATCH_SLOTS 16384

/* So many slots take as long as one cancel record, the shortest. */
#define MATCH_SLOTS_A_RECORD 32

struct match_scan {
	uint64_t cursor; /* the next slot */
	uint32_t slots;	 /* that this request may still look at */
	bool everybody;
	bool by_label;
	uint32_t uid;
	char label[PROTO_LABEL_MAX];
};

/*
 * Starts a scan for that session at slot `cursor`; 0: at the first.
 * Return: PROTO_OK, or why the session may not ask that.
 */
enum proto_status match_begin(const struct arena *arena, uint32_t session,
	const struct proto_match *m, uint64_t cursor, struct match_scan *ret);

/* The next timer that is meant, armed and not the daemon's own; 0: there is none, or this request
 * has looked at enough. */
uint32_t match_next(const struct arena *arena, struct match_scan *scan);

/* The slot where the next request continues; 0: the scan has seen all slots. */
uint64_t match_cursor(const struct arena *arena, const struct match_scan *scan);

/* What the scan cost besides its records, in units of one cancel record. */
uint32_t match_work(const struct match_scan *scan);
