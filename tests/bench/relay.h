/* SPDX-License-Identifier: MIT */
/*
 * The simplest service over SOCK_SEQPACKET: a process that answers at once. Its cost is that of the
 * kernel; the additional cost of timerd is that of timerd itself.
 */
#pragma once

#include <stddef.h>

/* Starts a process that serves one connection until it is closed. Return: the other end. */
int relay_start(void (*serve)(int fd));

/* Answers each packet of registrations with a packet of as many answers. */
void relay_echo(int fd);

/* The same with an epoll_wait() before each packet, as every server for several clients needs. */
void relay_echo_epoll(int fd);

/* Receives instants (ns, CLOCK_MONOTONIC, 8 bytes), sleeps in epoll until then, and sends 8 bytes
 * back. */
void relay_wake(int fd);

void relay_send(int fd, const void *packet, size_t size);
size_t relay_receive(int fd, void *packet, size_t size);
