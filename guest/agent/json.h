/* A strict reader of JSON (RFC 8259) that goes forward only, in place, without recursion and without memory of its own. */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>

struct json {
	char *at, *end;
	const char *wrong; /* what, once something is */
};

/* All return whether it is there; what is not there is wrong, but for `json_has`. */
bool json_has(struct json *j, char c);
bool json_take(struct json *j, char c);
/* A text, unescaped, with a NUL behind it: none is in it. */
bool json_string(struct json *j, char **text);
bool json_long(struct json *j, long *number);
bool json_bool(struct json *j, bool *value);
bool json_null(struct json *j);
/* The next name of an object, after its `{`; false at its `}` too. `first`: true before the first call. */
bool json_name(struct json *j, bool *first, char **name);
/* Whether there is a next value of an array, after its `[`. */
bool json_item(struct json *j, bool *first);
/* Passes over a value, at most 32 deep. */
bool json_skip(struct json *j);
bool json_over(struct json *j);

#endif
