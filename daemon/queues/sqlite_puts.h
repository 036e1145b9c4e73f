/* SPDX-License-Identifier: MIT */
/*
 * Receipts of puts: what each put packet of a token was answered, so that the same packet can be
 * answered again. Both functions return an SQLite result code, and are part of the caller's
 * transaction.
 */
#pragma once

#include "sqlite.h"

/* The stored form of a put's answer: id and due, status and flags, little-endian. */
#define SQLITE_ANSWER_SIZE 24

/* Keeps the answers of a put. If its user has more than sqlite_tuning::receipts_max bytes of them,
 * the user's oldest ones are forgotten. now: boottime, microseconds. */
int sqlite_puts_write(struct sqlite *q, const struct store_put *p, uint64_t now);

/* Forgets receipts that are older than a day. It does so from time to time only; most calls cost
 * nothing. now: boottime, microseconds. */
int sqlite_puts_expire(struct sqlite *q, uint64_t now);
