/* SPDX-License-Identifier: MIT */
/*
 * Two levels of doubly linked lists, linked by index.
 */
#include "turns.h"

static struct turns_link *link_at(void *first, size_t stride, uint32_t i)
{
	return (struct turns_link *)((char *)first + stride * i);
}

static struct turns_user *user_at(const struct turns *turns, uint32_t user)
{
	return (struct turns_user *)((char *)turns->user + turns->user_stride * user);
}

static void append(struct turns_list *list, void *first, size_t stride, uint32_t i)
{
	*link_at(first, stride, i) = (struct turns_link){.prev = list->last};
	*(list->last ? &link_at(first, stride, list->last)->next : &list->first) = i;
	list->last = i;
}

static void unlink_from(struct turns_list *list, void *first, size_t stride, uint32_t i)
{
	const struct turns_link *link = link_at(first, stride, i);

	*(link->prev ? &link_at(first, stride, link->prev)->next : &list->first) = link->next;
	*(link->next ? &link_at(first, stride, link->next)->prev : &list->last) = link->prev;
}

void turns_add(const struct turns *turns, uint32_t user, uint32_t session)
{
	struct turns_list *sessions = &user_at(turns, user)->sessions;

	/* `turns->user` also points to links: the link is the first field of struct turns_user. */
	if (!sessions->first)
		append(turns->users, turns->user, turns->user_stride, user);
	append(sessions, turns->session, turns->session_stride, session);
}

void turns_remove(const struct turns *turns, uint32_t user, uint32_t session)
{
	struct turns_list *sessions = &user_at(turns, user)->sessions;

	unlink_from(sessions, turns->session, turns->session_stride, session);
	if (!sessions->first)
		unlink_from(turns->users, turns->user, turns->user_stride, user);
}

uint32_t turns_take(const struct turns *turns)
{
	uint32_t user = turns->users->first, session;
	struct turns_list *sessions;

	if (!user)
		return 0;
	sessions = &user_at(turns, user)->sessions;
	session = sessions->first;
	unlink_from(turns->users, turns->user, turns->user_stride, user);
	unlink_from(sessions, turns->session, turns->session_stride, session);
	if (sessions->first)
		append(turns->users, turns->user, turns->user_stride, user);
	return session;
}
