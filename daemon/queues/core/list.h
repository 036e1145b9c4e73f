/* SPDX-License-Identifier: MIT */
/*
 * Circular lists whose links are members of their owners. The head of an empty list points to
 * itself, and so does a link that is in no list. Each operation is O(1).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct link {
	struct link *next, *prev;
};

/* The struct that a link is a member of. */
#define LINK_OWNER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* The body may remove the current link, but no other one. */
#define LINK_FOR_EACH(at, head)                                                   \
	for (struct link *at = (head)->next, *at##_next = at->next; at != (head); \
		at = at##_next, at##_next = at->next)

/* Makes an empty head, or a link that is in no list. */
static inline void link_init(struct link *l)
{
	l->next = l->prev = l;
}

/* Whether a list is empty. */
static inline bool link_is_empty(const struct link *head)
{
	return head->next == head;
}

/* Inserts l, which is in no list, before `at`. Before the head means last in the list. */
static inline void link_insert(struct link *at, struct link *l)
{
	l->next = at;
	l->prev = at->prev;
	at->prev->next = l;
	at->prev = l;
}

/* Removes l from its list. l may be in no list. */
static inline void link_remove(struct link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	link_init(l);
}

/* Removes l from its list, if it is in one, and inserts it as the last link of another list. */
static inline void link_move(struct link *head, struct link *l)
{
	link_remove(l);
	link_insert(head, l);
}
