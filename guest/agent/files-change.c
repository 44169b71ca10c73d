/* What is changed of a directory: remove, rename, make, set. */
#define _GNU_SOURCE /* O_PATH */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

/* Directories within each other, of which each is open: more are no tree that somebody made in earnest. */
#define MAX_DEPTH 400

static const char NO_NAME[] = "the path ends with . or .., or is the root";

/* Empties a directory, which it closes. Links are removed and not gone through, other file systems are left alone. */
static int empty(int fd, dev_t dev, int depth)
{
	struct stat s;
	DIR *list = depth > MAX_DEPTH ? NULL : fdopendir(fd);
	if (!list) {
		close(fd);
		return depth > MAX_DEPTH ? files_why(ELOOP, "the directories are nested too deeply") : ENOMEM;
	}
	int error = 0;
	while (!error) {
		errno = 0;
		struct dirent *one = readdir(list);
		if (!one) {
			error = errno;
			break;
		}
		if (!place_is_name(one->d_name) || unlinkat(fd, one->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM) {
			error = errno;
			break;
		}
		int below = openat(fd, one->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0) {
			error = errno == ENOTDIR ? EPERM : errno;
			break;
		}
		if (fstat(below, &s) < 0 || s.st_dev != dev) {
			close(below);
			error = files_why(EBUSY, "another file system is mounted in it");
			break;
		}
		error = empty(below, dev, depth + 1);
		if (!error && unlinkat(fd, one->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			error = errno;
	}
	closedir(list);
	return error;
}

int change_remove(const struct wanted *w)
{
	char leaf[NAME_ROOM];
	struct stat s;
	int dir, error = place_of(w, &dir, leaf);
	if (error)
		return error;
	if (!place_is_name(leaf)) {
		error = files_why(EINVAL, NO_NAME);
	} else if (fstatat(dir, leaf, &s, AT_SYMLINK_NOFOLLOW) < 0) {
		error = errno;
	} else if (!S_ISDIR(s.st_mode)) {
		error = unlinkat(dir, leaf, 0) < 0 ? errno : 0;
	} else {
		int fd = w->flags & RECURSIVE ? openat(dir, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
		if (fd >= 0)
			error = empty(fd, s.st_dev, 0);
		else if (w->flags & RECURSIVE)
			error = errno;
		if (!error && unlinkat(dir, leaf, AT_REMOVEDIR) < 0)
			error = errno;
	}
	close(dir);
	return error;
}

int change_rename(const struct wanted *w)
{
	char leaf[NAME_ROOM], other[NAME_ROOM];
	int dir, to, error = place_of(w, &dir, leaf);
	if (error)
		return error;
	error = place_of_other(w, &to, other);
	if (!error) {
		if (!place_is_name(leaf) || !place_is_name(other))
			error = files_why(EINVAL, NO_NAME);
		else if (renameat(dir, leaf, to, other) < 0)
			error = errno;
		close(to);
	}
	close(dir);
	return error;
}

/* The directories in front of the last. */
static int make_parents(const char *path)
{
	char whole[PATH_MAX];
	if (snprintf(whole, sizeof whole, "%s", path) >= (int)sizeof whole)
		return ENAMETOOLONG;
	for (char *at = whole + 1; *whole == '/' && (at = strchr(at, '/')); at++) {
		*at = 0;
		if (mkdir(whole, 0755) < 0 && errno != EEXIST && errno != EISDIR)
			return errno;
		*at = '/';
	}
	return 0;
}

int change_mkdir(const struct wanted *w)
{
	char leaf[NAME_ROOM];
	struct stat s;
	int dir, error = (w->flags & PARENTS) && !*w->below ? make_parents(w->path) : 0;
	if (!error)
		error = place_of(w, &dir, leaf);
	if (error)
		return error;
	if (mkdirat(dir, leaf, 0700) < 0) {
		error = errno;
		bool is_there = fstatat(dir, leaf, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(s.st_mode);
		if (error == EEXIST && (w->flags & PARENTS) && is_there)
			error = 0;
	} else {
		struct wanted made = *w;
		if (!(made.has & HAS_MODE))
			made.mode = 0755;
		made.has |= HAS_MODE;
		int fd = openat(dir, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		error = fd < 0 ? errno : write_attributes(&made, fd);
		if (fd >= 0)
			close(fd);
	}
	close(dir);
	return error;
}

/* Of something that cannot be opened, or must not be: it has a name that nobody knows yet. */
static int set_by_name(const struct wanted *w, int dir, const char *name, bool is_link)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, w->mtime};
	if ((w->has & HAS_OWNER) && fchownat(dir, name, w->uid, w->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return errno;
	if (!is_link && fchmodat(dir, name, w->has & HAS_MODE ? w->mode & 07777 : 0644, 0) < 0)
		return errno;
	if ((w->has & HAS_TIME) && utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return errno;
	return 0;
}

static int make_at(const struct wanted *w, int dir, const char *name)
{
	char leaf[NAME_ROOM];
	int from, error;
	switch (w->op) {
	case SYMLINK:
		return symlinkat(w->other, dir, name) < 0 ? errno : 0;
	case LINK:
		error = place_of_other(w, &from, leaf);
		if (error)
			return error;
		error = linkat(from, leaf, dir, name, 0) < 0 ? errno : 0;
		close(from);
		return error;
	default:
		if (!S_ISFIFO(w->mode) && !S_ISCHR(w->mode) && !S_ISBLK(w->mode))
			return files_why(EINVAL, "it is neither a pipe nor a device");
		return mknodat(dir, name, (w->mode & S_IFMT) | 0600, w->rdev) < 0 ? errno : 0;
	}
}

/* Made under another name first: what has its name now is replaced, and not gone through. */
int change_make(const struct wanted *w)
{
	char leaf[NAME_ROOM], temp[NAME_ROOM];
	struct stat s;
	int dir, error = place_of(w, &dir, leaf);
	if (error)
		return error;
	if (!place_is_name(leaf))
		error = files_why(EINVAL, NO_NAME);
	else if (fstatat(dir, leaf, &s, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(s.st_mode))
		error = EISDIR;
	if (!error) {
		write_temp_name(temp);
		error = make_at(w, dir, temp);
		if (!error && w->op != LINK)
			error = set_by_name(w, dir, temp, w->op == SYMLINK);
		if (!error && renameat(dir, temp, dir, leaf) < 0)
			error = errno;
		unlinkat(dir, temp, 0); /* It is still there, too, where both were one file already. */
	}
	close(dir);
	return error;
}

int change_set(const struct wanted *w)
{
	char leaf[NAME_ROOM];
	struct stat s;
	int dir, error = place_of(w, &dir, leaf);
	if (error)
		return error;
	if (fstatat(dir, leaf, &s, AT_SYMLINK_NOFOLLOW) < 0) {
		error = errno;
	} else if (S_ISLNK(s.st_mode)) {
		error = set_by_name(w, dir, leaf, true);
	} else if (!S_ISDIR(s.st_mode) && !S_ISREG(s.st_mode)) {
		error = files_why(EINVAL, "it is a device, a pipe or a socket");
	} else {
		int fd = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
		error = fd < 0 ? errno : write_attributes(w, fd);
		if (fd >= 0)
			close(fd);
	}
	close(dir);
	return error;
}
