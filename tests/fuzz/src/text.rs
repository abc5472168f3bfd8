//! What people and other programs write for us: configurations, sizes and spans, certificates.

use ao_common::config;
use ao_common::tls;
use ao_common::units::{Size, Span};

/// The agent's YAML.
pub fn agent_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _config = config::parse_with::<ao_agent::config::Config>(&text, "fuzz", variable);
}

/// The aggregator's YAML.
pub fn aggregator_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _config = config::parse_with::<ao_aggregator::config::Config>(&text, "fuzz", variable);
}

fn variable(name: &str) -> Option<String> {
    (name.len() < 4).then(|| format!("<{name}>"))
}

/// Sizes and spans.
pub fn units(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(size) = text.parse::<Size>() {
        assert!(size.to_string().parse::<Size>().is_ok(), "{size}");
    }
    if let Ok(span) = text.parse::<Span>() {
        assert!(span.to_string().parse::<Span>().is_ok(), "{span}");
    }
}

/// Certificates, requests for them, the bootstrap file and the names in them.
pub fn certificates(data: &[u8]) {
    let _certificate = tls::read::NodeCertificate::read(data);
    let _request = tls::request::check(data);
    let text = String::from_utf8_lossy(data);
    let _bootstrap = tls::bootstrap::Bootstrap::parse(&text, "fuzz");
    let _certificates = tls::files::certificates(&text, "fuzz");
    if let Some(name) = tls::name::NodeId::parse(&text) {
        assert_eq!(name.uri(), text, "a name has one form");
    }
}
