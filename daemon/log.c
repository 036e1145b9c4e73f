/* SPDX-License-Identifier: MIT */
/*
 * Fields beside the message: TIMERD_UID, TIMERD_PID and TIMERD_LIMIT, so that `journalctl
 * TIMERD_LIMIT=--max-timers-per-user` finds who ran into a limit. MESSAGE_ID tells the messages
 * caused by clients from the daemon's own.
 *
 * sd_journal_send() waits while journald's queue is full: journald is stopped, or somebody floods
 * it, which anybody may. The loop waits for nobody, so the library's socket has to be one that does
 * not block. It shows it to nobody; but it makes it for the first message and keeps it, and the
 * kernel gives a new descriptor the lowest number that is free. So this is foreseen, checked, and
 * used; and should it ever not be so, lines without fields go to standard error, which is the
 * journal's as well.
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

/* Chosen at random, as sd-id128(1) says to. */
#define MESSAGE_ID_CLIENT "MESSAGE_ID=5f2d7c0a9e3b4a51b8d16e7f30c94a2b"

#define LINE_MAX_BYTES 512

static const char *const level_names[] = {
	"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"};

void log_init(struct log *log, int level)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	*log = (struct log){.name = "timerd", .level = level};
	/* systemd.exec(5): set to device:inode of what it connected; standard error may lead
	 * elsewhere. */
	if (stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 &&
		fstat(STDERR_FILENO, &st) == 0)
		log->journal = st.st_dev == dev && st.st_ino == ino;
}

int log_parse_level(const char *name)
{
	for (int i = 0; i <= LOG_DEBUG; i++) {
		char digit[2] = {(char)('0' + i), 0};

		if (!strcmp(name, level_names[i]) || !strcmp(name, digit))
			return i;
	}
	return !strcmp(name, "error") ? LOG_ERR : -EINVAL;
}

/* Whether something can be written without waiting: who reads it may have stopped, or gone, which
 * would be SIGPIPE. Then it is not said. */
static bool has_room(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents == POLLOUT;
}

/* Looks whether journald has room for the first message. Return: what will be the number of the
 * library's socket; -1: it has none. */
static int foresee_socket(void)
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

/* Return: whether the descriptor is a socket as the library makes it, which does not block any
 * more. */
static bool unblock(int fd)
{
	int flags;

	if (sd_is_socket(fd, AF_UNIX, SOCK_DGRAM, -1) <= 0)
		return false;
	flags = fcntl(fd, F_GETFL);
	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

/* about: NULL for a message of the daemon's own. Return: 0, or the negative errno of what it
 * met. */
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

/* Return: whether it has been said. */
static bool say(struct log *log, int priority, const struct log_about *about, const char *line)
{
	int fd = -1, r;

	if (log->journal && !log->unblocked)
		fd = foresee_socket();
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

void log_print(struct log *log, int priority, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	va_list ap;

	if (priority > log->level)
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (!say(log, priority, NULL, line))
		log->left_out++;
	errno = saved;
}

void log_debug(struct log *log, const struct log_about *about, const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	va_list ap;

	if (log->level < LOG_DEBUG)
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (!say(log, LOG_DEBUG, about, line))
		log->left_out++;
	errno = saved;
}

static void say_left_out(struct log *log)
{
	char line[LINE_MAX_BYTES];

	snprintf(line, sizeof(line), "%llu messages were left out",
		(unsigned long long)log->left_out);
	if (log->left_out && (LOG_NOTICE > log->level || say(log, LOG_NOTICE, NULL, line)))
		log->left_out = 0;
}

/* The user's allowance in this window. */
static struct log_user *user_of(struct log *log, uint32_t uid)
{
	unsigned int i = 0;

	while (i < log->users && log->user[i].uid != uid)
		i++;
	if (i == log->users && i < LOG_USERS)
		log->user[log->users++] = (struct log_user){.uid = uid};
	return &log->user[i];
}

/* Takes one message off the user's allowance. Return: whether there was one. */
static bool allowed(struct log *log, uint32_t uid, uint64_t now)
{
	struct log_user *user;

	if (log->level >= LOG_DEBUG)
		return true; /* who asks for every line gets it */
	if (now >= log->window) {
		log->window = now + LOG_WINDOW_US;
		log->users = 0;
		log->user[LOG_USERS].spent = 0;
		say_left_out(log);
	}
	user = user_of(log, uid);
	if (user->spent >= LOG_ALLOWANCE)
		return false;
	user->spent++;
	return true;
}

void log_close(struct log *log)
{
	int saved = errno;

	say_left_out(log);
	errno = saved;
}

void log_client(struct log *log, int priority, uint64_t now, const struct log_about *about,
	const char *format, ...)
{
	char line[LINE_MAX_BYTES];
	int saved = errno;
	va_list ap;

	if (priority > log->level)
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (!allowed(log, about->uid, now) || !say(log, priority, about, line))
		log->left_out++;
	errno = saved;
}
