/* SPDX-License-Identifier: MIT */
/*
 * Runs timerd-faulty, a timerd whose calls fail as a plan says (fault.h), alone or under a service
 * manager (manager.h). A failure in these functions fails the cmocka test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fault.h"
#include "manager.h"

/* faulty_start() and faulty_ended(): it serves. Otherwise they return its exit status. */
#define FAULTY_SERVES (-1)

struct faulty {
	char directory[64], socket[96], plan_path[96], log[96];
	struct fault_plan *plan;
	pid_t pid;    /* 0: it does not run */
	bool managed; /* false: it makes its socket itself */
	struct manager manager;
};

void faulty_init(struct faulty *f, bool managed);
void faulty_clean(struct faulty *f);

/* Starts it under the armed plan. Return: FAULTY_SERVES, or its exit status. */
int faulty_start(struct faulty *f);

/* Disarms the plan and sends SIGTERM. Return: its exit status, 128 + n if signal n ended it. */
int faulty_stop(struct faulty *f);
void faulty_kill(struct faulty *f);

/* Return: its exit status if it has ended by itself, otherwise FAULTY_SERVES. */
int faulty_ended(struct faulty *f);

/*
 * Checks that it released everything at its end, and that each line in its log is one of its own
 * messages: no other program and no sanitizer wrote there.
 *   lines: how many lines there are at least
 */
void faulty_check_end(struct faulty *f, size_t lines);
