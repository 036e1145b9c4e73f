/* SPDX-License-Identifier: MIT */
#include "errors.h"

size_t errors_write(void *packet, enum proto_status status, uint64_t serial, const char *text)
{
	struct proto_error error = {.status = status, .serial = serial};
	struct codec_writer writer;

	for (size_t i = 0; i < sizeof(error.text) && text[i]; i++)
		error.text[i] = text[i];
	codec_begin(&writer, packet, PROTO_ERROR, 0);
	codec_put(&writer, &error, sizeof(error));
	return codec_end(&writer, 0);
}

const char *errors_text(enum proto_status status)
{
	switch (status) {
	case PROTO_E_CLIENTS:
		return "too many clients (--max-clients)";
	case PROTO_E_CLIENTS_USER:
		return "too many clients of this user (--max-clients-per-user)";
	case PROTO_E_DESCRIPTORS:
		return "timerd is out of file descriptors or memory";
	case PROTO_E_HELLO_TIMEOUT:
		return "no hello within 5 s";
	case PROTO_E_PASSED_DESCRIPTOR:
		return "a file descriptor came with a packet; timerd takes none";
	case PROTO_E_SLOW_SOCKETS:
		return "calls on this user's sockets take too long: wait 10 s";
	case PROTO_E_NOBODY:
		return "this uid is the overflow uid: it stands for every user without a name here";
	default:
		return "protocol error";
	}
}

const char *errors_limit(enum proto_status status)
{
	switch (status) {
	case PROTO_E_CLIENTS:
		return "--max-clients";
	case PROTO_E_CLIENTS_USER:
		return "--max-clients-per-user";
	case PROTO_E_TIMERS:
		return "--max-timers";
	case PROTO_E_TIMERS_USER:
		return "--max-timers-per-user";
	default:
		return NULL;
	}
}
