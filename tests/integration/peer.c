/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char directory[64];
char peer_path[96];
static int listener;

ssize_t peer_receive_bytes(struct peer *p)
{
	return recv(p->fd, p->in, sizeof(p->in), 0);
}

bool peer_receive(struct peer *p)
{
	ssize_t n = peer_receive_bytes(p);

	return n > 0 && codec_open(p->in, (size_t)n, CODEC_FROM_CLIENT, &p->header) == CODEC_OK;
}

void peer_send(struct peer *p, size_t n)
{
	(void)!send(p->fd, p->out, n, MSG_NOSIGNAL);
}

/* A packet of n times the same record. */
void peer_say(struct peer *p, uint16_t opcode, uint64_t serial, size_t n, const void *record)
{
	struct codec_writer w;

	codec_begin(&w, p->out, opcode, serial);
	while (n-- > 0)
		codec_put(&w, record, w.header.record_size);
	peer_send(p, codec_end(&w, 0));
}

void peer_say_hello(struct peer *p, uint32_t magic, uint16_t version)
{
	struct proto_hello_answer hello = {.magic = magic, .version = version, .instance = 1};

	peer_say(p, PROTO_HELLO | PROTO_ANSWER, p->header.serial, 1, &hello);
}

void peer_say_registered(struct peer *p, uint64_t serial, size_t n, uint64_t id)
{
	struct proto_registered answer = {.id = id};

	peer_say(p, PROTO_REGISTER | PROTO_ANSWER, serial, n, &answer);
}

void peer_say_wake(struct peer *p, uint64_t cookie, uint32_t number, uint32_t flags)
{
	struct proto_wake wake = {.cookie = cookie, .id = 7, .number = number, .flags = flags};

	peer_say(p, PROTO_WAKE, 0, 1, &wake);
}

void peer_say_error(struct peer *p, uint32_t status)
{
	struct proto_error error = {.status = status, .text = "for people"};

	peer_say(p, PROTO_ERROR, 0, 1, &error);
}

void peer_say_resumed(struct peer *p, uint64_t serial)
{
	peer_say(p, PROTO_RESUMED, 0, 1, &(struct proto_resumed){.serial = serial});
}

bool peer_greet(struct peer *p)
{
	if (!peer_receive(p))
		return false;
	peer_say_hello(p, PROTO_MAGIC, PROTO_VERSION);
	if (!peer_receive(p) || p->header.opcode != PROTO_REGISTER)
		return false;
	codec_get(p->in, &p->header, 0, &p->registered, sizeof(p->registered));
	return true;
}

struct peer *peer_accept(void)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return p;
}

/* Waits until the other side has closed. */
void peer_end(struct peer *p, bool linger)
{
	while (linger && recv(p->fd, p->in, sizeof(p->in), 0) > 0)
		;
	close(p->fd);
	free(p);
}

static struct sockaddr_un address;

void peer_poke(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	(void)!connect(fd, (const struct sockaddr *)&address, sizeof(address));
	close(fd);
}

int peer_start(void **state)
{
	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/timerd-test-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(peer_path, sizeof(peer_path), "%s/socket", directory);
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, peer_path, sizeof(peer_path));
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	return 0;
}

int peer_stop(void **state)
{
	(void)state;
	close(listener);
	unlink(peer_path);
	rmdir(directory);
	return 0;
}
