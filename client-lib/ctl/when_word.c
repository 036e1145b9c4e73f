/* SPDX-License-Identifier: MIT */
/*
 * Parses words for days; see when_fields.h. A word with two meanings is refused, and the error says
 * what to type instead: an error is better than a timer that is a week late.
 */
#include <errno.h>

#include "when_calendar.h"
#include "when_fields.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *word;
	int day_offset;
} days[] = {
	{"yesterday", -1},
	{"today", 0},
	{"tomorrow", 1},
};

static const char no_hour[] = "names no hour; say one, such as \"today 20:00\"";

static const struct {
	const char *word;
	const char *advice;
} refused[] = {
	{"last", "is in the past; say a date"},
	{"weekend", "means two days; say saturday or sunday"},
	{"morning", no_hour},
	{"afternoon", no_hour},
	{"evening", no_hour},
	{"night", no_hour},
	{"tonight", no_hour},
	{"hourly", "is a period; say every 1h"},
	{"daily", "is a period; say every 1d, or a time with --every 1d"},
	{"weekly", "is a period; say every 7d, or a day with --every 7d"},
	{"monthly", "is no period, since months differ in length; say a date"},
	{"yearly", "is no period, since years differ in length; say a date"},
};

static int read_weekday(struct when_text *text, struct when_fields *fields)
{
	const struct when_text word = when_text_letters(*text);
	int weekday = when_weekday_from_word(word);

	if (weekday < 0)
		return 0;
	if (!when_text_done(&fields->weekday_word))
		return when_error_set(
			fields->error, word, -EINVAL, "is a second day of the week; say only one");
	text->at = word.end;
	fields->weekday_word = word;
	fields->weekday = weekday;
	return 1;
}

/* Refuses a word of the table. Return: -EINVAL; 0 if it is not there. */
static int refuse_word(struct when_text word, struct when_fields *fields)
{
	for (size_t i = 0; i < COUNT(refused); i++) {
		if (when_text_is_caseless(word, refused[i].word))
			return when_error_set(
				fields->error, word, -EINVAL, "%s", refused[i].advice);
	}
	return 0;
}

static int refuse_ambiguous(
	struct when_text word, struct when_text rest, struct when_fields *fields)
{
	int weekday;

	when_text_skip_blanks(&rest);
	/* "this evening" */
	if (refuse_word(when_text_letters(rest), fields) < 0)
		return -EINVAL;
	weekday = when_weekday_from_word(when_text_letters(rest));
	if (weekday < 0)
		return when_error_set(fields->error, word, -EINVAL,
			"means two things; say a span, such as 7d, or a date");
	return when_error_set(fields->error, word, -EINVAL,
		"means two things; \"%s\" is the first one after today; or say a date",
		when_weekday_name(weekday));
}

static int take_day(
	struct when_text *text, struct when_text words, int offset, struct when_fields *fields)
{
	if (!when_text_done(&fields->day_words))
		return when_error_set(
			fields->error, words, -EINVAL, "is a second day; say only one");
	text->at = words.end;
	fields->day = WHEN_DAY_RELATIVE;
	fields->day_words = words;
	fields->day_offset = offset;
	return 1;
}

/* The words "[the] day after tomorrow" at the start of the text; otherwise empty. */
static struct when_text day_after_tomorrow(struct when_text text)
{
	const char *start = text.at;

	when_text_take_word(&text, "the");
	if (!when_text_take_word(&text, "day") || !when_text_take_word(&text, "after"))
		return (struct when_text){start, start};
	text = when_text_letters(text);
	return when_text_is_caseless(text, "tomorrow") ? (struct when_text){start, text.end}
						       : (struct when_text){start, start};
}

int when_word_read(struct when_text *text, struct when_fields *fields)
{
	const struct when_text word = when_text_letters(*text);
	const struct when_text rest = {word.end, text->end};
	const struct when_text later = day_after_tomorrow(*text);

	if (!when_text_done(&later))
		return take_day(text, later, 2, fields);
	for (size_t i = 0; i < COUNT(days); i++) {
		if (when_text_is_caseless(word, days[i].word))
			return take_day(text, word, days[i].day_offset, fields);
	}
	if (when_text_is_caseless(word, "next") || when_text_is_caseless(word, "this"))
		return refuse_ambiguous(word, rest, fields);
	if (refuse_word(word, fields) < 0)
		return -EINVAL;
	return read_weekday(text, fields);
}
