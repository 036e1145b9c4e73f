/* SPDX-License-Identifier: MIT */
/* The forms of the queues' packets; forms.c has those of timerd's packets. */
#include "queue_forms.h"

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

static const struct field queue_hello_fields[] = {
	NUMBER(proto_queue_hello, magic),
	NUMBER(proto_queue_hello, version),
	NUMBER(proto_queue_hello, reserved),
	NUMBER(proto_queue_hello, capabilities),
	TEXT(proto_queue_hello, token),
	NUMBER(proto_queue_hello, answered),
};

static const struct field queue_open_fields[] = {
	NUMBER(proto_queue_open, uid),
	NUMBER(proto_queue_open, name_size),
	NUMBER(proto_queue_open, reserved),
	NUMBER(proto_queue_open, name),
	NUMBER(proto_queue_open, reserved2),
};

static const struct field queue_put_fields[] = {
	NUMBER(proto_queue_put, due),
	NUMBER(proto_queue_put, slack),
	NUMBER(proto_queue_put, every),
	NUMBER(proto_queue_put, max_late),
	NUMBER(proto_queue_put, count),
	NUMBER(proto_queue_put, max_attempts),
	NUMBER(proto_queue_put, queue),
	NUMBER(proto_queue_put, clock),
	NUMBER(proto_queue_put, flags),
	NUMBER(proto_queue_put, key_size),
	NUMBER(proto_queue_put, data),
	NUMBER(proto_queue_put, payload_size),
	TEXT(proto_queue_put, label),
};

static const struct field queue_cancel_fields[] = {
	NUMBER(proto_queue_cancel, id),
	NUMBER(proto_queue_cancel, queue),
	NUMBER(proto_queue_cancel, key),
	NUMBER(proto_queue_cancel, key_size),
	TEXT(proto_queue_cancel, reserved),
};

static const struct field queue_reschedule_fields[] = {
	NUMBER(proto_queue_reschedule, id),
	NUMBER(proto_queue_reschedule, due),
	NUMBER(proto_queue_reschedule, slack),
	NUMBER(proto_queue_reschedule, every),
	NUMBER(proto_queue_reschedule, count),
	NUMBER(proto_queue_reschedule, queue),
	NUMBER(proto_queue_reschedule, key),
	NUMBER(proto_queue_reschedule, key_size),
	NUMBER(proto_queue_reschedule, flags),
	NUMBER(proto_queue_reschedule, reserved),
};

static const struct field queue_consume_fields[] = {
	NUMBER(proto_queue_consume, queue),
	NUMBER(proto_queue_consume, window),
	NUMBER(proto_queue_consume, max_attempts),
	NUMBER(proto_queue_consume, reserved),
	NUMBER(proto_queue_consume, ack_within),
};

static const struct field queue_detach_fields[] = {
	NUMBER(proto_queue_detach, queue),
	NUMBER(proto_queue_detach, reserved),
};

static const struct field queue_ack_fields[] = {
	NUMBER(proto_queue_ack, id),
	NUMBER(proto_queue_ack, term),
	NUMBER(proto_queue_ack, number),
	NUMBER(proto_queue_ack, queue),
};

static const struct field queue_retry_fields[] = {
	NUMBER(proto_queue_retry, id),
	NUMBER(proto_queue_retry, term),
	NUMBER(proto_queue_retry, delay),
	NUMBER(proto_queue_retry, number),
	NUMBER(proto_queue_retry, queue),
};

static const struct field queue_revive_fields[] = {
	NUMBER(proto_queue_revive, id),
	NUMBER(proto_queue_revive, queue),
	NUMBER(proto_queue_revive, reserved),
};

static const struct field queue_list_fields[] = {
	NUMBER(proto_queue_list, queue),
	NUMBER(proto_queue_list, flags),
};

static const struct field queue_queues_fields[] = {
	NUMBER(proto_queue_queues, flags),
	NUMBER(proto_queue_queues, reserved),
};

static const struct field queue_hello_answer_fields[] = {
	NUMBER(proto_queue_hello_answer, magic),
	NUMBER(proto_queue_hello_answer, version),
	NUMBER(proto_queue_hello_answer, reserved),
	NUMBER(proto_queue_hello_answer, capabilities),
	NUMBER(proto_queue_hello_answer, instance),
	NUMBER(proto_queue_hello_answer, pid),
	NUMBER(proto_queue_hello_answer, history),
};

static const struct field queue_opened_fields[] = {
	NUMBER(proto_queue_opened, queue),
	NUMBER(proto_queue_opened, status),
};

static const struct field queue_stored_fields[] = {
	NUMBER(proto_queue_stored, id),
	NUMBER(proto_queue_stored, due),
	NUMBER(proto_queue_stored, status),
	NUMBER(proto_queue_stored, flags),
};

