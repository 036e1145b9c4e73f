/* SPDX-License-Identifier: MIT */
/*
 * timerd-faulty, a timerd whose calls fail as a plan says (fault.h), and what systemd is to it: who
 * gives it its socket, listens to what it notifies, keeps its descriptors for the next process, and
 * starts that one. A thread does the listening. What goes wrong in here fails the cmocka test.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fault.h"

#define FAULTY_STORED_MAX 64

/* faulty_start(): it serves; else its exit status. */
#define FAULTY_SERVES (-1)

struct faulty_stored {
	char name[32];
	int fd;
};

struct faulty {
	char directory[64], socket[96], plan_path[96], log[96], notify_path[96];
	struct fault_plan *plan;
	pid_t pid;    /* 0: it does not run */
	bool managed; /* by us as by systemd; else it makes its socket itself */
	int listener, notify;
	pthread_t listening;
	pthread_mutex_t lock;
	struct faulty_stored stored[FAULTY_STORED_MAX];
	size_t stored_count;
};

void faulty_init(struct faulty *f, bool managed);
void faulty_clean(struct faulty *f);

/* Starts it, with the plan as it is armed. Return: FAULTY_SERVES once it does, or its exit status.
 * */
int faulty_start(struct faulty *f);

/* SIGTERM. Return: its exit status, 128 + n if signal n ended it. The plan is disarmed first. */
int faulty_stop(struct faulty *f);
void faulty_kill(struct faulty *f);

/* Its exit status if it has ended by itself, FAULTY_SERVES if not. */
int faulty_ended(struct faulty *f);

/*
 * What it left at its end must be nothing, and each line that it said since its start one of its own.
 *   lines: how many at least
 */
void faulty_check_end(struct faulty *f, size_t lines);

/* How many connections and blocks of memory are kept. */
size_t faulty_stored_count(struct faulty *f);
