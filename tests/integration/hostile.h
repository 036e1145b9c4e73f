/* SPDX-License-Identifier: MIT */
/*
 * What the parts of test_hostile share: a daemon, a client whose wakes must keep coming, the golden
 * packets and the connection of the test.
 */
#pragma once

#include "daemon.h"
#include "vectors.h"
#include "wire.h"
#include "witness.h"

extern struct test_daemon d;
extern struct vectors vectors; /* the golden packets, good and bad, that all levels of tests use */
extern struct wire wire;

/* For cmocka, around the tests of one part: starts the daemon and the witness; checks what the
 * witness saw, and that the daemon ends well. */
int hostile_begin(void **state);
int hostile_end(void **state);

/* The parts. Return: how many tests failed. */
int hostile_packets(void);
int hostile_records(void);
