/* SPDX-License-Identifier: MIT */
#include "seqpacket.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "thread.h"

/* Linux 6.16. Architectures that number SO_SNDBUF differently number this option differently. */
#if !defined(SO_PASSRIGHTS) && SO_SNDBUF == 7
#	define SO_PASSRIGHTS 83
#endif

/* How many connections may wait for the thread that closes them. */
#define ASIDE_MAX 1024

int seqpacket_send(int fd, const void *packet, size_t size)
{
	for (;;) {
		if (send(fd, packet, size, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			return 0;
		if (errno != EINTR)
			return -errno;
	}
}

ssize_t seqpacket_receive(int fd, void *packet, size_t size)
{
	struct iovec iov = {.iov_base = packet, .iov_len = size};
	/* There is no room for control data. Where the kernel can pass descriptors
	 * (seqpacket_forbid_descriptors()), it drops them and sets MSG_CTRUNC. */
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	/* If the peer has closed its end with unread packets, the kernel reports ECONNRESET once,
	 * before the packets that the peer sent. */
	do
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return -errno;
	if (msg.msg_flags & MSG_CTRUNC)
		return -EBADMSG;
	if (msg.msg_flags & MSG_TRUNC)
		return (ssize_t)size + 1;
	return n;
}

uint32_t seqpacket_discard_and_close(int fd, uint32_t most)
{
	uint32_t discarded = 0;
	uint8_t byte;

	/* After this the peer can add no packets, so the loop ends. An empty packet looks like the
	 * end: a peer that sends empty packets sees a reset. */
	shutdown(fd, SHUT_RDWR);
	while (discarded < most && recv(fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0)
		discarded++;
	close(fd);
	return discarded;
}

/* The connections that wait for the thread of seqpacket_close_aside(). There is only one thread,
 * because each close may keep a processor busy for long. */
static struct {
	pthread_mutex_t lock;
	int fds[ASIDE_MAX];
	unsigned int count;
	bool runs;
} aside = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int take_aside(void)
{
	int fd = -1;

	pthread_mutex_lock(&aside.lock);
	if (aside.count)
		fd = aside.fds[--aside.count];
	aside.runs = fd >= 0;
	pthread_mutex_unlock(&aside.lock);
	return fd;
}

static void end_and_close(int fd)
{
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

static void *close_all_aside(void *unused)
{
	(void)unused;
	for (int fd; (fd = take_aside()) >= 0;)
		end_and_close(fd);
	return NULL;
}

/* Return: whether the thread was started. */
static bool start_aside(void)
{
	pthread_t thread;

	return thread_start(&thread, close_all_aside, NULL) == 0 && pthread_detach(thread) == 0;
}

void seqpacket_close_aside(int fd)
{
	bool taken;

	pthread_mutex_lock(&aside.lock);
	taken = aside.count < ASIDE_MAX && (aside.runs || start_aside());
	if (taken)
		aside.fds[aside.count++] = fd;
	aside.runs = aside.runs || taken;
	pthread_mutex_unlock(&aside.lock);
	if (!taken)
		end_and_close(fd);
}

void seqpacket_forbid_descriptors(int fd)
{
#ifdef SO_PASSRIGHTS
	int no = 0;

	(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
#else
	(void)fd;
#endif
}

uint32_t seqpacket_unread(int fd)
{
	int bytes;

	if (ioctl(fd, SIOCOUTQ, &bytes) < 0 || bytes < 0)
		return SEQPACKET_UNREAD_UNKNOWN;
	return (uint32_t)bytes;
}

bool seqpacket_has_hung_up(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLRDHUP};

	return poll(&p, 1, 0) > 0;
}

uint64_t seqpacket_cookie(int fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) < 0 ? 0 : cookie;
}
