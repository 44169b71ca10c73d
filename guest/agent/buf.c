#include <stdlib.h>
#include <string.h>

#include "agent.h"

/*
 * What is let go of is kept for the next, because to be given memory by the kernel and to give it back costs more than what most
 * connections do with it. So much at most.
 */
#define SPARES 8
#define MAX_SPARE (256u << 10)
/* Large ones are few. */
#define LARGE (64u << 10)
#define MAX_LARGE 3
static struct {
	uint8_t *data;
	size_t cap;
} spares[SPARES];

/* @return the smallest that is large enough, and not far too large */
static uint8_t *take_spare(size_t *cap)
{
	size_t best = SPARES;
	for (size_t i = 0; i < SPARES; i++)
		if (spares[i].cap >= *cap && spares[i].cap <= *cap * 8 && (best == SPARES || spares[i].cap < spares[best].cap))
			best = i;
	if (best == SPARES)
		return NULL;
	uint8_t *data = spares[best].data;
	*cap = spares[best].cap;
	spares[best].data = NULL;
	spares[best].cap = 0;
	return data;
}

static bool keep_spare(uint8_t *data, size_t cap)
{
	size_t large = 0;
	for (size_t i = 0; i < SPARES; i++)
		large += spares[i].cap > LARGE;
	if (cap > MAX_SPARE || (cap > LARGE && large >= MAX_LARGE))
		return false;
	for (size_t i = 0; i < SPARES; i++)
		if (spares[i].cap == 0) {
			spares[i].data = data;
			spares[i].cap = cap;
			return true;
		}
	return false;
}

/* @return whether there is room for so many, in all */
static bool grow(struct buf *b, size_t cap)
{
	uint8_t *data = take_spare(&cap);
	if (!data) {
		data = realloc(b->data, cap);
		if (!data)
			return false;
	} else if (b->data) {
		memcpy(data, b->data, b->len);
		if (!keep_spare(b->data, b->cap))
			free(b->data);
	}
	b->data = data;
	b->cap = cap;
	return true;
}

uint8_t *buf_room(struct buf *b, size_t more)
{
	if (b->start + b->len + more > b->cap && b->start > 0) {
		memmove(b->data, b->data + b->start, b->len);
		b->start = 0;
	}
	if (b->len + more > b->cap) {
		size_t cap = b->cap ? b->cap : 1024;
		while (cap < b->len + more)
			cap *= 2;
		if (!grow(b, cap))
			return NULL;
	}
	return b->data + b->start + b->len;
}

bool buf_add(struct buf *b, const void *bytes, size_t len)
{
	uint8_t *to = buf_room(b, len);
	if (!to)
		return false;
	if (len)
		memcpy(to, bytes, len);
	b->len += len;
	return true;
}

void buf_drop(struct buf *b, size_t len)
{
	b->start += len;
	b->len -= len;
	if (b->len == 0) /* Idle connections hold no memory. */
		buf_free(b);
}

void buf_free(struct buf *b)
{
	if (b->data && !keep_spare(b->data, b->cap))
		free(b->data);
	memset(b, 0, sizeof *b);
}
