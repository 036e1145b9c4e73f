/* SPDX-License-Identifier: MIT */
/*
 * A daemon whose service manager is the test (manager.h). Each start passes the descriptors that
 * the last process stored.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "follower.h"
#include "manager.h"

#define SERVES (-1)

struct service {
	char directory[64], socket[96], log[96];
	struct manager manager;
	pid_t pid;
	unsigned int starts;
	const char *binary; /* NULL: the daemon under test */
	bool no_wake_alarm; /* it starts without CAP_WAKE_ALARM */
};

extern struct service service;

/* Creates and removes its directory. */
void service_init(void);
void service_clean(void);

/* A client for the tests. */
extern struct follower one;

/* For cmocka: service_init() before each test; after it service_clean(), and closes the client. */
int service_before_each(void **state);
int service_after_each(void **state);
#define SERVICE_TEST(function) \
	cmocka_unit_test_setup_teardown(function, service_before_each, service_after_each)

/* Starts it with an option; name NULL: without one. Return: SERVES when it serves, or its exit
 * status. */
int service_start_with(const char *name, const char *value);
void service_start(void);

/* Sends a signal and waits for its end. Return: its exit status. */
int service_end(int signal);
void service_end_by_kill(void);

/* How many lines of its log contain a word, since its start. */
unsigned int service_said(const char *word);

/* Opens a client; the second function also waits until the manager stores its connection. */
void service_follow(struct follower *f);
void service_follow_stored(struct follower *f);
