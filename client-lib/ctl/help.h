/* SPDX-License-Identifier: MIT */
/*
 * The texts of --help.
 */
#pragma once

#include <stdio.h>

/* Prints the help of a verb; NULL: of toytimerctl. Returns 0, or -ENOENT if there is no such verb.
 */
int help_print(FILE *out, const char *verb);
