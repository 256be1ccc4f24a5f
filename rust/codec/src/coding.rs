//! Content codings: gzip and zstd both ways, deflate inwards. Inflating never yields more than it may.

use crate::error::{Error, Kind, Result};
use flate2::Compression;
use flate2::bufread::{MultiGzDecoder, ZlibDecoder};
use flate2::write::GzEncoder;
use std::io::{BufRead, Read, Write};

/// A zstd frame that wants a window over 8 MiB is refused: RFC 9659 forbids it as a content coding, and
/// the window is memory that one small body could claim.
const ZSTD_WINDOW_LOG: u32 = 23;

/// `data` in the content coding `gzip` or `zstd`. `level` is brought into the range of the coding.
///
/// # Errors
/// `Value` for another coding.
pub fn compress(coding: &str, data: &[u8], level: i32) -> Result<Vec<u8>> {
    let out = match coding {
        "gzip" => {
            let level = Compression::new(level.clamp(0, 9).unsigned_abs());
            let mut encoder = GzEncoder::new(Vec::with_capacity(data.len() / 2), level);
            encoder.write_all(data).and_then(|()| encoder.finish())
        }
        "zstd" => zstd::bulk::compress(data, level.clamp(1, 19)),
        _ => {
            return Err(Error::new(
                Kind::Value,
                format!("cannot compress to `{coding}`"),
            ));
        }
    };
    out.map_err(|error| {
        Error::new(
            Kind::Value,
            format!("cannot compress to `{coding}`: {error}"),
        )
    })
}

/// What `data` in the content coding `gzip`, `zstd` or `deflate` holds, all members or frames of it.
///
/// # Errors
/// `TooLarge` for more than `max_bytes`; `BadEncoding` for another coding or data that is not in it, that ends
/// early or is followed by something else.
pub fn inflate(coding: &str, data: &[u8], max_bytes: usize) -> Result<Vec<u8>> {
    if data.is_empty() {
        return Err(bad(coding, "it is empty"));
    }
    match coding {
        "gzip" => bounded(MultiGzDecoder::new(data), coding, max_bytes),
        "deflate" => {
            let mut decoder = ZlibDecoder::new(data);
            let out = bounded(&mut decoder, coding, max_bytes)?;
            match decoder.into_inner().fill_buf() {
                Ok([]) => Ok(out),
                _ => Err(bad(coding, "something follows it")),
            }
        }
        "zstd" => {
            let not_zstd = |error: std::io::Error| bad(coding, &error.to_string());
            let mut decoder = zstd::stream::read::Decoder::with_buffer(data).map_err(not_zstd)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(not_zstd)?;
            bounded(decoder, coding, max_bytes)
        }
        _ => Err(bad(coding, "the coding is not supported")),
    }
}

fn bounded(from: impl Read, coding: &str, max_bytes: usize) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    let one_more = u64::try_from(max_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    from.take(one_more)
        .read_to_end(&mut out)
        .map_err(|error| bad(coding, &error.to_string()))?;
    if out.len() > max_bytes {
        return Err(Error::new(
            Kind::TooLarge,
            format!("the body inflates to more than the limit of {max_bytes} bytes"),
        ));
    }
    Ok(out)
}

#[cold]
fn bad(coding: &str, why: &str) -> Error {
    // The coding is the client's word: it is shown only as far as a real one could go.
    let shown: String = coding.chars().take(32).collect();
    Error::new(
        Kind::BadEncoding,
        format!("the body is not `{shown}`: {why}"),
    )
}
