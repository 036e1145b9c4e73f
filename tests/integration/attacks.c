/* SPDX-License-Identifier: MIT */
#include "attacks.h"

#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define TIMERS	  150 /* of each client */
#define IN_FLIGHT 3
#define HOUR	  UINT64_C(3600000000)

/* More connections than a backlog holds; and how many watches a socket needs so that a call on it
 * takes more than 2 ms. */
#define WAITING	      4200
#define BURST	      200 /* connections between two groups of re-armings */
#define EPOLL_CLIENTS 8
#define EPOLL_DUPS    1000
#define EPOLL_SETS    90

static struct wire wires[ATTACK_CLIENTS];
static uint64_t ids[ATTACK_CLIENTS][TIMERS];

static void open_with_timers(const char *path, unsigned int i)
{
	struct proto_registered registered;

	wire_open(&wires[i], path);
	wire_begin(&wires[i], PROTO_REGISTER);
	for (int k = 0; k < TIMERS; k++)
		wire_put(&wires[i], &(struct proto_register){.due = HOUR, .flags = PROTO_RELATIVE});
	wire_end(&wires[i], 0);
	wire_expect(&wires[i], PROTO_REGISTER | PROTO_ANSWER);
	for (uint32_t k = 0; k < TIMERS; k++) {
		wire_get(&wires[i], k, &registered);
		ids[i][k] = registered.id;
	}
}

