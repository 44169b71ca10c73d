/* Bytes that go on as they are: of the port 1025 to the guest's own SSH server, of `connect` to any (connect.c). */
#define _GNU_SOURCE /* SOCK_NONBLOCK */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent.h"

void raw_open(struct conn *c)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(22), .sin_addr = {htonl(INADDR_LOOPBACK)}};
	c->raw = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->raw < 0 || (connect(c->raw, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS))
		c->broken = true;
}

/* @return whether there is somebody at the other end now */
static bool is_open(struct conn *c, int64_t now)
{
	int error = 0;
	socklen_t len = sizeof error;
	if (c->raw_ready)
		return true;
	if (!c->on_raw) {
		if (c->opening && now - c->since >= ASK_MS)
			connect_failed(c, ETIMEDOUT);
		return false;
	}
	if (getsockopt(c->raw, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (!error && c->opening && connect_met_itself(c->raw))
		error = ECONNREFUSED;
	if (error && c->opening)
		connect_failed(c, error);
	else if (error)
		c->broken = true;
	if (error)
		return false;
	c->raw_ready = true;
	if (c->opening)
		connect_opened(c);
	return true;
}

static void write_raw(struct conn *c)
{
	if (c->in.len > 0) {
		size_t len = c->in.len;
		ssize_t done = c->raw_end_sent ? (ssize_t)len : write(c->raw, c->in.data + c->in.start, len);
		if (done < 0 && errno != EAGAIN && errno != EINTR) {
			/* It reads no more. What it wrote before may still be on its way; then it was cut off. */
			c->raw_cut = c->raw_end_sent = true;
			done = (ssize_t)len;
		}
		if (done > 0) {
			c->taken += (uint32_t)done;
			buf_drop(&c->in, (size_t)done);
		}
	}
	if (c->in_end && c->in.len == 0 && !c->raw_end_sent) {
		shutdown(c->raw, SHUT_WR);
		c->raw_end_sent = true;
	}
}

static void read_raw(struct conn *c)
{
	if (c->raw_over || !(c->on_raw & ~POLLOUT) || c->out.len + CHUNK > OUT_ROOM)
		return;
	uint8_t *at = buf_room(&c->out, CHUNK);
	ssize_t got = at ? read(c->raw, at, CHUNK) : -1;
	if (got > 0) {
		c->out.len += (size_t)got;
	} else if (!at) {
		c->broken = true;
	} else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
		c->raw_over = true;
		c->raw_cut = c->raw_cut || got < 0;
		c->out_end = !c->raw_cut;
	}
	if (c->out.len == 0)
		buf_free(&c->out);
}

bool raw_is_cut(const struct conn *c)
{
	return c->raw_over && c->raw_cut && c->out.len == 0 && !c->framed;
}

void raw_step(struct conn *c, int64_t now)
{
	if (!is_open(c, now))
		return;
	if (c->framed) {
		framed_step(c);
		return;
	}
	write_raw(c);
	read_raw(c);
}
