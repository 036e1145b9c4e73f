/* SPDX-License-Identifier: MIT */
/*
 * The calls of the loop that test_loop replaces: it stops the loop at epoll_wait(), runs a function
 * at a chosen system call, and decides the uid of each client, the clocks, and some results of the
 * kernel.
 */
#pragma once

#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>

/* Where the loop is. */
enum point {
	POINT_NONE,
	BEFORE_WAIT,
	AFTER_WAIT,
	AFTER_RECEIVING,
	AFTER_EAGAIN,
	BEFORE_WATCH,
	AFTER_WATCH,
	POINTS,
};

struct loop_calls {
	sem_t arrived, may_go; /* the loop posts and awaits these before each epoll_wait() */
	enum point point;      /* at_point() runs once, when the loop is there next */
	void (*at_point)(void);
	uint64_t offset;      /* added to all clocks, microseconds */
	uint32_t next_uid;    /* of the next client that is accepted */
	unsigned int packets; /* of a flood, received by the loop */
	bool again;	      /* the next recvmsg() says EAGAIN, even if there is a packet */
	bool clock_was_set;   /* since the loop has asked last */
	unsigned int accepts_that_fail; /* so many calls of accept4() from now on, with EMFILE */
};

extern struct loop_calls calls;
