/* SPDX-License-Identifier: MIT */
/*
 * Starts the daemons' helper threads. They take no signals: the loop in the main thread handles
 * them.
 */
#pragma once

#include <pthread.h>
#include <signal.h>

/* Starts run(userdata) in a thread in which all signals are blocked. Thread-safe. Return: 0, or a
 * negative errno as of pthread_create(3). The caller joins or detaches the thread. */
static inline int thread_start(pthread_t *ret, void *(*run)(void *userdata), void *userdata)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = pthread_create(ret, NULL, run, userdata);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -r;
}
