//! Why the store did not do it.

use std::fmt;

use rusqlite::ErrorCode;

use super::{FILE_BYTES, KEY_BYTES};

/// Its text may be read by a guest: no path and no other plugin is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreError {
    /// The key is empty or longer than [`KEY_BYTES`].
    BadKey,
    /// The value would pass this quota, in bytes.
    OverQuota(u64),
    /// The disk is full, or the file has reached [`FILE_BYTES`].
    Full,
    /// Somebody else held the file for too long.
    Busy,
    /// The file is damaged. Seen outside only when it could not be moved aside.
    Corrupt,
    /// It cannot be read or written, for this reason.
    Unusable(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadKey => write!(to, "a key has 1 to {KEY_BYTES} bytes"),
            Self::OverQuota(bytes) => write!(to, "this would pass the quota of {bytes} bytes"),
            Self::Full => write!(
                to,
                "the disk is full, or the store has reached its {} MiB",
                FILE_BYTES >> 20
            ),
            Self::Busy => write!(to, "the store is held by somebody else"),
            Self::Corrupt => write!(to, "the store is damaged"),
            Self::Unusable(why) => write!(to, "the store cannot be used: {why}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let rusqlite::Error::SqliteFailure(cause, _) = &error else {
            // A row of another type than was written there.
            return match error {
                rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::FromSqlConversionFailure(..) => Self::Corrupt,
                other => Self::Unusable(other.to_string()),
            };
        };
        match cause.code {
            ErrorCode::DiskFull => Self::Full,
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Self::Corrupt,
            // Without the text of `error` itself, which may have the path in it.
            _ => Self::Unusable(cause.to_string()),
        }
    }
}
