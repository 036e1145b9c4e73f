/* SPDX-License-Identifier: MIT */
/*
 * Packets of the daemon, applied to the handle's timers and requests.
 */
#pragma once

#include "session.h"

/*
 * Applies the packet in connection.in.
 * Return: 0. -ENOMEM: nothing is applied, and the packet stays. Another negative errno: the caller
 * must close the connection, for that reason.
 */
int answers_take(struct session *s);
