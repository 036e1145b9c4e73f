/* SPDX-License-Identifier: MIT */
#pragma once

#include "session.h"

/*
 * Applies the packet in connection.in.
 * Return: 0. -ENOMEM: nothing is applied, and the packet stays. Another negative errno: the caller
 * must close the connection, for that reason.
 */
int answers_take(struct session *s);
