/* SPDX-License-Identifier: MIT */
/*
 * A client that speaks the wire itself, without the library: it can say what no library would, and
 * it sees each packet as it came. What goes wrong in here or in check() fails the cmocka test, or,
 * in a process that wire_fork() made, ends that process with a line on standard error and status 1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "codec.h"

/* Longer than anything here takes on a loaded machine under a sanitizer. */
#define WIRE_PATIENCE_MS 20000

struct wire {
	int fd;
	uint64_t serial; /* of the last request */
	size_t size;	 /* of the packet received last; 0: end of file */
	struct proto_header header;
	struct codec_writer writer;
	uint8_t out[PROTO_PACKET_MAX];
	uint8_t in[PROTO_PACKET_MAX];
};

#define check(condition) wire_check(condition, #condition, __FILE__, __LINE__)
void wire_check(bool holds, const char *text, const char *file, int line);

/* Connects; wire_open() says hello, too, and reads the answer. */
void wire_connect(struct wire *w, const char *path);
void wire_open(struct wire *w, const char *path);

/* The same without waiting in the kernel: it tries again after `pause` microseconds while the
 * backlog is full, as toytimer_process() does. */
void wire_open_by_retries(struct wire *w, const char *path, uint64_t pause);
void wire_close(struct wire *w);

/* A request with the next serial. */
void wire_begin(struct wire *w, enum proto_opcode opcode);
void wire_put(struct wire *w, const void *record);
void wire_end(struct wire *w, uint64_t cursor);
/* The three of them, with n records, which lie in an array of that stride. */
void wire_request(struct wire *w, enum proto_opcode opcode, const void *records, size_t n);

/* Sends any bytes as one packet. Return: whether the other end was there to take it. */
bool wire_send(struct wire *w, const void *packet, size_t size);

/* The same with n descriptors. Return: whether they are on their way: where the kernel can, it was
 * asked not to let them. */
bool wire_pass(struct wire *w, const void *packet, size_t size, int n);

/* The most that the kernel passes at once. */
#define WIRE_PASS_MAX 253

/* Waits for a packet, or for the end of file, for so long. Return: false if nothing came. */
bool wire_wait(struct wire *w, int timeout_ms);
/* Receives a packet that must be of this opcode, and from the daemon, and well-formed. */
void wire_expect(struct wire *w, unsigned int opcode);
void wire_expect_end(struct wire *w);
/* Receives an error event that must say exactly this, and then the end of file. text: NULL: any. */
void wire_expect_error(struct wire *w, enum proto_status status, uint64_t serial, const char *text);
void wire_get(const struct wire *w, uint32_t i, void *ret);

/* Asks for the daemon's status, on a connection of its own. */
void wire_status(const char *path, struct proto_status_answer *ret);
/* Waits until the daemon says that it holds so many timers; or clients, who asks left out. */
void wire_await_timers(const char *path, uint64_t timers);
void wire_await_clients(const char *path, uint64_t clients);

/* Microseconds of a clock of the wire's. */
uint64_t wire_now(enum proto_clock clock);
void wire_sleep_us(uint64_t us);

/* A child that dies with its parent; 0 in it. */
pid_t wire_fork(void);
/* The child's end must be a good one. */
void wire_join(pid_t pid);
