/* SPDX-License-Identifier: MIT */
/*
 * A daemon whose service manager is the test (manager.h): started with what it stored before, and
 * ended; and what it says in its log.
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

/* A directory of its own. */
void service_init(void);
void service_clean(void);

/* A client that a test may open. */
extern struct follower one;

/* Around each test: service_init(); service_clean(), and the client is closed. */
int service_before_each(void **state);
int service_after_each(void **state);
#define SERVICE_TEST(function) \
	cmocka_unit_test_setup_teardown(function, service_before_each, service_after_each)

/* Starts it, with an option or none (NULL). Return: SERVES once it does, or its exit status. */
int service_start_with(const char *name, const char *value);
void service_start(void);

/* Ends it by a signal. Return: its exit status. */
int service_end(int signal);
void service_end_by_kill(void);

/* How often it has said a word since its start. */
unsigned int service_said(const char *word);

/* A client of it; one whose connection is stored. */
void service_follow(struct follower *f);
void service_follow_stored(struct follower *f);
