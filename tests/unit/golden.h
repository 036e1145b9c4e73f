/* SPDX-License-Identifier: MIT */
/*
 * The golden packets of the test that runs: read once, and gone through one by one. A test that
 * fails says at which packet.
 */
#pragma once

#include "codec.h"
#include "forms.h"
#include "vectors.h"

extern struct vectors vectors;

/* How the golden packets name the codec's faults. */
extern const char *const golden_fault_names[CODEC_FAULTS];

#define FOR_EACH_VECTOR(v) for (const struct vector *v = vectors.all; golden_next(v); v++)
bool golden_next(const struct vector *v);

/* The teardown of a test that uses FOR_EACH_VECTOR(). */
int golden_say_which(void **state);

/* Who sends the packet, and whether the codec has to accept it. */
enum codec_sender golden_sender(const struct vector *v);
bool golden_is_ok(const struct vector *v);

/* Compares a struct that was decoded with what the group's lines say, each field of it. */
void golden_compare(const struct vector *v, const struct vector_group *g,
	const struct field *fields, size_t n_fields, const void *record);

/* Before and after all tests of a program. argv[1]: the folder of the packets. Return: whether it
 * is named. */
bool golden_read(int argc, char **argv);
int golden_forget(void **state);

/* Runs the tests, for main(). Return: how many failed; 2: no folder is named. */
#define golden_run(argc, argv, tests) \
	(golden_read(argc, argv) ? cmocka_run_group_tests(tests, NULL, golden_forget) : 2)