static const struct field queue_done_fields[] = {
	NUMBER(proto_queue_done, id),
	NUMBER(proto_queue_done, status),
	NUMBER(proto_queue_done, reserved),
};

static const struct field queue_listed_fields[] = {
	NUMBER(proto_queue_listed, id),
	NUMBER(proto_queue_listed, due),
	NUMBER(proto_queue_listed, left),
	NUMBER(proto_queue_listed, slack),
	NUMBER(proto_queue_listed, every),
	NUMBER(proto_queue_listed, fired),
	NUMBER(proto_queue_listed, count),
	NUMBER(proto_queue_listed, attempt),
	NUMBER(proto_queue_listed, payload_size),
	NUMBER(proto_queue_listed, key),
	NUMBER(proto_queue_listed, key_size),
	NUMBER(proto_queue_listed, clock),
	NUMBER(proto_queue_listed, flags),
	NUMBER(proto_queue_listed, state),
	TEXT(proto_queue_listed, reserved),
	TEXT(proto_queue_listed, label),
};

static const struct field queue_info_fields[] = {
	NUMBER(proto_queue_info, timers),
	NUMBER(proto_queue_info, due),
	NUMBER(proto_queue_info, unacked),
	NUMBER(proto_queue_info, parked),
	NUMBER(proto_queue_info, consumers),
	NUMBER(proto_queue_info, oldest),
	NUMBER(proto_queue_info, next),
	NUMBER(proto_queue_info, term),
	NUMBER(proto_queue_info, uid),
	NUMBER(proto_queue_info, name),
	NUMBER(proto_queue_info, name_size),
	NUMBER(proto_queue_info, host_size),
	NUMBER(proto_queue_info, host),
};

static const struct field queue_status_answer_fields[] = {
	TEXT(proto_queue_status_answer, version),
	NUMBER(proto_queue_status_answer, uptime),
	NUMBER(proto_queue_status_answer, clients),
	NUMBER(proto_queue_status_answer, queues),
	NUMBER(proto_queue_status_answer, timers),
	NUMBER(proto_queue_status_answer, unacked),
	NUMBER(proto_queue_status_answer, parked),
	NUMBER(proto_queue_status_answer, stored),
	NUMBER(proto_queue_status_answer, delivered),
	NUMBER(proto_queue_status_answer, acknowledged),
	NUMBER(proto_queue_status_answer, retried),
	NUMBER(proto_queue_status_answer, missed),
	NUMBER(proto_queue_status_answer, dropped),
	NUMBER(proto_queue_status_answer, refused),
	NUMBER(proto_queue_status_answer, pid),
	NUMBER(proto_queue_status_answer, store),
	NUMBER(proto_queue_status_answer, clock_off),
	NUMBER(proto_queue_status_answer, standby),
};

static const struct field queue_wake_fields[] = {
	NUMBER(proto_queue_wake, id),
	NUMBER(proto_queue_wake, due),
	NUMBER(proto_queue_wake, late),
	NUMBER(proto_queue_wake, overruns),
	NUMBER(proto_queue_wake, term),
	NUMBER(proto_queue_wake, number),
	NUMBER(proto_queue_wake, attempt),
	NUMBER(proto_queue_wake, queue),
	NUMBER(proto_queue_wake, data),
	NUMBER(proto_queue_wake, payload_size),
	NUMBER(proto_queue_wake, key_size),
	NUMBER(proto_queue_wake, clock),
	NUMBER(proto_queue_wake, flags),
	TEXT(proto_queue_wake, label),
};

