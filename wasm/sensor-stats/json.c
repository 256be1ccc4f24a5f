#include "json.h"
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void blanks(Cursor *in) {
  while (in->at < in->end && (*in->at == ' ' || *in->at == '\n' || *in->at == '\r' || *in->at == '\t')) in->at++;
}

static bool take(Cursor *in, char wanted) {
  blanks(in);
  if (in->at >= in->end || *in->at != wanted) return false;
  in->at++;
  return true;
}

bool json_enter(Cursor *in, char open) { return take(in, open); }

bool json_closed(const Cursor *in, char close) { return in->at > (const char *)1 && in->at[-1] == close; }

/* The cursor stands behind the opening quote; it ends behind the closing one. */
static bool string_rest(Cursor *in) {
  while (in->at < in->end) {
    char c = *in->at++;
    if (c == '"') return true;
    if (c == '\\') {
      if (in->at >= in->end) return false;
      in->at++;
    }
  }
  return false;
}

bool json_next_element(Cursor *in, bool *first) {
  if (take(in, ']')) return false;
  if (!*first && !take(in, ',')) return false;
  *first = false;
  return true;
}

bool json_next_member(Cursor *in, bool *first, const char **key, size_t *key_bytes) {
  if (take(in, '}')) return false;
  if (!*first && !take(in, ',')) return false;
  *first = false;
  if (!take(in, '"')) return false;
  *key = in->at;
  if (!string_rest(in)) return false;
  *key_bytes = (size_t)(in->at - 1 - *key);
  return take(in, ':');
}

/* The gateway has checked that this is JSON, so counting brackets outside strings finds where a value ends. */
bool json_skip(Cursor *in) {
  size_t depth = 0;
  do {
    blanks(in);
    if (in->at >= in->end) return false;
    char c = *in->at++;
    if (c == '"') {
      if (!string_rest(in)) return false;
    } else if (c == '{' || c == '[') {
      depth++;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return false;
      depth--;
    } else if (c == ',' || c == ':') {
      if (depth == 0) return false;
      continue;
    } else {
      while (in->at < in->end && !strchr(",:]}[{\" \n\r\t", *in->at)) in->at++;
    }
  } while (depth > 0);
  return true;
}

bool json_null(Cursor *in) {
  blanks(in);
  if (in->end - in->at < 4 || memcmp(in->at, "null", 4) != 0) return false;
  in->at += 4;
  return true;
}

bool json_number(Cursor *in, double *value) {
  static const double tens[] = {1,    1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  blanks(in);
  const char *from = in->at, *at = from;
  bool negative = at < in->end && *at == '-';
  if (negative) at++;
  uint64_t digits = 0;
  int count = 0, places = 0, exponent = 0;
  if (at >= in->end || *at < '0' || *at > '9') return false;
  for (; at < in->end && *at >= '0' && *at <= '9'; at++, count += digits > 0) digits = count < 18 ? digits * 10 + (uint64_t)(*at - '0') : digits;
  if (at < in->end && *at == '.') {
    for (at++; at < in->end && *at >= '0' && *at <= '9'; at++, count += digits > 0, places++)
      digits = count < 18 ? digits * 10 + (uint64_t)(*at - '0') : digits;
  }
  if (at < in->end && (*at == 'e' || *at == 'E')) {
    at++;
    bool down = at < in->end && *at == '-';
    if (at < in->end && (*at == '-' || *at == '+')) at++;
    for (; at < in->end && *at >= '0' && *at <= '9'; at++)
      if (exponent < 100000) exponent = exponent * 10 + (*at - '0');
    if (down) exponent = -exponent;
  }
  in->at = at;
  exponent -= places;
  /* Both operands are exact here, so one division or product rounds correctly; strtod is right for the rest, and slow. */
  if (count <= 15 && exponent >= -22 && exponent <= 22)
    *value = exponent < 0 ? (double)digits / tens[-exponent] : (double)digits * tens[exponent];
  else {
    *value = strtod(from, NULL);
    return isfinite(*value);
  }
  if (negative) *value = -*value;
  return true;
}

bool json_short_string(Cursor *in, char *to, size_t room) {
  if (!take(in, '"')) return false;
  const char *from = in->at;
  if (!string_rest(in)) return false;
  size_t bytes = (size_t)(in->at - 1 - from);
  if (bytes >= room || memchr(from, '\\', bytes)) return false;
  memcpy(to, from, bytes);
  to[bytes] = 0;
  return true;
}

void text_add(Text *out, const char *words) {
  size_t bytes = strlen(words);
  if (out->used + bytes > out->room) {
    out->room = (out->used + bytes) * 2;
    out->bytes = realloc(out->bytes, out->room);
    if (!out->bytes) __builtin_trap();
  }
  memcpy(out->bytes + out->used, words, bytes);
  out->used += bytes;
}

void text_number(Text *out, double value) {
  char digits[32];
  if (!isfinite(value)) {
    text_add(out, "null");
    return;
  }
  for (int precision = 15; precision <= 17; precision++) {
    snprintf(digits, sizeof digits, "%.*g", precision, value);
    if (strtod(digits, NULL) == value) break;
  }
  text_add(out, digits);
}

void text_count(Text *out, size_t value) {
  char digits[24];
  snprintf(digits, sizeof digits, "%zu", value);
  text_add(out, digits);
}
