/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl.h"

/* A timer of a queue, as it is named on a command line: by its key, or if that is NULL by its id.
 */
struct queue_word {
	const char *text, *key;
	uint64_t id;
};

/* is_key: also where it is all digits. Returns 0 or CTL_STOP. */
int queue_parse_word(struct ctl *ctl, const char *text, bool is_key, struct queue_word *ret);

/* `cancel --queue`. Returns an exit status. */
int queue_cancel(
	struct ctl *ctl, const char *queue, bool json, size_t n, const struct queue_word *words);
