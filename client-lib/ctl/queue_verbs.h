/* SPDX-License-Identifier: MIT */
/*
 * What the verbs about single timers of a queue share.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ctl.h"

/* A timer of a queue as the command line names it: by its key, or by its id if the key is NULL. */
struct queue_word {
	const char *text, *key;
	uint64_t id;
};

/* Parses an id or a key. is_key: digits are a key, too. Returns 0 or CTL_STOP. */
int queue_parse_word(struct ctl *ctl, const char *text, bool is_key, struct queue_word *ret);

/* Does `cancel --queue`. Returns an exit status. */
int queue_cancel(
	struct ctl *ctl, const char *queue, bool json, size_t n, const struct queue_word *words);
