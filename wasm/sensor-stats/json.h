/* JSON, as far as this plugin needs it: a cursor over the request, and a text that grows for the answer. No recursion. */
#ifndef JSON_H
#define JSON_H
#include <stddef.h>
#include <stdbool.h>

typedef struct {
  const char *at, *end;
} Cursor;

bool json_enter(Cursor *in, char open);
/* The next member of the object entered: its key without quotes, as it stands. False at the end, or at no JSON. */
bool json_next_member(Cursor *in, bool *first, const char **key, size_t *key_bytes);
bool json_next_element(Cursor *in, bool *first);
bool json_closed(const Cursor *in, char close);
bool json_skip(Cursor *in);
bool json_number(Cursor *in, double *value);
bool json_null(Cursor *in);
/* A string without escapes, of at most `room` - 1 bytes. */
bool json_short_string(Cursor *in, char *to, size_t room);

typedef struct {
  char *bytes;
  size_t used, room;
} Text;

void text_add(Text *out, const char *words);
/* The shortest decimal that reads back as the same number; null for what is no number. */
void text_number(Text *out, double value);
void text_count(Text *out, size_t value);
#endif
