//! Keys and values that outlive a plugin's call and the gateway: one `SQLite` file, a quota for each plugin.
//!
//! Called on worker threads, by the host functions `store.*`; it may wait for the disk. One connection behind a mutex:
//! a call takes microseconds, and one connection is one page cache. The file is opened at the first use, so a gateway
//! whose plugins keep nothing has none.
//!
//! What was acknowledged survives the end of the process, however sudden. A loss of power may take the last seconds
//! with it, never the order: no commit waits for the disk, which is what spares an SD card. A value that is there
//! already is not written again.
//!
//! The file must be opened by nothing else in this process: a second copy of `SQLite` (Python has one) would
//! take away the locks of this one when it closes the file.

mod database;
mod error;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use database::Database;
pub use error::StoreError;

/// Bytes of the longest key.
pub const KEY_BYTES: usize = 256;
/// Bytes that an entry counts beside its key and its value: about what `SQLite` adds.
pub const ENTRY_BYTES: u64 = 64;
/// How many keys are listed at most.
pub const KEYS_LISTED: usize = 1000;
/// Bytes of the file at most, whatever the quotas add up to.
pub const FILE_BYTES: u64 = 256 * 1024 * 1024;

/// What all plugins of a gateway keep.
#[derive(Debug, Clone)]
pub struct Store(Arc<Database>);

impl Store {
    /// `path`: the file, made at the first use; nothing for a store in memory.
    ///
    /// # Errors
    /// The folder of `path` is not there.
    pub fn open(path: Option<&Path>) -> Result<Self, StoreError> {
        if let Some(path) = path
            && (path.file_name().is_none() || !folder_of(path).is_dir())
        {
            return Err(StoreError::Unusable(
                "its folder does not exist".to_string(),
            ));
        }
        Ok(Self(Arc::new(Database::new(path))))
    }

    /// The part of one plugin. `quota_bytes`: what its keys and values may count together.
    #[must_use]
    pub fn of(&self, plugin: &str, quota_bytes: u64) -> PluginStore {
        PluginStore {
            database: Arc::clone(&self.0),
            plugin: plugin.into(),
            quota_bytes,
        }
    }

    /// What an operator should know and was not told yet: that a file was of no use, and where it is now.
    #[must_use]
    pub fn take_warning(&self) -> Option<String> {
        self.0.take_warning()
    }
}

/// `a.sqlite3` alone is in the current folder.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != "" => folder,
        _ => Path::new("."),
    }
}

/// What one plugin keeps.
#[derive(Debug, Clone)]
pub struct PluginStore {
    database: Arc<Database>,
    plugin: Box<str>,
    quota_bytes: u64,
}

