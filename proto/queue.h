/* SPDX-License-Identifier: MIT */
/*
 * The wire protocol between timerqd and its clients. timerqd-protocol(7) describes it in prose.
 *
 * It has the header, byte order, units and serials of proto.h. Two things are new:
 *
 *   - A packet may end with an area: bytes after its records, for keys, payloads and names. A
 *     record points to them with an offset from the area's start, and a size. The codec checks that
 *     all records of a packet point into its area before it gives out any record.
 *   - A request names a queue by the number that PROTO_QUEUE_OPEN assigned on this connection, so
 *     that a client sends a queue's name only once.
 *
 * A connection begins with PROTO_QUEUE_HELLO. Its magic differs from that of PROTO_HELLO, so each
 * daemon refuses the other daemon's clients at once.
 */
#pragma once

#include "proto.h"

/* "TTMQ", little-endian. */
#define PROTO_QUEUE_MAGIC   UINT32_C(0x514d5454)
#define PROTO_QUEUE_VERSION 1

#define PROTO_QUEUE_SOCKET_SYSTEM "/run/timerd/queues"
#define PROTO_QUEUE_SOCKET_USER	  "timerd/queues" /* below $XDG_RUNTIME_DIR */

#define PROTO_QUEUE_NAME_MAX	64    /* bytes; A-Z a-z 0-9 . _ - */
#define PROTO_QUEUE_KEY_MAX	64    /* bytes of printable UTF-8 */
#define PROTO_QUEUE_PAYLOAD_MAX 16384 /* bytes, of any kind */
#define PROTO_QUEUE_WINDOW_MAX	10000 /* unacknowledged wakes of a consumer */
#define PROTO_QUEUE_TOKEN_SIZE	16    /* bytes */
#define PROTO_QUEUE_OPEN_MAX	1024  /* queues that a connection may have open */

enum proto_queue_opcode {
	/* Requests. timerqd answers each with one packet: the same serial, opcode | PROTO_ANSWER.
	 */
	PROTO_QUEUE_HELLO = 0x20,
	PROTO_QUEUE_OPEN = 0x21,       /* assigns a number to a queue's name */
	PROTO_QUEUE_PUT = 0x22,	       /* header.cursor: the packet's number, see below */
	PROTO_QUEUE_CANCEL = 0x23,     /* by id or key */
	PROTO_QUEUE_RESCHEDULE = 0x24, /* by id or key */
	PROTO_QUEUE_CONSUME = 0x25,    /* this connection becomes a consumer */
	PROTO_QUEUE_DETACH = 0x26, /* its unacknowledged wakes go back to the queue; no attempt */
	PROTO_QUEUE_ACK = 0x27,
	PROTO_QUEUE_RETRY = 0x28,  /* a delivered wake comes again, later */
	PROTO_QUEUE_REVIVE = 0x29, /* a parked wake is due again */
	PROTO_QUEUE_PURGE = 0x2a, /* removes some timers; cursor of the answer: 1: there are more */
	PROTO_QUEUE_LIST = 0x2b,  /* the cursor is as in PROTO_LIST */
	PROTO_QUEUE_QUEUES = 0x2c, /* the cursor is as in PROTO_LIST */
	PROTO_QUEUE_STATUS = 0x2d,

	/* Events. Their serial is 0. PROTO_GOING_AWAY and PROTO_ERROR are those of proto.h. */
	PROTO_QUEUE_WAKE = 0x120,
	PROTO_QUEUE_LOST = 0x121, /* this connection is no consumer of that queue any more */
};

/* The result of a record, besides those of enum proto_status. 32 to 63 refuse one record. Cancel,
 * acknowledge and retry also use PROTO_E_NO_SUCH_TIMER. */
