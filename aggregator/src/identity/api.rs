//! The configuration, who is at the other end of a connection, and why somebody is refused.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use ao_common::tls::CertificateDer;
use ao_common::tls::name::NodeId;
use ao_common::tls::read::NodeCertificate;
use ao_common::tls::trust::Distrust;
use ao_common::units::Span;
use serde::Deserialize;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// Under the data folder.
pub(crate) const FOLDER: &str = "identity";

/// Section `identity`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// DNS names and addresses under which agents reach this aggregator, beside loopback, the host's name and
    /// `ingest.listen`.
    pub names: Vec<String>,
    /// The CA's files; without them a CA is made in the data folder at the first start. Replicas must share one.
    pub ca: Option<AuthorityFiles>,
    /// How long a node's certificate lasts; agents renew at two thirds.
    pub lifetime: Span,
    /// How long the server's own certificate lasts.
    pub server_lifetime: Span,
    /// A node whose key is lost may enrol with a new one once its old agent was away for so long.
    pub takeover_after: Span,
    /// How often files are looked at for changes.
    pub reload: Span,
    /// Enrolment of hosts outside Kubernetes.
    pub bootstrap: BootstrapConfig,
    /// Enrolment by service-account tokens; left out: off.
    pub kubernetes: Option<KubernetesConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            ca: None,
            lifetime: Span::secs(24 * 3600),
            server_lifetime: Span::secs(7 * 86_400),
            takeover_after: Span::secs(600),
            reload: Span::secs(5),
            bootstrap: BootstrapConfig::default(),
            kubernetes: None,
        }
    }
}

/// Section `identity.ca`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityFiles {
    /// PEM; the first certificate signs, further ones are trusted.
    pub cert_file: PathBuf,
    /// PEM, PKCS #8.
    pub key_file: PathBuf,
    /// PEM; trusted too, for a rotation.
    #[serde(default)]
    pub trust_file: Option<PathBuf>,
}

/// Section `identity.bootstrap`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapConfig {
    /// Whether the token is taken.
    pub enabled: bool,
    /// Holds the token; left out: one is made in the data folder. Replicas must share one.
    pub token_file: Option<PathBuf>,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self { enabled: true, token_file: None }
    }
}

/// Section `identity.kubernetes`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesConfig {
    /// The cluster's name as its agents have it; nobody else may have it by token.
    pub cluster: String,
    /// For an aggregator outside the cluster; left out: the pod's own service account.
    pub kubeconfig: Option<PathBuf>,
    /// The tokens' audience.
    pub audience: String,
    /// The agents' namespace.
    pub namespace: String,
    /// The agents' service account.
    pub service_account: String,
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self {
            cluster: "default".to_owned(),
            kubeconfig: None,
            audience: "ao-aggregator".to_owned(),
            namespace: "ao-os".to_owned(),
            service_account: "ao-agent".to_owned(),
        }
    }
}

/// The other end of a connection, as far as the handshake tells; the certificates are not checked yet.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    /// Where it speaks from.
    pub address: Option<SocketAddr>,
    /// Its own first; none where it showed none.
    pub certificates: Arc<[CertificateDer<'static>]>,
}

/// Why somebody is refused: told to the peer, logged and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Label of the metric, and `ao-reason` of the answer; one of [`Refusal::REASONS`].
    pub reason: &'static str,
    /// A sentence for people at both ends.
    pub text: String,
    code: Code,
}

impl Refusal {
    /// Names the reason in the answer's metadata.
    pub const KEY: &'static str = "ao-reason";

    /// All reasons.
    pub const REASONS: [&'static str; 10] = [
        "missing",
        "expired",
        "foreign",
        "invalid",
        "another",
        "doubled",
        "forgotten",
        "proof",
        "limit",
        "unavailable",
    ];

    pub(crate) fn missing() -> Self {
        let text = "the agent showed no certificate; one is needed for a stream";
        Self { reason: "missing", text: text.to_owned(), code: Code::Unauthenticated }
    }

    pub(crate) fn invalid(why: &str) -> Self {
        Self { reason: "invalid", text: why.to_owned(), code: Code::Unauthenticated }
    }

    pub(crate) fn distrusted(certificate: &NodeCertificate, why: &Distrust) -> Self {
        let reason = match why {
            Distrust::Expired => "expired",
            Distrust::Foreign => "foreign",
            Distrust::NotYet | Distrust::Other(_) => "invalid",
        };
        let text =
            format!("the certificate of node {} (serial {}): {why}", certificate.id, certificate.serial);
        Self { reason, text, code: Code::Unauthenticated }
    }

    pub(crate) fn expired(id: &NodeId) -> Self {
        let text = format!("the certificate of node {id} has expired while its stream was open");
        Self { reason: "expired", text, code: Code::Unauthenticated }
    }

    pub(crate) fn forgotten(id: &NodeId) -> Self {
        let text = format!("the key of node {id} was forgotten by `ao-aggregator identity forget`");
        Self { reason: "forgotten", text, code: Code::Unauthenticated }
    }

    pub(crate) fn another(certified: &NodeId, said: &NodeId) -> Self {
        let what = if said.node != certified.node || said.cluster != certified.cluster {
            format!("node {said:.300}")
        } else {
            "another agent's id".to_owned()
        };
        let text = format!("the agent says that it is {what}, its certificate is that of node {certified}");
        Self { reason: "another", text, code: Code::PermissionDenied }
    }

    pub(crate) fn doubled(id: &NodeId, way_out: &str) -> Self {
        let text = format!("node {id} is already here with another key: two agents have one name; {way_out}");
        Self { reason: "doubled", text, code: Code::PermissionDenied }
    }

    pub(crate) fn proof(text: impl Into<String>) -> Self {
        Self { reason: "proof", text: text.into(), code: Code::PermissionDenied }
    }

    pub(crate) fn limit(text: impl Into<String>) -> Self {
        Self { reason: "limit", text: text.into(), code: Code::ResourceExhausted }
    }

    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self { reason: "unavailable", text: text.into(), code: Code::Unavailable }
    }

    /// The answer to the call; its metadata `ao-reason` lets the agent act on it.
    pub fn status(&self) -> Status {
        let mut status = Status::new(self.code, self.text.clone());
        status.metadata_mut().insert(Self::KEY, MetadataValue::from_static(self.reason));
        status
    }
}
