/* SPDX-License-Identifier: MIT */
/* A table of fields for each struct, and a line for each kind of packet. */
#include "forms.h"

#include <string.h>

#define NUMBER(type, member)                                                                   \
	{                                                                                      \
#		member, offsetof(struct type, member), sizeof(((struct type *)NULL)->member), \
			false                                                                  \
	}
#define TEXT(type, member)                                                                     \
	{                                                                                      \
#		member, offsetof(struct type, member), sizeof(((struct type *)NULL)->member), \
			true                                                                   \
	}
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct field header_fields[] = {
	NUMBER(proto_header, opcode),
	NUMBER(proto_header, record_size),
	NUMBER(proto_header, count),
	NUMBER(proto_header, status),
	NUMBER(proto_header, serial),
	NUMBER(proto_header, cursor),
};
const size_t n_header_fields = COUNT(header_fields);

static const struct field hello_fields[] = {
	NUMBER(proto_hello, magic),
	NUMBER(proto_hello, version),
	NUMBER(proto_hello, reserved),
	NUMBER(proto_hello, capabilities),
};

static const struct field hello_answer_fields[] = {
	NUMBER(proto_hello_answer, magic),
	NUMBER(proto_hello_answer, version),
	NUMBER(proto_hello_answer, reserved),
	NUMBER(proto_hello_answer, capabilities),
	NUMBER(proto_hello_answer, instance),
	NUMBER(proto_hello_answer, pid),
	NUMBER(proto_hello_answer, reserved2),
};

static const struct field register_fields[] = {
	NUMBER(proto_register, cookie),
	NUMBER(proto_register, due),
	NUMBER(proto_register, slack),
	NUMBER(proto_register, every),
	NUMBER(proto_register, count),
	NUMBER(proto_register, clock),
	NUMBER(proto_register, flags),
	NUMBER(proto_register, reserved),
	TEXT(proto_register, label),
};

static const struct field registered_fields[] = {
	NUMBER(proto_registered, id),
	NUMBER(proto_registered, due),
	NUMBER(proto_registered, status),
	NUMBER(proto_registered, reserved),
};

static const struct field cancel_fields[] = {
	NUMBER(proto_cancel, id),
};

static const struct field cancel_answer_fields[] = {
	NUMBER(proto_cancel_answer, id),
	NUMBER(proto_cancel_answer, status),
	NUMBER(proto_cancel_answer, reserved),
};

static const struct field rearm_fields[] = {
	NUMBER(proto_rearm, id),
	NUMBER(proto_rearm, due),
	NUMBER(proto_rearm, slack),
	NUMBER(proto_rearm, every),
	NUMBER(proto_rearm, count),
	NUMBER(proto_rearm, flags),
	TEXT(proto_rearm, reserved),
};

static const struct field list_fields[] = {
	NUMBER(proto_list, flags),
	NUMBER(proto_list, reserved),
};

static const struct field match_fields[] = {
	NUMBER(proto_match, flags),
	NUMBER(proto_match, uid),
	TEXT(proto_match, label),
};

static const struct field listed_fields[] = {
	NUMBER(proto_listed, id),
	NUMBER(proto_listed, cookie),
	NUMBER(proto_listed, due),
	NUMBER(proto_listed, left),
	NUMBER(proto_listed, slack),
	NUMBER(proto_listed, every),
	NUMBER(proto_listed, fired),
	NUMBER(proto_listed, count),
	NUMBER(proto_listed, uid),
	NUMBER(proto_listed, pid),
	NUMBER(proto_listed, clock),
	NUMBER(proto_listed, flags),
	TEXT(proto_listed, reserved),
	TEXT(proto_listed, comm),
	TEXT(proto_listed, label),
};

