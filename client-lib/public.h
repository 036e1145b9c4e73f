/* SPDX-License-Identifier: MIT */
/*
 * What libtoytimer.so exports.
 */
#pragma once

/* Marks an exported function. libtoytimer.sym lists the same functions. */
#define _public_ __attribute__((__visibility__("default")))
