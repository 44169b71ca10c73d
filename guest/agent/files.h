/*
 * The file server: a process of the agent's own for each connection that asks for one, so that a file system that hangs
 * holds up nobody else. It reads records from its standard input and answers on its standard output.
 *
 *   record   1 byte type; 4 bytes length; the payload
 *
 * Numbers are big-endian, names are bytes. docs/guest-agent.md has the payloads.
 */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

enum { DO = 40, DATA = 41, HOLE = 42, END = 43, ENTRY = 44, DONE = 45, FAILED = 46, EXTENDED = 47 };
enum { STAT = 1, LIST, READ, WRITE, REMOVE, RENAME, MKDIR, SYMLINK, LINK, NODE, SET };
/* Flags of a request. */
enum { FOLLOW = 1, RECURSIVE = 2, IN_PLACE = 4, PARENTS = 8, WITH_EXTENDED = 16 };
/* Which attributes it gives. */
enum { HAS_MODE = 1, HAS_OWNER = 2, HAS_TIME = 4 };

/* What an operation returns beside 0 and the numbers of errno: there is nobody to tell. */
#define HOST_GONE (-1)
/* A name with its NUL. */
#define NAME_ROOM 256
/* The most of a file in one record of ours. */
#define PIECE (32u << 10)

struct wanted {
	uint8_t op, flags, has;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	struct timespec mtime;
	off_t offset;
	uint64_t length; /* 0: to the end */
	dev_t rdev;
	/* `path` is absolute; below it `below` is found without going through a link, or empty. */
	const char *path, *below, *other;
};

/* files.c. @return the exit status of the process */
int files_serve(void);
/* Adds a record to what is sent. @return 0 or HOST_GONE */
int files_put(uint8_t type, const void *bytes, size_t len);
/* @return whether so many bytes came from the host */
bool files_take(void *to, size_t len);
/* Where PIECE bytes may be put for `files_put_piece`; NULL: the host is gone. */
uint8_t *files_piece(void);
int files_put_piece(size_t len);
/* The next of a file's content: as many bytes as it returns at `*bytes`, or a hole. @return 0, HOST_GONE or an error */
struct content {
	const uint8_t *bytes;
	size_t len;
	uint64_t hole;
	bool end;
};
int files_content(struct content *content);
/* For an error whose number does not tell: `why` is one line. @return error */
int files_why(int error, const char *why);

/* files-place.c: the directory that something lies in, and its name there. @return 0 or an error */
int place_open(const char *path, const char *below, bool follow, int *dir, char leaf[NAME_ROOM]);
int place_of(const struct wanted *w, int *dir, char leaf[NAME_ROOM]);
/* Of `other`, which is below `path` where it is not absolute. */
int place_of_other(const struct wanted *w, int *dir, char leaf[NAME_ROOM]);
/* Whether a name is one that something can be made or removed under. */
bool place_is_name(const char *leaf);

/* files-look.c */
int look_stat(const struct wanted *w);
int look_list(const struct wanted *w);
int look_read(const struct wanted *w);

/* files-extended.c: extended attributes. Those of a file follow its entry. @return 0 or HOST_GONE */
int extended_put(int dir, const char *leaf);
/* Of what is asked for next none is known yet; ... */
void extended_forget(void);
/* ... one that is to be set comes; ... @return false: it is none, or too much, or the host is gone */
bool extended_take(size_t len);
/* ... all of them are set, ... */
void extended_set(int fd);
/* ... and so many could not be. */
unsigned extended_lost(void);

/* files-write.c */
int write_file(const struct wanted *w);
/* A name beside others that nobody uses. */
void write_temp_name(char name[NAME_ROOM]);
int write_attributes(const struct wanted *w, int fd);

/* files-change.c */
int change_remove(const struct wanted *w);
int change_rename(const struct wanted *w);
int change_mkdir(const struct wanted *w);
int change_make(const struct wanted *w); /* SYMLINK, LINK, NODE */
int change_set(const struct wanted *w);

#endif
