/* SPDX-License-Identifier: MIT */
/*
 * Passes each file of a corpus to its fuzz target, without libFuzzer. So each `make check` tests
 * the seeds and all earlier finds, with any compiler and any sanitizer.
 *
 * Usage: replay_TARGET FOLDER...
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Copies the input to a block of exactly its size, so that a sanitizer detects a read beyond its
 * end. */
static int replay(const char *path)
{
	FILE *f = fopen(path, "rb");
	uint8_t *data = NULL;
	long size = -1;
	int r = -1;

	if (f && fseek(f, 0, SEEK_END) == 0)
		size = ftell(f);
	if (size >= 0)
		data = malloc((size_t)size + !size);
	if (data && fseek(f, 0, SEEK_SET) == 0 && fread(data, 1, (size_t)size, f) == (size_t)size)
		r = LLVMFuzzerTestOneInput(data, (size_t)size);
	else
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	free(data);
	if (f)
		fclose(f);
	return r;
}

int main(int argc, char **argv)
{
	unsigned int count = 0;

	for (int i = 1; i < argc; i++) {
		DIR *folder = opendir(argv[i]);
		struct dirent *entry;

		if (!folder) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(errno));
			return 1;
		}
		while ((entry = readdir(folder))) {
			char path[4096];

			if (entry->d_name[0] == '.')
				continue;
			snprintf(path, sizeof(path), "%s/%s", argv[i], entry->d_name);
			if (replay(path) < 0)
				return 1;
			count++;
		}
		closedir(folder);
	}
	printf("%s 1 - %u inputs\n", count ? "ok" : "not ok", count);
	return !count;
}
