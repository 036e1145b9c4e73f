/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * A descriptor that the library keeps is never one of the standard ones: a program may have closed
 * these, and still print or log to their numbers.
 *   fd: a new one, which this takes; or -1, with errno set
 * Return: a descriptor of at least 3 for the same, or a negative errno.
 */
int descriptor_keep(int fd);
