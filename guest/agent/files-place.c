/* Where a file is, without being led elsewhere by a link below what the caller named. */
#define _GNU_SOURCE /* O_PATH */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

#define DIRECTORY (O_PATH | O_DIRECTORY | O_CLOEXEC)

bool place_is_name(const char *leaf)
{
	return *leaf && strcmp(leaf, ".") != 0 && strcmp(leaf, "..") != 0 && !strchr(leaf, '/');
}

/* An absolute path: its links are the guest's own, and gone through; the last one only with `follow`. */
static int open_path(const char *path, bool follow, int *dir, char leaf[NAME_ROOM])
{
	char whole[PATH_MAX];
	if (*path != '/')
		return files_why(EINVAL, "the path is not absolute");
	if (follow && !realpath(path, whole))
		return errno;
	if (!follow && snprintf(whole, sizeof whole, "%s", path) >= (int)sizeof whole)
		return ENAMETOOLONG;
	size_t len = strlen(whole);
	while (len > 1 && whole[len - 1] == '/')
		whole[--len] = 0;
	char *name = strrchr(whole, '/') + 1;
	if (strlen(name) >= NAME_ROOM)
		return ENAMETOOLONG;
	strcpy(leaf, *name ? name : ".");
	*name = 0;
	*dir = open(whole, DIRECTORY);
	return *dir < 0 ? errno : 0;
}

int place_open(const char *path, const char *below, bool follow, int *dir, char leaf[NAME_ROOM])
{
	if (!*below)
		return open_path(path, follow, dir, leaf);
	if (*path != '/' || follow)
		return files_why(EINVAL, "the path is not absolute, or a link below it is to be followed");
	*dir = open(path, DIRECTORY);
	if (*dir < 0)
		return errno;
	for (;;) {
		size_t len = strcspn(below, "/");
		int error = len >= NAME_ROOM ? ENAMETOOLONG : 0;
		if (!error) {
			memcpy(leaf, below, len);
			leaf[len] = 0;
			error = place_is_name(leaf) ? 0 : files_why(EINVAL, "what is below the path has an empty name, . or ..");
		}
		below += len;
		if (!error && !*below)
			return 0;
		int next = error ? -1 : openat(*dir, leaf, DIRECTORY | O_NOFOLLOW);
		if (!error && next < 0)
			error = errno;
		close(*dir);
		*dir = next;
		if (error)
			return error;
		below++;
	}
}

int place_of(const struct wanted *w, int *dir, char leaf[NAME_ROOM])
{
	return place_open(w->path, w->below, w->flags & FOLLOW, dir, leaf);
}

int place_of_other(const struct wanted *w, int *dir, char leaf[NAME_ROOM])
{
	if (!*w->other)
		return files_why(EINVAL, "the second name is empty");
	return *w->other == '/' ? place_open(w->other, "", false, dir, leaf) : place_open(w->path, w->other, false, dir, leaf);
}