static const struct field queue_lost_fields[] = {
	NUMBER(proto_queue_lost, queue),
	NUMBER(proto_queue_lost, status),
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

const struct form queue_forms[] = {
	{"queue hello", 0x20, sizeof(struct proto_queue_hello), 1, queue_hello_fields,
		COUNT(queue_hello_fields)},
	{"open", 0x21, sizeof(struct proto_queue_open), PROTO_RECORDS_MAX(struct proto_queue_open),
		queue_open_fields, COUNT(queue_open_fields)},
	{"put", 0x22, sizeof(struct proto_queue_put), PROTO_RECORDS_MAX(struct proto_queue_put),
		queue_put_fields, COUNT(queue_put_fields)},
	{"queue cancel", 0x23, sizeof(struct proto_queue_cancel),
		PROTO_RECORDS_MAX(struct proto_queue_cancel), queue_cancel_fields,
		COUNT(queue_cancel_fields)},
	{"reschedule", 0x24, sizeof(struct proto_queue_reschedule),
		PROTO_RECORDS_MAX(struct proto_queue_reschedule), queue_reschedule_fields,
		COUNT(queue_reschedule_fields)},
	{"consume", 0x25, sizeof(struct proto_queue_consume), 1, queue_consume_fields,
		COUNT(queue_consume_fields)},
	{"detach", 0x26, sizeof(struct proto_queue_detach), 1, queue_detach_fields,
		COUNT(queue_detach_fields)},
	{"acknowledge", 0x27, sizeof(struct proto_queue_ack),
		PROTO_RECORDS_MAX(struct proto_queue_ack), queue_ack_fields,
		COUNT(queue_ack_fields)},
	{"retry", 0x28, sizeof(struct proto_queue_retry),
		PROTO_RECORDS_MAX(struct proto_queue_retry), queue_retry_fields,
		COUNT(queue_retry_fields)},
	{"revive", 0x29, sizeof(struct proto_queue_revive),
		PROTO_RECORDS_MAX(struct proto_queue_revive), queue_revive_fields,
		COUNT(queue_revive_fields)},
	{"purge", 0x2a, sizeof(struct proto_queue_list), 1, queue_list_fields,
		COUNT(queue_list_fields)},
	{"queue list", 0x2b, sizeof(struct proto_queue_list), 1, queue_list_fields,
		COUNT(queue_list_fields)},
	{"queues", 0x2c, sizeof(struct proto_queue_queues), 1, queue_queues_fields,
		COUNT(queue_queues_fields)},
	{"queue status", 0x2d, 0, 0, NULL, 0},
	{"queue hello answer", 0xa0, sizeof(struct proto_queue_hello_answer), 1,
		queue_hello_answer_fields, COUNT(queue_hello_answer_fields)},
	{"open answer", 0xa1, sizeof(struct proto_queue_opened),
		PROTO_RECORDS_MAX(struct proto_queue_open), queue_opened_fields,
		COUNT(queue_opened_fields)},
	{"put answer", 0xa2, sizeof(struct proto_queue_stored),
		PROTO_RECORDS_MAX(struct proto_queue_stored), queue_stored_fields,
		COUNT(queue_stored_fields)},
	{"queue cancel answer", 0xa3, sizeof(struct proto_queue_done),
		PROTO_RECORDS_MAX(struct proto_queue_done), queue_done_fields,
		COUNT(queue_done_fields)},
	{"reschedule answer", 0xa4, sizeof(struct proto_queue_stored),
		PROTO_RECORDS_MAX(struct proto_queue_stored), queue_stored_fields,
		COUNT(queue_stored_fields)},
	{"consume answer", 0xa5, sizeof(struct proto_queue_done), 1, queue_done_fields,
		COUNT(queue_done_fields)},
	{"detach answer", 0xa6, sizeof(struct proto_queue_done), 1, queue_done_fields,
		COUNT(queue_done_fields)},
	{"acknowledge answer", 0xa7, sizeof(struct proto_queue_done),
		PROTO_RECORDS_MAX(struct proto_queue_done), queue_done_fields,
		COUNT(queue_done_fields)},
	{"retry answer", 0xa8, sizeof(struct proto_queue_done),
		PROTO_RECORDS_MAX(struct proto_queue_done), queue_done_fields,
		COUNT(queue_done_fields)},
	{"revive answer", 0xa9, sizeof(struct proto_queue_done),
		PROTO_RECORDS_MAX(struct proto_queue_done), queue_done_fields,
		COUNT(queue_done_fields)},
	{"purge answer", 0xaa, sizeof(struct proto_queue_done), 1, queue_done_fields,
		COUNT(queue_done_fields)},
	{"queue list answer", 0xab, sizeof(struct proto_queue_listed),
		PROTO_RECORDS_MAX(struct proto_queue_listed), queue_listed_fields,
		COUNT(queue_listed_fields)},
	{"queues answer", 0xac, sizeof(struct proto_queue_info),
		PROTO_RECORDS_MAX(struct proto_queue_info), queue_info_fields,
		COUNT(queue_info_fields)},
	{"queue status answer", 0xad, sizeof(struct proto_queue_status_answer), 1,
		queue_status_answer_fields, COUNT(queue_status_answer_fields)},
	{"queue wake", 0x120, sizeof(struct proto_queue_wake),
		PROTO_RECORDS_MAX(struct proto_queue_wake), queue_wake_fields,
		COUNT(queue_wake_fields)},
	{"queue lost", 0x121, sizeof(struct proto_queue_lost), 1, queue_lost_fields,
		COUNT(queue_lost_fields)},
	{"going away", 0x102, sizeof(struct proto_going_away), 1, going_away_fields,
		COUNT(going_away_fields)},
	{"error", 0x103, sizeof(struct proto_error), 1, error_fields, COUNT(error_fields)},
};
const size_t n_queue_forms = COUNT(queue_forms);
