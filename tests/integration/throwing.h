/* SPDX-License-Identifier: MIT */
/* A handler in C++ that throws, and a program that catches what it threw. */
#pragma once

#include <toytimer.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A toytimer_handler that throws at each event. */
int throwing_handler(toytimer *t, const toytimer_event *event, void *userdata);

/* Return: 1 if toytimer_run() let an exception through, else what it returned. */
int throwing_run(toytimer *t);

/* The same for toytimer_list(), whose handler throws. */
int throwing_list(toytimer *t);

#ifdef __cplusplus
}
#endif
