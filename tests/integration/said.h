/* SPDX-License-Identifier: MIT */
/* Programs that a test runs to their end, and what they said. */
#pragma once

#include <stddef.h>

#define SAID 1024

/* Runs argv[0], the path of a program, until it exits. said: its output and errors, cut off where
 * they are too long. Return: its exit status; -1: a signal ended it. A failure fails the test. */
int said_by(char said[static SAID], const char *const argv[]);
