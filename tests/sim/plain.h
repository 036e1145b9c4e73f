/* SPDX-License-Identifier: MIT */
/*
 * The rules for requests, written a second time in the plainest form of timerd-protocol(7), so
 * that the model does not depend on the codec.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "codec.h"

/* The labels that clients of the simulation use: the first ones are good, the others are not. */
#define PLAIN_LABELS_GOOD 5
#define PLAIN_LABELS	  12
void plain_label(unsigned int which, char label[static PROTO_LABEL_MAX]);

/* Whether these bytes are a request at all. */
bool plain_request(const void *packet, size_t size, struct proto_header *ret);

enum proto_status plain_register(const struct proto_register *r);
enum proto_status plain_match(const struct proto_match *m);
enum proto_status plain_rearm(const struct proto_rearm *r);
