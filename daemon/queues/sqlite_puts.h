/* SPDX-License-Identifier: MIT */
/*
 * Receipts of puts: what each put of a token was answered, so that it can be answered again. Both
 * functions return an SQLite result code, and are called within a transaction.
 */
#pragma once

#include "sqlite.h"

/* The stored form of a put's answer: id and due, status and flags, little-endian. */
#define SQLITE_ANSWER_SIZE 24

int sqlite_puts_write(struct sqlite *q, const struct store_put *p, uint64_t now);
/* Removes what is older than a day, if that was not done for long. now: boottime. */
int sqlite_puts_expire(struct sqlite *q, uint64_t now);
