/* SPDX-License-Identifier: MIT */
/*
 * What client.c defines for clients.c only: see client.h for the structures.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "limits.h"
#include "turns.h"

struct client;
struct clients;

/* Sends one packet, and counts its unread bytes and the time of the call.
 * Return: 0, or a negative errno. */
int client_send(struct clients *clients, uint32_t session, const void *packet, size_t size);

/* The limits that the rules give to the client of a connection. */
struct limits_own client_own_limits(const struct clients *clients, int fd, uint32_t uid);

/* The queue of sessions to be read from. */
struct turns client_turns(struct clients *clients);

/* Resets the record of a session. fd: its connection; 0: the session has none. */
void client_reset(struct clients *clients, uint32_t session, int fd);

/* Ends the session and closes its connection. */
void client_close(struct clients *clients, uint32_t session);

/* Makes epoll watch for what the session can do now. operation: EPOLL_CTL_ADD or EPOLL_CTL_MOD.
 * Return: 0, or a negative errno. */
int client_watch(struct clients *clients, uint32_t session, int operation);

/* Asks the kernel how many bytes the client has not read. Return: that number, or
 * SEQPACKET_UNREAD_UNKNOWN. */
uint32_t client_update_unread(struct client *client);
