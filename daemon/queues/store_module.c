/* SPDX-License-Identifier: MIT */
#include "store_module.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* In the program's folder, if the program runs from the build folder. */
static void *load_beside(const char *name)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *folder_end;

	if (n < 0)
		return NULL;
	path[n] = 0;
	folder_end = strrchr(path, '/');
	if (!folder_end)
		return NULL;
	n = snprintf(folder_end + 1, sizeof(path) - (size_t)(folder_end + 1 - path),
		"timerqd-%s.so", name);
	if (n < 0 || (size_t)n >= sizeof(path) - (size_t)(folder_end + 1 - path) ||
		access(path, F_OK) < 0)
		return NULL;
	return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

static void *load_installed(const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), TIMERQD_MODULES "/timerqd-%s.so", name);
	return dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

const struct store_module *store_module_load(const char *name)
{
	void *object = load_beside(name);
	const struct store_module *module;

	if (!object)
		object = load_installed(name);
	if (!object) {
		fprintf(stderr, "timerqd: --store: the module for %s cannot be loaded: %s\n", name,
			dlerror());
		return NULL;
	}
	module = dlsym(object, STORE_MODULE_SYMBOL);
	if (!module || module->version != STORE_MODULE_VERSION) {
		fprintf(stderr, "timerqd: --store: the module for %s is not of this timerqd\n",
			name);
		return NULL;
	}
	return module;
}
