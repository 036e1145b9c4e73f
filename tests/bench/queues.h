/* SPDX-License-Identifier: MIT */
/*
 * timerqd, for durable.c and durable_fleet.c.
 */
#pragma once

#include "toytimer-queue.h"

/* Connects, and never gives up waiting for an answer. A failure ends the benchmark. */
toytimer_queue *queues_open(const char *path);
