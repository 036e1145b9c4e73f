/* SPDX-License-Identifier: MIT */
/*
 * What the daemon does with a SOCK_SEQPACKET socket of AF_UNIX. No function here waits.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Sends one packet without SIGPIPE. Return: 0, or a negative errno. */
int seqpacket_send(int fd, const void *packet, size_t size);

/*
 * Receives one packet.
 * Return: its size in bytes; more than size if the packet did not fit; -EAGAIN: there is none;
 * -EBADMSG: the peer passed a descriptor with the packet; another negative errno.
 */
ssize_t seqpacket_receive(int fd, void *packet, size_t size);

/*
 * Closes a connection after a last packet to its peer. First discards at most `most` packets that
 * the peer sent and nobody read: with such packets in its queue, the kernel reports a reset to the
 * peer before the last packet.
 * Return: how many packets were discarded.
 */
uint32_t seqpacket_discard_and_close(int fd, uint32_t most);

/* How many packets of a refused client are discarded. A client that waits for the answer to its
 * hello sends fewer. A client that sends more sees a reset before it sees the reason. */
#define SEQPACKET_OF_REFUSED 8

/*
 * Ends and closes a connection in another thread, because its peer has made calls on it slow. The
 * peer sees the end even if another process, such as systemd, still has the descriptor. If that
 * thread cannot be started, or if too many connections wait for it, the caller's thread closes the
 * connection. Any thread may call this.
 */
void seqpacket_close_aside(int fd);

/*
 * Makes the kernel refuse to pass descriptors to this connection, or to all connections of this
 * listener (since Linux 6.16; earlier kernels ignore it). Without this, timerd would have to close
 * each passed descriptor. The sender chooses how long that takes: a lingering TCP connection can
 * take an hour.
 */
void seqpacket_forbid_descriptors(int fd);

/* seqpacket_unread() cannot find out the number of bytes. */
#define SEQPACKET_UNREAD_UNKNOWN INT32_MAX

/* Return: the bytes that the peer has not read yet, with the kernel's overhead for each packet;
 * SEQPACKET_UNREAD_UNKNOWN: the kernel does not say. */
uint32_t seqpacket_unread(int fd);

/* Return: whether the peer has closed its end. A received size of 0 does not say so: a peer may
 * send an empty packet. */
bool seqpacket_has_hung_up(int fd);

/* Return: the number of the socket, unique until the next boot; 0: the kernel does not say. */
uint64_t seqpacket_cookie(int fd);
