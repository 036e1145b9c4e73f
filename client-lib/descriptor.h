/* SPDX-License-Identifier: MIT */
/*
 * The library's own descriptors.
 */
#pragma once

/*
 * Moves a descriptor to a number above the standard ones. A program may close its standard
 * descriptors and still write to their numbers.
 *   fd: a new descriptor, which this function takes over; or -1, with errno set
 * Return: a descriptor of at least 3, or a negative errno.
 */
int descriptor_keep(int fd);
