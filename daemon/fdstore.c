/* SPDX-License-Identifier: MIT */
/*
 * Names in the fd store: the arena's memory is "arena-" and the number of its layout (layout 3 is
 * "arena"); a connection is "s" and the number of its session. Each layout has a name of its own,
 * so that systemd keeps the previous memory until it has the new one: a kill between the two ends
 * no session.
 *
 * sd_notify() waits while systemd's queue is full, for example during a daemon-reload. The loop
 * must not wait, so this file first asks whether the queue has room, by a socket that is connected
 * there and sends nothing. Another process may take the last room between the question and the
 * message: then the message waits, once.
 */
#include "fdstore.h"

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

static_assert(ARENA_LAYOUT == 4, "a new layout gets a new name: see arena.h");
#define NAME_MEMORY   "arena-4"
#define NAME_PREVIOUS "arena"
#define FLUSH_US      UINT64_C(2000000)

/* The seals fix the size of the memory file. If somebody could shrink the file, an access would
 * raise SIGBUS. */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* Return: a socket connected to systemd's notify socket; -1: none, so the state of systemd's queue
 * stays unknown. */
static int open_notify(const char *path)
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

void fdstore_init(struct fdstore *store)
{
	const char *path = getenv("NOTIFY_SOCKET");

	*store = (struct fdstore){
		.available = path != NULL, .memory = -1, .previous = -1, .notify = -1};
	if (path)
		store->notify = open_notify(path);
}

bool fdstore_has_room(const struct fdstore *store, int patience_ms)
{
	struct pollfd fd = {.fd = store->notify, .events = POLLOUT};

	return store->notify < 0 || poll(&fd, 1, patience_ms) != 0;
}

void fdstore_close(struct fdstore *store)
{
	for (size_t i = 0; i < store->connection_count; i++)
		if (store->connections[i].fd >= 0)
			close(store->connections[i].fd);
	free(store->connections);
	if (store->memory >= 0)
		close(store->memory);
	if (store->previous >= 0)
		close(store->previous);
	if (store->notify >= 0)
		close(store->notify);
	*store = (struct fdstore){.memory = -1, .previous = -1, .notify = -1};
}

/* Return: the session in the name of a connection; 0: it is another name. */
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
		close(*memory); /* a process died while it replaced this memory */
	*memory = fd;
}

int fdstore_take(struct fdstore *store, int fd, const char *name)
{
	uint32_t session = session_of(name);
	struct fdstore_connection *connection;

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
	connection = reallocarray(
		store->connections, store->connection_count + 1, sizeof(*connection));
	if (!connection)
		return -ENOMEM;
	store->connections = connection;
	store->connections[store->connection_count++] = (struct fdstore_connection){fd, session};
	store->sessions++;
	return 1;
}

void fdstore_remove_unknown(struct fdstore *store, int fd, const char *name)
{
	if (store->available)
		sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
	close(fd);
}

/* Return: an address with room for `size` bytes, a multiple of FDSTORE_ALIGN; NULL: not known. The
 * address is a hint: if something else uses it meanwhile, the kernel chooses another one, and the
 * arena has small pages. */
static void *aligned_hint(size_t size)
{
	const uintptr_t mask = FDSTORE_ALIGN - 1;
	void *free_range = mmap(NULL, size + FDSTORE_ALIGN, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (free_range == MAP_FAILED)
		return NULL;
	munmap(free_range, size + FDSTORE_ALIGN);
	return (void *)(((uintptr_t)free_range + mask) & ~mask);
}

static int map(int fd, size_t size, void **ret_block)
{
	void *block = mmap(aligned_hint(size), size, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_NORESERVE, fd, 0);

	if (block == MAP_FAILED)
		return -errno;
	/* A core dump would allocate every page of the file, which takes seconds and stays
	 * allocated for the next process. It would also contain the labels of all users. */
	(void)madvise(block, size, MADV_DONTDUMP);
	*ret_block = block;
	return 0;
}

/* Makes a file as large as the arena can become. The kernel allocates pages when they are
 * touched. */
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

/* Maps new zeroed memory and forgets the present memory. Does not store the new memory. */
static int renew(struct fdstore *store, size_t size, void **ret_block)
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
		if (store->available)
			sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" NAME_MEMORY);
	}
	store->memory = fd;
	return 0;
}

int fdstore_map(struct fdstore *store, size_t size, void **ret_block, bool *ret_inherited)
{
	*ret_inherited = store->memory >= 0 && is_usable(store->memory, size);
	return *ret_inherited ? map(store->memory, size, ret_block) : renew(store, size, ret_block);
}

int fdstore_map_previous(const struct fdstore *store, size_t size, void **ret_block)
{
	if (store->previous < 0 || !is_usable(store->previous, size))
		return -ENOENT;
	return map(store->previous, size, ret_block);
}

void fdstore_put_memory(struct fdstore *store)
{
	if (store->available)
		sd_pid_notify_with_fds(
			0, 0, "FDSTORE=1\nFDPOLL=0\nFDNAME=" NAME_MEMORY, &store->memory, 1);
}

void fdstore_drop_previous(struct fdstore *store)
{
	if (store->previous >= 0)
		fdstore_remove_unknown(store, store->previous, NAME_PREVIOUS);
	store->previous = -1;
}

int fdstore_replace_memory(struct fdstore *store, size_t size, void **ret_block)
{
	int r = renew(store, size, ret_block);

	if (r == 0)
		fdstore_put_memory(store);
	return r;
}

bool fdstore_put_session(struct fdstore *store, uint32_t session, int fd, int patience_ms)
{
	char state[64];

	if (!fdstore_has_room(store, patience_ms))
		return false;
	snprintf(state, sizeof(state), "FDSTORE=1\nFDPOLL=0\nFDNAME=s%" PRIu32, session);
	sd_pid_notify_with_fds(0, 0, state, &fd, 1);
	store->sessions++;
	return true;
}

bool fdstore_remove_session(struct fdstore *store, uint32_t session, int patience_ms)
{
	if (!fdstore_has_room(store, patience_ms))
		return false;
	sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=s%" PRIu32, session);
	store->sessions--;
	return true;
}

void fdstore_flush(struct fdstore *store)
{
	if (store->available)
		sd_notify_barrier(0, FLUSH_US);
}
