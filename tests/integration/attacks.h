/* SPDX-License-Identifier: MIT */
/*
 * What a user can do to delay other users. Each function attacks until its process is killed,
 * unless it says otherwise.
 */
#pragma once

#include "wire.h"

/* --max-clients-per-user, if not told otherwise. */
#define ATTACK_CLIENTS 64

/* 64 clients that keep full packets of re-armings on their way. */
void attack_rearm(const char *path);

/* Connections above the limit, filled with empty packets before they are refused. */
void attack_refusals(const char *path);

/* The same re-armings, and a backlog that is always full. */
void attack_backlog(const char *path);

/* The two attacks that make timerd's own calls on a socket slow: a socket filter, and many epoll
 * entries. They return when timerd ends the connection. */
void attack_filter(const char *path);
void attack_epoll(const char *path);

/* Opens connections without a hello, watches them through as many epoll entries, and ends them all.
 * To close the other end is slow as long as this process lives. */
void attack_closes(const char *path);
