/* SPDX-License-Identifier: MIT */
/*
 * getaddrinfo(3) always blocks, and cannot be cancelled. So an abandoned lookup continues, and its
 * thread frees it.
 */
#include "postgres_names.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../thread.h"

/* Of all hosts. libpq tries them one by one. */
#define ADDRESSES 16

enum { HOST, ADDRESS, PORT, LISTS };

static const char *const keywords[LISTS] = {"host", "hostaddr", "port"};

struct pg_names {
	atomic_int references; /* the caller's and the thread's */
	atomic_bool ended;
	int fd;
	unsigned int first;
	char *asked[LISTS]; /* as the URI says them, with commas between; NULL: not at all */
	size_t n;
	char *found[ADDRESSES][LISTS];
	char *lists[LISTS]; /* of what was found, from the first one on */
	char why[320];
};

/* Return: the value in the URI, or else in the environment; NULL: neither has one. */
static char *copy_option(const PQconninfoOption *options, const char *keyword)
{
	for (const PQconninfoOption *o = options; o && o->keyword; o++) {
		const char *value = o->val;

		if (strcmp(o->keyword, keyword) != 0)
			continue;
		if (!value && o->envvar)
			value = getenv(o->envvar);
		return value && *value ? strdup(value) : NULL;
	}
	return NULL;
}

static bool is_name(const char *host)
{
	struct in6_addr address;

	return *host && *host != '/' && *host != '@' && inet_pton(AF_INET, host, &address) != 1 &&
		inet_pton(AF_INET6, host, &address) != 1;
}

static bool has_name(const char *hosts)
{
	char *all = strdup(hosts), *rest = all;
	bool has = false;

	for (char *host; (host = strsep(&rest, ","));)
		has = has || is_name(host);
	free(all);
	return has;
}

static size_t count(const char *list)
{
	size_t n = list != NULL;

	for (const char *at = list; at && (at = strchr(at, ',')); at++)
		n++;
	return n;
}

static void copy_options(const char *uri, char *ret[static LISTS])
{
	PQconninfoOption *options = PQconninfoParse(uri, NULL);

	for (int i = 0; i < LISTS; i++)
		ret[i] = copy_option(options, keywords[i]);
	PQconninfoFree(options);
}

static bool has_service(const char *uri)
{
	PQconninfoOption *options = PQconninfoParse(uri, NULL);
	char *service = copy_option(options, "service");

	PQconninfoFree(options);
	free(service);
	return service;
}

bool pg_names_wanted(const char *uri)
{
	char *asked[LISTS];
	size_t hosts, addresses, ports, n;
	bool wanted;

	copy_options(uri, asked);
	hosts = count(asked[HOST]);
	addresses = count(asked[ADDRESS]);
	ports = count(asked[PORT]);
	n = hosts > addresses ? hosts : addresses;
	wanted = n > 1 || (hosts && !addresses && has_name(asked[HOST]));
	/* libpq reports the error if the lists have different lengths. */
	if ((hosts && addresses && hosts != addresses) || (ports > 1 && ports != n))
		wanted = false;
	for (int i = 0; i < LISTS; i++)
		free(asked[i]);
	return wanted && !has_service(uri);
}

static void add(struct pg_names *n, const char *host, const char *address, const char *port)
{
	const char *const values[LISTS] = {host, address, port};

	if (n->n == ADDRESSES)
		return;
	for (int i = 0; i < LISTS; i++)
		n->found[n->n][i] = strdup(values[i]);
	n->n++;
}

static void look_up_host(struct pg_names *n, const char *host, const char *port)
{
	const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct addrinfo *found = NULL;
	char address[128];
	int r;

	r = getaddrinfo(host, NULL, &hints, &found);
	if (r)
		snprintf(n->why, sizeof(n->why),
			"could not translate host name \"%s\" to address: %s", host,
			gai_strerror(r));
	for (struct addrinfo *a = found; !r && a; a = a->ai_next)
		if (!getnameinfo(a->ai_addr, a->ai_addrlen, address, sizeof(address), NULL, 0,
			    NI_NUMERICHOST))
			add(n, host, address, port);
	if (found)
		freeaddrinfo(found);
}

