/* SPDX-License-Identifier: MIT */
#include "loop_calls.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec.h"
#include "loop.h"

struct loop_calls calls;

static void pass(enum point reached)
{
	if (calls.point != reached)
		return;
	calls.point = POINT_NONE;
	calls.at_point();
}

int __real_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout);
int __wrap_epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
	int n;

	sem_post(&calls.arrived);
	sem_wait(&calls.may_go);
	pass(BEFORE_WAIT);
	/* No turn sleeps for long, because the tests count turns. */
	n = __real_epoll_wait(epoll, events, max, timeout ? 2 : 0);
	pass(AFTER_WAIT);
	return n;
}

int __real_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
	int r;

	pass(BEFORE_WATCH);
	r = __real_epoll_ctl(epoll, operation, fd, event);
	pass(AFTER_WATCH);
	return r;
}

ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t n;

	if (calls.again) {
		calls.again = false;
		errno = EAGAIN;
		return -1;
	}
	n = __real_recvmsg(fd, message, flags);
	calls.packets += n > PROTO_PACKET_MAX / 2;
	if (n < 0 && errno == EAGAIN) {
		pass(AFTER_EAGAIN);
		errno = EAGAIN;
	} else {
		pass(AFTER_RECEIVING);
	}
	return n;
}

int __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
	if (!calls.accepts_that_fail)
		return __real_accept4(fd, address, size, flags);
	calls.accepts_that_fail--;
	errno = EMFILE;
	return -1;
}

int __wrap_peer_get(const struct peer_rules *rules, int fd, uint32_t *ret_uid, pid_t *ret_pid);
int __wrap_peer_get(const struct peer_rules *rules, int fd, uint32_t *ret_uid, pid_t *ret_pid)
{
	(void)rules, (void)fd;
	*ret_uid = calls.next_uid;
	*ret_pid = getpid();
	return 0;
}

struct now __real_alarm_now(void);
struct now __wrap_alarm_now(void);
struct now __wrap_alarm_now(void)
{
	struct now now = __real_alarm_now();

	for (unsigned int clock = 0; clock < PROTO_CLOCKS; clock++)
		now.at[clock] += calls.offset;
	return now;
}

uint64_t __real_meter_clock(void);
uint64_t __wrap_meter_clock(void);
uint64_t __wrap_meter_clock(void)
{
	return __real_meter_clock() + calls.offset;
}

bool __wrap_alarm_take_clock_set(struct alarm *alarm);
bool __wrap_alarm_take_clock_set(struct alarm *alarm)
{
	bool was_set = calls.clock_was_set;

	(void)alarm;
	calls.clock_was_set = false;
	return was_set;
}
