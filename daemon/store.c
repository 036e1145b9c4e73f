/* SPDX-License-Identifier: MIT */
/*
 * Names in the store: "arena", and "s" with the number of a session.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#define NAME_MEMORY "arena"
#define FLUSH_US    UINT64_C(2000000)

/* What keeps the file as it is: without the first, a touch of it could be SIGBUS. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

void store_init(struct store *store)
{
	*store = (struct store){.open = getenv("NOTIFY_SOCKET") != NULL, .memory = -1};
}

void store_close(struct store *store)
{
	for (size_t i = 0; i < store->left_count; i++)
		if (store->left[i].fd >= 0)
			close(store->left[i].fd);
	free(store->left);
	if (store->memory >= 0)
		close(store->memory);
	*store = (struct store){.memory = -1};
}

/* The session of a name; 0: it is none of ours. */
static uint32_t session_of(const char *name)
{
	unsigned long session;
	char *end;

	if (name[0] != 's' || name[1] < '1' || name[1] > '9')
		return 0;
	errno = 0;
	session = strtoul(name + 1, &end, 10);
	return errno || *end || session > UINT32_MAX ? 0 : (uint32_t)session;
}

int store_take(struct store *store, int fd, const char *name)
{
	uint32_t session = session_of(name);
	struct store_left *left;

	if (!strcmp(name, NAME_MEMORY)) {
		if (store->memory >= 0)
			close(store->memory); /* a process died between giving a new one and removing this */
		store->memory = fd;
		return 1;
	}
	if (!session)
		return 0;
	left = reallocarray(store->left, store->left_count + 1, sizeof(*left));
	if (!left)
		return -ENOMEM;
	store->left = left;
	store->left[store->left_count++] = (struct store_left){fd, session};
	store->sessions++;
	return 1;
}

void store_forget(struct store *store, int fd, const char *name)
{
	if (store->open)
		sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	close(fd);
}

static int map(int fd, size_t size, void **ret_block)
{
	void *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (block == MAP_FAILED)
		return -errno;
	*ret_block = block;
	return 0;
}

/* As large as the arena may ever get; the kernel gives memory to the pages that are touched. */
static int make_memory(size_t size)
{
	int fd = memfd_create("timerd-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int error;

	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, SEALS) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

static bool is_usable(int fd, size_t size)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	return seals >= 0 && (seals & SEALS) == SEALS && fstat(fd, &st) == 0 &&
		st.st_size == (off_t)size;
}

int store_renew(struct store *store, size_t size, void **ret_block)
{
	int fd = make_memory(size), r;

	if (fd < 0)
		return fd;
	r = map(fd, size, ret_block);
	if (r < 0) {
		close(fd);
		return r;
	}
	if (store->memory >= 0) {
		close(store->memory);
		if (store->open)
			sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" NAME_MEMORY);
	}
	store->memory = fd;
	if (store->open)
		sd_pid_notify_with_fds(
			0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=" NAME_MEMORY, &store->memory, 1);
	return 0;
}

int store_map(struct store *store, size_t size, void **ret_block, bool *ret_inherited)
{
	*ret_inherited = store->memory >= 0 && is_usable(store->memory, size);
	return *ret_inherited ? map(store->memory, size, ret_block)
			      : store_renew(store, size, ret_block);
}

void store_put(struct store *store, uint32_t session, int fd)
{
	char state[64];

	snprintf(state, sizeof(state), "FDSTORE=1\nFDPOLL=0\nFDNAME=s%" PRIu32, session);
	sd_pid_notify_with_fds(0, 0, state, &fd, 1);
	store->sessions++;
}

void store_remove(struct store *store, uint32_t session)
{
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=s%" PRIu32, session);
	store->sessions--;
}

void store_flush(struct store *store)
{
	if (store->open)
		sd_notify_barrier(0, FLUSH_US);
}
