/* SPDX-License-Identifier: MIT */
/*
 * timerd-faulty, a timerd whose calls fail as a plan says (fault.h), by itself or managed as
 * systemd manages it (manager.h). What goes wrong in here fails the cmocka test.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "fault.h"
#include "manager.h"

/* faulty_start(): it serves; else its exit status. */
#define FAULTY_SERVES (-1)

struct faulty {
	char directory[64], socket[96], plan_path[96], log[96];
	struct fault_plan *plan;
	pid_t pid;    /* 0: it does not run */
	bool managed; /* else it makes its socket itself */
	struct manager manager;
};

void faulty_init(struct faulty *f, bool managed);
void faulty_clean(struct faulty *f);

/* Starts it with the plan as it is armed. Return: FAULTY_SERVES, or its exit status. */
int faulty_start(struct faulty *f);

/* SIGTERM. Return: its exit status, 128 + n if signal n ended it. The plan is disarmed first. */
int faulty_stop(struct faulty *f);
void faulty_kill(struct faulty *f);

/* Its exit status if it has ended by itself, FAULTY_SERVES if not. */
int faulty_ended(struct faulty *f);

/*
 * What it left at its end must be nothing, and each line that it said since its start one of its
 * own.
 *   lines: how many at least
 */
void faulty_check_end(struct faulty *f, size_t lines);
