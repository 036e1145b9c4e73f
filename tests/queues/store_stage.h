/* SPDX-License-Identifier: MIT */
/*
 * The stage of the tests of a store: an open store with the queue "mail" of user 7, and what nearly
 * every test does. store_on_sqlite.c and store_on_postgres.c open the store; a program links one of
 * them. A failure in here ends the test.
 */
#pragma once

#include "ask.h"

extern struct store *store;
extern uint32_t queue;
extern uint64_t term; /* of the queue's lease; 0 on one host */
extern struct ask_rows rows;
extern struct clocks_stored clocks; /* that the store held when it was opened */

/* Before and after each test, which begins with an empty store. */
int stage_start(void **state);
int stage_end(void **state);
#define STAGED(name) cmocka_unit_test_setup_teardown(name, stage_start, stage_end)

/* Opens the store and its queue. */
void stage_begin(void);
/* Closes the store and opens it again: on SQLite as after a crash, on PostgreSQL as after a stop,
 * because the lease of a host that was killed would have to be waited for. */
void stage_again(void);

struct CMUnitTest;

/* Runs a program's tests. Return, for main(): how many failed; 77: there is no PostgreSQL. */
int stage_run(const struct CMUnitTest *tests, size_t n);

/* A change that puts a timer on the wall clock; the strings are borrowed. */
struct store_change make_put(uint64_t due, const char *key, const char *payload);
/* The same, stored. Return: its id. */
uint64_t put(uint64_t due, const char *key, const char *payload);
/* A change of what became of a wake. */
struct store_change wake(enum store_change_type type, uint64_t id, uint32_t number);
/* Asks for a change, which has to get this status. */
void change(struct store_change *c, uint32_t status);
/* Loads everything into rows. */
void load(void);
