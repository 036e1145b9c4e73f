/* SPDX-License-Identifier: MIT */
/* Queues that several hosts share: leases come and go, and other hosts change rows. */
#pragma once

#include "state.h"

/* Asks the store of a fleet to report leases and changes. Does nothing on one host. */
void fleet_watch(struct broker *b);
