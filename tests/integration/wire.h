/* SPDX-License-Identifier: MIT */
/*
 * A client that speaks the protocol itself, without the library. It can send what no library sends,
 * and it sees each packet. A failure in these functions or in check() fails the cmocka test. In a
 * process that wire_fork() made, it ends that process with a line on standard error and status 1.
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
	size_t size;	 /* of the last packet that was received; 0: end of file */
	struct proto_header header;
	struct codec_writer writer;
	uint8_t out[PROTO_PACKET_MAX];
	uint8_t in[PROTO_PACKET_MAX];
};

#define check(condition) wire_check(condition, #condition, __FILE__, __LINE__)
void wire_check(bool holds, const char *text, const char *file, int line);

/* Connects. wire_open() also says hello and reads the answer. */
void wire_connect(struct wire *w, const char *path);
void wire_open(struct wire *w, const char *path);

/* The same without waiting in the kernel: while the backlog is full, it tries again after `pause`
 * microseconds, as toytimer_process() does. */
void wire_open_by_retries(struct wire *w, const char *path, uint64_t pause);
void wire_close(struct wire *w);

/* Make and send a request with the next serial. */
void wire_begin(struct wire *w, enum proto_opcode opcode);
void wire_put(struct wire *w, const void *record);
void wire_end(struct wire *w, uint64_t cursor);
/* Calls these three for a request of n records, which lie in an array. */
void wire_request(struct wire *w, enum proto_opcode opcode, const void *records, size_t n);

/* Sends any bytes as one packet. Return: false if the other end has closed the connection. */
bool wire_send(struct wire *w, const void *packet, size_t size);

/* The same with n descriptors. Return: false if the kernel refused them, as it can since Linux
 * 6.16. */
bool wire_pass(struct wire *w, const void *packet, size_t size, int n);

/* The most that the kernel passes at once. */
#define WIRE_PASS_MAX 253

/* Waits for a packet or for the end of file. Return: false if nothing came in time. */
bool wire_wait(struct wire *w, int timeout_ms);
/* Receives a packet, which must be well-formed, from the daemon, and of this opcode. */
void wire_expect(struct wire *w, unsigned int opcode);
void wire_expect_end(struct wire *w);
/* Receives exactly this error event, and then the end of file. text: NULL: any text. */
void wire_expect_error(struct wire *w, enum proto_status status, uint64_t serial, const char *text);
void wire_get(const struct wire *w, uint32_t i, void *ret);

/* Asks for the daemon's status, on a connection of its own. */
void wire_status(const char *path, struct proto_status_answer *ret);
/* Waits until the daemon's status shows that many timers, or that many other clients. */
void wire_await_timers(const char *path, uint64_t timers);
void wire_await_clients(const char *path, uint64_t clients);

/* Microseconds of a clock of the protocol. */
uint64_t wire_now(enum proto_clock clock);
void wire_sleep_us(uint64_t us);

/* Forks a child that dies with its parent. Return: 0 in the child. */
pid_t wire_fork(void);
/* Waits for the child's end. The test fails unless its exit status is 0. */
void wire_join(pid_t pid);