static const struct field status_answer_fields[] = {
	TEXT(proto_status_answer, version),
	NUMBER(proto_status_answer, uptime),
	NUMBER(proto_status_answer, clients),
	NUMBER(proto_status_answer, timers),
	NUMBER(proto_status_answer, next),
	NUMBER(proto_status_answer, registered),
	NUMBER(proto_status_answer, woken),
	NUMBER(proto_status_answer, cancelled),
	NUMBER(proto_status_answer, refused),
	NUMBER(proto_status_answer, wakeups),
	NUMBER(proto_status_answer, late_p50),
	NUMBER(proto_status_answer, late_p99),
	NUMBER(proto_status_answer, late_max),
	NUMBER(proto_status_answer, restarts),
	NUMBER(proto_status_answer, adopted_sessions),
	NUMBER(proto_status_answer, adopted_timers),
	NUMBER(proto_status_answer, dropped_records),
	NUMBER(proto_status_answer, pid),
	NUMBER(proto_status_answer, warnings),
};

static const struct field wake_fields[] = {
	NUMBER(proto_wake, cookie),
	NUMBER(proto_wake, id),
	NUMBER(proto_wake, due),
	NUMBER(proto_wake, late),
	NUMBER(proto_wake, overruns),
	NUMBER(proto_wake, number),
	NUMBER(proto_wake, flags),
};

static const struct field cancelled_fields[] = {
	NUMBER(proto_cancelled, cookie),
	NUMBER(proto_cancelled, id),
};

static const struct field resumed_fields[] = {
	NUMBER(proto_resumed, serial),
};

static const struct field going_away_fields[] = {
	NUMBER(proto_going_away, reason),
	NUMBER(proto_going_away, reserved),
};

static const struct field error_fields[] = {
	NUMBER(proto_error, status),
	NUMBER(proto_error, reserved),
	NUMBER(proto_error, serial),
	TEXT(proto_error, text),
};

/* The most that fit are counted by hand: (65536 - 24) / size; of cancel, what its answer holds. */
#define FORM(text, op, type, count, table)                                \
	{                                                                 \
		text, op, sizeof(struct type), count, table, COUNT(table) \
	}

const struct form forms[] = {
	FORM("hello", 1, proto_hello, 1, hello_fields),
	FORM("register", 2, proto_register, 1023, register_fields),
	FORM("cancel", 3, proto_cancel, 4094, cancel_fields),
	FORM("rearm", 4, proto_rearm, 1637, rearm_fields),
	FORM("list", 5, proto_list, 1, list_fields),
	{"status", 6, 0, 0, NULL, 0},
	FORM("cancel matching", 7, proto_match, 1, match_fields),
	FORM("list matching", 8, proto_match, 1, match_fields),
	FORM("hello answer", 0x81, proto_hello_answer, 1, hello_answer_fields),
	FORM("register answer", 0x82, proto_registered, 2729, registered_fields),
	FORM("cancel answer", 0x83, proto_cancel_answer, 4094, cancel_answer_fields),
	FORM("rearm answer", 0x84, proto_registered, 2729, registered_fields),
	FORM("list answer", 0x85, proto_listed, 584, listed_fields),
	FORM("status answer", 0x86, proto_status_answer, 1, status_answer_fields),
	FORM("cancel matching answer", 0x87, proto_cancelled, 4094, cancelled_fields),
	FORM("list matching answer", 0x88, proto_listed, 584, listed_fields),
	FORM("wake", 0x100, proto_wake, 1364, wake_fields),
	FORM("cancelled", 0x101, proto_cancelled, 4094, cancelled_fields),
	FORM("going away", 0x102, proto_going_away, 1, going_away_fields),
	FORM("error", 0x103, proto_error, 1, error_fields),
	FORM("resumed", 0x104, proto_resumed, 1, resumed_fields),
	{"clock set", 0x105, 0, 0, NULL, 0},
};
const size_t n_forms = COUNT(forms);

const struct form *form_find(uint16_t opcode)
{
	for (size_t i = 0; i < n_forms; i++)
		if (forms[i].opcode == opcode)
			return &forms[i];
	return NULL;
}

const struct field *field_find(const struct field *fields, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

uint64_t field_number(const struct field *field, const void *record)
{
	const uint8_t *at = (const uint8_t *)record + field->offset;
	uint64_t u64 = 0;
	uint32_t u32;
	uint16_t u16;

	switch (field->width) {
	case 1:
		return *at;
	case 2:
		memcpy(&u16, at, sizeof(u16));
		return u16;
	case 4:
		memcpy(&u32, at, sizeof(u32));
		return u32;
	case 8:
		memcpy(&u64, at, sizeof(u64));
	}
	return u64;
}
