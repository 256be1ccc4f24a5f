// A plugin with one tool. plugin.toml tells its name, what it takes and what it gives.
//
// What the gateway offers is imported by name, and needs a grant:
//   import settings from "tidegate:plugin/settings";   settings.get() has what the operator wrote, without a grant
//   import log from "tidegate:plugin/log";             log.write("info", "a line")
//   import store from "tidegate:plugin/store";         store.get("key"), store.set("key", "value")

function countWords({ text }) {
  return { words: text.split(/\s+/).filter(Boolean).length };
}

export const tool = {
  // plugin.toml tells the tools.
  listTools: () => "[]",

  // `text` is a JSON object. What comes back is a result as MCP has it; what is thrown tells the model what was wrong.
  callTool(name, text) {
    if (name !== "count_words") throw `there is no tool \`${name}\``;
    const given = JSON.parse(text);
    if (typeof given.text !== "string") throw "`text` is missing";
    return JSON.stringify({ structuredContent: countWords(given) });
  },
};
