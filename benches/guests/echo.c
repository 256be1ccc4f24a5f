/* The guest of plugins.py: `echo` answers with the text it gets, `work` computes for some milliseconds and does the same. Without a
   library; a core module, or with -DCOMPONENT the core of a component. One request an instance is all it has room for, over and over. */
#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#ifdef COMPONENT
#define BEFORE "{\"content\":[{\"type\":\"text\",\"text\":"
#define AFTER "}]}"
#else
#define BEFORE "{\"result\":{\"content\":[{\"type\":\"text\",\"text\":"
#define AFTER "}]}}"
#endif
#define ROUNDS 3300000

static char heap[32768], answer[32768];
static uint32_t used;

static void *room(uint32_t bytes) {
  if (bytes > sizeof heap) return NULL;
  if (used + bytes > sizeof heap) used = 0;
  char *at = heap + used;
  used += (bytes + 7) & ~7u;
  return at;
}

static void compute(void) {
  static volatile uint32_t sink __attribute__((unused));
  uint32_t state = 2463534242u;
  for (int round = 0; round < ROUNDS; round++) state ^= state << 13, state ^= state >> 17, state ^= state << 5;
  sink = state;
}

/* The bytes of `answer` that are one. `arguments` have a member `text`, whose value goes back as it was spelt. */
static uint32_t answered(const char *arguments, uint32_t bytes) {
  static const char key[] = "\"text\":", before[] = BEFORE, after[] = AFTER;
  uint32_t at = 0, match = 0, out = sizeof before - 1;
  while (at < bytes && match < sizeof key - 1) match = arguments[at++] == key[match] ? match + 1 : arguments[at - 1] == '"';
  uint32_t end = at + 1;
  while (end < bytes && arguments[end] != '"') end += arguments[end] == '\\' ? 2 : 1;
  __builtin_memcpy(answer, before, out);
  __builtin_memcpy(answer + out, arguments + at, end + 1 - at);
  out += end + 1 - at;
  __builtin_memcpy(answer + out, after, sizeof after - 1);
  return out + sizeof after - 1;
}

#ifdef COMPONENT
EXPORT("cabi_realloc") void *cabi_realloc(void *old, uint32_t old_bytes, uint32_t align, uint32_t bytes) { return room(bytes); }

static struct { uint32_t failed; const char *text; uint32_t bytes; } result;

EXPORT("tidegate:plugin/tool@0.1.0#call-tool")
void *call_tool(const char *name, uint32_t name_bytes, const char *arguments, uint32_t bytes) {
  if (name[0] == 'w') compute();
  result.text = answer, result.bytes = answered(arguments, bytes);
  return &result;
}

EXPORT("tidegate:plugin/tool@0.1.0#list-tools") void *list_tools(void) {
  static struct { const char *text; uint32_t bytes; } none = {"[]", 2};
  return &none;
}
#else
EXPORT("tidegate_alloc") void *tidegate_alloc(uint32_t bytes) { return room(bytes); }

EXPORT("tidegate_call") uint64_t tidegate_call(const char *request, uint32_t bytes) {
  if (request[9] == 'w') compute(); /* {"call":"work",… */
  return (uint64_t)(uintptr_t)answer << 32 | answered(request, bytes);
}
#endif
