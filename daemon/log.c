/* SPDX-License-Identifier: MIT */
/*
 * Fields beside the message: TIMERD_UID, TIMERD_PID and TIMERD_LIMIT, so that `journalctl
 * TIMERD_LIMIT=--max-timers-per-user` finds the users who reached a limit. MESSAGE_ID separates
 * messages that clients caused from messages about the daemon itself.
 *
 * sd_journal_send() blocks while journald's queue is full: journald is stopped, or some user floods
 * it. The loop must not block, so the socket of libsystemd must be non-blocking. libsystemd has no
 * function that returns this socket. But it opens the socket for the first message and keeps it
 * open, and the kernel gives a new descriptor the lowest free number. So this file predicts that
 * number, checks the descriptor, and makes it non-blocking. If the prediction is wrong, lines
 * without fields go to standard error, which leads to the journal as well.
 */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

/* A random number, as sd-id128(1) recommends. */
#define MESSAGE_ID_CLIENT "MESSAGE_ID=5f2d7c0a9e3b4a51b8d16e7f30c94a2b"

#define LINE_MAX_BYTES 512

void log_init(struct log *log, int level)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	*log = (struct log){.name = "timerd", .level = level};
	/* systemd.exec(5): device:inode of the stream to the journal. Standard error may have been
	 * redirected since. */
	if (stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
		fstat(STDERR_FILENO, &st) == 0)
		log->journal = st.st_dev == dev && st.st_ino == ino;
}

/* Whether a write would neither block nor raise SIGPIPE: the reader may have stopped or gone. */
static bool has_room(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents == POLLOUT;
}

/* Checks whether journald has room for the first message. Return: the number that libsystemd's
 * socket will get; -1: journald has no room. */
static int predict_socket(void)
{
	static const struct sockaddr_un journald = {AF_UNIX, "/run/systemd/journal/socket"};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool room;

	if (fd < 0)
		return -1;
	room = connect(fd, (const struct sockaddr *)&journald, sizeof(journald)) == 0 &&
		has_room(fd);
	close(fd);
	return room ? fd : -1;
}

/* Makes libsystemd's socket non-blocking. Return: whether the descriptor was such a socket. */
static bool unblock(int fd)
{
	int flags;

	if (sd_is_socket(fd, AF_UNIX, SOCK_DGRAM, -1) <= 0)
		return false;
	flags = fcntl(fd, F_GETFL);
	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* about: NULL: no client. Return: 0, or a negative errno. */
static int send_to_journal(int priority, const struct log_about *about, const char *line)
{
	if (!about)
		return sd_journal_send("MESSAGE=%s", line, "PRIORITY=%i", priority, NULL);
	if (!about->limit)
		return sd_journal_send(MESSAGE_ID_CLIENT, "MESSAGE=%s", line, "PRIORITY=%i",
			priority, "TIMERD_UID=%u", about->uid, "TIMERD_PID=%u", about->pid, NULL);
	return sd_journal_send(MESSAGE_ID_CLIENT, "MESSAGE=%s", line, "PRIORITY=%i", priority,
		"TIMERD_UID=%u", about->uid, "TIMERD_PID=%u", about->pid, "TIMERD_LIMIT=%s",
		about->limit, NULL);
}

/* Return: whether the line was written. */
static bool write_line(
	struct log *log, int priority, const struct log_about *about, const char *line)
{
	int fd = -1, r;

	if (log->journal && !log->unblocked)
		fd = predict_socket();
	if (log->journal && (log->unblocked || fd >= 0)) {
		r = send_to_journal(priority, about, line);
		if (!log->unblocked)
			log->journal = log->unblocked = unblock(fd);
		return r >= 0;
	}
	if (!has_room(STDERR_FILENO))
		return false;
	if (about)
		fprintf(stderr, "%s: %s (uid %u, pid %u)\n", log->name, line, about->uid,
			about->pid);
	else
		fprintf(stderr, "%s: %s\n", log->name, line);
	return true;
}

static void report_dropped(struct log *log)
{
	char line[LINE_MAX_BYTES];

	snprintf(
		line, sizeof(line), "%llu messages were dropped", (unsigned long long)log->dropped);
	if (log->dropped && (LOG_NOTICE > log->level || write_line(log, LOG_NOTICE, NULL, line)))
		log->dropped = 0;
}

/* Return: the allowance of the user in this window. */
static struct log_user *user_of(struct log *log, uint32_t uid)
{
	unsigned int i = 0;

	while (i < log->user_count && log->users[i].uid != uid)
		i++;
	if (i == log->user_count && i < LOG_USERS)
		log->users[log->user_count++] = (struct log_user){.uid = uid};
	return &log->users[i];
}

/* Charges one message to the user. Return: whether the allowance covers it. */
static bool allowed(struct log *log, uint32_t uid, uint64_t now)
{
	struct log_user *user;

	if (now >= log->window_end) {
		log->window_end = now + LOG_WINDOW_US;
		log->user_count = 0;
		log->users[LOG_USERS].spent = 0;
		report_dropped(log);
	}
	if (log->level >= LOG_DEBUG)
		return true; /* the administrator wants every line */
	user = user_of(log, uid);
	if (user->spent >= LOG_ALLOWANCE)
		return false;
	user->spent++;
	return true;
}

void log_close(struct log *log)
{
	int saved = errno;

	report_dropped(log);
	errno = saved;
}

/* limited: the message counts against the allowance of its user. errno stays as it is. */
__attribute__((format(printf, 6, 0))) static void print(struct log *log, int priority, bool limited,
	uint64_t now, const struct log_about *about, const char *format, va_list ap)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	bool is_dropped;

	if (priority > log->level)
		return;
	vsnprintf(line, sizeof(line), format, ap);
	is_dropped = limited && !allowed(log, about->uid, now);
	if (about && about->uid == LOG_NOBODY)
		about = NULL;
	if (is_dropped || !write_line(log, priority, about, line))
		log->dropped++;
	errno = saved;
}

void log_print(struct log *log, int priority, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print(log, priority, false, 0, NULL, format, ap);
	va_end(ap);
}

void log_debug(struct log *log, const struct log_about *about, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print(log, LOG_DEBUG, false, 0, about, format, ap);
	va_end(ap);
}

void log_client(struct log *log, int priority, uint64_t now, const struct log_about *about,
	const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print(log, priority, true, now, about, format, ap);
	va_end(ap);
}
