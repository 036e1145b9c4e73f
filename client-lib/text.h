/* SPDX-License-Identifier: MIT */
/* The wire's statuses as errnos. */
#pragma once

#include <stdint.h>

/* The negative errno that stands for an enum proto_status; 0 for PROTO_OK. */
int text_errno(uint32_t status);
