/* SPDX-License-Identifier: MIT */
/* Queues that several hosts share: leases come and go, and other hosts change rows. */
#pragma once

#include "state.h"

/* Has the store of a fleet tell of leases and changes. Nothing on one host. */
void fleet_watch(struct broker *b);
