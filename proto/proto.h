/* SPDX-License-Identifier: MIT */
/*
 * The wire protocol between timerd and its clients. timerd-protocol(7) describes it in prose;
 * vectors/ has example packets.
 *
 * The socket is an AF_UNIX socket of type SOCK_SEQPACKET. So packets keep their boundaries, and the
 * kernel identifies the peer (SO_PEERCRED). A packet is a header and records of one kind, as many
 * as fit in 64 KB: one system call sends a thousand registrations, answers or wakes. Records have a
 * fixed size, so the receiver checks a packet's length before it reads any record.
 *
 * Every integer is little-endian. Every span and instant is in microseconds. An instant counts from
 * the zero of its clock: CLOCK_MONOTONIC, CLOCK_BOOTTIME or the Unix epoch.
 *
 * These structs have the layout of the wire. Only the codec reads them from a packet. A writer
 * fills them where codec_add() says, and codec_end() converts their byte order.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

/* "TTMR", little-endian: the first four bytes of a hello. */
#define PROTO_MAGIC   UINT32_C(0x524d5454)
#define PROTO_VERSION 1

#define PROTO_SOCKET_SYSTEM "/run/timerd/socket"
#define PROTO_SOCKET_USER   "timerd/socket" /* in $XDG_RUNTIME_DIR */

/* Limits of the protocol, in bytes. */
#define PROTO_PACKET_MAX       65536
#define PROTO_LABEL_MAX	       24 /* a label of this length has no terminating NUL */
#define PROTO_COMM_MAX	       16 /* TASK_COMM_LEN of Linux */
#define PROTO_ERROR_TEXT_MAX   104
#define PROTO_VERSION_TEXT_MAX 24

/* A span without end; an instant that never comes. */
#define PROTO_FOREVER UINT64_MAX

/* A client must send its hello within this time after it has connected. */
#define PROTO_HELLO_TIMEOUT_US UINT64_C(5000000)

/*
 * Timer ids. The low bits are the timer's slot in the daemon. The high bits change with each timer
 * in this slot, so that an old id does not name a new timer. An id has 53 bits, because programs
 * that keep JSON numbers as doubles, such as jq, do not change a number of this size. Clients must
 * not depend on the structure of an id.
 */
#define PROTO_ID_INDEX_BITS 22
#define PROTO_ID_BITS	    53

enum proto_opcode {
	/* Requests. The daemon answers each with one packet: the same serial, opcode |
	 * PROTO_ANSWER. */
	PROTO_HELLO = 1,
	PROTO_REGISTER = 2,
	PROTO_CANCEL = 3,
	PROTO_REARM = 4,
	PROTO_LIST = 5,
	PROTO_STATUS = 6,
	PROTO_CANCEL_MATCHING = 7, /* if the daemon has PROTO_CAN_MATCH */
	PROTO_LIST_MATCHING = 8,   /* if the daemon has PROTO_CAN_MATCH */

	PROTO_ANSWER = 0x80,

	/* Events. Their serial is 0. */
	PROTO_WAKE = 0x100,
	PROTO_CANCELLED = 0x101,  /* another session has cancelled a timer of this session */
	PROTO_GOING_AWAY = 0x102, /* the daemon stops; then it closes the connection */
	PROTO_ERROR = 0x103,	  /* the session ends; then the daemon closes the connection */
	PROTO_RESUMED = 0x104,	  /* a new daemon has taken over this session after a crash */
	PROTO_CLOCK_SET = 0x105,  /* the wall clock was set: see PROTO_TELL_CLOCK_SET */
};

/*
 * The result of a record, or the reason why a session ends. The numbers are not those of errno and
 * never change. A code up to 63 refuses one record; a greater code ends the connection.
 */
enum proto_status {
	PROTO_OK = 0,

