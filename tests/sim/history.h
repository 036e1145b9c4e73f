/* SPDX-License-Identifier: MIT */
/*
 * A history is a seed and the numbers of the steps that are made. Any part of a history is a
 * history too, so a failing one can be cut down to the few steps that it needs.
 */
#pragma once

#include "world.h"

struct history {
	uint64_t seed;
	uint64_t *numbers; /* of the steps */
	size_t count;
	uint64_t branch_every; /* copies are killed; 0: none is */
	uint64_t at;	       /* only at this store of the last step; 0: at any */
	uint64_t onwards;      /* steps of a copy */
	bool trace;
	struct counts counts, copies_counts; /* of a run that has come to its end */
};

/* Numbers the steps: those that `keep` names ("3,7-9"), all below `steps` where it is NULL. Return:
 * false where it is no such list. */
bool history_number(struct history *h, uint64_t steps, const char *keep);
void history_free(struct history *h);

/* Runs it in this process, which ends if it fails. */
void history_run(struct history *h);

/* Runs it in a child. Return: whether it fails, and in the same way if the place has a fault; where
 * it does is then said there. */
bool history_fails(const struct history *h, struct world_place *place);

/* Cuts a history that fails to one that fails and has no step that could be left out. */
void history_shrink(struct history *h);

/* Prints each step, how to run it again, and what happens then. */
void history_print(const struct history *h);
