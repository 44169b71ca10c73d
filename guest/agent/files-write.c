/* A file from the host: whole under its name, or not there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "files.h"

#define TRIES 8

void write_temp_name(char name[NAME_ROOM])
{
	uint32_t chance[3] = {0};
	static uint32_t count;
	/* Early in a boot there may be no chance yet, which must not hold us up: what is taken is not overwritten. */
	if (getrandom(chance, sizeof chance, GRND_NONBLOCK) < 0)
		chance[0] = (uint32_t)getpid() ^ count++ ^ (uint32_t)time(NULL);
	snprintf(name, NAME_ROOM, ".flintlock-%08x%08x%08x", chance[0], chance[1], chance[2]);
}

/* The owner first: a change of it takes the set-user-ID bit and capabilities away. */
int write_attributes(const struct wanted *w, int fd)
{
	const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, w->mtime};
	if ((w->has & HAS_OWNER) && fchown(fd, w->uid, w->gid) < 0)
		return errno;
	extended_set(fd);
	if ((w->has & HAS_MODE) && fchmod(fd, w->mode & 07777) < 0)
		return errno;
	if ((w->has & HAS_TIME) && futimens(fd, times) < 0)
		return errno;
	return 0;
}

static int write_all(int fd, const uint8_t *bytes, size_t len, off_t at)
{
	while (len > 0) {
		ssize_t done = pwrite(fd, bytes, len, at);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return errno;
		if (done == 0)
			return EIO;
		bytes += done;
		at += done;
		len -= (size_t)done;
	}
	return 0;
}

/* @return 0, HOST_GONE or an error */
static int take_content(int fd, off_t at)
{
	struct content content;
	for (;;) {
		int error = files_content(&content);
		if (error)
			return error;
		if (content.end)
			return ftruncate(fd, at) < 0 ? errno : 0;
		if (content.hole > (uint64_t)(INT64_MAX - at) || content.len > (uint64_t)(INT64_MAX - at))
			return EFBIG;
		error = write_all(fd, content.bytes, content.len, at);
		if (error)
			return error;
		at += (off_t)content.hole + (off_t)content.len;
	}
}

static int write_in_place(const struct wanted *w, int dir, const char *leaf)
{
	struct stat s;
	int flags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (w->offset == 0 ? O_CREAT : 0);
	int fd = openat(dir, leaf, flags, 0600);
	if (fd < 0)
		return errno;
	int error = 0;
	if (fstat(fd, &s) < 0)
		error = errno;
	else if (!S_ISREG(s.st_mode))
		error = files_why(EINVAL, "it is no regular file");
	else if (s.st_size < w->offset)
		error = files_why(EINVAL, "the file is shorter than the offset");
	if (!error)
		error = take_content(fd, w->offset);
	if (!error)
		error = write_attributes(w, fd);
	if (close(fd) < 0 && !error)
		error = errno;
	return error;
}

static int open_temp(int dir, char temp[NAME_ROOM], int *fd)
{
	for (int i = 0; i < TRIES; i++) {
		write_temp_name(temp);
		*fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (*fd >= 0)
			return 0;
		if (errno != EEXIST)
			return errno;
	}
	return EEXIST;
}

static int write_new(struct wanted *w, int dir, const char *leaf)
{
	char temp[NAME_ROOM];
	struct stat s;
	int fd;
	bool is_there = fstatat(dir, leaf, &s, AT_SYMLINK_NOFOLLOW) == 0;
	if (is_there && S_ISDIR(s.st_mode))
		return EISDIR;
	if (is_there && !S_ISREG(s.st_mode) && !S_ISLNK(s.st_mode))
		return files_why(EEXIST, "there is a device, a pipe or a socket of that name");
	/* What is not said stays as it was. */
	bool is_kept = is_there && S_ISREG(s.st_mode);
	if (!(w->has & HAS_MODE))
		w->mode = is_kept ? s.st_mode : 0644;
	w->has |= HAS_MODE;
	if (!(w->has & HAS_OWNER) && is_kept) {
		w->uid = s.st_uid;
		w->gid = s.st_gid;
		w->has |= HAS_OWNER;
	}
	int error = open_temp(dir, temp, &fd);
	if (error)
		return error;
	error = take_content(fd, 0);
	if (!error)
		error = write_attributes(w, fd);
	if (close(fd) < 0 && !error)
		error = errno;
	if (!error && renameat(dir, temp, dir, leaf) < 0)
		error = errno;
	if (error)
		unlinkat(dir, temp, 0);
	return error;
}

int write_file(const struct wanted *asked)
{
	struct wanted w = *asked;
	char leaf[NAME_ROOM];
	int dir, error = place_of(&w, &dir, leaf);
	if (error)
		return error;
	if (!place_is_name(leaf))
		error = EISDIR;
	else if (w.flags & IN_PLACE)
		error = write_in_place(&w, dir, leaf);
	else if (w.offset != 0)
		error = files_why(EINVAL, "an offset is for a file that is written in place");
	else
		error = write_new(&w, dir, leaf);
	close(dir);
	return error;
}
