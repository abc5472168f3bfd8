//! The one file that a host outside Kubernetes needs to enrol: the bootstrap token and the CA's certificates.
//!
//! ```text
//! # comments
//! token 5f1c...
//! -----BEGIN CERTIFICATE-----
//! ```
//!
//! A file that holds the token alone, on a line of its own, is understood too.

use rustls::pki_types::CertificateDer;

use crate::secret::Secret;
use crate::tls::error::TlsError;
use crate::tls::files;

/// What the file says.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Shown nowhere.
    pub token: Secret,
    /// May be none: then they come from another file.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Bootstrap {
    /// Reads a file's text.
    ///
    /// # Errors
    /// [`TlsError::Pem`] where there is no token, more than one, or a broken certificate; none shows the text.
    pub fn parse(text: &str, origin: &str) -> Result<Self, TlsError> {
        let mut inside = false;
        let mut tokens = Vec::new();
        for line in text.lines().map(str::trim) {
            match line {
                line if line.starts_with("-----BEGIN ") => inside = true,
                line if line.starts_with("-----END ") => inside = false,
                "" => {}
                line if inside || line.starts_with('#') => {}
                line => tokens.push(line.strip_prefix("token ").unwrap_or(line).trim()),
            }
        }
        let token = match tokens[..] {
            [token] if !token.contains(char::is_whitespace) => Secret::new(token),
            [] => return Err(TlsError::Pem(format!("{origin} holds no line `token ...`"))),
            _ => return Err(TlsError::Pem(format!("{origin} must hold one token, on a line of its own"))),
        };
        Ok(Self { token, authorities: files::certificates(text, origin)? })
    }

    /// Writes a file's text.
    pub fn format(token: &str, authorities: &[CertificateDer<'_>]) -> String {
        format!(
            "# Lets a host enrol at the aggregator: name this file in the agent's aggregator.tls.bootstrap_file.\n\
             # Whoever reads it can enrol a node that is not connected: keep it secret.\n\
             token {token}\n{}",
            files::to_pem(authorities)
        )
    }
}
