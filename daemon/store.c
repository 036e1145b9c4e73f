/* SPDX-License-Identifier: MIT */
/*
 * Names in the store: "arena-" with the layout of the arena, and "s" with the number of a session.
 * Layout 3 is "arena". A name of its own for each layout lets systemd keep the previous memory until
 * it has the new one: a kill between the two ends no session.
 *
 * sd_notify() waits while the queue of systemd's socket is full: systemd is busy, with a
 * daemon-reload say, or stopped. The loop waits for nobody, so it is asked first whether there is
 * room, by a socket that is connected there for that alone. Between the question and the message
 * somebody else may take the last place: then the message waits, once.
 */
#include "store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "arena.h"

static_assert(ARENA_LAYOUT == 4, "these names are those of the layouts: see arena.h");
#define NAME_MEMORY   "arena-4"
#define NAME_PREVIOUS "arena"
#define FLUSH_US      UINT64_C(2000000)

/* What keeps the file as it is: without the first, a touch of it could be SIGBUS. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Return: a socket that is connected to systemd's; -1: there is none, and nobody will know of its
 * queue. */
static int open_room(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t length = strnlen(path, sizeof(address.sun_path));
	int fd;

	if (length >= sizeof(address.sun_path))
		return -1;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	memcpy(address.sun_path, path, length);
	if (path[0] == '@')
		address.sun_path[0] = 0;
	if (connect(fd, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)) == 0)
		return fd;
	close(fd);
	return -1;
}

void store_init(struct store *store)
{
	const char *path = getenv("NOTIFY_SOCKET");

	*store = (struct store){.open = path != NULL, .memory = -1, .previous = -1, .room = -1};
	if (path)
		store->room = open_room(path);
}

bool store_has_room(const struct store *store, int patience_ms)
{
	struct pollfd fd = {.fd = store->room, .events = POLLOUT};

	return store->room < 0 || poll(&fd, 1, patience_ms) != 0;
}

void store_close(struct store *store)
{
	for (size_t i = 0; i < store->left_count; i++)
		if (store->left[i].fd >= 0)
			close(store->left[i].fd);
	free(store->left);
	if (store->memory >= 0)
		close(store->memory);
	if (store->previous >= 0)
		close(store->previous);
	if (store->room >= 0)
		close(store->room);
	*store = (struct store){.memory = -1, .previous = -1, .room = -1};
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

static void take_memory(int *memory, int fd)
{
	if (*memory >= 0)
		close(*memory); /* one died as it gave a new one */
	*memory = fd;
}

int store_take(struct store *store, int fd, const char *name)
{
	uint32_t session = session_of(name);
	struct store_left *left;

	if (!strcmp(name, NAME_MEMORY)) {
		take_memory(&store->memory, fd);
		return 1;
	}
	if (!strcmp(name, NAME_PREVIOUS)) {
		take_memory(&store->previous, fd);
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

/* Where so much can lie, at a multiple of STORE_ALIGN; NULL: not known. Only a hint: if something
 * else came to lie there meanwhile, the kernel would choose another place, and small pages do as
 * well. */
static void *aligned_room(size_t size)
{
	const uintptr_t mask = STORE_ALIGN - 1;
	void *room = mmap(NULL, size + STORE_ALIGN, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (room == MAP_FAILED)
		return NULL;
	munmap(room, size + STORE_ALIGN);
	return (void *)(((uintptr_t)room + mask) & ~mask);
}

static int map(int fd, size_t size, void **ret_block)
{
	void *block = mmap(aligned_room(size), size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (block == MAP_FAILED)
		return -errno;
	/* A core dump would give memory to all of it, which the next process then has, and take
	 * seconds for that; and it has everybody's labels in it. */
	(void)madvise(block, size, MADV_DONTDUMP);
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

/* New and zeroed memory in the place of what is there; systemd is not told. */
static int renew(struct store *store, size_t size, void **ret_block)
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
	return 0;
}

int store_map(struct store *store, size_t size, void **ret_block, bool *ret_inherited)
{
	*ret_inherited = store->memory >= 0 && is_usable(store->memory, size);
	return *ret_inherited ? map(store->memory, size, ret_block) : renew(store, size, ret_block);
}

int store_map_previous(const struct store *store, size_t size, void **ret_block)
{
	if (store->previous < 0 || !is_usable(store->previous, size))
		return -ENOENT;
	return map(store->previous, size, ret_block);
}

void store_keep(struct store *store)
{
	if (store->open)
		sd_pid_notify_with_fds(
			0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=" NAME_MEMORY, &store->memory, 1);
}

void store_drop_previous(struct store *store)
{
	if (store->previous >= 0)
		store_forget(store, store->previous, NAME_PREVIOUS);
	store->previous = -1;
}

int store_renew(struct store *store, size_t size, void **ret_block)
{
	int r = renew(store, size, ret_block);

	if (r == 0)
		store_keep(store);
	return r;
}

bool store_put(struct store *store, uint32_t session, int fd, int patience_ms)
{
	char state[64];

	if (!store_has_room(store, patience_ms))
		return false;
	snprintf(state, sizeof(state), "FDSTORE=1\nFDPOLL=0\nFDNAME=s%" PRIu32, session);
	sd_pid_notify_with_fds(0, 0, state, &fd, 1);
	store->sessions++;
	return true;
}

bool store_remove(struct store *store, uint32_t session, int patience_ms)
{
	if (!store_has_room(store, patience_ms))
		return false;
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=s%" PRIu32, session);
	store->sessions--;
	return true;
}

void store_flush(struct store *store)
{
	if (store->open)
		sd_notify_barrier(0, FLUSH_US);
}