	PROTO_E_NO_SUCH_TIMER = 1, /* no such timer, or it belongs to another user */
	PROTO_E_TIMERS = 2,	   /* limit of all timers (--max-timers) */
	PROTO_E_TIMERS_USER = 3,   /* limit of a user's timers (--max-timers-per-user) */
	PROTO_E_CLOCK = 4,	   /* no such clock */
	PROTO_E_FLAGS = 5,	   /* unknown flag bits, or reserved bytes that are not zero */
	PROTO_E_COUNT = 6,	   /* a count above 1 without a period */
	PROTO_E_LABEL = 7,	   /* the label is not printable UTF-8 padded with zeroes */
	PROTO_E_RANGE = 8,	   /* now + due overflows, or due is PROTO_FOREVER */
	PROTO_E_WAKE_SYSTEM = 9,   /* the daemon does not hold CAP_WAKE_ALARM */
	PROTO_E_WAKE_CLOCK = 10,   /* WAKE_SYSTEM on the monotonic clock, which cannot do that */
	PROTO_E_PERMISSION = 11,   /* only root may ask for this */
	PROTO_E_SET_CLOCK = 12,	   /* TELL_CLOCK_SET on another clock than realtime */

	PROTO_E_CLIENTS = 64,	    /* limit of all clients (--max-clients) */
	PROTO_E_CLIENTS_USER = 65,  /* limit of a user's clients (--max-clients-per-user) */
	PROTO_E_DESCRIPTORS = 66,   /* the daemon is out of file descriptors or memory */
	PROTO_E_VERSION = 67,	    /* the client speaks no version that the daemon speaks */
	PROTO_E_HELLO_TIMEOUT = 68, /* no hello came in time */
	PROTO_E_PACKET = 69,	    /* malformed packet */
	PROTO_E_SEQUENCE = 70,	    /* wrong order of packets: no hello, two hellos, wrong serial */
	PROTO_E_PASSED_DESCRIPTOR = 71, /* a file descriptor came with a packet */
	PROTO_E_NOBODY = 72, /* the peer has the overflow uid, which does not identify a user */
	PROTO_E_SLOW_SOCKETS = 73, /* calls on this user's sockets take too long: wait 10 s */
};

enum proto_clock {
	PROTO_CLOCK_MONOTONIC = 0,
	PROTO_CLOCK_BOOTTIME = 1,
	PROTO_CLOCK_REALTIME = 2,
	PROTO_CLOCKS,
};

enum proto_timer_flag {
	PROTO_RELATIVE = 1 << 0,    /* due is a span from now */
	PROTO_WAKE_SYSTEM = 1 << 1, /* wake the machine from suspend */
	/* Send this session an event each time the wall clock is set. Only for realtime timers, and
	 * only if the daemon has PROTO_CAN_TELL_CLOCK_SET. */
	PROTO_TELL_CLOCK_SET = 1 << 2,
};

enum proto_capability {
	PROTO_CAN_WAKE_SYSTEM = 1 << 0,	   /* the daemon accepts WAKE_SYSTEM */
	PROTO_CAN_MATCH = 1 << 1,	   /* the daemon knows CANCEL_MATCHING, LIST_MATCHING */
	PROTO_CAN_TELL_CLOCK_SET = 1 << 2, /* the daemon knows TELL_CLOCK_SET */
};

enum proto_list_flag {
	PROTO_LIST_ALL = 1 << 0, /* the timers of all users; root only */
};

/* Without USER and EVERYBODY: the timers of the client's own user. */
enum proto_match_flag {
	PROTO_MATCH_USER = 1 << 0,	/* the timers of `uid`; another user's: root only */
	PROTO_MATCH_LABEL = 1 << 1,	/* with exactly this label; empty: without a label */
	PROTO_MATCH_EVERYBODY = 1 << 2, /* the timers of all users: root only; not with USER */
};

enum proto_wake_flag {
	PROTO_WAKE_LAST = 1 << 0, /* the timer's last wake: the timer does not exist any more */
};

enum proto_going_away_reason {
	PROTO_STOPPING = 1,
	PROTO_LAYOUT = 2, /* a new daemon cannot adopt the old state: register again */
};

