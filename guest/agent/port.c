/*
 * Many streams in one byte stream, which is a virtio-serial port. It may break off at any byte, when the host's daemon is
 * killed: then the next daemon sends as many zeros as the longest frame has, so that whatever was begun is over, and its
 * greeting with a number that nobody can have known before, by which both sides tell frames from what is left of others.
 *
 *   greeting    HELLO, 16 bytes of the host's choice    -> READY_TO, the same 16 bytes
 *   frame       4 bytes: the first of those 16; type; 0; 2 bytes length; 4 bytes stream; the payload
 *
 * Numbers are big-endian.
 */
#define _GNU_SOURCE /* accept4 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent.h"

#define HEAD 12
#define MARK 16
static const char HELLO[MARK + 1] = "flintlock-hello\n";
static const char READY_TO[MARK + 1] = "flintlock-ready\n";
static const char STARTED[MARK + 1] = "flintlock-start\n";

enum { OPEN = 1, DATA = 2, END = 3, RESET = 4, CREDIT = 5, PING = 6, PONG = 7 };

/* Where nobody is at the other end this is asked for again after so long: there is no event for it. */
#define AWAY_MS 100
/* What a port holds of what is to be sent; frames of a few bytes may go over it. */
#define PORT_ROOM (128u << 10)
#define PORT_FULL (PORT_ROOM + (16u << 10))

/* Of a stream that both sides have ended a server that reads nothing gets the rest for so long. */
#define DROP_MS 30000

/* So often it is read before others have their turn. */
#define READS 16
/* The host is told of so much at once that it may send more. */
#define TELL_AT (64u << 10)

static int port = -1, listener = -1;
static bool is_device, is_away;
static int64_t look_at;
static short on_port, on_listener;
static struct buf out;

static bool greeted;
static bool owes_answer; /* a greeting was heard, and the answer is not on its way */
static uint8_t mark[MARK]; /* the host's */
static uint8_t head[MARK * 2];
static size_t head_len;
static bool in_payload;
static uint8_t frame[CHUNK];
static size_t frame_len, frame_want;
static size_t next_turn;

