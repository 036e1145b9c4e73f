/* SPDX-License-Identifier: MIT */
#include "config_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLANKS " \t\r\f\v"

/* A user who can write to the file decides on everybody's limits. Return: what is wrong; NULL:
 * nothing. */
static const char *check_file(const struct stat *st)
{
	if (!S_ISREG(st->st_mode))
		return "is no file";
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return "belongs to another user than root";
	if (st->st_mode & S_IWOTH)
		return "may be written by everybody";
	if (st->st_size > (off_t)CONFIG_TEXT_MAX)
		return "is longer than 1 MB";
	return NULL;
}

static int read_all(int fd, char *text, size_t size)
{
	size_t length = 0;
	ssize_t n;

	do {
		n = read(fd, text + length, size - length);
		if (n < 0)
			return -errno;
		length += (size_t)n;
	} while (n && length < size);
	text[length] = 0;
	/* A zero byte would hide what follows it. */
	for (char *zero = text; (zero = memchr(zero, 0, length - (size_t)(zero - text)));)
		*zero = '\1';
	return 0;
}

static int read_open(int fd, char **ret, const char **ret_why)
{
	struct stat st;
	char *text;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	/* systemd's way to take a drop-in out: a link to /dev/null. */
	if (S_ISCHR(st.st_mode))
		st = (struct stat){.st_mode = S_IFREG};
	*ret_why = check_file(&st);
	if (*ret_why)
		return -EPERM;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	r = read_all(fd, text, (size_t)st.st_size);
	if (r < 0)
		free(text);
	else
		*ret = text;
	return r;
}

int config_text_read(const char *path, char **ret, const char **ret_why)
{
	/* If the path is a fifo, open() must not block. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	int r;

	*ret_why = NULL;
	if (fd < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	r = read_open(fd, ret, ret_why);
	close(fd);
	return r;
}

/* Ends the line at `at`, and joins it with those that follow a \. Return: where the next one
 * begins. */
static char *cut_line(char *at, unsigned int *line)
{
	for (;;) {
		char *end = at + strcspn(at, "\n");
		bool last = !*end;

		++*line;
		if (!last && end > at && end[-1] == '\\') {
			end[-1] = end[0] = ' ';
			at = end;
			continue;
		}
		*end = 0;
		return last ? end : end + 1;
	}
}

/* Cuts off the blanks on both sides. */
static char *trim(char *text)
{
	size_t n;

	text += strspn(text, BLANKS);
	for (n = strlen(text); n && strchr(BLANKS, text[n - 1]); n--)
		;
	text[n] = 0;
	return text;
}

/* Skips blank lines and comments. A backslash at their end has no meaning. */
static void skip(struct config_reader *reader)
{
	for (;;) {
		char *at = reader->at + strspn(reader->at, BLANKS);

		if (!*at || !strchr("#;\n", *at))
			return;
		at += strcspn(at, "\n");
		reader->lines++;
		reader->at = *at ? at + 1 : at;
	}
}

enum config_line config_text_next(struct config_reader *reader)
{
	char *text, *equals;
	size_t length;

	skip(reader);
	text = reader->at;
	if (!text[strspn(text, BLANKS)])
		return CONFIG_END;
	reader->line = reader->lines + 1;
	reader->at = cut_line(text, &reader->lines);
	reader->word = text = trim(text);
	if (*text == '[') {
		length = strlen(text);
		if (text[length - 1] != ']')
			return CONFIG_BAD;
		text[length - 1] = 0;
		reader->word = text + 1;
		return CONFIG_SECTION;
	}
	equals = strchr(text, '=');
	if (!equals)
		return CONFIG_BAD;
	*equals = 0;
	reader->word = trim(text);
	reader->value = trim(equals + 1);
	return CONFIG_KEY;
}
