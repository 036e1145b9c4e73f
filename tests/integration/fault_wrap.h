/* SPDX-License-Identifier: MIT */
/*
 * With -Wl,--wrap=read, whoever calls read() comes to __wrap_read(), and __real_read() is the C
 * library's: most such functions are alike, so they are made here.
 */
#pragma once

#include "fault.h"

/* A call that returns -1 and sets errno, or 0 for nothing. */
#define WRAP_AS(type, name, failed, parameters, arguments) \
	type __real_##name parameters;                     \
	type __wrap_##name parameters;                     \
	type __wrap_##name parameters                      \
	{                                                  \
		int fault = fault_use(FAULT_##name);       \
                                                           \
		if (fault)                                 \
			return failed;                     \
		return __real_##name arguments;            \
	}
#define WRAP(type, name, parameters, arguments) \
	WRAP_AS(type, name, fault < 0 ? 0 : -1, parameters, arguments)