enum proto_queue_status {
	PROTO_Q_QUEUE = 32,	    /* no such queue number on this connection */
	PROTO_Q_NAME = 33,	    /* the name of the queue is not valid */
	PROTO_Q_KEY = 34,	    /* a key that is missing, too long, or not printable UTF-8 */
	PROTO_Q_PAYLOAD = 35,	    /* a payload over PROTO_QUEUE_PAYLOAD_MAX */
	PROTO_Q_WINDOW = 36,	    /* a window that is not in 1 to PROTO_QUEUE_WINDOW_MAX */
	PROTO_Q_BYTES_USER = 37,    /* the user has reached --max-bytes-per-user */
	PROTO_Q_USER = 38,	    /* this uid owns no queue: a dynamic or the overflow uid */
	PROTO_Q_STORE_FULL = 39,    /* no space: nothing was stored */
	PROTO_Q_STORE_FAILED = 40,  /* the store does not take writes after an I/O error */
	PROTO_Q_STORE_AWAY = 41,    /* the database cannot be reached */
	PROTO_Q_STORE_UNKNOWN = 42, /* not known whether stored: put again, same number */
	PROTO_Q_ATTACHED = 43,	    /* this connection is a consumer of that queue already */
	PROTO_Q_QUEUES = 44,	    /* this connection has opened PROTO_QUEUE_OPEN_MAX queues */
	PROTO_Q_PARKED = 45,	    /* the timer has no parked wake */
	PROTO_Q_FLEET = 46,	    /* a fleet has no monotonic clock and no WAKE_SYSTEM */
};

enum proto_queue_flag {
	/* PROTO_RELATIVE and PROTO_WAKE_SYSTEM keep their bits. */
	PROTO_QUEUE_KEEP = 1 << 4, /* put: a timer with this key stays as it is */
};

enum proto_queue_stored_flag {
	PROTO_QUEUE_REPLACED = 1 << 0, /* a timer with this key was replaced */
	PROTO_QUEUE_KEPT = 1 << 1,     /* it was kept; id and due are those of that timer */
};

enum proto_queue_list_flag {
	PROTO_QUEUE_PARKED = 1 << 0, /* list, purge: only parked wakes */
	PROTO_QUEUE_ALL = 1 << 1,    /* queues: of all users; root only */
};

/* A timer's state in a listing. */
enum proto_queue_state {
	PROTO_QUEUE_WAITING = 0,
	PROTO_QUEUE_HELD = 1, /* it waits for its clock: see broker_now::held */
	PROTO_QUEUE_DUE = 2,
	PROTO_QUEUE_UNACKED = 3,
	PROTO_QUEUE_IS_PARKED = 4,
};

/*
 * timerqd stores a put once, even if the client sends it again on another connection. The client
 * chooses a random token when it starts, and numbers its put packets from 1 on in header.cursor. In
 * the transaction of a put, the store also keeps the token, the number and the answer, for a day. A
 * client whose connection breaks sends its unanswered puts again, in order, with the same numbers.
 * If a number is stored already, timerqd sends the stored answer and stores nothing.
 */
struct proto_queue_hello {
	uint32_t magic;	  /* PROTO_QUEUE_MAGIC */
	uint16_t version; /* the highest that the client speaks */
	uint16_t reserved;
	uint64_t capabilities;
	uint8_t token[PROTO_QUEUE_TOKEN_SIZE]; /* all zeroes: repeated puts are not recognised */
	uint64_t answered; /* the client has the answers to its puts up to this number */
};

struct proto_queue_hello_answer {
	uint32_t magic;
	uint16_t version;
	uint16_t reserved;
	uint64_t capabilities;
	uint64_t instance; /* changes with each start of timerqd */
	uint32_t pid;
	/* Of a fleet's database. It changes with a failover, which may lose commits and may use ids
	 * again, so the client then forgets which wakes it has seen. 0: one host, or not known now.
	 */
	uint32_t history;
};

struct proto_queue_open {
	uint32_t uid; /* the owner; PROTO_QUEUE_OWN: the client. Another user: root only */
	uint16_t name_size;
	uint16_t reserved;
	uint32_t name; /* offset */
	uint32_t reserved2;
};
#define PROTO_QUEUE_OWN UINT32_MAX

struct proto_queue_opened {
	uint32_t queue; /* the queue's number on this connection, from 1; 0 if refused */
	uint32_t status;
};

