/* A plugin with one tool, as a core module: the gateway puts a JSON text into its memory and reads another one from it.
 * plugin.toml tells its name, what it takes and what it gives. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the gateway offers is imported by name; all but the settings needs a grant. */
__attribute__((import_module("tidegate"), import_name("settings"))) uint64_t tidegate_settings(void);
__attribute__((import_module("tidegate"), import_name("log"))) void tidegate_log(int32_t level, const char *text, uint32_t bytes);

/* Where the gateway puts texts. One more byte, so that they end with a zero. */
__attribute__((export_name("tidegate_alloc"))) char *tidegate_alloc(uint32_t bytes) { return calloc(bytes + 1, 1); }

static int is_blank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

/* `{"call":"count_words","arguments":{"text":"…"}}`: the text is looked for as it is spelt; a real plugin brings a JSON parser. */
static const char *find_text(const char *request) {
  const char *member = strstr(request, "\"text\"");
  const char *quote = member ? strchr(member + 6, '"') : NULL;
  return quote ? quote + 1 : NULL;
}

__attribute__((export_name("tidegate_call"))) uint64_t tidegate_call(const char *request, uint32_t bytes) {
  static char answer[256];
  const char *text = find_text(request), *end = request + bytes;
  if (!text) {
    strcpy(answer, "{\"error\":\"`text` is missing\"}");
  } else {
    int words = 0, within = 0;
    for (; text < end && *text != '"'; text++) {
      /* A backslash and what follows it is an escape; of these, only \n and \t stand for blanks. */
      int blank = is_blank(*text);
      if (*text == '\\' && text + 1 < end) blank = *++text == 'n' || *text == 't';
      words += !blank && !within;
      within = !blank;
    }
    snprintf(answer, sizeof answer, "{\"result\":{\"structuredContent\":{\"words\":%d}}}", words);
  }
  return (uint64_t)(uintptr_t)answer << 32 | strlen(answer);
}
