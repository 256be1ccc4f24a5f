//! Flows: decisions, and what is needed to repeat them.

use crate::bucket::Bucket;
use crate::choice::Choice;
use crate::request::Method;
use crate::rewriting::{Answers, Meta};
use crate::tally::Tally;
use memchr::memmem::Finder;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// A content coding that the client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// As it is.
    None,
    /// `gzip`
    Gzip,
    /// `zstd`
    Zstd,
}

impl Coding {
    /// As header and codec name it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Where requests are told apart by their id alone: a session, or a stream of a client.
#[derive(Debug)]
pub struct Scope {
    /// It was not closed yet.
    pub(crate) open: Cell<bool>,
    /// The relayed calls in it.
    pub(crate) pending: RefCell<Vec<usize>>,
    /// The driver's number for it.
    pub tag: usize,
}

impl Scope {
    /// An open one.
    #[must_use]
    pub fn new(tag: usize) -> Rc<Self> {
        Rc::new(Self {
            open: Cell::new(true),
            pending: RefCell::new(Vec::new()),
            tag,
        })
    }

    /// No flow of it is used any more.
    pub fn close(&self) {
        self.open.set(false);
    }
}

/// What the slow lane decided.
#[derive(Debug)]
pub struct Decision {
    /// The driver's number for it.
    pub tag: usize,
    /// Where it goes.
    pub upstream: usize,
    /// Over HTTP: the head of the request, up to the number of its `Content-Length`. `None` for a server that is spoken to in
    /// lines.
    pub request_head: Option<Box<[u8]>>,
    /// The server may be asked twice, so a connection that was idle for long may be used.
    pub repeatable: bool,
    /// JSON string that stands in for the name, if the server knows the thing by another one.
    pub name: Option<Box<[u8]>>,
    /// Status line and fields of a good answer over HTTP, without those of its length.
    pub reply_head: Box<[u8]>,
    /// What the client takes.
    pub coding: Coding,
    /// Shorter bodies are not compressed, and longer ones than the second neither.
    pub compressed_bytes: (usize, usize),
    /// What the server is told in `params._meta`.
    pub meta: Meta,
    /// What becomes of results.
    pub answers: Answers,
    /// Replicas get calls in turn; else whichever has least to do gets the next.
    pub in_turn: bool,
    /// Calls with one of these in them are another affair, which is the slow lane's.
    pub odd_words: Box<[Finder<'static>]>,
    /// So many calls may be in flight at the server.
    pub max_in_flight: usize,
    /// Of the caller.
    pub bucket: Option<Rc<RefCell<Bucket>>>,
    /// In which ids are told apart; over HTTP without a session there is none.
    pub scope: Option<Rc<Scope>>,
}

/// The flow that was used last in some place: clients repeat themselves.
#[derive(Debug)]
pub(crate) struct Recent {
    pub(crate) generation: u64,
    pub(crate) class: u32,
    pub(crate) method: Method,
    pub(crate) name: Box<str>,
    pub(crate) choice: Rc<Choice>,
}

/// A decision in use.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) decision: Decision,
    /// Its results may say that the tool failed.
    pub(crate) is_tool: bool,
    pub(crate) tally: RefCell<Tally>,
    /// It is on the list of those that counted something.
    pub(crate) counted: Cell<bool>,
    /// Tags of flows that nobody has any more.
    pub(crate) freed: Rc<RefCell<Vec<usize>>>,
}

impl Flow {
    pub(crate) fn new(
        decision: Decision,
        is_tool: bool,
        freed: Rc<RefCell<Vec<usize>>>,
    ) -> Rc<Self> {
        Rc::new(Self {
            decision,
            is_tool,
            tally: RefCell::default(),
            counted: Cell::new(false),
            freed,
        })
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.freed.borrow_mut().push(self.decision.tag);
    }
}