struct proto_header {
	uint16_t opcode;      /* enum proto_opcode */
	uint16_t record_size; /* bytes of each record; 0 if the opcode has no records */
	uint16_t count;	      /* number of records */
	uint16_t status;      /* answers: the enum proto_status of the whole request; else 0 */
	uint64_t serial;      /* requests: 1 for the first, then one more each; events: 0 */
	uint64_t cursor; /* list: where to continue, 0: from the start; its answer: 0: the end */
};

/* PROTO_HELLO: the first packet of a client. */
struct proto_hello {
	uint32_t magic;	       /* PROTO_MAGIC */
	uint16_t version;      /* the highest version that the client speaks */
	uint16_t reserved;     /* 0 */
	uint64_t capabilities; /* each side ignores bits that it does not know */
};

struct proto_hello_answer {
	uint32_t magic;
	uint16_t version; /* the version of this connection: at most the client's */
	uint16_t reserved;
	uint64_t capabilities; /* enum proto_capability */
	uint64_t instance;     /* another number after each start that lost the sessions */
	uint32_t pid;	       /* of the daemon, in its own pid namespace */
	uint32_t reserved2;
};

struct proto_register {
	uint64_t cookie;   /* any number; comes back in each event of this timer */
	uint64_t due;	   /* instant; with PROTO_RELATIVE: span from now */
	uint64_t slack;	   /* allowed delay of the wake; if due + slack overflows: no limit */
	uint64_t every;	   /* period; 0: none */
	uint32_t count;	   /* number of wakes; 0: one without a period, no end with a period */
	uint8_t clock;	   /* enum proto_clock */
	uint8_t flags;	   /* enum proto_timer_flag */
	uint16_t reserved; /* 0 */
	char label[PROTO_LABEL_MAX]; /* UTF-8, padded with zeroes */
};

/* The answer to PROTO_REGISTER and PROTO_REARM: one record for each of theirs, in order. */
struct proto_registered {
	uint64_t id;	 /* 0 if refused */
	uint64_t due;	 /* the first due, an instant on the timer's clock */
	uint32_t status; /* enum proto_status */
	uint32_t reserved;
};

struct proto_cancel {
	uint64_t id;
};

/* PROTO_OK: the timer is cancelled and sends no further wake. PROTO_E_NO_SUCH_TIMER: the last wake
 * was sent before this answer, or the client has no timer with this id. */
struct proto_cancel_answer {
	uint64_t id;
	uint32_t status;
	uint32_t reserved;
};

/* Re-arms a timer of this session. The timer keeps its id, clock, cookie, label, and its order
 * among timers of the same due. */
struct proto_rearm {
	uint64_t id;
	uint64_t due;
	uint64_t slack;
	uint64_t every;
	uint32_t count;
	uint8_t flags; /* PROTO_RELATIVE */
	uint8_t reserved[3];
};

struct proto_list {
	uint32_t flags; /* enum proto_list_flag */
	uint32_t reserved;
};

/*
 * Selects timers, for PROTO_CANCEL_MATCHING and PROTO_LIST_MATCHING. One request handles a part of
 * the daemon's timers. The next request continues at the cursor of the answer; 0: that was all. The
 * answer to PROTO_LIST_MATCHING has proto_listed records. The answer to PROTO_CANCEL_MATCHING has a
 * proto_cancelled record for each cancelled timer; its cookie is 0 for timers of other sessions.
 */
struct proto_match {
	uint32_t flags; /* enum proto_match_flag */
	uint32_t uid;	/* 0 without USER */
	char label[PROTO_LABEL_MAX];
};

struct proto_listed {
	uint64_t id;
	uint64_t cookie; /* 0 for a timer of another session */
	uint64_t due;
	int64_t left; /* due - now on the timer's clock; negative: late */
	uint64_t slack;
	uint64_t every;
	uint32_t fired; /* wakes sent so far, modulo 2^32 */
	uint32_t count; /* wakes asked for; 0: no end */
	uint32_t uid;
	uint32_t pid;
	uint8_t clock;
	uint8_t flags;
	uint8_t reserved[6];
	/* The name of the client's process when it connected, zero-padded; empty if unknown. */
	char comm[PROTO_COMM_MAX];
	char label[PROTO_LABEL_MAX];
};

