/* SPDX-License-Identifier: MIT */
/*
 * Circular lists of members that lie in their owners. A head that is empty, and a member that is in
 * no list, points to itself. O(1) each.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct link {
	struct link *next, *prev;
};

/* The struct that a link is a member of. */
#define LINK_OWNER(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* The owner may go during the body; nothing else of the list may. */
#define LINK_FOR_EACH(at, head)                                                   \
	for (struct link *at = (head)->next, *at##_next = at->next; at != (head); \
		at = at##_next, at##_next = at->next)

/* Makes a head empty, or a member of no list. */
static inline void link_init(struct link *l)
{
	l->next = l->prev = l;
}

/* Whether a list has no members. */
static inline bool link_is_empty(const struct link *head)
{
	return head->next == head;
}

/* Puts l, which is in no list, before `at`; before the head: last. */
static inline void link_insert(struct link *at, struct link *l)
{
	l->next = at;
	l->prev = at->prev;
	at->prev->next = l;
	at->prev = l;
}

/* l may be in no list. */
static inline void link_remove(struct link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	link_init(l);
}

/* Takes l out of its list, if it is in one, and puts it last into another. */
static inline void link_move(struct link *head, struct link *l)
{
	link_remove(l);
	link_insert(head, l);
}
