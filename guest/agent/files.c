#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "files.h"

#define HEAD 5
/* Of a request, in front of its three names. */
#define FIXED 58
/* A request with its names; a path has 4 KiB at most, what is below it may be long. */
#define MAX_REQUEST (64u << 10)
#define OUT_ROOM (HEAD + PIECE + (8u << 10))

static volatile sig_atomic_t is_stopped;
static uint8_t request[MAX_REQUEST];
static char names[MAX_REQUEST + 3];
static uint8_t out[OUT_ROOM];
static size_t out_len;
static uint8_t piece[PIECE];
/* Of the content that comes: what is left of the record that is being read, and whether more records belong to it. */
static size_t content_left;
static bool in_content;
static const char *why;

static void stop(int number)
{
	(void)number;
	is_stopped = 1;
}

static uint16_t u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint64_t u64(const uint8_t *at)
{
	return (uint64_t)u32(at) << 32 | u32(at + 4);
}

bool files_take(void *to, size_t len)
{
	uint8_t *at = to;
	while (len > 0) {
		ssize_t got = is_stopped ? 0 : read(0, at, len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		len -= (size_t)got;
	}
	return true;
}

static int flush(void)
{
	for (size_t done = 0; done < out_len;) {
		ssize_t more = is_stopped ? -1 : write(1, out + done, out_len - done);
		if (more < 0 && (is_stopped || errno != EINTR))
			return HOST_GONE;
		if (more > 0)
			done += (size_t)more;
	}
	out_len = 0;
	return 0;
}

static void put_head(uint8_t type, size_t len)
{
	const uint8_t head[HEAD] = {type, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
	memcpy(out + out_len, head, HEAD);
	out_len += HEAD;
}

int files_put(uint8_t type, const void *bytes, size_t len)
{
	if (out_len + HEAD + len > sizeof out && flush() != 0)
		return HOST_GONE;
	put_head(type, len);
	if (len > 0)
		memcpy(out + out_len, bytes, len);
	out_len += len;
	return 0;
}

uint8_t *files_piece(void)
{
	if (out_len + HEAD + PIECE > sizeof out && flush() != 0)
		return NULL;
	return out + out_len + HEAD;
}

int files_put_piece(size_t len)
{
	put_head(DATA, len);
	out_len += len;
	return 0;
}

int files_why(int error, const char *text)
{
	why = text;
	return error;
}

int files_content(struct content *content)
{
	uint8_t head[HEAD], number[8];
	memset(content, 0, sizeof *content);
	while (content_left == 0) {
		if (!files_take(head, sizeof head))
			return HOST_GONE;
		size_t len = u32(head + 1);
		if (head[0] == DATA) {
			content_left = len;
		} else if (head[0] == HOLE && len == sizeof number) {
			if (!files_take(number, sizeof number))
				return HOST_GONE;
			content->hole = u64(number);
			return 0;
		} else if (head[0] == END && len == 0) {
			in_content = false;
			content->end = true;
			return 0;
		} else {
			return HOST_GONE; /* It is no host that we can follow. */
		}
	}
	size_t len = content_left < sizeof piece ? content_left : sizeof piece;
	if (!files_take(piece, len))
		return HOST_GONE;
	content_left -= len;
	content->bytes = piece;
	content->len = len;
	return 0;
}

/* What still comes of a content that nobody wants. */
static bool skip_content(void)
{
	struct content content;
	while (in_content)
		if (files_content(&content) != 0)
			return false;
	return true;
}

/* @return whether the names are whole, and none has a NUL in it */
static bool parse(size_t len, struct wanted *w)
{
	const uint8_t *at = request;
	const char **to[] = {&w->path, &w->below, &w->other};
	const uint8_t *from = request + FIXED;
	char *next = names;
	*w = (struct wanted){
		.op = at[0], .flags = at[1], .has = at[2], .mode = u32(at + 4), .uid = u32(at + 8), .gid = u32(at + 12),
		.mtime = {.tv_sec = (time_t)u64(at + 16), .tv_nsec = (long)u32(at + 24)},
		.offset = (off_t)u64(at + 28), .length = u64(at + 36), .rdev = makedev(u32(at + 44), u32(at + 48)),
	};
	for (int i = 0; i < 3; i++) {
		size_t size = u16(at + 52 + 2 * i);
		if ((size_t)(from - request) + size > len || memchr(from, 0, size))
			return false;
		memcpy(next, from, size);
		next[size] = 0;
		*to[i] = next;
		next += size + 1;
		from += size;
	}
	return w->offset >= 0 && w->mtime.tv_nsec >= 0 && w->mtime.tv_nsec < 1000000000 && from == request + len;
}

static int obey(const struct wanted *w)
{
	switch (w->op) {
	case STAT:
		return look_stat(w);
	case LIST:
		return look_list(w);
	case READ:
		return look_read(w);
	case WRITE:
		return write_file(w);
	case REMOVE:
		return change_remove(w);
	case RENAME:
		return change_rename(w);
	case MKDIR:
		return change_mkdir(w);
	case SYMLINK:
	case LINK:
	case NODE:
		return change_make(w);
	case SET:
		return change_set(w);
	default:
		return files_why(EINVAL, "this agent does not know the operation");
	}
}

static int tell(int error)
{
	uint8_t answer[4 + 200];
	if (error == 0) {
		answer[0] = (uint8_t)(extended_lost() < 255 ? extended_lost() : 255);
		return files_put(DONE, answer, answer[0] > 0);
	}
	const char *text = why ? why : strerror(error);
	size_t len = strlen(text) < 200 ? strlen(text) : 200;
	for (int i = 0; i < 4; i++)
		answer[i] = (uint8_t)((uint32_t)error >> (24 - 8 * i));
	memcpy(answer + 4, text, len);
	return files_put(FAILED, answer, 4 + len);
}

/* The extended attributes that follow a request, and their end. @return false: the host is gone */
static bool take_extended(const struct wanted *w)
{
	uint8_t head[HEAD];
	extended_forget();
	if (!(w->flags & WITH_EXTENDED) || (w->op != WRITE && w->op != SET))
		return true;
	for (;;) {
		if (!files_take(head, sizeof head))
			return false;
		if (head[0] == END && u32(head + 1) == 0)
			return true;
		if (head[0] != EXTENDED || !extended_take(u32(head + 1)))
			return false;
	}
}

int files_serve(void)
{
	struct sigaction action = {.sa_handler = stop}; /* What is half made is taken away first. */
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	for (;;) {
		uint8_t head[HEAD];
		struct wanted w;
		if (!files_take(head, sizeof head))
			return 0;
		size_t len = u32(head + 1);
		if (head[0] != DO || len < FIXED || len > sizeof request || !files_take(request, len))
			return 1;
		why = NULL;
		content_left = 0;
		in_content = request[0] == WRITE;
		bool is_request = parse(len, &w);
		if (!take_extended(&w))
			return 0;
		int error = is_request ? obey(&w) : files_why(EINVAL, "the request is malformed");
		if (error == HOST_GONE || tell(error) != 0 || flush() != 0 || !skip_content())
			return 0;
	}
}