/* The answer to PROTO_STATUS, which has no records. */
struct proto_status_answer {
	char version[PROTO_VERSION_TEXT_MAX]; /* of timerd, zero-padded */
	uint64_t uptime;		      /* since the daemon's start */
	uint64_t clients;
	uint64_t timers;
	uint64_t next;	     /* span until due + slack of a client's timer; PROTO_FOREVER: none */
	uint64_t registered; /* this and the following count since the start */
	uint64_t woken;
	uint64_t cancelled;
	uint64_t refused;
	uint64_t wakeups; /* number of times the alarm rang */
	/* Lateness of all wakes since the start: see timerd(8). The quantiles are upper bounds, at
	 * most 6 % too high. */
	uint64_t late_p50;
	uint64_t late_p99;
	uint64_t late_max;
	uint64_t restarts; /* restarts that the sessions survived; the counts survive them too */
	uint64_t adopted_sessions;
	uint64_t adopted_timers;
	uint64_t dropped_records;
	uint32_t pid;
	uint32_t warnings; /* number of settings that could not be applied; the log names them */
};

struct proto_wake {
	uint64_t cookie;
	uint64_t id;
	uint64_t due;	   /* of this wake */
	uint64_t late;	   /* time sent - due; 0 if the clock was set back in between */
	uint64_t overruns; /* further periods that had passed when this wake was sent */
	uint32_t number;   /* 1 for a timer's first wake, then one more each, modulo 2^32 */
	uint32_t flags;	   /* enum proto_wake_flag */
};

struct proto_cancelled {
	uint64_t cookie;
	uint64_t id;
};

struct proto_going_away {
	uint32_t reason; /* enum proto_going_away_reason */
	uint32_t reserved;
};

/*
 * The session goes on, and no wake is lost. A wake that the old daemon was sending when it died may
 * come again, with the same number. All requests up to `serial` are applied, and their answers come
 * before this event. The client sends all later requests again, in order and with the same serials.
 */
struct proto_resumed {
	uint64_t serial; /* of the last applied request */
};

struct proto_error {
	uint32_t status; /* enum proto_status, 64 and above */
	uint32_t reserved;
	uint64_t serial;		 /* of the wrong request; 0: none */
	char text[PROTO_ERROR_TEXT_MAX]; /* a message for people, in UTF-8, zero-padded */
};

static_assert(sizeof(struct proto_header) == 24, "the wire");
static_assert(sizeof(struct proto_hello) == 16, "the wire");
static_assert(sizeof(struct proto_hello_answer) == 32, "the wire");
static_assert(sizeof(struct proto_register) == 64, "the wire");
static_assert(sizeof(struct proto_registered) == 24, "the wire");
static_assert(sizeof(struct proto_cancel) == 8, "the wire");
static_assert(sizeof(struct proto_cancel_answer) == 16, "the wire");
static_assert(sizeof(struct proto_rearm) == 40, "the wire");
static_assert(sizeof(struct proto_list) == 8, "the wire");
static_assert(sizeof(struct proto_match) == 32, "the wire");
static_assert(sizeof(struct proto_listed) == 112, "the wire");
static_assert(sizeof(struct proto_status_answer) == 160, "the wire");
static_assert(sizeof(struct proto_resumed) == 8, "the wire");
static_assert(sizeof(struct proto_wake) == 48, "the wire");
static_assert(sizeof(struct proto_cancelled) == 16, "the wire");
static_assert(sizeof(struct proto_going_away) == 8, "the wire");
static_assert(sizeof(struct proto_error) == 120, "the wire");

/* The most records of one type in a packet. */
#define PROTO_RECORDS_MAX(type) \
	((uint16_t)((PROTO_PACKET_MAX - sizeof(struct proto_header)) / sizeof(type)))

static_assert(PROTO_RECORDS_MAX(struct proto_register) >= 1000, "a thousand a packet");
static_assert(PROTO_RECORDS_MAX(struct proto_registered) >= 1000, "a thousand a packet");
static_assert(PROTO_RECORDS_MAX(struct proto_wake) >= 1000, "a thousand a packet");
