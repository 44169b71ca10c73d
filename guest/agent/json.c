#include "json.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>

#define MAX_DEPTH 32

static bool fail(struct json *j, const char *what)
{
	if (!j->wrong)
		j->wrong = what;
	return false;
}

static void space(struct json *j)
{
	while (j->at < j->end && (*j->at == ' ' || *j->at == '\t' || *j->at == '\n' || *j->at == '\r'))
		j->at++;
}

bool json_has(struct json *j, char c)
{
	if (j->wrong)
		return false;
	space(j);
	if (j->at >= j->end || *j->at != c)
		return false;
	j->at++;
	return true;
}

bool json_take(struct json *j, char c)
{
	return json_has(j, c) || fail(j, "is not the JSON that is expected");
}

/* How many bytes the UTF-8 character has (RFC 3629, section 4); 0: it is none. */
static size_t utf8(const unsigned char *s, size_t left)
{
	size_t more = s[0] < 0x80 ? 0 : s[0] < 0xc2 ? 9 : s[0] < 0xe0 ? 1 : s[0] < 0xf0 ? 2 : s[0] < 0xf5 ? 3 : 9;
	if (more > 3 || more >= left)
		return 0;
	for (size_t i = 1; i <= more; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return more + 1;
}

static int hex4(const char *s)
{
	int value = 0;
	for (int i = 0; i < 4; i++) {
		char c = s[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

/* Reads what follows `\u`. @return the character, or 0 where it is none that a text may have */
static uint32_t escaped(struct json *j)
{
	if (j->end - j->at < 4)
		return 0;
	int high = hex4(j->at);
	j->at += 4;
	if (high <= 0 || (high >= 0xdc00 && high < 0xe000))
		return 0;
	if (high < 0xd800 || high >= 0xe000)
		return (uint32_t)high;
	if (j->end - j->at < 6 || j->at[0] != '\\' || j->at[1] != 'u')
		return 0;
	int low = hex4(j->at + 2);
	j->at += 6;
	if (low < 0xdc00 || low >= 0xe000)
		return 0;
	return 0x10000u + (((uint32_t)high - 0xd800u) << 10) + ((uint32_t)low - 0xdc00u);
}

static char *put(char *to, uint32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
	*to++ = (char)(((0xff00 >> (more + 1)) & 0xff) | (c >> (6 * more)));
	while (more-- > 0)
		*to++ = (char)(0x80 | ((c >> (6 * more)) & 0x3f));
	return to;
}

bool json_string(struct json *j, char **text)
{
	if (!json_take(j, '"'))
		return false;
	char *to = *text = j->at; /* What is unescaped is never longer. */
	while (j->at < j->end) {
		unsigned char c = (unsigned char)*j->at;
		if (c == '"') {
			j->at++;
			*to = 0;
			return true;
		}
		if (c < 0x20)
			return fail(j, "has a control character in a text");
		if (c != '\\') {
			size_t len = utf8((unsigned char *)j->at, (size_t)(j->end - j->at));
			if (len == 0)
				return fail(j, "has a text that is not UTF-8");
			memmove(to, j->at, len);
			to += len;
			j->at += len;
			continue;
		}
		if (++j->at >= j->end)
			break;
		c = (unsigned char)*j->at++;
		const char *names = "\"\\/bfnrt", *means = "\"\\/\b\f\n\r\t";
		const char *found = strchr(names, c);
		if (c != 0 && found) {
			*to++ = means[found - names];
			continue;
		}
		uint32_t u = c == 'u' ? escaped(j) : 0;
		if (u == 0)
			return fail(j, "has an escape that a text cannot hold");
		to = put(to, u);
	}
	return fail(j, "ends in a text");
}

static bool digits(struct json *j)
{
	char *from = j->at;
	while (j->at < j->end && *j->at >= '0' && *j->at <= '9')
		j->at++;
	return j->at > from;
}

static bool number(struct json *j, bool *whole)
{
	if (j->at < j->end && *j->at == '-')
		j->at++;
	char *from = j->at;
	if (!digits(j) || (*from == '0' && j->at - from > 1))
		return fail(j, "has a number that is none");
	*whole = true;
	if (j->at < j->end && *j->at == '.') {
		*whole = false;
		j->at++;
		if (!digits(j))
			return fail(j, "has a number that is none");
	}
	if (j->at < j->end && (*j->at == 'e' || *j->at == 'E')) {
		*whole = false;
		j->at++;
		if (j->at < j->end && (*j->at == '+' || *j->at == '-'))
			j->at++;
		if (!digits(j))
			return fail(j, "has a number that is none");
	}
	return true;
}

bool json_long(struct json *j, long *value)
{
	if (j->wrong)
		return false;
	space(j);
	char *from = j->at;
	bool whole;
	if (!number(j, &whole))
		return false;
	if (!whole || j->at - from > 10)
		return fail(j, "has a number that is too large, or not whole");
	bool below = *from == '-';
	long sum = 0;
	for (char *at = from + below; at < j->at; at++)
		sum = sum * 10 + (*at - '0');
	*value = below ? -sum : sum;
	return true;
}

static bool word(struct json *j, const char *text)
{
	size_t len = strlen(text);
	if ((size_t)(j->end - j->at) < len || memcmp(j->at, text, len) != 0)
		return false;
	j->at += len;
	return true;
}

bool json_bool(struct json *j, bool *value)
{
	if (j->wrong)
		return false;
	space(j);
	*value = word(j, "true");
	return *value || word(j, "false") || fail(j, "has no true or false where one must be");
}

bool json_null(struct json *j)
{
	if (j->wrong)
		return false;
	space(j);
	return word(j, "null");
}

bool json_name(struct json *j, bool *first, char **name)
{
	if (json_has(j, '}'))
		return false;
	if (!*first && !json_take(j, ','))
		return false;
	*first = false;
	return json_string(j, name) && json_take(j, ':');
}

bool json_item(struct json *j, bool *first)
{
	if (json_has(j, ']') || j->wrong)
		return false;
	if (!*first && !json_take(j, ','))
		return false;
	*first = false;
	return true;
}

bool json_skip(struct json *j)
{
	bool is_object[MAX_DEPTH], first[MAX_DEPTH];
	int depth = 0;
	char *text;
	bool yes;
	do {
		if (depth > 0) {
			int in = depth - 1;
			bool more = is_object[in] ? json_name(j, &first[in], &text) : json_item(j, &first[in]);
			if (j->wrong)
				return false;
			if (!more) {
				depth--;
				continue;
			}
		}
		space(j);
		char c = j->at < j->end ? *j->at : 0;
		if (c == '{' || c == '[') {
			if (depth == MAX_DEPTH)
				return fail(j, "is nested too deeply");
			j->at++;
			is_object[depth] = c == '{';
			first[depth++] = true;
		} else if (c == '"') {
			json_string(j, &text);
		} else if (c == 't' || c == 'f') {
			json_bool(j, &yes);
		} else if (c == 'n') {
			if (!json_null(j))
				fail(j, "is not JSON");
		} else {
			number(j, &yes);
		}
	} while (!j->wrong && depth > 0);
	return !j->wrong;
}

bool json_over(struct json *j)
{
	if (j->wrong)
		return false;
	space(j);
	return j->at == j->end || fail(j, "has more behind its end");
}
