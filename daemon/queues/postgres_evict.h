/* SPDX-License-Identifier: MIT */
/* Ends transactions that other hosts have left open. */
#pragma once

#include "postgres.h"

/* Asks the database to end transactions of timerqd that their hosts have given up: those of a host
 * that was halted, or lost its network, in the middle. A live host loses nothing by this. The
 * statement travels on the control connection, before a round that begins now. */
void pg_evict(struct store_postgres *s);

/* Calls pg_evict(), but at most once a second. For a caller that has found a lock of another
 * session. */
void pg_evict_soon(struct store_postgres *s);
