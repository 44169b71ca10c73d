#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent.h"

#define MAX_REQUEST (4u << 20)
/* A terminal's end of input, Ctrl-D. */
#define END_OF_INPUT 4
/* More than both pipes can have held when the program ended is of what it left running. */
#define QUIET_BY_BYTES (3u * PIPE_ROOM)

void add_frame(struct conn *c, uint8_t type, const void *bytes, size_t len)
{
	uint8_t head[FRAME_HEAD] = {type, (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
	if (!buf_add(&c->out, head, sizeof head) || !buf_add(&c->out, bytes, len))
		c->broken = true;
}

void control_finish(struct conn *c)
{
	c->answered = true;
	c->out_end = true;
	buf_free(&c->request);
	buf_free(&c->small);
}

static void answer_exit(struct conn *c, int code, bool timed_out)
{
	char text[64];
	int len = snprintf(text, sizeof text, timed_out ? "{\"code\":%d,\"timed_out\":true}" : "{\"code\":%d}", code);
	add_frame(c, EXIT, text, (size_t)len);
	control_finish(c);
}

void answer_error(struct conn *c, const char *about, const char *what)
{
	char text[256];
	int len = snprintf(text, sizeof text, "{\"msg\":\"%s%s\"}", about, what);
	add_frame(c, ERROR, text, (size_t)len);
	control_finish(c);
}

static void answer_info(struct conn *c)
{
	struct utsname names;
	struct sysinfo system;
	char text[1024];
	if (uname(&names) < 0 || sysinfo(&system) < 0) {
		answer_error(c, "the kernel does not tell about itself", "");
		return;
	}
	int len = snprintf(text, sizeof text,
			   "{\"version\":\"" AGENT_VERSION "\",\"uname\":\"%s %s %s %s\",\"uptime\":%ld,"
			   "\"agent\":\"flintlock\",\"features\":[\"tty\",\"signal\",\"files\",\"ports\",\"statistics\",\"clock\",\"watch\",\"ends\",\"extended\"]}",
			   names.sysname, names.release, names.version, names.machine, (long)system.uptime);
	add_frame(c, STDOUT, text, (size_t)len);
	answer_exit(c, 0, false);
}

static void answer_clock(struct conn *c, const struct request *r)
{
	char text[64];
	long long behind_ms = 0;
	int error = r->has_clock ? clock_set(r, &behind_ms) : EINVAL;
	if (error) {
		answer_error(c, "the clock cannot be set: ", strerror(error));
		return;
	}
	int len = snprintf(text, sizeof text, "{\"behind_ms\":%lld}", behind_ms);
	add_frame(c, STDOUT, text, (size_t)len);
	answer_exit(c, 0, false);
}

static void answer(struct conn *c, int64_t now)
{
	struct request r;
	const char *wrong = request_parse((char *)c->request.data + c->request.start, c->request.len, &r);
	char why[512];
	c->asked = true;
	if (wrong) {
		answer_error(c, "the request ", wrong);
	} else if (!strcmp(r.op, "ping")) {
		answer_exit(c, 0, false);
	} else if (!strcmp(r.op, "info")) {
		answer_info(c);
	} else if (!strcmp(r.op, "watch")) {
		c->watches = true;
	} else if (!strcmp(r.op, "clock")) {
		answer_clock(c, &r);
	} else if (!strcmp(r.op, "connect")) {
		connect_begin(c, &r, now);
	} else if (!strcmp(r.op, "statistics")) {
		statistics_begin(c, &r, now);
	} else if (strcmp(r.op, "exec") != 0 && !r.files) {
		answer_error(c, "the request has an op that this agent does not know", "");
	} else {
		int code = child_start(&c->child, &r, why, sizeof why);
		if (code != 0) {
			add_frame(c, STDERR, why, strlen(why));
			answer_exit(c, code, false);
		}
	}
	request_free(&r);
	buf_free(&c->request);
}

/* A frame of ours that is whole. */
static void obey(struct conn *c, uint8_t type)
{
	const uint8_t *at = c->small.data + c->small.start;
	if (type == RESIZE && c->small.len == 4)
		child_resize(&c->child, (unsigned)(at[0] << 8 | at[1]), (unsigned)(at[2] << 8 | at[3]));
	if (type == SIGNAL && c->small.len == 1)
		child_signal(&c->child, at[0]);
	buf_free(&c->small);
}

/* @return whether it went on: else the program must read first */
static bool feed_stdin(struct conn *c, size_t len)
{
	ssize_t done = (ssize_t)len;
	if (c->child.in >= 0) {
		done = write(c->child.in, c->in.data + c->in.start, len);
		if (done < 0 && errno == EAGAIN)
			child_widen(&c->child, c->child.in);
		if (done < 0 && (errno == EAGAIN || errno == EINTR))
			return false;
		if (done < 0) { /* It reads no more, and that is no fault. */
			child_close(&c->child.in);
			done = (ssize_t)len;
		}
	}
	c->left -= (size_t)done;
	c->taken += (uint32_t)done;
	buf_drop(&c->in, (size_t)done);
	return true;
}

static bool end_stdin(struct conn *c)
{
	if (c->child.in >= 0 && c->child.tty) {
		const char end = END_OF_INPUT;
		if (write(c->child.in, &end, 1) < 0 && errno == EAGAIN)
			return false;
	}
	child_close(&c->child.in);
	return true;
}

bool take_head_bytes(struct conn *c)
{
	while (c->head_len < FRAME_HEAD && c->in.len > 0) {
		c->head[c->head_len++] = c->in.data[c->in.start];
		c->taken++;
		buf_drop(&c->in, 1);
	}
	if (c->head_len < FRAME_HEAD)
		return false;
	c->left = (size_t)c->head[1] << 24 | (size_t)c->head[2] << 16 | (size_t)c->head[3] << 8 | c->head[4];
	return true;
}

/* @return whether a head is whole, and one that may come */
static bool take_head(struct conn *c)
{
	if (c->head_len < FRAME_HEAD && take_head_bytes(c)) {
		if (c->left > MAX_FRAME)
			answer_error(c, "a frame is longer than 16 MiB", "");
		else if (!c->asked && c->head[0] != REQUEST)
			answer_error(c, "the first frame is no request", "");
		else if (c->asked && c->head[0] == REQUEST)
			c->broken = true; /* One connection, one request: its program is ended. */
		else if (!c->asked && c->left > MAX_REQUEST)
			answer_error(c, "the request is longer than 4 MiB", "");
	}
	return c->head_len == FRAME_HEAD && !c->broken && !c->answered;
}

static void read_frames(struct conn *c, int64_t now)
{
	while (c->service == CONTROL && !c->answered && !c->broken && take_head(c)) {
		uint8_t type = c->head[0];
		size_t len = c->left < c->in.len ? c->left : c->in.len;
		bool kept = type == REQUEST || ((type == RESIZE || type == SIGNAL) && c->head[1] == 0 && c->head[2] == 0 && c->head[3] == 0);
		if (len > 0 && type == STDIN) {
			if (!feed_stdin(c, len))
				return;
		} else if (len > 0) {
			if (kept && !buf_add(type == REQUEST ? &c->request : &c->small, c->in.data + c->in.start, len))
				c->broken = true;
			c->left -= len;
			c->taken += (uint32_t)len;
			buf_drop(&c->in, len);
		}
		if (c->left > 0) {
			if (c->in.len == 0)
				return;
			continue;
		}
		if (type == STDIN_EOF && !end_stdin(c))
			return;
		c->head_len = 0;
		if (type == REQUEST)
			answer(c, now);
		else if (kept)
			obey(c, type);
	}
	if (c->answered) { /* What still comes concerns nobody. */
		c->taken += (uint32_t)c->in.len;
		buf_drop(&c->in, c->in.len);
	}
}

/* Reads once. @return whether there may be more; `*over`: that was its end */
static bool read_piece(struct conn *c, int *fd, uint8_t type, int64_t now, bool *over)
{
	if (c->out.len + FRAME_HEAD + CHUNK > OUT_ROOM) { /* Nobody is silent whom we do not hear. */
		c->child.quiet_at = now + QUIET_MS;
		c->child.quiet_by = now + QUIET_BY_MS;
		return false;
	}
	uint8_t *at = buf_room(&c->out, FRAME_HEAD + CHUNK);
	ssize_t got = at ? read(*fd, at + FRAME_HEAD, CHUNK) : -1;
	int error = at ? errno : ENOMEM;
	if (got <= 0 && c->out.len == 0) /* Nothing came, and that takes no room. */
		buf_free(&c->out);
	if (got < 0 && (error == EAGAIN || error == EINTR))
		return false;
	if (got <= 0) { /* A terminal that nobody has open any more is an error to read from. */
		c->broken = c->broken || !at;
		child_close(fd);
		*over = true;
		return false;
	}
	size_t len = (size_t)got;
	const uint8_t head[FRAME_HEAD] = {type, 0, 0, (uint8_t)(len >> 8), (uint8_t)len};
	memcpy(at, head, FRAME_HEAD);
	c->out.len += FRAME_HEAD + len;
	if (len == CHUNK)
		child_widen(&c->child, *fd);
	c->child.quiet_at = now + QUIET_MS;
	if (c->child.ended)
		c->child.after += len;
	return len == CHUNK && !c->broken;
}

/* @return whether that was its end */
static bool read_output(struct conn *c, int *fd, short on, uint8_t type, int64_t now)
{
	bool over = false;
	if (*fd >= 0 && (on || c->child.ended))
		while (read_piece(c, fd, type, now, &over))
			;
	return over;
}

static void run_step(struct conn *c, int64_t now)
{
	struct child *ch = &c->child;
	bool some_closed = read_output(c, &ch->out, c->on_out, STDOUT, now);
	some_closed = read_output(c, &ch->err, c->on_err, STDERR, now) || some_closed;
	if (some_closed && !ch->ended) {
		/* Mostly it is about to end, and was only held up by us who heard of its first closed file. */
		await_an_end();
		conn_reap(ch->pid, now);
		if (ch->ended) {
			read_output(c, &ch->out, 0, STDOUT, now);
			read_output(c, &ch->err, 0, STDERR, now);
		}
	}
	if (!ch->ended)
		return;
	bool over = ch->out < 0 && ch->err < 0;
	if (!over && now < ch->quiet_at && now < ch->quiet_by && ch->after < QUIET_BY_BYTES)
		return;
	drain_add(&ch->out);
	drain_add(&ch->err);
	child_close(&ch->in);
	answer_exit(c, ch->code, ch->timed_out);
}

void control_step(struct conn *c, int64_t now)
{
	read_frames(c, now);
	if (c->service != CONTROL)
		return;
	child_clock(&c->child, now);
	if (!c->asked && !c->answered && (now - c->since >= ASK_MS || (c->in_end && c->in.len == 0)))
		c->broken = true;
	/* Who hangs up does not want the rest. */
	if (c->asked && !c->answered && c->in_end && c->in.len == 0)
		c->broken = true;
	if (c->statistics && !c->answered && !c->broken)
		statistics_step(c, now);
	if (c->child.pid > 0 && !c->answered && !c->broken)
		run_step(c, now);
}

void control_going_down(void)
{
	for (size_t i = 0; i < nconns; i++)
		if ((conns[i].via == SOCKET || conns[i].via == STREAM) && conns[i].watches && !conns[i].answered)
			add_frame(&conns[i], GOING_DOWN, NULL, 0);
}
