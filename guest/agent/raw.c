/* The port 1025: the bytes go to the guest's own SSH server as they are. */
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

void raw_step(struct conn *c)
{
	if (!c->raw_ready) {
		int error = 0;
		socklen_t len = sizeof error;
		if (!c->on_raw)
			return;
		if (getsockopt(c->raw, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
			c->broken = true;
			return;
		}
		c->raw_ready = true;
	}
	if (c->in.len > 0) {
		ssize_t done = write(c->raw, c->in.data + c->in.start, c->in.len);
		if (done < 0 && errno != EAGAIN && errno != EINTR)
			c->broken = true;
		if (done > 0) {
			c->taken += (uint32_t)done;
			buf_drop(&c->in, (size_t)done);
		}
	}
	if (c->in_end && c->in.len == 0 && !c->raw_end_sent) {
		shutdown(c->raw, SHUT_WR);
		c->raw_end_sent = true;
	}
	if (!c->out_end && (c->on_raw & ~POLLOUT) && c->out.len + CHUNK <= OUT_ROOM) {
		uint8_t *at = buf_room(&c->out, CHUNK);
		ssize_t got = at ? read(c->raw, at, CHUNK) : -1;
		if (got > 0)
			c->out.len += (size_t)got;
		else if (got == 0)
			c->out_end = true;
		else if (!at || (errno != EAGAIN && errno != EINTR))
			c->broken = true;
		if (c->out.len == 0)
			buf_free(&c->out);
	}
}
