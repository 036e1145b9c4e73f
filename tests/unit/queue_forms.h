/* SPDX-License-Identifier: MIT */
/* The forms of the queues' packets, told a second time as in forms.h. */
#pragma once

#include "forms.h"
#include "queue.h"

extern const struct form queue_forms[];
extern const size_t n_queue_forms;
