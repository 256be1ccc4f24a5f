//! JSON (RFC 8259, strict) read in place: grammar, depth and spans, never values.

mod cursor;
mod edit;
mod envelope;
mod key_set;
mod members;
mod skip;
mod text;

pub use cursor::{Cursor, Fault, Key, Shape, Visit};
pub use edit::{patch_object, splice};
pub use envelope::{Envelope, MessageKind, scan, scan_knowing};
pub use members::{array_spans, find_member, member_spans};
pub use text::{decode_string, unescape, utf8, write_string};