static void send_packet(struct wire *w)
{
	if (send(w->fd, w->out, codec_end(&w->writer, 0), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		w->serial--;
}

/* near: the timers are due at once and then each microsecond; otherwise they never become due in
 * this test. */
static void send_rearm(unsigned int i, bool near)
{
	struct wire *w = &wires[i];

	wire_begin(w, PROTO_REARM);
	for (size_t k = 0; k < PROTO_RECORDS_MAX(struct proto_rearm); k++)
		wire_put(w,
			&(struct proto_rearm){.id = ids[i][k % TIMERS],
				.due = near ? k % 300 : HOUR + k * 1000,
				.every = near,
				.flags = PROTO_RELATIVE});
	send_packet(w);
}

static void start_rearming(const char *path, bool near)
{
	for (unsigned int i = 0; i < ATTACK_CLIENTS; i++)
		open_with_timers(path, i);
	for (unsigned int i = 0; i < ATTACK_CLIENTS; i++)
		for (int k = 0; k < IN_FLIGHT; k++)
			send_rearm(i, near);
}

static void go_on_rearming(bool near)
{
	for (unsigned int i = 0; i < ATTACK_CLIENTS; i++) {
		struct proto_header header;
		struct wire *w = &wires[i];

		while (recv(w->fd, w->in, sizeof(w->in), MSG_DONTWAIT) >= (ssize_t)sizeof(header)) {
			memcpy(&header, w->in, sizeof(header));
			if (header.opcode & PROTO_ANSWER)
				send_rearm(i, near);
		}
	}
}

void attack_rearm(const char *path)
{
	start_rearming(path, true);
	for (;;)
		go_on_rearming(true);
}

/* Connects without waiting. Return: the socket; -1: the backlog is full. */
static int connect_more(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

void attack_refusals(const char *path)
{
	for (unsigned int i = 0; i < ATTACK_CLIENTS; i++)
		wire_open(&wires[i], path);
	for (;;) {
		int fd = connect_more(path);

		while (fd >= 0 && send(fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL) == 0)
			;
		if (fd >= 0)
			close(fd);
	}
}

/* Fills the backlog: timerd refuses the connections, and each refusal makes room for another. */
static void fill_backlog(const char *path, int fds[static WAITING], unsigned int *n)
{
	for (int i = 0, fd; i < BURST && (fd = connect_more(path)) >= 0; i++) {
		fds[(*n)++] = fd;
		/* If timerd works, it has refused the older half by now. */
		if (*n < WAITING)
			continue;
		for (unsigned int k = 0; k < WAITING / 2; k++)
			close(fds[k]);
		memmove(fds, fds + WAITING / 2, WAITING / 2 * sizeof(*fds));
		*n = WAITING / 2;
	}
}

/* One process that never sleeps, so that it takes each free place in the backlog at once. */
void attack_backlog(const char *path)
{
	static int fds[WAITING];
	unsigned int n = 0;

	start_rearming(path, false); /* while the backlog still has room */
	for (;;) {
		fill_backlog(path, fds, &n);
		go_on_rearming(false);
	}
}

/* Each pair of instructions walks the whole packet as netlink attributes. The ids in the requests
 * form four attributes. The answers contain the same ids. */
static void put_filter(int fd)
{
	static struct sock_filter filter[BPF_MAXINSNS];
	struct sock_fprog program = {.len = BPF_MAXINSNS, .filter = filter};

	filter[0] = (struct sock_filter)BPF_STMT(BPF_LDX | BPF_IMM, 0x1234);
	filter[1] = (struct sock_filter)BPF_STMT(BPF_LDX | BPF_IMM, 0x1234);
	for (int i = 2; i < BPF_MAXINSNS; i += 2) {
		filter[i] = (struct sock_filter)BPF_STMT(
			BPF_LD | BPF_IMM, sizeof(struct proto_header));
		filter[i + 1] = (struct sock_filter)BPF_STMT(
			BPF_LD | BPF_B | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_NLATTR));
	}
	filter[BPF_MAXINSNS - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, UINT32_MAX);
	check(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0);
}

void attack_filter(const char *path)
{
	const uint16_t attributes[] = {4, 0x7777, 12, 0x7777};
	struct proto_cancel cancel;
	struct wire *w = &wires[0];

	memcpy(&cancel, attributes, sizeof(cancel));
	wire_open(w, path);
	put_filter(w->fd);
	do {
		wire_begin(w, PROTO_CANCEL);
		for (int i = 0; i < 1000; i++)
			wire_put(w, &cancel);
		send_packet(w);
	} while (wire_wait(w, WIRE_PATIENCE_MS) && w->size > 0 && w->header.opcode != PROTO_ERROR);
	wire_close(w);
}

/* Each set watches all copies of the sockets' descriptors. */
static void watch_much(void)
{
	static int copies[EPOLL_CLIENTS * EPOLL_DUPS];
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET};

	for (unsigned int k = 0; k < EPOLL_CLIENTS * EPOLL_DUPS; k++) {
		copies[k] = dup(wires[k % EPOLL_CLIENTS].fd);
		check(copies[k] >= 0);
	}
	for (unsigned int i = 0; i < EPOLL_SETS; i++) {
		int set = epoll_create1(EPOLL_CLOEXEC);

		check(set >= 0);
		/* max_user_watches may be smaller here */
		for (unsigned int k = 0; k < EPOLL_CLIENTS * EPOLL_DUPS; k++)
			if (epoll_ctl(set, EPOLL_CTL_ADD, copies[k], &event) < 0)
				return;
	}
}

void attack_epoll(const char *path)
{
	unsigned int received = 0;

	for (unsigned int i = 0; i < EPOLL_CLIENTS; i++)
		wire_open(&wires[i], path);
	watch_much();
	for (unsigned int i = 0; i < EPOLL_CLIENTS; i++)
		wire_request(&wires[i], PROTO_REGISTER,
			&(struct proto_register){
				.due = 10000, .every = 10000, .flags = PROTO_RELATIVE},
			1);
	for (unsigned int i = 0; i < EPOLL_CLIENTS; i++)
		while (wire_wait(&wires[i], WIRE_PATIENCE_MS) && wires[i].size > 0)
			received++;
	/* timerd sent a few packets before it cut the user off, and none after that */
	check(received < EPOLL_CLIENTS);
}

void attack_closes(const char *path)
{
	for (unsigned int i = 0; i < EPOLL_CLIENTS; i++)
		wire_connect(&wires[i], path);
	watch_much();
	for (unsigned int i = 0; i < EPOLL_CLIENTS; i++)
		check(shutdown(wires[i].fd, SHUT_RDWR) == 0);
}
