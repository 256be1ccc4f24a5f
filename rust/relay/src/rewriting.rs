//! What is changed in a message on its way from one era, or revision, to another: small edits that are certain to be
//! those of the slow lane, from the same tables.

use crate::request::Request;
use memchr::memmem::Finder;
use std::rc::Rc;
use std::sync::LazyLock;
use tidegate_codec::{Span, json};

static META: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"_meta\""));
static STRUCTURED: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new(b"\"structuredContent\""));

/// A member to be set to raw JSON, or to be taken out.
pub type Change = (Box<str>, Option<Box<[u8]>>);

/// What `params._meta` of a request becomes.
#[derive(Debug, Clone, Default)]
pub struct Meta {
    /// In the order of the slow lane. None: it stays as it is.
    changes: Box<[Change]>,
    /// What is written behind all other `params` where there is no `_meta`.
    added: Option<Box<[u8]>>,
}

impl Meta {
    /// Where nothing is to be set, nothing is added.
    #[must_use]
    pub fn new(changes: Box<[Change]>) -> Self {
        let sets = changes.iter().any(|(_, value)| value.is_some());
        let entries = if sets { patch(b"{}", &changes) } else { None };
        Self {
            added: entries.map(|entries| [b",\"_meta\":", &*entries].concat().into()),
            changes,
        }
    }

    /// The edit; `Err` for a request that is the slow lane's.
    pub(crate) fn edit(
        &self,
        message: &[u8],
        found: &Request<'_>,
    ) -> Result<Option<(Span, Vec<u8>)>, ()> {
        if self.changes.is_empty() {
            return Ok(None);
        }
        if let Some(span) = found.meta {
            let patched = patch(span.of(message), &self.changes).ok_or(())?;
            return Ok(Some((span, patched)));
        }
        let Some(added) = &self.added else {
            return Ok(None);
        };
        let params = found.params.of(message);
        // `null` may stand there.
        let may_be_there = memchr::memchr(b'\\', params).is_some() || META.find(params).is_some();
        if may_be_there && json::find_member(message, "_meta", found.params) != Ok(None) {
            return Err(());
        }
        let inner = &params[..params.len() - 1];
        let behind = found.params.start + inner.trim_ascii_end().len();
        Ok(Some((Span::new(behind, behind), added.to_vec())))
    }
}

/// What is done with a result.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Nothing.
    Pass,
    /// These members are set.
    Set(Box<[Change]>),
    /// It is put into the words of an older revision, if it takes no more than leaving some out.
    Fit(Rc<Fitting>),
}

/// What a revision does not have, in results of one method.
#[derive(Debug, Clone, Default)]
pub struct Fitting {
    /// Members that are taken out.
    pub members: Words,
    /// Entries of `_meta` that are, and `_meta` with them when nothing is left in it.
    pub entries: Words,
    /// What `structuredContent` may begin with. `None`: with anything.
    pub structured: Option<Box<[u8]>>,
    /// The member that content is in,
    pub place: Box<str>,
    /// and what is in none that the revision has.
    pub words: Words,
}

/// Words that are looked for as the strings they are mostly spelled as.
#[derive(Debug, Clone, Default)]
pub struct Words {
    changes: Box<[Change]>,
    quoted: Box<[Finder<'static>]>,
}

impl Words {
    /// `words` without quotes, plain enough to need no escapes.
    #[must_use]
    pub fn new(words: impl IntoIterator<Item = String>) -> Self {
        let changes: Box<[Change]> = words.into_iter().map(|word| (word.into(), None)).collect();
        Self {
            quoted: changes
                .iter()
                .map(|(word, _)| finder(format!("\"{word}\"").as_bytes()))
                .collect(),
            changes,
        }
    }

    fn are_in(&self, raw: &[u8]) -> bool {
        self.quoted.iter().any(|word| word.find(raw).is_some())
    }

    /// `raw` without them; `None` for no change, `Err` where it cannot be told.
    fn out_of(&self, raw: &[u8]) -> Result<Option<Vec<u8>>, ()> {
        if !self.are_in(raw) {
            return Ok(None);
        }
        let left = patch(raw, &self.changes).ok_or(())?;
        Ok((left != raw).then_some(left))
    }
}

/// Results of one method for one client.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Those that do not say their type.
    pub untyped: Edit,
    /// Those that say they are complete.
    pub complete: Edit,
}

impl Answers {
    /// What becomes of a result, `None` for no change; `Err` for one that is the slow lane's.
    pub(crate) fn edit(&self, result: &[u8], kind: Option<&[u8]>) -> Result<Option<Vec<u8>>, ()> {
        let edit = match kind {
            None => &self.untyped,
            Some(b"\"complete\"") => &self.complete,
            Some(_) => return Err(()),
        };
        match edit {
            Edit::Pass => Ok(None),
            Edit::Set(changes) => patch(result, changes).map(Some).ok_or(()),
            Edit::Fit(fitting) => fitting.edit(result),
        }
    }
}

impl Fitting {
    fn edit(&self, result: &[u8]) -> Result<Option<Vec<u8>>, ()> {
        if !self.passes(result)? {
            return Err(());
        }
        let left = self.members.out_of(result)?;
        let kept = left.as_deref().unwrap_or(result);
        if !self.entries.are_in(kept) {
            return Ok(left);
        }
        let Some(meta) = member(kept, "_meta")? else {
            return Ok(left);
        };
        let meta = meta.of(kept);
        if meta.first() != Some(&b'{') {
            return Ok(left);
        }
        let Some(entries) = self.entries.out_of(meta)? else {
            return Ok(left);
        };
        if META.find(kept).is_none() {
            return Err(());
        }
        let empty = entries[1..entries.len() - 1].trim_ascii().is_empty();
        let change = ("_meta".into(), (!empty).then(|| entries.into()));
        patch(kept, &[change]).map(Some).ok_or(())
    }

    /// Whether what is left in is as the revision has it.
    fn passes(&self, result: &[u8]) -> Result<bool, ()> {
        if let Some(starts) = &self.structured
            && STRUCTURED.find(result).is_some()
            && let Some(span) = member(result, "structuredContent")?
            && !starts.contains(&result[span.start])
        {
            return Ok(false);
        }
        if !self.words.are_in(result) {
            return Ok(true);
        }
        let content = member(result, &self.place)?;
        Ok(content.is_none_or(|span| !self.words.are_in(span.of(result))))
    }
}

/// Looks for this in one message after the other.
#[must_use]
pub fn finder(bytes: &[u8]) -> Finder<'static> {
    Finder::new(bytes).into_owned()
}

fn member(object: &[u8], key: &str) -> Result<Option<Span>, ()> {
    json::find_member(object, key, Span::new(0, object.len())).map_err(|_| ())
}

fn patch(object: &[u8], changes: &[Change]) -> Option<Vec<u8>> {
    let changes: Vec<_> = changes
        .iter()
        .map(|(key, value)| (&**key, value.as_deref()))
        .collect();
    json::patch_object(object, &changes).ok()
}
