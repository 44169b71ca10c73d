#include <stdlib.h>
#include <string.h>

#include "agent.h"
#include "json.h"

/* The number of arguments and of variables; the kernel's own limit is on their bytes. */
#define MAX_WORDS 65536

static bool add(char ***list, size_t *count, char *text)
{
	if (*count >= MAX_WORDS)
		return false;
	/* Grows at powers of two, with room for the NULL at its end. */
	if ((*count & (*count + 1)) == 0) {
		char **more = realloc(*list, ((*count + 1) * 2 + 1) * sizeof *more);
		if (!more)
			return false;
		*list = more;
	}
	(*list)[(*count)++] = text;
	(*list)[*count] = NULL;
	return true;
}

static const char TOO_MANY[] = "has too many arguments or variables";

static void parse_args(struct json *j, struct request *r)
{
	bool first = true;
	char *text;
	if (json_null(j) || !json_take(j, '['))
		return;
	while (json_item(j, &first))
		if (json_string(j, &text) && !add(&r->args, &r->nargs, text))
			j->wrong = TOO_MANY;
}

static bool is_name(const char *name)
{
	return *name && !strchr(name, '=');
}

/* As an object, or as an array of NAME=VALUE. */
static void parse_env(struct json *j, struct request *r)
{
	bool first = true;
	char *name, *value;
	if (json_null(j))
		return;
	bool is_list = json_has(j, '[');
	if (!is_list && !json_take(j, '{'))
		return;
	while (is_list ? json_item(j, &first) : json_name(j, &first, &name)) {
		if (is_list) {
			if (!json_string(j, &name))
				return;
			value = strchr(name, '=');
			if (value)
				*value++ = 0;
		} else if (!json_string(j, &value)) {
			return;
		}
		if (!value || !is_name(name))
			j->wrong = "has a variable without a name or a value";
		else if (!add(&r->env, &r->nenv, name) || !add(&r->env, &r->nenv, value))
			j->wrong = TOO_MANY;
	}
}

static void parse_tty(struct json *j, struct request *r)
{
	bool first = true;
	char *name;
	if (json_null(j) || !json_take(j, '{'))
		return;
	r->tty = true;
	while (json_name(j, &first, &name)) {
		long number;
		if (!strcmp(name, "rows") || !strcmp(name, "cols")) {
			if (json_long(j, &number) && (number < 0 || number > 65535))
				j->wrong = "has a terminal of an impossible size";
			else
				*(*name == 'r' ? &r->rows : &r->cols) = (unsigned)number;
		} else if (!strcmp(name, "term")) {
			json_string(j, (char **)&r->term);
		} else {
			json_skip(j);
		}
	}
}

static void parse_exec(struct json *j, struct request *r)
{
	bool first = true;
	char *name;
	if (json_null(j) || !json_take(j, '{'))
		return;
	r->has_exec = true;
	while (json_name(j, &first, &name)) {
		if (!strcmp(name, "cmd"))
			json_string(j, (char **)&r->cmd);
		else if (!strcmp(name, "args"))
			parse_args(j, r);
		else if (!strcmp(name, "cwd"))
			json_string(j, (char **)&r->cwd);
		else if (!strcmp(name, "env"))
			parse_env(j, r);
		else if (!strcmp(name, "shell"))
			json_bool(j, &r->shell);
		else if (!strcmp(name, "user"))
			json_string(j, (char **)&r->user);
		else if (!strcmp(name, "timeout_sec"))
			json_long(j, &r->timeout_sec);
		else if (!strcmp(name, "has_stdin"))
			json_bool(j, &r->has_stdin);
		else if (!strcmp(name, "tty"))
			parse_tty(j, r);
		else
			json_skip(j);
	}
}

static void parse_clock(struct json *j, struct request *r)
{
	bool first = true;
	char *name;
	if (json_null(j) || !json_take(j, '{'))
		return;
	r->has_clock = true;
	while (json_name(j, &first, &name)) {
		if (!strcmp(name, "sec"))
			json_long(j, &r->sec);
		else if (!strcmp(name, "nsec"))
			json_long(j, &r->nsec);
		else
			json_skip(j);
	}
}

const char *request_parse(char *text, size_t len, struct request *r)
{
	struct json j = {.at = text, .end = text + len};
	bool first = true;
	char *name;
	long version = 1;
	memset(r, 0, sizeof *r);
	if (json_take(&j, '{'))
		while (json_name(&j, &first, &name)) {
			if (!strcmp(name, "version"))
				json_long(&j, &version);
			else if (!strcmp(name, "op"))
				json_string(&j, (char **)&r->op);
			else if (!strcmp(name, "exec"))
				parse_exec(&j, r);
			else if (!strcmp(name, "connect"))
				connect_parse(&j, r);
			else if (!strcmp(name, "statistics"))
				statistics_parse(&j, r);
			else if (!strcmp(name, "clock"))
				parse_clock(&j, r);
			else
				json_skip(&j);
		}
	json_over(&j);
	if (j.wrong)
		return j.wrong;
	if (version != 1)
		return "is of a version that this agent does not know";
	if (!r->op)
		return "has no op";
	if (r->timeout_sec < 0)
		return "has a timeout below 0";
	if (!strcmp(r->op, "exec") && (!r->has_exec || !r->cmd || !*r->cmd))
		return "has no exec.cmd";
	if (!strcmp(r->op, "files")) {
		r->files = r->has_stdin = true;
		r->tty = false;
		r->user = NULL;
	}
	return NULL;
}

void request_free(struct request *r)
{
	free(r->args);
	free(r->env);
	memset(r, 0, sizeof *r);
}
