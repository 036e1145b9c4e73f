/* SPDX-License-Identifier: MIT */
/* What the log says of the store's state. */
#pragma once

#include <stdint.h>

#include "../log.h"
#include "store.h"

struct store_report {
	struct log *log;	       /* borrowed */
	struct store *store;	       /* borrowed */
	enum store_state logged_state; /* that was logged last */
	uint32_t logged_why[2];	       /* hashes of the last reasons why it is away */
};

/* Logs each change of the state once, and each other reason why the store is away. O(1). */
void store_report(struct store_report *r);
