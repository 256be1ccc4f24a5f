//! The file behind the store: how it is opened, bounded, and begun anew when it is damaged.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;

use super::{FILE_BYTES, StoreError};

/// How long to wait for another process, an operator's `sqlite3` perhaps, that holds the file.
const BUSY: Duration = Duration::from_secs(2);
/// Of the file, before there is anything in it.
const PAGE_BYTES: u64 = 4096;
/// Free pages kept for what comes next: 1 MiB. Those beyond are given back to the disk.
const FREE_PAGES: i64 = 256;
/// Of the tables below. A file of a later version is left alone.
const VERSION: i64 = 1;

/// The key in front in both: what a plugin keeps is together, in the order of its keys.
const TABLES: &str = "
    CREATE TABLE plugin (name TEXT PRIMARY KEY, used INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE entry (
        plugin TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (plugin, key)
    ) STRICT, WITHOUT ROWID;
    PRAGMA user_version = 1;
";

/// One file, or memory.
#[derive(Debug)]
pub(super) struct Database {
    path: Option<PathBuf>,
    connection: Mutex<Option<Connection>>,
    warning: Mutex<Option<String>>,
}

impl Database {
    pub(super) fn new(path: Option<&Path>) -> Self {
        Self {
            path: path.map(Path::to_path_buf),
            connection: Mutex::new(None),
            warning: Mutex::new(None),
        }
    }

    /// Does `act`, which leaves no transaction open. When the file turns out to be damaged it is moved aside, and
    /// `act` is done once more, on a new one.
    pub(super) fn run<T>(
        &self,
        act: impl Fn(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut held = locked(&self.connection);
        match self.attempt(&mut held, &act) {
            Err(StoreError::Corrupt) => {
                *held = None;
                self.move_aside()?;
                self.attempt(&mut held, &act)
            }
            done => done,
        }
    }

    pub(super) fn take_warning(&self) -> Option<String> {
        locked(&self.warning).take()
    }

    fn attempt<T>(
        &self,
        held: &mut Option<Connection>,
        act: impl Fn(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(connection) = held {
            return act(connection);
        }
        let connection = held.insert(connected(self.path.as_deref())?);
        act(connection)
    }

    /// One damaged file is kept, the last one.
    fn move_aside(&self) -> Result<(), StoreError> {
        let Some(path) = &self.path else {
            return Err(StoreError::Corrupt);
        };
        let aside = with_suffix(path, ".damaged");
        // The file itself last: what is interrupted begins anew, and no new file meets an old journal.
        let moved = absent_is_fine(fs::rename(
            with_suffix(path, "-wal"),
            with_suffix(&aside, "-wal"),
        ))
        .and_then(|()| absent_is_fine(fs::remove_file(with_suffix(path, "-shm"))))
        .and_then(|()| fs::rename(path, &aside));
        let (path, aside) = (path.display(), aside.display());
        *locked(&self.warning) = Some(match &moved {
            Ok(()) => format!(
                "`{path}` is damaged; it is `{aside}` now, and what plugins kept in it is gone"
            ),
            Err(error) => format!("`{path}` is damaged, and cannot be moved to `{aside}`: {error}"),
        });
        moved.map_err(|_| StoreError::Corrupt)
    }
}

/// Gives free pages back to the disk when they are many. Called after a commit that left less behind; what fails here
/// takes nothing from that, and is tried again the next time.
pub(super) fn give_back(connection: &Connection) {
    let freed = || -> rusqlite::Result<()> {
        let free: i64 = connection
            .prepare_cached("PRAGMA freelist_count")?
            .query_row([], |row| row.get(0))?;
        if free > FREE_PAGES {
            // Makes a row of each page it frees.
            let more = free - FREE_PAGES;
            let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({more})"))?;
            let mut rows = vacuum.query([])?;
            while rows.next()?.is_some() {}
        }
        Ok(())
    };
    let _ = freed();
}

fn connected(path: Option<&Path>) -> Result<Connection, StoreError> {
    let mut connection = match path {
        Some(path) => {
            // Nobody else's to read; `SQLite` gives its other files the same mode.
            OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)
                .map_err(|error| StoreError::Unusable(error.kind().to_string()))?;
            Connection::open(path)?
        }
        None => Connection::open_in_memory()?,
    };
    connection.busy_timeout(BUSY)?;
    connection.execute_batch(
        "PRAGMA mmap_size = 0;
         PRAGMA cache_size = -256;
         PRAGMA temp_store = memory;
         PRAGMA cell_size_check = on;
         PRAGMA trusted_schema = off;
         PRAGMA synchronous = normal;
         PRAGMA wal_autocheckpoint = 256;
         PRAGMA journal_size_limit = 1048576;",
    )?;
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        0 => begun(&mut connection)?,
        VERSION => {}
        _ => {
            let why = "it was made by a later version of the gateway";
            return Err(StoreError::Unusable(why.to_string()));
        }
    }
    let pages = FILE_BYTES / PAGE_BYTES;
    connection.execute_batch(&format!("PRAGMA max_page_count = {pages};"))?;
    Ok(connection)
}

/// Makes the tables in an empty file.
fn begun(connection: &mut Connection) -> Result<(), StoreError> {
    // The order matters: what shapes the file comes before its first page. All three are kept in the file.
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES};
         PRAGMA auto_vacuum = incremental;
         PRAGMA journal_mode = wal;"
    ))?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.commit()?;
    Ok(())
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// A panic in between left no transaction open: they are rolled back when dropped.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
