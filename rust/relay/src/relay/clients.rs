//! Who may ask.

use super::Relay;
use crate::flow::Recent;
use crate::head::Head;
use crate::meta::Memo;
use std::cell::RefCell;
use std::rc::Rc;

/// One connection of a client.
#[derive(Debug)]
pub(super) struct Client {
    /// Streams: what its flows are kept under; 0 for HTTP.
    pub(super) context: u64,
    /// HTTP: the head that came last.
    pub(super) head: Option<Rc<Head>>,
    /// Streams: what `_meta` said last. Over HTTP the head has it, as `recent`.
    pub(super) memo: Memo,
    pub(super) recent: Rc<RefCell<Option<Recent>>>,
    /// Its relayed calls, over HTTP one at most.
    pub(super) pending: Vec<usize>,
}

impl Relay {
    /// A client over HTTP.
    pub fn add_http(&mut self) -> usize {
        self.add_client(0)
    }

    /// A client on a stream of messages.
    pub fn add_stream(&mut self) -> usize {
        self.contexts += 1;
        self.add_client(self.contexts)
    }

    fn add_client(&mut self, context: u64) -> usize {
        self.clients.insert(Client {
            context,
            head: None,
            memo: Memo::default(),
            recent: Rc::default(),
            pending: Vec::new(),
        })
    }

    /// The client is gone. Its calls must have been taken before.
    pub fn remove_client(&mut self, client: usize) {
        debug_assert!(self.calls_of(client).is_empty());
        self.clients.remove(client);
    }
}
