/* SPDX-License-Identifier: MIT */
/*
 * Finds the timers that a request names by user or label, and not by id.
 *
 * The scan reads the slots of timers in order. One request reads a bounded number of slots, and the
 * cursor of its answer is the slot where the next request continues. A scan finds each timer that
 * exists from its start to its end exactly once. It may miss a timer that is registered in between.
 */
#pragma once

#include "codec.h"
#include "timers.h"

/* The slots that one request reads. This bounds its cost to about 50 us. */
#define MATCH_SLOTS 16384

/* The number of slots that cost as much as one cancel record, which is the cheapest record. */
#define MATCH_SLOTS_A_RECORD 32

struct match_scan {
	uint64_t cursor; /* the next slot */
	uint32_t slots;	 /* the number of slots that this request may still read */
	bool everybody;
	bool by_label;
	uint32_t uid;
	char label[PROTO_LABEL_MAX];
};

/*
 * Starts a scan for a session at the slot `cursor`; 0: at the first slot.
 * Return: PROTO_OK, or why the request is refused.
 */
enum proto_status match_begin(const struct arena *arena, uint32_t session,
	const struct proto_match *m, uint64_t cursor, struct match_scan *ret);

/* The next armed timer that matches; 0: there is none, or this request has read all its slots.
 * Internal timers never match. */
uint32_t match_next(const struct arena *arena, struct match_scan *scan);

/* The slot where the next request continues; 0: the scan has read all slots. */
uint64_t match_cursor(const struct arena *arena, const struct match_scan *scan);

/* The cost of the scan without its records, in units of one cancel record. */
uint32_t match_cost(const struct match_scan *scan);
