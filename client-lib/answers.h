/* SPDX-License-Identifier: MIT */
#pragma once

#include "session.h"

/*
 * Does what the packet in connection.in says.
 * Return: 0; -ENOMEM: nothing was done, the packet stays; another negative errno: this connection
 * is at its end, for that reason.
 */
int answers_take(struct session *s);
