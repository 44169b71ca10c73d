/*
 * Extended attributes: those that users give (`user.…`), and what a program may do (`security.capability`). Others belong to this
 * machine's own policies, and mean nothing on another.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "files.h"

/* As a record has them: 1 byte, 1 byte length of the name, the name, the value. */
#define FIXED 2
#define MAX_NAME 255
#define MAX_VALUE PIECE
/* Of one file: the list of names that Linux has at most, and as much of values. */
#define MAX_ALL (64u << 10)

static bool is_told(const char *name)
{
	return !strncmp(name, "user.", 5) || !strcmp(name, "security.capability");
}

/* @param is_left - it is too large: its name alone */
static int put_one(const char *name, const uint8_t *value, size_t len, bool is_left)
{
	static uint8_t record[FIXED + MAX_NAME + MAX_VALUE];
	size_t name_len = strlen(name);
	record[0] = is_left;
	record[1] = (uint8_t)name_len;
	memcpy(record + FIXED, name, name_len);
	if (len > 0)
		memcpy(record + FIXED + name_len, value, len);
	return files_put(EXTENDED, record, FIXED + name_len + len);
}

int extended_put(int dir, const char *leaf)
{
	static char names[MAX_ALL];
	static uint8_t value[MAX_VALUE];
	char path[64 + NAME_ROOM];
	size_t all = 0;
	/* There are no such calls that take a directory. By it the name is found, and a link at its end is not gone through. */
	snprintf(path, sizeof path, "/proc/self/fd/%d/%s", dir, leaf);
	ssize_t len = llistxattr(path, names, sizeof names);
	for (char *name = names; len > 0 && name < names + len; name += strlen(name) + 1) {
		if (!is_told(name) || strlen(name) > MAX_NAME)
			continue;
		ssize_t got = lgetxattr(path, name, value, sizeof value);
		if (got < 0 && errno == ENODATA) /* It has gone meanwhile. */
			continue;
		bool is_left = got < 0 || all + (size_t)got > MAX_ALL;
		all += is_left ? 0 : (size_t)got;
		if (put_one(name, value, is_left ? 0 : (size_t)got, is_left) != 0)
			return HOST_GONE;
	}
	return 0;
}

static struct {
	uint8_t bytes[2 * MAX_ALL];
	size_t len;
} asked;
static unsigned lost;

void extended_forget(void)
{
	asked.len = 0;
	lost = 0;
}

bool extended_take(size_t len)
{
	uint8_t *at = asked.bytes + asked.len;
	if (len < FIXED || len > FIXED + MAX_NAME + MAX_VALUE || len + 2 > sizeof asked.bytes - asked.len || !files_take(at + 2, len))
		return false;
	if (at[3] == 0 || (size_t)FIXED + at[3] > len || memchr(at + 2 + FIXED, 0, at[3]))
		return false;
	at[0] = (uint8_t)(len >> 8);
	at[1] = (uint8_t)len;
	asked.len += 2 + len;
	return true;
}

void extended_set(int fd)
{
	for (size_t at = 0; at < asked.len;) {
		const uint8_t *one = asked.bytes + at;
		size_t len = (size_t)(one[0] << 8 | one[1]);
		char name[MAX_NAME + 1] = "";
		memcpy(name, one + 2 + FIXED, one[3]);
		/* What this file system does not take is told; the file is of use without it. */
		if (!is_told(name) || fsetxattr(fd, name, one + 2 + FIXED + one[3], len - FIXED - one[3], 0) < 0)
			lost++;
		at += 2 + len;
	}
}

unsigned extended_lost(void)
{
	return lost;
}