struct proto_queue_put {
	uint64_t due; /* instant, or span with PROTO_RELATIVE */
	uint64_t slack;
	uint64_t every;
	uint64_t max_late;     /* of the first delivery; PROTO_FOREVER: no limit */
	uint32_t count;	       /* as in proto_register */
	uint32_t max_attempts; /* 0: the timer sets no limit */
	uint32_t queue;
	uint8_t clock;
	uint8_t flags;
	uint16_t key_size; /* 0: none */
	uint32_t data;	   /* offset: the key, then the payload */
	uint32_t payload_size;
	char label[PROTO_LABEL_MAX];
};

/* The answer to PROTO_QUEUE_PUT and PROTO_QUEUE_RESCHEDULE: one of these for each record, in the
 * same order. timerqd sends it when the records are on disk. */
struct proto_queue_stored {
	uint64_t id;  /* 0 if refused */
	uint64_t due; /* the next due, absolute on its clock */
	uint32_t status;
	uint32_t flags; /* enum proto_queue_stored_flag */
};

/* Names a timer of a queue: by key if key_size is not 0, else by id. */
struct proto_queue_cancel {
	uint64_t id;
	uint32_t queue;
	uint32_t key; /* offset */
	uint16_t key_size;
	uint8_t reserved[6];
};

/* The answer to cancel, acknowledge, retry, revive, consume, detach and purge: one of these for
 * each record, in the same order. */
struct proto_queue_done {
	uint64_t id; /* of the timer; purge: how many timers were removed; else 0 */
	uint32_t status;
	uint32_t reserved;
};

/* Names a timer like proto_queue_cancel. Id, key, clock, label and payload stay. The attempts start
 * again from the first. */
struct proto_queue_reschedule {
	uint64_t id;
	uint64_t due;
	uint64_t slack;
	uint64_t every;
	uint32_t count;
	uint32_t queue;
	uint32_t key; /* offset */
	uint16_t key_size;
	uint8_t flags; /* PROTO_RELATIVE */
	uint8_t reserved;
};

struct proto_queue_consume {
	uint32_t queue;
	uint32_t window;       /* 1 to PROTO_QUEUE_WINDOW_MAX */
	uint32_t max_attempts; /* 0: the consumer sets no limit */
	uint32_t reserved;
	uint64_t ack_within; /* 0: no limit */
};

struct proto_queue_detach {
	uint32_t queue;
	uint32_t reserved;
};

/* Names one wake. */
struct proto_queue_ack {
	uint64_t id;
	uint64_t term; /* as in the wake */
	uint32_t number;
	uint32_t queue;
};

struct proto_queue_retry {
	uint64_t id;
	uint64_t term;
	uint64_t delay; /* span from now */
	uint32_t number;
	uint32_t queue;
};

struct proto_queue_revive {
	uint64_t id;
	uint32_t queue;
	uint32_t reserved;
};

/* PROTO_QUEUE_PURGE and PROTO_QUEUE_LIST. */
struct proto_queue_list {
	uint32_t queue;
	uint32_t flags; /* enum proto_queue_list_flag */
};

struct proto_queue_listed {
	uint64_t id;
	uint64_t due;
	int64_t left; /* due - now; negative if the due has passed */
	uint64_t slack;
	uint64_t every;
	uint32_t fired; /* the number of the next wake, less 1 */
	uint32_t count;
	uint32_t attempt; /* deliveries of the next wake that counted, with the present one */
	uint32_t payload_size;
	uint32_t key; /* offset */
	uint16_t key_size;
	uint8_t clock;
	uint8_t flags; /* PROTO_WAKE_SYSTEM */
	uint8_t state; /* enum proto_queue_state */
	uint8_t reserved[7];
	char label[PROTO_LABEL_MAX];
};

/* PROTO_QUEUE_QUEUES. */
struct proto_queue_queues {
	uint32_t flags;
	uint32_t reserved;
};

