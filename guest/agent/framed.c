/*
 * The op `connect` with `framed`, found by the feature `ends`: behind `opened` are frames, so that each side tells its end by
 * one. Not every VMM passes on the end of one half of a vsock: Firecracker and Cloud Hypervisor end both for it.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"

/* @return whether it went on: else the server must read first */
static bool feed(struct conn *c, size_t len)
{
	ssize_t done = c->raw_end_sent ? (ssize_t)len : write(c->raw, c->in.data + c->in.start, len);
	if (done < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (done < 0) { /* It reads no more. What it wrote before may still be on its way; then it was cut off. */
		c->raw_cut = c->raw_end_sent = true;
		done = (ssize_t)len;
	}
	c->left -= (size_t)done;
	c->taken += (uint32_t)done;
	buf_drop(&c->in, (size_t)done);
	return true;
}

static void write_framed(struct conn *c)
{
	while (!c->broken && (c->head_len == FRAME_HEAD || take_head_bytes(c))) {
		uint8_t type = c->head[0];
		size_t len = c->left < c->in.len ? c->left : c->in.len;
		/* Behind its end it says nothing, and it has nothing else to say. */
		if (c->left > MAX_FRAME || (type != STDIN && type != STDIN_EOF) || (type == STDIN_EOF && c->left > 0) || c->told_end) {
			c->broken = true;
			return;
		}
		if (len > 0 && !feed(c, len))
			return;
		if (c->left > 0) {
			if (c->in.len == 0)
				return;
			continue;
		}
		c->head_len = 0;
		if (type == STDIN_EOF) {
			c->told_end = true;
			if (!c->raw_end_sent)
				shutdown(c->raw, SHUT_WR);
			c->raw_end_sent = true;
		}
	}
}

static void read_framed(struct conn *c)
{
	if (c->raw_over || !(c->on_raw & ~POLLOUT) || c->out.len + FRAME_HEAD + CHUNK > OUT_ROOM)
		return;
	uint8_t *at = buf_room(&c->out, FRAME_HEAD + CHUNK);
	ssize_t got = at ? read(c->raw, at + FRAME_HEAD, CHUNK) : -1;
	if (got > 0) {
		uint8_t head[FRAME_HEAD] = {STDOUT, 0, 0, (uint8_t)(got >> 8), (uint8_t)got};
		memcpy(at, head, FRAME_HEAD);
		c->out.len += FRAME_HEAD + (size_t)got;
	} else if (!at) {
		c->broken = true;
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		c->raw_over = true;
		c->raw_cut = c->raw_cut || got < 0;
		if (!c->raw_cut)
			add_frame(c, ENDED, NULL, 0);
	}
	if (c->out.len == 0)
		buf_free(&c->out);
}

void framed_step(struct conn *c)
{
	write_framed(c);
	read_framed(c);
	/* Who hangs up without a word is gone. */
	if (c->in_end && c->in.len == 0)
		c->broken = true;
	if (c->broken || !c->raw_over || !(c->told_end || c->raw_cut))
		return;
	child_close(&c->raw);
	c->service = CONTROL;
	if (c->raw_cut)
		answer_error(c, "the server broke the connection off", "");
	else
		control_finish(c);
}
