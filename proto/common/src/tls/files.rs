//! Secrets as files: written whole or not at all, readable by their owner alone.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::tls::error::TlsError;

/// Larger files are refused: keys, certificates and tokens are small.
const MAX_BYTES: u64 = 1 << 20;

/// Makes a folder that only its owner may enter.
///
/// # Errors
/// [`TlsError::File`].
pub fn private_dir(path: &Path) -> Result<(), TlsError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|cause| TlsError::write(path, cause))
}

/// Writes a file (mode 0600) beside its place, syncs it, and moves it there: a crash leaves the old or the new one.
///
/// # Errors
/// [`TlsError::File`].
pub fn write_private(path: &Path, content: &[u8]) -> Result<(), TlsError> {
    let failed = |cause| TlsError::write(path, cause);
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = Path::new(&beside);
    // One that an earlier process with this id left behind.
    let _none = fs::remove_file(beside);
    let written =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside).and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        });
    let moved = written.and_then(|()| fs::rename(beside, path));
    if moved.is_err() {
        let _gone = fs::remove_file(beside);
    }
    moved.map_err(failed)?;
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
        }
        _ => Ok(()),
    }
}

/// Reads a small text file.
///
/// # Errors
/// [`TlsError::File`]; also where the file is too large to be what it should be.
pub fn read_text(path: &Path) -> Result<String, TlsError> {
    let size = fs::metadata(path).map_err(|cause| TlsError::read(path, cause))?.len();
    if size > MAX_BYTES {
        let cause =
            std::io::Error::other(format!("{size} bytes are too many for a key, certificate or token"));
        return Err(TlsError::read(path, cause));
    }
    fs::read_to_string(path).map_err(|cause| TlsError::read(path, cause))
}

/// Whether others than the owner may read the file: its permission bits, if so.
pub fn loose(path: &Path) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// Takes the permission to read from all but the owner.
///
/// # Errors
/// [`TlsError::File`].
pub fn tighten(path: &Path) -> Result<(), TlsError> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|cause| TlsError::write(path, cause))
}

/// All certificates of a PEM text; other sections and what stands around them are passed over.
///
/// # Errors
/// [`TlsError::Pem`].
pub fn certificates(pem: &str, origin: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|cause| TlsError::Pem(format!("{origin} is no PEM: {cause}")))
}

/// The PEM of certificates.
pub fn to_pem(certificates: &[CertificateDer<'_>]) -> String {
    let one = |der: &CertificateDer<'_>| {
        let text = base64(der);
        let lines: Vec<&str> =
            (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    certificates.iter().map(one).collect()
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let at = |n: usize| u32::from(chunk.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * n) & 63) as usize];
            text.push(if n <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