impl PluginStore {
    /// The value; nothing when there is no such key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        checked(key)?;
        self.database.run(|connection| {
            let mut select = connection
                .prepare_cached("SELECT value FROM entry WHERE plugin = ?1 AND key = ?2")?;
            Ok(select
                .query_row(params![&*self.plugin, key], |row| row.get(0))
                .optional()?)
        })
    }

    /// Writes `value`, unless it is there already.
    ///
    /// # Errors
    /// [`StoreError::OverQuota`] and the others; the old value is still there then.
    pub fn set(&self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        checked(key)?;
        let counted = counted(key.len(), value.len());
        if counted > self.quota_bytes {
            return Err(StoreError::OverQuota(self.quota_bytes));
        }
        self.database.run(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let before = match self.compare(&transaction, key, value)? {
                Some((_, true)) => return Ok(()),
                Some((bytes, false)) => self::counted(key.len(), bytes),
                None => 0,
            };
            let used = self.read_used(&transaction)?;
            // The quota may have been lowered since: a smaller value is welcome then.
            if counted > before && used + (counted - before) > self.quota_bytes {
                return Err(StoreError::OverQuota(self.quota_bytes));
            }
            transaction
                .prepare_cached(
                    "INSERT INTO entry (plugin, key, value) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET value = excluded.value",
                )?
                .execute(params![&*self.plugin, key, value])?;
            if counted != before {
                self.write_used(&transaction, (used + counted).saturating_sub(before))?;
            }
            transaction.commit()?;
            if counted < before {
                database::give_back(connection);
            }
            Ok(())
        })
    }

    /// Says whether there was such a key.
    ///
    /// # Errors
    /// [`StoreError`]; the entry is still there then.
    pub fn delete(&self, key: &[u8]) -> Result<bool, StoreError> {
        checked(key)?;
        self.database.run(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let bytes: Option<usize> = transaction
                .prepare_cached(
                    "DELETE FROM entry WHERE plugin = ?1 AND key = ?2 RETURNING length(value)",
                )?
                .query_row(params![&*self.plugin, key], |row| row.get(0))
                .optional()?;
            let Some(bytes) = bytes else {
                return Ok(false);
            };
            let used = self.read_used(&transaction)?;
            self.write_used(&transaction, used.saturating_sub(counted(key.len(), bytes)))?;
            transaction.commit()?;
            database::give_back(connection);
            Ok(true)
        })
    }

    /// The first [`KEYS_LISTED`] keys that begin with `prefix`, in order of their bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn keys(&self, prefix: &[u8]) -> Result<Vec<Vec<u8>>, StoreError> {
        if prefix.len() > KEY_BYTES {
            return Ok(Vec::new());
        }
        self.database.run(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT key FROM entry WHERE plugin = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3)
                 ORDER BY key LIMIT ?4",
            )?;
            let (last, most) = (after(prefix), KEYS_LISTED);
            let rows =
                select.query_map(params![&*self.plugin, prefix, last, most], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// What keys and values count now, in bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn used(&self) -> Result<u64, StoreError> {
        self.database.run(|connection| self.read_used(connection))
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// [`StoreError`]; all is still there then.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.database.run(|connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            transaction.execute("DELETE FROM entry WHERE plugin = ?1", [&*self.plugin])?;
            transaction.execute("DELETE FROM plugin WHERE name = ?1", [&*self.plugin])?;
            transaction.commit()?;
            database::give_back(connection);
            Ok(())
        })
    }

    /// (Bytes of the value that is there, whether it is `value`.)
    fn compare(
        &self,
        transaction: &Transaction<'_>,
        key: &[u8],
        value: &[u8],
    ) -> Result<Option<(usize, bool)>, StoreError> {
        Ok(transaction
            .prepare_cached(
                "SELECT length(value), value = ?3 FROM entry WHERE plugin = ?1 AND key = ?2",
            )?
            .query_row(params![&*self.plugin, key, value], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?)
    }

    fn read_used(&self, connection: &Connection) -> Result<u64, StoreError> {
        let used = connection
            .prepare_cached("SELECT used FROM plugin WHERE name = ?1")?
            .query_row([&*self.plugin], |row| row.get(0))
            .optional()?;
        Ok(used.unwrap_or(0))
    }

    fn write_used(&self, transaction: &Transaction<'_>, used: u64) -> Result<(), StoreError> {
        transaction
            .prepare_cached(
                "INSERT INTO plugin (name, used) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET used = excluded.used",
            )?
            .execute(params![&*self.plugin, used])?;
        Ok(())
    }
}

/// What an entry takes of the quota.
fn counted(key_bytes: usize, value_bytes: usize) -> u64 {
    key_bytes as u64 + value_bytes as u64 + ENTRY_BYTES
}

fn checked(key: &[u8]) -> Result<(), StoreError> {
    if key.is_empty() || key.len() > KEY_BYTES {
        return Err(StoreError::BadKey);
    }
    Ok(())
}

/// The least bytes that are greater than all that begin with `prefix`; nothing when there are none.
fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut after = prefix[..=last].to_vec();
    after[last] += 1;
    Some(after)
}
