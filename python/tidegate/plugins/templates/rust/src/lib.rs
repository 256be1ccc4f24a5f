//! A plugin with one tool. plugin.toml tells its name, what it takes and what it gives.
#![no_std]

use serde_json::{Value, json};
use tidegate::prelude::*;

tidegate::tool_plugin!(call);

/// `arguments` is a JSON object. What comes back is a result as MCP has it, or a text that tells the model what was wrong.
fn call(name: &str, arguments: &str) -> Result<String, String> {
    let arguments: Value = serde_json::from_str(arguments).map_err(|error| error.to_string())?;
    match name {
        "count_words" => {
            let text = arguments["text"].as_str().ok_or("`text` is missing")?;
            let words = text.split_whitespace().count();
            // `tidegate::settings()` has what the operator wrote; `tidegate::log`, `store`, `http_send` and others need a grant.
            Ok(json!({ "structuredContent": { "words": words } }).to_string())
        }
        _ => Err(format!("there is no tool `{name}`")),
    }
}
