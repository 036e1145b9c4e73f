/* SPDX-License-Identifier: MIT */
/*
 * The least that a service over SOCK_SEQPACKET can be: a process that answers at once, in place of
 * a daemon. What timerd costs beyond it is timerd's; what it costs itself is the kernel's.
 */
#pragma once

#include <stddef.h>

/* Starts a process that serves one connection until it is closed. Return: our end of it. */
int relay_start(void (*serve)(int fd));

/* Answers each packet by as many records of a registration's answer as there are registrations in
 * it. */
void relay_echo(int fd);

/* The same, asking epoll before each packet, as everything with more than one client has to. */
void relay_echo_epoll(int fd);

/* Takes instants (ns, CLOCK_MONOTONIC, 8 bytes), sleeps in epoll until then and sends one back. */
void relay_wake(int fd);

void relay_send(int fd, const void *packet, size_t size);
size_t relay_receive(int fd, void *packet, size_t size);
