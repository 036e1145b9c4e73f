/* SPDX-License-Identifier: MIT */
/*
 * Reads the text of a configuration file for config.c: lines, sections and assignments as in
 * systemd.syntax(7).
 */
#pragma once

#include <stddef.h>

/* The greatest size of a file, in bytes. */
#define CONFIG_TEXT_MAX ((size_t)1 << 20)

/* Reads a whole file of root or of this process's user. `why`: after a failure, what is wrong; the
 * text of errno if it is NULL.
 * Return: 0; -ENOENT: there is no such file; another negative errno. ret: to be freed. */
int config_text_read(const char *path, char **ret, const char **ret_why);

enum config_line {
	CONFIG_END,
	CONFIG_SECTION, /* word: the text between the brackets */
	CONFIG_KEY,	/* word, value */
	CONFIG_BAD,	/* word: the line */
};

/* The position of a reader in a text. */
struct config_reader {
	char *at;
	unsigned int lines; /* read so far */
	unsigned int line;  /* the number of the last line, from 1 on */
	char *word, *value;
};

/* Reads the next line that is neither blank nor a comment (# or ;), and ends the words in it with
 * zero bytes. A line that ends with a backslash goes on in the
 * next line. */
enum config_line config_text_next(struct config_reader *reader);
