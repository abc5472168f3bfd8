//! The call: a proof and a request go, a certificate comes.

use std::time::Duration;

use ao_common::tls::error::explain;
use ao_common::tls::name::NodeId;
use ao_common::tls::{CertificateDer, request};
use ao_proto::v1::EnrollRequest;
use ao_proto::v1::enroll_request;
use ao_proto::v1::ingest_client::IngestClient;
use tokio::time::timeout;
use tonic::transport::Endpoint;

use crate::identity::api::IdentityError;
use crate::identity::proof::Proof;
use crate::identity::store::Answer;

/// The aggregator may have to ask the Kubernetes API.
const PATIENCE: Duration = Duration::from_secs(15);
/// An answer holds a few certificates.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// Without a proof the certificate of the connection is renewed.
///
/// # Errors
/// See [`IdentityError`].
pub(crate) async fn call(
    endpoint: Endpoint,
    address: &str,
    id: &NodeId,
    key_pem: &str,
    proof: Option<Proof>,
) -> Result<Answer, IdentityError> {
    let unreachable = |why: String| IdentityError::Connect { address: address.to_owned(), why };
    let secret = |error: ao_common::secret::SecretError| IdentityError::Setup(error.to_string());
    let proof = match proof {
        Some(Proof::ServiceAccount(token)) => {
            Some(enroll_request::Proof::ServiceAccountToken(token.reveal().map_err(secret)?))
        }
        Some(Proof::Bootstrap(token)) => {
            Some(enroll_request::Proof::BootstrapToken(token.reveal().map_err(secret)?))
        }
        None => None,
    };
    let (certificate_request, _) = request::make_request(key_pem)?;
    let asked = EnrollRequest {
        node: id.node.clone(),
        cluster: id.cluster.clone(),
        agent: id.agent.to_vec(),
        certificate_request,
        proof,
    };
    let channel = endpoint.connect().await.map_err(|error| unreachable(explain(&error)))?;
    let mut client = IngestClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
    let answer = timeout(PATIENCE, client.enroll(asked)).await;
    let answer = answer.map_err(|_| unreachable(format!("no answer within {PATIENCE:?}")))?;
    let answer = answer.map_err(|status| {
        let reason = status.metadata().get("ao-reason").and_then(|reason| reason.to_str().ok());
        let reason = reason.unwrap_or_default().to_owned();
        IdentityError::Refused { address: address.to_owned(), reason, why: status.message().to_owned() }
    })?;
    let answer = answer.into_inner();
    let ders = |list: Vec<Vec<u8>>| list.into_iter().map(CertificateDer::from).collect();
    Ok(Answer {
        address: address.to_owned(),
        chain: ders(answer.certificates),
        authorities: ders(answer.authorities),
    })
}