static uint32_t u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void send_frame(uint8_t type, uint32_t stream, const void *bytes, size_t len)
{
	uint8_t h[HEAD] = {mark[0], mark[1], mark[2], mark[3], type, 0, (uint8_t)(len >> 8), (uint8_t)len,
			   (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
	/* Of what is lost for want of memory the host learns when it greets anew. */
	if (!buf_room(&out, sizeof h + len)) {
		greeted = false;
		return;
	}
	buf_add(&out, h, sizeof h);
	buf_add(&out, bytes, len);
}

static void end_session(int64_t now)
{
	greeted = false;
	for (size_t i = 0; i < nconns; i++)
		if (conns[i].via == STREAM)
			conn_release(&conns[i], now);
}

static void say_started(void)
{
	/* What was begun by an agent before us, and never ended, is over by this. */
	static const uint8_t zeros[HEAD + CHUNK];
	owes_answer = false;
	buf_free(&out);
	buf_add(&out, zeros, sizeof zeros);
	buf_add(&out, STARTED, MARK);
}

static void take_frame(int64_t now)
{
	uint8_t type = head[4];
	uint32_t stream = u32(head + 8);
	struct conn *c = conn_of_stream(stream);
	switch (type) {
	case OPEN:
		if (c || stream == 0 || frame_len != 6)
			break;
		c = conn_new(STREAM, frame[0] << 8 | frame[1]);
		if (!c) {
			static const char full[] = "the agent has no room for more streams";
			send_frame(RESET, stream, full, sizeof full - 1);
			break;
		}
		c->stream = stream;
		c->credit = u32(frame + 2);
		/* It may send more than it knows: it is told so when it sends much. A short request costs no frame. */
		c->taken = WINDOW - WINDOW_KNOWN;
		c->tell_at = c->taken + WINDOW_KNOWN / 4;
		break;
	case DATA:
		if (!c || c->in_end)
			break;
		/* The room is ours to give: who takes more than that is not listened to. */
		if (c->in.len + c->taken + frame_len > WINDOW || !buf_add(&c->in, frame, frame_len))
			c->broken = true;
		break;
	case END:
		if (c)
			c->in_end = true;
		break;
	case RESET:
		if (c)
			conn_release(c, now);
		break;
	case CREDIT:
		if (c && frame_len == 4 && c->credit + u32(frame) >= c->credit)
			c->credit += u32(frame);
		break;
	case PING:
		send_frame(PONG, 0, frame, frame_len);
		break;
	default:
		break; /* of a newer host */
	}
}

/* Looks for a greeting. @return whether it is whole */
static bool look_for_hello(void)
{
	while (head_len > 0 && memcmp(head, HELLO, head_len < MARK ? head_len : MARK) != 0)
		memmove(head, head + 1, --head_len);
	return head_len == sizeof head;
}

static void greet(int64_t now)
{
	end_session(now);
	memcpy(mark, head + MARK, MARK);
	head_len = 0;
	if (u32(mark) == 0) /* It could not be told from zeros. */
		return;
	buf_free(&out);
	buf_add(&out, READY_TO, MARK);
	buf_add(&out, mark, MARK);
	greeted = owes_answer = true;
}

static void feed(const uint8_t *at, size_t len, int64_t now)
{
	while (len > 0) {
		if (in_payload) {
			size_t more = frame_want - frame_len < len ? frame_want - frame_len : len;
			memcpy(frame + frame_len, at, more);
			frame_len += more;
			at += more;
			len -= more;
		} else {
			head[head_len++] = *at++;
			len--;
			if (greeted && head_len == HEAD && memcmp(head, mark, 4) == 0 && (head[6] << 8 | head[7]) <= (int)CHUNK) {
				in_payload = true;
				frame_len = 0;
				frame_want = (size_t)(head[6] << 8 | head[7]);
			} else if (!greeted || head_len >= HEAD) {
				if (greeted)
					end_session(now);
				if (look_for_hello())
					greet(now);
			}
		}
		if (in_payload && frame_len == frame_want) {
			in_payload = false;
			if (greeted)
				take_frame(now);
			head_len = 0;
		}
	}
}

static void away(int64_t now)
{
	/*
	 * The kernel may hand on a greeting before it knows that the port was opened, and says until then that nobody is
	 * there: the answer waits. To another host than that one it means nothing.
	 */
	if (!(is_device && owes_answer)) {
		end_session(now);
		in_payload = false;
		head_len = 0;
		buf_free(&out);
	}
	if (is_device)
		is_away = true;
	else
		child_close(&port);
	look_at = now + AWAY_MS;
}

static bool set_port(int fd)
{
	if (fd < 0)
		return false;
	port = fd;
	is_away = false;
	say_started();
	return true;
}

void port_open_device(void)
{
	is_device = true;
}

void port_listen(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
	unlink(path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener < 0 || bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 1) < 0) {
		complain(path, errno);
		exit(1);
	}
}

void port_attach(int64_t now)
{
	if (is_device && port < 0 && now >= look_at && !set_port(device_open()))
		look_at = now + (now < 120000 ? 200 : 10000); /* Its driver may be a module. */
	if (port < 0 && listener >= 0 && on_listener)
		set_port(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

static bool has_room(void)
{
	return out.len < PORT_FULL;
}

/* @return whether there may be more */
static bool read_some(int64_t now)
{
	static uint8_t bytes[CHUNK];
	ssize_t got = read(port, bytes, sizeof bytes);
	if (got > 0) {
		is_away = false;
		feed(bytes, (size_t)got, now);
		return true;
	}
	if (got == 0) {
		away(now);
	} else if (errno == EAGAIN || errno == EINTR) {
		is_away = false;
	} else {
		away(now);
		child_close(&port); /* The device is gone; perhaps it comes again. */
	}
	return false;
}

void port_read(int64_t now)
{
	if (port < 0 || (is_away && now < look_at) || (!on_port && !is_away))
		return;
	/* The device gives 4 KiB at once, whatever it has. */
	for (int i = 0; i < READS && has_room() && read_some(now); i++)
		;
}

static void fill_from(struct conn *c, int64_t now)
{
	if (c->broken || raw_is_cut(c)) {
		send_frame(RESET, c->stream, NULL, 0);
		conn_release(c, now);
		return;
	}
	if (c->taken >= c->tell_at && !c->in_end) {
		uint8_t more[4] = {(uint8_t)(c->taken >> 24), (uint8_t)(c->taken >> 16), (uint8_t)(c->taken >> 8), (uint8_t)c->taken};
		send_frame(CREDIT, c->stream, more, sizeof more);
		c->taken = 0;
		c->tell_at = TELL_AT;
	}
	size_t len = c->out.len < CHUNK ? c->out.len : CHUNK;
	if (len > c->credit)
		len = c->credit;
	if (len > 0) {
		send_frame(DATA, c->stream, c->out.data + c->out.start, len);
		c->credit -= (uint32_t)len;
		buf_drop(&c->out, len);
	}
	if (c->out_end && c->out.len == 0 && !c->end_sent) {
		send_frame(END, c->stream, NULL, 0);
		c->end_sent = true;
	}
	/* What came before both ends is still the server's, if it takes it. */
	if (c->end_sent && c->in_end && !c->drop_at)
		c->drop_at = now + DROP_MS;
	if (c->end_sent && (c->service == CONTROL || (c->in_end && (c->in.len == 0 || now >= c->drop_at))))
		conn_release(c, now);
}

/* One frame of each in turn, so that none waits for another's. */
static bool fill(int64_t now)
{
	bool some = false;
	for (size_t i = 0; i < nconns; i++) {
		struct conn *c = &conns[(next_turn + i) % nconns];
		if (c->via != STREAM)
			continue;
		size_t before = out.len;
		fill_from(c, now);
		some = some || out.len > before;
		if (out.len >= PORT_ROOM) {
			next_turn = (next_turn + i + 1) % nconns;
			return false;
		}
	}
	return some;
}

void port_write(void)
{
	int64_t now = now_ms();
	if (port < 0 || is_away)
		return;
	for (;;) {
		while (greeted && out.len < PORT_ROOM && fill(now))
			;
		if (out.len == 0)
			return;
		ssize_t done = write(port, out.data + out.start, out.len > 32768 ? 32768 : out.len);
		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0) {
			if (errno != EAGAIN)
				away(now);
			return;
		}
		buf_drop(&out, (size_t)done);
		owes_answer = false;
	}
}

size_t port_watch(struct pollfd *polled, short **answers)
{
	size_t count = 0;
	on_port = on_listener = 0;
	if (port >= 0 && !is_away) {
		polled[count] = (struct pollfd){.fd = port, .events = (short)((has_room() ? POLLIN : 0) | (out.len ? POLLOUT : 0))};
		answers[count++] = &on_port;
	} else if (port < 0 && listener >= 0) {
		polled[count] = (struct pollfd){.fd = listener, .events = POLLIN};
		answers[count++] = &on_listener;
	}
	return count;
}

int64_t port_deadline(void)
{
	return is_device && (port < 0 || is_away) ? look_at + 1 : 0;
}
