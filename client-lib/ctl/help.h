/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdio.h>

/* Prints the help of a verb; NULL: of toytimerctl. Returns 0, or -ENOENT if there is no such verb.
 */
int help_print(FILE *out, const char *verb);
