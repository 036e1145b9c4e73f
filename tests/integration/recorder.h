/* SPDX-License-Identifier: MIT */
/*
 * A handler that writes down what happens, and the waiting for it. What goes wrong in here fails
 * the cmocka test that called it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <toytimer.h>

/* Longer than anything here takes on a loaded machine under valgrind. */
#define PATIENCE_US UINT64_C(20000000)

#define MS UINT64_C(1000)
#define S  UINT64_C(1000000)

struct recorder {
	toytimer_event *events; /* in the order of their coming; from malloc() */
	size_t n, room;
	enum toytimer_clock clock; /* that the timers go by */
};

/* A toytimer_handler; userdata is a recorder. It checks of each wake that it is not early. */
int recorder_note(toytimer *t, const toytimer_event *event, void *userdata);

/* A relative registration on the monotonic clock, with the recorder as its handler. */
toytimer_registration recorder_after(struct recorder *recorder, uint64_t span);

/* Processes until the recorder has n events, and fails if it gets more. */
void recorder_await(struct recorder *recorder, toytimer *t, size_t n);

/* Processes for that long. */
void recorder_linger(toytimer *t, uint64_t span);

/* Wakes, with the periods that were merged into them. */
uint64_t recorder_periods(const struct recorder *recorder);

void recorder_clear(struct recorder *recorder);
