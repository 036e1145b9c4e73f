/* SPDX-License-Identifier: MIT */
/*
 * The events of a history, counted. If an event never happens, the simulation says nothing about
 * it, and `sim --all-events` fails.
 */
#pragma once

#include <stdint.h>

#include "proto.h"

enum event {
	EVENT_CONNECTED,
	EVENT_RECONNECTED,
	EVENT_NO_PLACE,	     /* the limit of clients in all */
	EVENT_NO_PLACE_USER, /* that of a user */
	EVENT_ROOT_RESERVE,  /* root got in where nobody else would have */
	EVENT_ROOT_CLIENTS,  /* root has more clients than a user may */
	EVENT_ROOT_TIMERS,   /* and timers */
	EVENT_HELLO_LATE,
	EVENT_TURNED_OUT, /* for a packet */

	EVENT_REGISTERED,
	EVENT_REARMED,
	EVENT_CANCELLED,
	EVENT_CANCELLED_OTHERS, /* a timer of another session */
	EVENT_TOLD,		/* to that session */
	EVENT_LISTED,
	EVENT_LISTED_ALL,
	EVENT_LISTED_MATCHING,
	EVENT_CANCELLED_MATCHING, /* a timer, of whatever session */
	EVENT_CLOCK_SET_TOLD,
	EVENT_STATUS,
	EVENT_REFUSED, /* and the enum proto_status of a record */
	EVENT_REFUSED_LAST = EVENT_REFUSED + PROTO_E_SET_CLOCK,

	EVENT_WAKE, /* and the enum arena_clock of the timer */
	EVENT_WAKE_LAST_CLOCK = EVENT_WAKE + 4,
	EVENT_WAKE_OVERRUN,
	EVENT_WAKE_COUNTED_OUT, /* the last of its count */
	EVENT_WAKE_END_OF_TIME, /* the last, as the next would pass the end of time */
	EVENT_WAKE_EQUALS,	/* two of the same due in a packet */

	EVENT_SET_FORWARD,
	EVENT_SET_BACK,
	EVENT_SET_BY_YEARS,
	EVENT_SUSPENDED,
	EVENT_SUSPENDED_WOKEN, /* by an alarm */
	EVENT_RING,
	EVENT_QUIET,

	EVENT_STALLED,
	EVENT_READS_AGAIN,
	EVENT_BLOCKED,	 /* the client does not read answers */
	EVENT_HELD,	 /* nor wakes: the next has to wait */
	EVENT_FULL,	 /* a packet of events found no room */
	EVENT_UP_FULL,	 /* a client found no room */
	EVENT_UNBLOCKED, /* it reads again */

	EVENT_CUT_UNREAD,     /* closed with something to read */
	EVENT_CUT_UNANSWERED, /* with requests that were not answered */
	EVENT_CUT_SENT,	      /* with packets that the daemon had not read */

	EVENT_KILLED,
	EVENT_KILLED_ADOPTING,
	EVENT_UNSTORED,	  /* a connection died with the daemon */
	EVENT_RESUMED,	  /* and one did not */
	EVENT_TAKEN_BACK, /* a packet was half applied */
	EVENT_COMMITTED,  /* it was applied, and perhaps not answered */
	EVENT_LEFT_ANSWER,
	EVENT_SENT_AGAIN, /* a request */
	EVENT_CAME_AGAIN, /* a request that had been applied, or a wake that had been seen: */
	EVENT_WAKE_AGAIN,
	EVENTS,
};

/* NULL: that number has none, for there is no such status. */
const char *event_name(enum event event);
