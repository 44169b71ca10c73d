/* What there is: stat, list, read. */
#define _GNU_SOURCE /* SEEK_DATA */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "files.h"

#define ENTRY_FIXED 88

static uint8_t *add(uint8_t *at, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
	return at + bytes;
}

static int put_entry(const struct stat *s, const char *name, const char *target, size_t target_len)
{
	static uint8_t entry[ENTRY_FIXED + NAME_ROOM + PATH_MAX];
	size_t name_len = strlen(name);
	uint8_t *at = entry;
	at = add(at, s->st_mode, 4);
	at = add(at, s->st_uid, 4);
	at = add(at, s->st_gid, 4);
	at = add(at, (uint64_t)s->st_size, 8);
	at = add(at, (uint64_t)s->st_mtim.tv_sec, 8);
	at = add(at, (uint64_t)s->st_mtim.tv_nsec, 4);
	at = add(at, (uint64_t)s->st_ctim.tv_sec, 8);
	at = add(at, (uint64_t)s->st_ctim.tv_nsec, 4);
	at = add(at, s->st_nlink, 8);
	at = add(at, s->st_dev, 8);
	at = add(at, s->st_ino, 8);
	at = add(at, (uint64_t)s->st_blocks * 512, 8);
	at = add(at, major(s->st_rdev), 4);
	at = add(at, minor(s->st_rdev), 4);
	at = add(at, name_len, 2);
	at = add(at, target_len, 2);
	memcpy(at, name, name_len);
	at += name_len;
	memcpy(at, target, target_len);
	return files_put(ENTRY, entry, ENTRY_FIXED + name_len + target_len);
}

/* @return 0, HOST_GONE or an error: ENOENT where it has gone meanwhile */
static int put_one(int dir, const char *leaf, bool is_extended)
{
	char target[PATH_MAX];
	struct stat s;
	ssize_t len = 0;
	if (fstatat(dir, leaf, &s, AT_SYMLINK_NOFOLLOW) < 0)
		return errno;
	if (S_ISLNK(s.st_mode) && (len = readlinkat(dir, leaf, target, sizeof target)) < 0)
		return errno;
	int error = put_entry(&s, leaf, target, (size_t)len);
	/* Of others the kernel lets nobody have any that we tell. */
	if (!error && is_extended && (S_ISREG(s.st_mode) || S_ISDIR(s.st_mode)))
		error = extended_put(dir, leaf);
	return error;
}

int look_stat(const struct wanted *w)
{
	char leaf[NAME_ROOM];
	int dir, error = place_of(w, &dir, leaf);
	if (error)
		return error;
	error = put_one(dir, leaf, w->flags & WITH_EXTENDED);
	close(dir);
	return error;
}

int look_list(const struct wanted *w)
{
	char leaf[NAME_ROOM];
	int dir, error = place_of(w, &dir, leaf);
	if (error)
		return error;
	int fd = openat(dir, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	error = errno;
	close(dir);
	if (fd < 0)
		return error;
	DIR *list = fdopendir(fd);
	if (!list) {
		close(fd);
		return ENOMEM;
	}
	for (error = 0; !error;) {
		errno = 0;
		struct dirent *one = readdir(list);
		if (!one) {
			error = errno;
			break;
		}
		if (!place_is_name(one->d_name))
			continue;
		error = put_one(dirfd(list), one->d_name, w->flags & WITH_EXTENDED);
		if (error == ENOENT)
			error = 0;
	}
	closedir(list);
	return error;
}

static int put_hole(off_t len)
{
	uint8_t bytes[8];
	add(bytes, (uint64_t)len, sizeof bytes);
	return files_put(HOLE, bytes, sizeof bytes);
}

/* Sends what is from `at` on, until `end` or the file's own. @return 0, HOST_GONE or an error; `*over`: it ended before */
static int put_bytes(int fd, off_t at, off_t end, bool *over)
{
	while (at < end) {
		uint8_t *to = files_piece();
		if (!to)
			return HOST_GONE;
		size_t len = end - at < (off_t)PIECE ? (size_t)(end - at) : PIECE;
		ssize_t got = pread(fd, to, len, at);
		if (got < 0 && errno == ESPIPE) /* Some of /proc can only be read on. */
			got = read(fd, to, len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno != EAGAIN) /* What the kernel has nothing of now has ended for us. */
			return errno;
		if (got <= 0) {
			*over = true;
			return 0;
		}
		files_put_piece((size_t)got);
		at += got;
	}
	return 0;
}

static int put_content(int fd, off_t at, off_t end, bool is_sparse)
{
	bool over = false;
	int error = 0;
	while (at < end && !over && !error) {
		off_t data = is_sparse ? lseek(fd, at, SEEK_DATA) : at;
		if (data < 0 && errno == ENXIO) /* Nothing but a hole is left. */
			return put_hole(end - at);
		if (data < at)
			data = at;
		if (data > end)
			data = end;
		if (data > at)
			error = put_hole(data - at);
		off_t hole = is_sparse && data < end ? lseek(fd, data, SEEK_HOLE) : end;
		if (hole <= data || hole > end)
			hole = end;
		if (!error)
			error = put_bytes(fd, data, hole, &over);
		at = hole;
	}
	return error;
}

int look_read(const struct wanted *w)
{
	char leaf[NAME_ROOM];
	struct stat before, s;
	int dir, error = place_of(w, &dir, leaf);
	if (error)
		return error;
	int fd = -1;
	/* To open a device or a pipe may already do something. */
	if (fstatat(dir, leaf, &before, AT_SYMLINK_NOFOLLOW) < 0)
		error = errno;
	else if (S_ISDIR(before.st_mode))
		error = EISDIR;
	else if (!S_ISREG(before.st_mode))
		error = files_why(EINVAL, "it is no regular file");
	else if ((fd = openat(dir, leaf, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)) < 0)
		error = errno;
	close(dir);
	if (error)
		return error;
	if (fstat(fd, &s) < 0 || !S_ISREG(s.st_mode))
		error = files_why(EINVAL, "it is no regular file any more");
	if (!error)
		error = put_entry(&s, leaf, "", 0);
	/* One that grows is sent as long as it was; of one without a size, as in /proc, all that there is. */
	off_t end = s.st_size > 0 ? s.st_size : INT64_MAX;
	if (w->length > 0 && w->length < (uint64_t)(end - (w->offset < end ? w->offset : end)))
		end = w->offset + (off_t)w->length;
	if (!error)
		error = put_content(fd, w->offset, end, s.st_size > 0 && (uint64_t)s.st_blocks * 512 < (uint64_t)s.st_size);
	if (!error && fstat(fd, &s) < 0)
		error = errno;
	if (!error)
		error = put_entry(&s, leaf, "", 0);
	close(fd);
	return error;
}
