/* SPDX-License-Identifier: MIT */
/*
 * Fields beside the message: TIMERD_UID, TIMERD_PID and TIMERD_LIMIT, so that
 * `journalctl TIMERD_LIMIT=--max-timers-per-user` finds who ran into a limit. MESSAGE_ID tells the
 * messages caused by clients from the daemon's own.
 */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

	*log = (struct log){.level = level};
	/* systemd.exec(5): set to device:inode of what it connected; standard error may lead elsewhere. */
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

/* Whether a line can be written to standard error without waiting: who reads it may have stopped, or
 * gone, which would be SIGPIPE. Then it is not said; the loop waits for nobody. */
static bool can_say(void)
{
	struct pollfd fd = {.fd = STDERR_FILENO, .events = POLLOUT};

	return poll(&fd, 1, 0) == 1 && fd.revents == POLLOUT;
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
	if (log->journal)
		sd_journal_send("MESSAGE=%s", line, "PRIORITY=%i", priority, NULL);
	else if (can_say())
		fprintf(stderr, "timerd: %s\n", line);
	errno = saved;
}

/* Takes one message off the allowance. Return: whether there was one. */
static int allowed(struct log *log, uint64_t now)
{
	if (now >= log->window) {
		log->window = now + LOG_WINDOW_US;
		log->allowance = LOG_ALLOWANCE;
		if (log->left_out)
			log_print(log, LOG_NOTICE, "%llu messages about clients were left out",
				(unsigned long long)log->left_out);
		log->left_out = 0;
	}
	if (!log->allowance) {
		log->left_out++;
		return 0;
	}
	log->allowance--;
	return 1;
}

void log_client(struct log *log, int priority, uint64_t now, const struct log_about *about,
	const char *format, ...)
{
	const char *limit = about->limit;
	char line[LINE_MAX_BYTES];
	int saved = errno;
	va_list ap;

	if (priority > log->level || !allowed(log, now))
		return;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	if (!log->journal) {
		if (can_say())
			fprintf(stderr, "timerd: %s (uid %u, pid %u)\n", line, about->uid,
				about->pid);
	} else if (limit)
		sd_journal_send(MESSAGE_ID_CLIENT, "MESSAGE=%s", line, "PRIORITY=%i", priority,
			"TIMERD_UID=%u", about->uid, "TIMERD_PID=%u", about->pid, "TIMERD_LIMIT=%s",
			limit, NULL);
	else
		sd_journal_send(MESSAGE_ID_CLIENT, "MESSAGE=%s", line, "PRIORITY=%i", priority,
			"TIMERD_UID=%u", about->uid, "TIMERD_PID=%u", about->pid, NULL);
	errno = saved;
}
