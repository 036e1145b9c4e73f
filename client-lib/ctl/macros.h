/* SPDX-License-Identifier: MIT */
/*
 * Attributes of the compiler that the files of toytimerctl share.
 */
#pragma once

#define _printf_(a, b) __attribute__((__format__(__printf__, a, b)))
#define _cleanup_(f)   __attribute__((__cleanup__(f)))
