/* SPDX-License-Identifier: MIT */
/*
 * Receipts of puts: the answers to the put packets of each token, so that a repeated packet gets
 * the same answer. Both functions return an SQLite result code, and are part of the caller's
 * transaction.
 */
#pragma once

#include "sqlite.h"

/* The stored form of a put's answer: id and due, status and flags, little-endian. */
#define SQLITE_ANSWER_SIZE 24

/* Stores the answers to a put. If its user has more than sqlite_tuning::receipts_max bytes of them,
 * the user's oldest ones are deleted. now: boottime, microseconds. */
int sqlite_puts_write(struct sqlite *q, const struct store_put *p, uint64_t now);

/* Deletes receipts that are older than a day. It looks for them only from time to time; most calls
 * cost nothing. now: boottime, microseconds. */
int sqlite_puts_expire(struct sqlite *q, uint64_t now);
