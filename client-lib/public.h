/* SPDX-License-Identifier: MIT */
#pragma once

/* Marks what libtoytimer.so exports; libtoytimer.sym lists the same. */
#define _public_ __attribute__((__visibility__("default")))
