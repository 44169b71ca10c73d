#include <stdlib.h>
#include <string.h>

#include "agent.h"

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
		uint8_t *data = realloc(b->data, cap);
		if (!data)
			return NULL;
		b->data = data;
		b->cap = cap;
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
	free(b->data);
	memset(b, 0, sizeof *b);
}
