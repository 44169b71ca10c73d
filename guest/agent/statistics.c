/*
 * The op `statistics`: what /proc says, one frame at once and one in each interval, until the host hangs up. Counters are of
 * all time, and of processes since the frame before.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"
#include "json.h"

/* Streams of them at once. */
#define MAX_STREAMS 8
#define MAX_SEEN 4096
#define MAX_BUSIEST 64
#define MAX_DEVICES 32
#define MIN_INTERVAL_MS 200
#define MAX_INTERVAL_MS 3600000

/* /proc lists processes by their number, and so do these. */
struct seen {
	pid_t pid;
	uint32_t start; /* one that has the number of another is another */
	uint64_t ticks;
};
struct busy {
	pid_t pid;
	uint64_t ticks, kb;
	char name[16];
};
struct statistics {
	long interval, processes;
	int64_t next;
	struct seen *before, *now;
	size_t nbefore, room;
};
static size_t streams;

/* What is to be sent: never more than a frame may have of it. */
static char text[24u << 10];
static size_t text_len;

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	int len = vsnprintf(text + text_len, sizeof text - text_len, format, args);
	va_end(args);
	if (len > 0 && (size_t)len < sizeof text - text_len)
		text_len += (size_t)len;
	else
		text[text_len] = 0;
}

/* A name is what somebody in the guest has chosen. */
static void say_name(const char *name, size_t len)
{
	char clean[32];
	size_t at = 0;
	for (; at < len && at < sizeof clean - 1; at++) {
		unsigned char c = (unsigned char)name[at];
		clean[at] = c < 0x20 || c > 0x7e || c == '"' || c == '\\' ? '?' : (char)c;
	}
	clean[at] = 0;
	say("\"name\":\"%s\"", clean);
}

/* @return how many bytes; a NUL is behind them */
static size_t read_file(const char *path, char *into, size_t room)
{
	size_t len = 0;
	ssize_t got = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && len < room - 1 && (got = read(fd, into + len, room - 1 - len)) > 0)
		len += (size_t)got;
	if (fd >= 0)
		close(fd);
	into[len] = 0;
	return len;
}

static uint64_t milliseconds(uint64_t ticks)
{
	long hertz = sysconf(_SC_CLK_TCK);
	return ticks * 1000 / (uint64_t)(hertz > 0 ? hertz : 100);
}

/* The next number of a line. @return whether there is one */
static bool number(char **at, uint64_t *value)
{
	while (**at == ' ')
		(*at)++;
	if (!isdigit((unsigned char)**at))
		return false;
	*value = strtoull(*at, at, 10);
	return true;
}

static void say_cpus(char *file, size_t room)
{
	uint64_t value, all = 0, idle = 0;
	int cpus = 0;
	read_file("/proc/stat", file, room);
	for (char *line; (line = strsep(&file, "\n")) && !strncmp(line, "cpu", 3);) {
		char *at = line + 3;
		if (*at != ' ') {
			cpus++;
			continue;
		}
		/* user nice system idle iowait irq softirq steal; what guests of this one take is in user, too. */
		for (int i = 0; i < 8 && number(&at, &value); i++) {
			all += value;
			if (i == 3 || i == 4)
				idle += value;
		}
	}
	say(",\"cpus\":%d,\"cpu_ms\":%llu,\"busy_ms\":%llu", cpus, (unsigned long long)milliseconds(all),
	    (unsigned long long)milliseconds(all - idle));
}

static void say_memory(char *file, size_t room)
{
	static const struct {
		const char *is, *told;
	} NAMES[] = {{"MemTotal:", "memory_kb"}, {"MemAvailable:", "available_kb"}, {"SwapTotal:", "swap_kb"}, {"SwapFree:", "swap_free_kb"}};
	uint64_t value;
	read_file("/proc/meminfo", file, room);
	for (char *line; (line = strsep(&file, "\n"));)
		for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++) {
			char *at = line + strlen(NAMES[i].is);
			if (!strncmp(line, NAMES[i].is, strlen(NAMES[i].is)) && number(&at, &value))
				say(",\"%s\":%llu", NAMES[i].told, (unsigned long long)value);
		}
}

/* In hundredths. */
static void say_load(char *file, size_t room)
{
	uint64_t whole, part;
	read_file("/proc/loadavg", file, room);
	say(",\"load\":[");
	for (int i = 0; i < 3 && number(&file, &whole) && *file == '.'; i++) {
		file++;
		if (!number(&file, &part))
			break;
		say("%s%llu", i ? "," : "", (unsigned long long)(whole * 100 + part));
	}
	say("]");
}

