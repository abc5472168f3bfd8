//! The sealed envelope of frames and keyframes: encoded once at the agent, and the same bytes lie in the spool,
//! cross the wire and lie in the aggregator's journal.
//!
//! ```text
//! version u8 = 1 | header length varint | FrameHeader (protobuf) | payload | crc32c of all before, u32 LE
//! ```
//!
//! The payload is zstd, or, where its size is the header's `raw_bytes`, the raw bytes themselves.

use std::io;

use bytes::{Bytes, BytesMut};
use prost::Message;
use thiserror::Error;
use zstd::bulk;
use zstd::zstd_safe::CParameter;

use crate::limits::{MAX_FILES, MAX_HEADER_BYTES, MAX_RAW_BYTES, MAX_RECORDS, MAX_SEALED_BYTES};
use crate::v1::FrameHeader;

const VERSION: u8 = 1;
const CRC_BYTES: usize = 4;
/// Payloads of more than [`SMALL`] are log lines and spans, which come by the megabyte a second: level 3 takes 1.1 to 1.7
/// times the CPU of level 1 and makes them 0 to 3 % smaller, or even larger (measured on access logs, application logs
/// and build logs in batches of 130 kB to 1 MB).
const ZSTD_LEVEL: i32 = 1;
/// Small payloads are metrics, a few a minute: keyframes are 5 % smaller at level 3.
const ZSTD_LEVEL_SMALL: i32 = 3;
const SMALL: usize = 32 << 10;
/// Base-2 logarithms of the entries of the level's two tables. Its own, 16 and 15, are 400 kB for 32 kB to look up, and make
/// keyframes no byte smaller (measured on a host's 1,000 series).
const TABLES_SMALL: [CParameter; 2] = [CParameter::HashLog(13), CParameter::ChainLog(12)];

/// Why bytes are not a frame. The text names what is wrong; nothing was allocated beyond the limits.
#[derive(Debug, Error, PartialEq, Eq, Clone)]
pub enum FrameError {
    /// The envelope ends early.
    #[error("the frame is cut short at {0} bytes")]
    Short(usize),
    /// Another version of the envelope.
    #[error("frame version {0} is not known; this build reads version {VERSION}")]
    Version(u8),
    /// Larger than both ends agreed.
    #[error("{what} is {size}, over the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size.
        size: u64,
        /// See [`crate::limits`].
        limit: u64,
    },
    /// The checksum does not match.
    #[error("the frame's checksum does not match: it was damaged")]
    Crc,
    /// Not a FrameHeader.
    #[error("the frame's header cannot be read: {0}")]
    Header(String),
    /// Not zstd, or not of the size that the header names.
    #[error("the frame's payload cannot be decompressed: {0}")]
    Payload(String),
    /// A payload that decompressed but is not what its class says.
    #[error("the frame's {what} cannot be decoded: {why}")]
    Content {
        /// "keyframe", "metrics" or "log lines".
        what: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A frame that was decoded with another keyframe than the one it names.
    #[error("the frame needs keyframe {needs:016x}, not {given:016x}")]
    Keyframe {
        /// Id that the frame names.
        needs: u64,
        /// Id that was given.
        given: u64,
    },
}

/// Compresses a payload; the result goes into [`seal`]. A payload that zstd makes no smaller stays as it is: small
/// metrics frames are so.
pub fn compress(raw: &[u8]) -> Vec<u8> {
    let smaller = if raw.len() <= SMALL { compress_small(raw) } else { bulk::compress(raw, ZSTD_LEVEL) };
    match smaller {
        Ok(smaller) if smaller.len() < raw.len() => smaller,
        // Compression into memory does not fail; if it did, nothing would be lost.
        Ok(_) | Err(_) => raw.to_vec(),
    }
}

fn compress_small(raw: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressor = bulk::Compressor::new(ZSTD_LEVEL_SMALL)?;
    for table in TABLES_SMALL {
        compressor.set_parameter(table)?;
    }
    compressor.compress(raw)
}

/// Puts header and compressed payload into the envelope.
pub fn seal(header: &FrameHeader, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + 5 + header.encoded_len() + payload.len() + CRC_BYTES);
    out.extend_from_slice(&[VERSION]);
    // Writing to growing memory cannot fail.
    let _infallible = header.encode_length_delimited(&mut out);
    out.extend_from_slice(payload);
    let crc = crc32c::crc32c(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out.freeze()
}

/// A checked envelope: the payload is still compressed.
#[derive(Clone, Debug, PartialEq)]
pub struct Opened {
    /// Who, what, how much.
    pub header: FrameHeader,
    /// Zstd, or raw where that is no larger.
    pub payload: Bytes,
}

/// Checks size, version, CRC and the header's limits.
///
/// # Errors
/// Every byte string that [`seal`] did not make gives an error.
pub fn open(sealed: &Bytes) -> Result<Opened, FrameError> {
    limit("the frame", sealed.len() as u64, MAX_SEALED_BYTES as u64)?;
    if sealed.len() < 2 + CRC_BYTES {
        return Err(FrameError::Short(sealed.len()));
    }
    if sealed[0] != VERSION {
        return Err(FrameError::Version(sealed[0]));
    }
    let end = sealed.len() - CRC_BYTES;
    let crc = u32::from_le_bytes([sealed[end], sealed[end + 1], sealed[end + 2], sealed[end + 3]]);
    if crc32c::crc32c(&sealed[..end]) != crc {
        return Err(FrameError::Crc);
    }
    let mut rest = sealed.slice(1..end);
    let length = prost::decode_length_delimiter(&mut rest).map_err(|e| FrameError::Header(e.to_string()))?;
    limit("the header", length as u64, MAX_HEADER_BYTES as u64)?;
    if length > rest.len() {
        return Err(FrameError::Short(sealed.len()));
    }
    let header = FrameHeader::decode(rest.split_to(length)).map_err(|e| FrameError::Header(e.to_string()))?;
    limit("the payload", header.raw_bytes, MAX_RAW_BYTES as u64)?;
    limit("the number of records", header.records, MAX_RECORDS as u64)?;
    limit("the number of files", header.files.len() as u64, MAX_FILES as u64)?;
    if header.agent.len() != 16 {
        return Err(FrameError::Header("the agent's id is not 16 bytes".to_owned()));
    }
    Ok(Opened { header, payload: rest })
}

impl Opened {
    /// The payload, at most as large as the header says, which is at most [`MAX_RAW_BYTES`].
    ///
    /// # Errors
    /// Where it is not zstd or has another size.
    pub fn decompress(&self) -> Result<Vec<u8>, FrameError> {
        let size = self.header.raw_bytes as usize;
        if self.payload.len() == size {
            return Ok(self.payload.to_vec());
        }
        let raw = bulk::decompress(&self.payload, size).map_err(|e| FrameError::Payload(e.to_string()))?;
        if raw.len() != size {
            return Err(FrameError::Payload(format!("{} bytes instead of {size}", raw.len())));
        }
        Ok(raw)
    }
}

pub(crate) fn limit(what: &'static str, size: u64, limit: u64) -> Result<(), FrameError> {
    if size > limit { Err(FrameError::TooLarge { what, size, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
