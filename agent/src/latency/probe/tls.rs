//! TLS towards a service: whose certificates are taken, and the handshake.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use ao_common::tls::{TlsError, client};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::failure::Failure;

/// How a server's certificate is checked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Whether it must be in its time, for the name that is asked for, and signed by somebody who is trusted; `false` takes
    /// any.
    pub verify: bool,
    /// Certificates (PEM) of those who may have signed it; left out, those that the system trusts.
    pub ca_file: Option<PathBuf>,
    /// The name that it must have, and that the server is asked for; left out, that of the request.
    pub server_name: Option<String>,
}

impl Default for Tls {
    fn default() -> Self {
        Self { verify: true, ca_file: None, server_name: None }
    }
}

impl Tls {
    /// # Errors
    /// Contradictions, and a file that cannot be used.
    pub(super) fn check(&self) -> Result<(), String> {
        if !self.verify && self.ca_file.is_some() {
            return Err("tls: a ca_file and `verify: false` contradict each other".to_owned());
        }
        if let Some(name) = &self.server_name {
            ServerName::try_from(name.as_str())
                .map_err(|_| format!("tls: {name:?} is no name of a server"))?;
        }
        match &self.ca_file {
            Some(path) => client::checked(Some(path)).map(|_| ()).map_err(|error| format!("tls: {error}")),
            None => Ok(()),
        }
    }

    /// Over a connection, to a server of this name.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        name: &str,
        trust: &Trust,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let name = self.server_name.as_deref().unwrap_or(name);
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| Failure::Answer(format!("{name:?} is no name that a certificate can have")))?;
        let config = trust.config(self).map_err(Failure::Trust)?;
        Ok(TlsConnector::from(config).connect(server, stream).await?)
    }
}

/// Whether any is taken, and whose file; when that was written.
type Known = HashMap<(bool, Option<PathBuf>), (Option<SystemTime>, Arc<client::ClientConfig>)>;

/// What is trusted, read once: the system's list alone has 150 certificates. A file is read again when it has changed.
#[derive(Debug, Default)]
pub(crate) struct Trust(Mutex<Known>);

impl Trust {
    fn config(&self, tls: &Tls) -> Result<Arc<client::ClientConfig>, TlsError> {
        let written = tls.ca_file.as_ref().and_then(|path| path.metadata().ok()?.modified().ok());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (tls.verify, tls.ca_file.clone());
        if let Some((_, config)) = known.get(&key).filter(|(read, _)| *read == written) {
            return Ok(Arc::clone(config));
        }
        let config = if tls.verify { client::checked(tls.ca_file.as_deref()) } else { client::unchecked() };
        let config = Arc::new(config?);
        known.insert(key, (written, Arc::clone(&config)));
        Ok(config)
    }
}