/* The next entry of a list. If a list has one entry, it is used for all. */
static const char *next_of(char **rest, bool one)
{
	const char *entry = one ? *rest : strsep(rest, ",");

	return entry ? entry : "";
}

static void look_up_all(struct pg_names *n)
{
	char *rest[LISTS];
	size_t hosts = count(n->asked[HOST]), addresses = count(n->asked[ADDRESS]);
	bool one_port = count(n->asked[PORT]) <= 1;

	memcpy(rest, n->asked, sizeof(rest));
	for (size_t i = 0; i < (hosts > addresses ? hosts : addresses); i++) {
		const char *host = next_of(&rest[HOST], false);
		const char *address = next_of(&rest[ADDRESS], false);
		const char *port = next_of(&rest[PORT], one_port);

		if (*address || !is_name(host))
			add(n, host, address, port);
		else
			look_up_host(n, host, port);
	}
}

/* Return: the list, which begins with n->first; NULL: no memory. */
static char *join(const struct pg_names *n, int list)
{
	char *joined = NULL;
	size_t size;
	FILE *f = open_memstream(&joined, &size);
	bool ok = f;

	for (size_t i = 0; i < n->n && ok; i++) {
		const char *value = n->found[(n->first + i) % n->n][list];

		ok = value && fprintf(f, "%s%s", i ? "," : "", value) >= 0;
	}
	if (f && fclose(f) == 0 && ok)
		return joined;
	free(joined);
	return NULL;
}

static void *run(void *userdata)
{
	struct pg_names *n = userdata;
	bool ok = true;

	look_up_all(n);
	for (int i = 0; i < LISTS; i++) {
		n->lists[i] = join(n, i);
		ok = ok && n->lists[i];
	}
	if (!ok) {
		n->n = 0;
		snprintf(n->why, sizeof(n->why), "out of memory");
	}
	atomic_store(&n->ended, true);
	eventfd_write(n->fd, 1);
	pg_names_unref(n);
	return NULL;
}

static bool start_thread(struct pg_names *n)
{
	pthread_t thread;

	if (thread_start(&thread, run, n) < 0)
		return false;
	pthread_detach(thread);
	return true;
}

struct pg_names *pg_names_start(const char *uri, unsigned int first)
{
	struct pg_names *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	n->references = 2;
	n->first = first;
	copy_options(uri, n->asked);
	n->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (n->fd < 0 || !start_thread(n)) {
		n->references = 1;
		pg_names_unref(n);
		return NULL;
	}
	return n;
}

void pg_names_unref(struct pg_names *n)
{
	if (!n || atomic_fetch_sub(&n->references, 1) > 1)
		return;
	if (n->fd >= 0)
		close(n->fd);
	for (int i = 0; i < LISTS; i++) {
		free(n->lists[i]);
		free(n->asked[i]);
		for (size_t k = 0; k < ADDRESSES; k++)
			free(n->found[k][i]);
	}
	free(n);
}

int pg_names_fd(const struct pg_names *n)
{
	return n->fd;
}

bool pg_names_ended(struct pg_names *n)
{
	eventfd_t value;

	if (!atomic_load(&n->ended))
		return false;
	eventfd_read(n->fd, &value);
	return true;
}

const char *pg_names_why(const struct pg_names *n)
{
	return n->n ? NULL : n->why;
}

const char *pg_names_hosts(const struct pg_names *n)
{
	return n->lists[HOST];
}

const char *pg_names_addresses(const struct pg_names *n)
{
	return n->lists[ADDRESS];
}

const char *pg_names_ports(const struct pg_names *n)
{
	return n->lists[PORT];
}