static void say_root(void)
{
	struct statvfs root;
	if (statvfs("/", &root) < 0)
		return;
	uint64_t unit = root.f_frsize ? root.f_frsize : root.f_bsize;
	say(",\"root_kb\":%llu,\"root_free_kb\":%llu", (unsigned long long)(root.f_blocks * unit / 1024),
	    (unsigned long long)(root.f_bavail * unit / 1024));
}

/* A disk's parts stand behind it, and begin with its name. What is made of memory or files is none. */
static bool is_disk(const char *name, const char *before)
{
	static const char *const NONE[] = {"ram", "loop", "zram"};
	for (size_t i = 0; i < sizeof NONE / sizeof *NONE; i++)
		if (!strncmp(name, NONE[i], strlen(NONE[i])))
			return false;
	return !*before || strncmp(name, before, strlen(before)) != 0;
}

static void say_disks(char *file, size_t room)
{
	char before[32] = "";
	int count = 0;
	read_file("/proc/diskstats", file, room);
	say(",\"disks\":[");
	for (char *line; (line = strsep(&file, "\n")) && count < MAX_DEVICES;) {
		uint64_t value, came = 0, went = 0;
		char *at = line;
		if (!number(&at, &value) || !number(&at, &value))
			continue;
		while (*at == ' ')
			at++;
		char *name = strsep(&at, " ");
		if (!at || !*name || !is_disk(name, before))
			continue;
		snprintf(before, sizeof before, "%s", name);
		/* reads, merged, sectors, ms; writes, merged, sectors: of 512 bytes whatever the disk has. */
		for (int i = 0; i < 7 && number(&at, &value); i++)
			*(i == 2 ? &came : i == 6 ? &went : &(uint64_t){0}) = value * 512;
		say("%s{", count++ ? "," : "");
		say_name(name, strlen(name));
		say(",\"in\":%llu,\"out\":%llu}", (unsigned long long)came, (unsigned long long)went);
	}
	say("]");
}

static void say_nics(char *file, size_t room)
{
	int count = 0;
	read_file("/proc/net/dev", file, room);
	say(",\"nics\":[");
	for (char *line; (line = strsep(&file, "\n")) && count < MAX_DEVICES;) {
		uint64_t value, in = 0, out = 0;
		char *at = line;
		while (*at == ' ')
			at++;
		char *name = strsep(&at, ":");
		if (!at || !strcmp(name, "lo"))
			continue;
		for (int i = 0; i < 9 && number(&at, &value); i++)
			*(i == 0 ? &in : i == 8 ? &out : &(uint64_t){0}) = value;
		say("%s{", count++ ? "," : "");
		say_name(name, strlen(name));
		say(",\"in\":%llu,\"out\":%llu}", (unsigned long long)in, (unsigned long long)out);
	}
	say("]");
}

/* @return whether there is such a process */
static bool look_at(const char *number_of, struct seen *seen, struct busy *busy)
{
	static long page_kb;
	char path[32], file[1024];
	uint64_t value;
	snprintf(path, sizeof path, "/proc/%.12s/stat", number_of);
	read_file(path, file, sizeof file);
	/* A name may hold anything, blanks and brackets too. */
	char *from = strchr(file, '('), *to = strrchr(file, ')');
	if (!from || !to || to < from || strlen(to) < 4)
		return false;
	memset(busy, 0, sizeof *busy);
	memcpy(busy->name, from + 1, (size_t)(to - from - 1) < sizeof busy->name ? (size_t)(to - from - 1) : sizeof busy->name - 1);
	seen->pid = busy->pid = atoi(number_of);
	seen->ticks = seen->start = 0;
	if (page_kb == 0)
		page_kb = sysconf(_SC_PAGESIZE) / 1024;
	/* Fields by their numbers of proc(5): 3 is the state. */
	char *at = to + 2;
	for (int field = 3; at && field <= 24; field++) {
		char *word = strsep(&at, " ");
		value = strtoull(word, NULL, 10);
		if (field == 14 || field == 15)
			seen->ticks += value;
		else if (field == 22)
			seen->start = (uint32_t)value;
		else if (field == 24)
			busy->kb = value * (uint64_t)page_kb;
	}
	return true;
}

static bool is_busier(const struct busy *a, const struct busy *b)
{
	return a->ticks != b->ticks ? a->ticks > b->ticks : a->kb > b->kb;
}

