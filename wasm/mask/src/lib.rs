//! Masks personal data and secrets in the texts of results and, where the settings say so, of requests.
//!
//! Only the texts in question change: numbers, order of members, blanks and the spelling of everything else stay as they were.
#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

mod account;
mod address;
mod find;
mod phone;
mod rewrite;
mod secret;
mod settings;

pub use rewrite::{masked_arguments, masked_result};
pub use settings::Settings;

#[cfg(target_arch = "wasm32")]
mod plugin {
    use alloc::string::String;
    use tidegate::Verdict;

    use super::{Settings, masked_arguments, masked_result};

    /// What cannot be looked at goes no further: it may hold what is to be masked.
    fn verdict(masked: impl FnOnce(&Settings) -> Result<Option<String>, String>) -> Verdict {
        match Settings::parse(&tidegate::settings()).and_then(|settings| masked(&settings)) {
            Ok(Some(text)) => Verdict::Change(text),
            Ok(None) => Verdict::Pass,
            Err(why) => Verdict::Refuse(why),
        }
    }

    fn request(call: &str) -> Verdict {
        verdict(|settings| masked_arguments(call, settings))
    }

    fn result(_call: &str, result: &str) -> Verdict {
        verdict(|settings| masked_result(result, settings))
    }

    tidegate::filter_plugin!(request, result);
}
