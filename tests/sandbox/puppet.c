// A guest that does what its caller says: `get`, `set`, `delete` for the key `k`, `http`. It answers what it got.
#include <stddef.h>
#include <stdint.h>

#define HOST(name) __attribute__((import_module("tidegate"), import_name(#name)))
HOST(store_get) uint64_t store_get(const char *key, size_t key_bytes);
HOST(store_set) int32_t store_set(const char *key, size_t key_bytes, const char *value, size_t value_bytes);
HOST(store_delete) int32_t store_delete(const char *key, size_t key_bytes);
HOST(http_send) uint64_t http_send(const char *request, size_t bytes);

static char heap[4 << 20];
static size_t used;

__attribute__((export_name("tidegate_alloc"))) char *tidegate_alloc(size_t bytes) {
  if (bytes > sizeof heap - used) return 0;
  used += bytes;
  return heap + used - bytes;
}

static char answer[2 << 20];
static size_t answered;

static void say(const char *text, size_t bytes) {
  for (size_t at = 0; at < bytes && answered < sizeof answer; at++) answer[answered++] = text[at];
}

#define SAY(text) say(text, sizeof text - 1)

static void say_packed(uint64_t packed) {
  if (packed == 0) SAY("null");
  else say((const char *)(uintptr_t)(packed >> 32), (size_t)(packed & 0xffffffff));
}

static void say_number(int32_t number) {
  char digit = (char)('0' + number);
  say(&digit, 1);
}

// The request is `{"call":"NAME","arguments":{…}}`.
__attribute__((export_name("tidegate_call"))) uint64_t tidegate_call(const char *request, size_t bytes) {
  char what = request[sizeof "{\"call\":\"" - 1];
  size_t at = sizeof "{\"call\":\"" - 1;
  while (request[at] != '{') at++;
  const char *arguments = request + at;
  size_t arguments_bytes = bytes - at - 1;
  SAY("{\"result\":{\"content\":[],\"structuredContent\":{\"got\":");
  if (what == 'g') say_packed(store_get("k", 1));
  else if (what == 's') say_number(store_set("k", 1, arguments, arguments_bytes));
  else if (what == 'd') say_number(store_delete("k", 1));
  else say_packed(http_send(arguments, arguments_bytes));
  SAY("}}}");
  return (uint64_t)(uintptr_t)answer << 32 | answered;
}
