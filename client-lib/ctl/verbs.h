/* SPDX-License-Identifier: MIT */
/* The verbs, for main.c only. argv[0] is the verb. They return an exit status. */
#pragma once

#include "ctl.h"

int verb_register(struct ctl *ctl, int argc, char **argv);
int verb_list(struct ctl *ctl, int argc, char **argv);
int verb_cancel(struct ctl *ctl, int argc, char **argv);
int verb_status(struct ctl *ctl, int argc, char **argv);
int verb_consume(struct ctl *ctl, int argc, char **argv);
int verb_queues(struct ctl *ctl, int argc, char **argv);
int verb_retry(struct ctl *ctl, int argc, char **argv);
int verb_purge(struct ctl *ctl, int argc, char **argv);
