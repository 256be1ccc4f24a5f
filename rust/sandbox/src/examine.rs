//! What a file says of itself, without compiling it.

use wasmparser::{Parser, Payload};

use crate::failure::Failure;
use crate::plugin::Kind;

/// Names listed of each; more are left out.
const NAMES: usize = 1000;

/// What a WASM file is, wants and offers.
#[derive(Debug)]
pub struct Facts {
    /// A component or a core module.
    pub kind: Kind,
    /// `module.name` of a core module, names of interfaces of a component.
    pub imports: Vec<String>,
    /// Names.
    pub exports: Vec<String>,
}

/// Reads the outermost module or component. Nothing is run or compiled.
///
/// # Errors
/// [`Failure::Refused`] for what is no WASM, or broken.
pub fn examine(wasm: &[u8]) -> Result<Facts, Failure> {
    let broken = |error: wasmparser::BinaryReaderError| {
        Failure::Refused(format!("it is no sound WASM: {error}"))
    };
    let kind = if Parser::is_component(wasm) {
        Kind::Component
    } else {
        Kind::Module
    };
    let mut facts = Facts {
        kind,
        imports: Vec::new(),
        exports: Vec::new(),
    };
    let mut depth = 0usize;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(broken)? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ImportSection(section) if depth == 0 => {
                for import in section.into_imports() {
                    let import = import.map_err(broken)?;
                    facts
                        .imports
                        .push(format!("{}.{}", import.module, import.name));
                }
            }
            Payload::ExportSection(section) if depth == 0 => {
                for export in section {
                    facts.exports.push(export.map_err(broken)?.name.to_owned());
                }
            }
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    facts
                        .imports
                        .push(import.map_err(broken)?.name.name.to_string());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    facts
                        .exports
                        .push(export.map_err(broken)?.name.name.to_string());
                }
            }
            _ => {}
        }
    }
    facts.imports.truncate(NAMES);
    facts.exports.truncate(NAMES);
    Ok(facts)
}
