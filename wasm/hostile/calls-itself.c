/* Calls the tool that `arguments.name` names, with the arguments it got, and gives back whatever came of it: itself, for ever. */
#include <stdint.h>
#include <string.h>

#define IMPORT(name) __attribute__((import_module("tidegate"), import_name(name)))
IMPORT("tools_call") uint64_t tools_call(const char *name, uint32_t name_bytes, const char *arguments, uint32_t arguments_bytes);

static char heap[65536];
static uint32_t used;

__attribute__((export_name("tidegate_alloc"))) char *tidegate_alloc(uint32_t bytes) {
  if (bytes >= sizeof heap - used) return 0;
  char *at = heap + used;
  used += bytes + 1;
  return at;
}

__attribute__((export_name("tidegate_call"))) uint64_t tidegate_call(char *request, uint32_t bytes) {
  static char answer[40000];
  request[bytes] = 0;
  char *arguments = strstr(request, "\"arguments\":") + 12, *name = strstr(arguments, "\"name\":\"") + 8;
  uint64_t told = tools_call(name, strcspn(name, "\""), arguments, strlen(arguments) - 1);
  /* {"ok":…} and {"error":…} of the gateway, as a text of its own answer would need quoting: only which it was is told. */
  int fine = memcmp((char *)(uintptr_t)(told >> 32), "{\"ok\"", 5) == 0;
  strcpy(answer, fine ? "{\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"went on\"}]}}" : "{\"error\":\"was stopped\"}");
  return (uint64_t)(uintptr_t)answer << 32 | strlen(answer);
}
