/* SPDX-License-Identifier: MIT */
/* Users. The broker keeps each user until it ends; uids bound their number. */
#pragma once

#include "state.h"

/* The user of that uid, or a new one. Return: NULL: no memory. */
struct user *user_get(struct broker *b, uint32_t uid);

/* Fewer bytes of the user's requests wait: the shell may read from the user's clients again. */
void user_resume(struct user *user);