/* @return of how many there is room for what they used */
static bool make_room(struct statistics *st, size_t count)
{
	if (count <= st->room)
		return true;
	size_t room = st->room ? st->room * 2 : 256;
	struct seen *before = realloc(st->before, room * sizeof *before);
	if (before)
		st->before = before;
	struct seen *now = realloc(st->now, room * sizeof *now);
	if (now)
		st->now = now;
	if (before && now)
		st->room = room;
	return before && now;
}

static void say_processes(struct statistics *st)
{
	static struct busy busiest[MAX_BUSIEST];
	bool is_first = st->nbefore == 0;
	size_t count = 0, kept = 0, at = 0, all = 0;
	DIR *proc = opendir("/proc");
	for (struct dirent *entry; proc && (entry = readdir(proc));) {
		struct seen seen;
		struct busy busy;
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		all++;
		if (count >= MAX_SEEN || !make_room(st, count + 1) || !look_at(entry->d_name, &seen, &busy))
			continue;
		while (at < st->nbefore && st->before[at].pid < seen.pid)
			at++;
		bool was = at < st->nbefore && st->before[at].pid == seen.pid && st->before[at].start == seen.start;
		/* One that was not there has used all that it has since. */
		busy.ticks = is_first ? 0 : seen.ticks - (was && st->before[at].ticks <= seen.ticks ? st->before[at].ticks : 0);
		st->now[count++] = seen;
		size_t place = kept;
		while (place > 0 && is_busier(&busy, &busiest[place - 1]))
			place--;
		if (place >= (size_t)st->processes)
			continue;
		if (kept < (size_t)st->processes)
			kept++;
		memmove(&busiest[place + 1], &busiest[place], (kept - 1 - place) * sizeof *busiest);
		busiest[place] = busy;
	}
	if (proc)
		closedir(proc);
	struct seen *swap = st->before;
	st->before = st->now;
	st->now = swap;
	st->nbefore = count;
	say(",\"count\":%zu,\"processes\":[", all);
	for (size_t i = 0; i < kept; i++) {
		say("%s{\"pid\":%d,", i ? "," : "", (int)busiest[i].pid);
		say_name(busiest[i].name, strlen(busiest[i].name));
		say(",\"cpu_ms\":%llu,\"rss_kb\":%llu}", (unsigned long long)milliseconds(busiest[i].ticks),
		    (unsigned long long)busiest[i].kb);
	}
	say("]");
}

void statistics_parse(struct json *j, struct request *r)
{
	bool first = true;
	char *name;
	if (json_null(j) || !json_take(j, '{'))
		return;
	while (json_name(j, &first, &name)) {
		if (!strcmp(name, "interval_ms"))
			json_long(j, &r->interval_ms);
		else if (!strcmp(name, "processes"))
			json_long(j, &r->processes);
		else
			json_skip(j);
	}
}

static long within(long value, long least, long most)
{
	return value < least ? least : value > most ? most : value;
}

void statistics_begin(struct conn *c, const struct request *r, int64_t now)
{
	struct statistics *st = streams < MAX_STREAMS ? calloc(1, sizeof *st) : NULL;
	if (!st) {
		answer_error(c, "it tells its statistics to 8 already, or has no memory for it", "");
		return;
	}
	streams++;
	st->interval = within(r->interval_ms ? r->interval_ms : 1000, MIN_INTERVAL_MS, MAX_INTERVAL_MS);
	st->processes = within(r->processes, 0, MAX_BUSIEST);
	st->next = now;
	c->statistics = st;
}

void statistics_step(struct conn *c, int64_t now)
{
	static char file[16u << 10];
	struct statistics *st = c->statistics;
	struct timespec up;
	if (now < st->next)
		return;
	st->next = now + st->interval;
	if (c->out.len > 0) /* Who does not read gets fewer. */
		return;
	text_len = 0;
	clock_gettime(CLOCK_BOOTTIME, &up);
	say("{\"up_ms\":%lld", (long long)up.tv_sec * 1000 + up.tv_nsec / 1000000);
	say_cpus(file, sizeof file);
	say_memory(file, sizeof file);
	say_load(file, sizeof file);
	say_root();
	say_disks(file, sizeof file);
	say_nics(file, sizeof file);
	say_processes(st);
	say("}");
	add_frame(c, STATISTICS, text, text_len);
}

int64_t statistics_deadline(const struct conn *c)
{
	return c->statistics ? c->statistics->next : 0;
}

void statistics_free(struct conn *c)
{
	if (!c->statistics)
		return;
	free(c->statistics->before);
	free(c->statistics->now);
	free(c->statistics);
	c->statistics = NULL;
	streams--;
}