struct proto_queue_info {
	uint64_t timers;
	uint64_t due; /* due and not acknowledged, delivered or not */
	uint64_t unacked;
	uint64_t parked;
	uint64_t consumers;
	uint64_t oldest; /* how late the oldest due wake is; PROTO_FOREVER: none is due */
	uint64_t next;	 /* until the next due; PROTO_FOREVER: none */
	uint64_t term;	 /* of the lease; 0 on one host */
	uint32_t uid;
	uint32_t name; /* offset */
	uint16_t name_size;
	uint16_t host_size;
	uint32_t host; /* offset; of the host that has the lease */
};

enum proto_queue_store_state {
	PROTO_QUEUE_STORE_OK = 0,
	PROTO_QUEUE_STORE_FULL = 1,
	PROTO_QUEUE_STORE_FAILED = 2,
	PROTO_QUEUE_STORE_AWAY = 3,
};

/* The answer to PROTO_QUEUE_STATUS, which has no record. The counts start with timerqd. */
struct proto_queue_status_answer {
	char version[PROTO_VERSION_TEXT_MAX];
	uint64_t uptime;
	uint64_t clients;
	uint64_t queues;
	uint64_t timers;
	uint64_t unacked;
	uint64_t parked;
	uint64_t stored;
	uint64_t delivered;
	uint64_t acknowledged;
	uint64_t retried;
	uint64_t missed;
	uint64_t dropped;
	uint64_t refused;
	uint32_t pid;
	uint32_t store;	   /* enum proto_queue_store_state */
	int64_t clock_off; /* the host's clock - the database's; INT64_MIN: one host */
	uint64_t standby;  /* queues with consumers here that another host serves */
};

struct proto_queue_wake {
	uint64_t id;
	uint64_t due;
	uint64_t late;	   /* sent - due */
	uint64_t overruns; /* further periods that had passed when it was sent */
	uint64_t term;	   /* of the lease; 0 on one host */
	uint32_t number;   /* 1 for a timer's first wake; the same across redelivery */
	uint32_t attempt;  /* 1 for the first delivery that is counted */
	uint32_t queue;
	uint32_t data; /* offset: the key, then the payload */
	uint32_t payload_size;
	uint16_t key_size;
	uint8_t clock;
	uint8_t flags; /* PROTO_WAKE_LAST: after the acknowledgement the timer is gone */
	char label[PROTO_LABEL_MAX];
};

struct proto_queue_lost {
	uint32_t queue;
	uint32_t status; /* enum proto_queue_status; 0: the lease went to another host */
};

static_assert(sizeof(struct proto_queue_hello) == 40, "the wire");
static_assert(sizeof(struct proto_queue_hello_answer) == 32, "the wire");
static_assert(sizeof(struct proto_queue_open) == 16, "the wire");
static_assert(sizeof(struct proto_queue_opened) == 8, "the wire");
static_assert(sizeof(struct proto_queue_put) == 80, "the wire");
static_assert(sizeof(struct proto_queue_stored) == 24, "the wire");
static_assert(sizeof(struct proto_queue_cancel) == 24, "the wire");
static_assert(sizeof(struct proto_queue_done) == 16, "the wire");
static_assert(sizeof(struct proto_queue_reschedule) == 48, "the wire");
static_assert(sizeof(struct proto_queue_consume) == 24, "the wire");
static_assert(sizeof(struct proto_queue_detach) == 8, "the wire");
static_assert(sizeof(struct proto_queue_ack) == 24, "the wire");
static_assert(sizeof(struct proto_queue_retry) == 32, "the wire");
static_assert(sizeof(struct proto_queue_revive) == 16, "the wire");
static_assert(sizeof(struct proto_queue_list) == 8, "the wire");
static_assert(sizeof(struct proto_queue_listed) == 96, "the wire");
static_assert(sizeof(struct proto_queue_queues) == 8, "the wire");
static_assert(sizeof(struct proto_queue_info) == 80, "the wire");
static_assert(sizeof(struct proto_queue_status_answer) == 152, "the wire");
static_assert(sizeof(struct proto_queue_wake) == 88, "the wire");
static_assert(sizeof(struct proto_queue_lost) == 8, "the wire");
