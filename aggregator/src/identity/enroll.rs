//! From a proof and a certificate request to a certificate. Everything in the request may come from anybody.

use std::time::Duration;

use ao_common::clock;
use ao_common::repeated::Repeated;
use ao_common::tls::name::NodeId;
use ao_common::tls::request;
use ao_proto::v1::enroll_request::Proof as Given;
use ao_proto::v1::{EnrollRequest, EnrollResponse};
use tonic::Status;
use tracing::{info, warn};

use crate::identity::Identity;
use crate::identity::api::{Peer, Refusal};
use crate::identity::registry::Proof;

/// Anybody may ask, as often as they like.
static REFUSED: Repeated = Repeated::new("more enrolments were refused", Duration::from_secs(60));

/// A projected token has some 1,200 bytes.
const MAX_TOKEN_BYTES: usize = 16 << 10;

impl Identity {
    /// The call `Enroll`.
    ///
    /// # Errors
    /// The status of the refusal, which is logged and counted here.
    pub async fn enroll(&self, peer: &Peer, request: EnrollRequest) -> Result<EnrollResponse, Status> {
        let address = peer.address.map(|address| address.ip());
        let node: String = request.node.chars().take(300).collect();
        let answer = match self.limits.allow(address) {
            Ok(()) => self.sign(peer, request).await,
            Err(refusal) => Err(refusal),
        };
        answer.map_err(|refusal| {
            if refusal.reason == "proof" || refusal.reason == "invalid" {
                self.limits.failed(address);
            }
            self.metrics.refused(&refusal);
            if REFUSED.is_first(refusal.reason) {
                warn!(node, ?address, reason = refusal.text, "an enrolment is refused");
            }
            refusal.status()
        })
    }

    async fn sign(&self, peer: &Peer, asked: EnrollRequest) -> Result<EnrollResponse, Refusal> {
        let _turn = self.at_once.try_acquire().map_err(|_| {
            Refusal::limit("this aggregator works on as many enrolments as it may; try again in a second")
        })?;
        let invalid = |error: ao_common::tls::TlsError| Refusal::invalid(&error.to_string());
        let agent = asked.agent.as_slice().try_into();
        let agent = agent.map_err(|_| Refusal::invalid("the agent's id is not 16 bytes"))?;
        let id = NodeId::new(&asked.cluster, &asked.node, agent).map_err(invalid)?;
        let proof = self.prove(peer, &id, asked.proof).await?;
        let checked = request::check(&asked.certificate_request).map_err(invalid)?;
        if proof == Proof::Certificate && self.caller(peer)?.key != checked.key {
            return Err(Refusal::proof("a certificate renews its own key alone; another key needs a token"));
        }

        let now = clock::system_time();
        let lifetime = self.config.lifetime.0;
        self.registry.claim(&id, &checked.key, proof, now + lifetime, now)?;
        let authority = self.material.borrow().authority.clone();
        let signed = authority.sign_node(&checked, &id, lifetime, now);
        let certificate = signed.map_err(|error| Refusal::unavailable(error.to_string()))?;
        self.metrics.enrolled(proof);
        info!(node = %id, proof = proof.name(), "signed a certificate for {lifetime:?}");
        Ok(EnrollResponse {
            certificates: vec![certificate.to_vec()],
            authorities: authority.trusted().iter().map(|der| der.to_vec()).collect(),
        })
    }

    /// Whether the proof is that of this node.
    async fn prove(&self, peer: &Peer, id: &NodeId, given: Option<Given>) -> Result<Proof, Refusal> {
        let (Given::ServiceAccountToken(text) | Given::BootstrapToken(text)) =
            given.as_ref().unwrap_or(&NOTHING);
        if text.len() > MAX_TOKEN_BYTES {
            return Err(Refusal::invalid("the token is too long to be one"));
        }
        match given {
            Some(Given::BootstrapToken(token)) => {
                self.bootstrap.check(&token)?;
                Ok(Proof::Bootstrap)
            }
            Some(Given::ServiceAccountToken(token)) => {
                let none = "this aggregator takes no service-account tokens (identity.kubernetes)";
                let reviewer = self.reviewer.as_ref().ok_or_else(|| Refusal::proof(none))?;
                let (cluster, node) = reviewer.review(&token).await?;
                if (&cluster, &node) != (&id.cluster, &id.node) {
                    let text = format!("the token is that of node {cluster}/{node}, the agent asks for {id}");
                    return Err(Refusal::proof(text));
                }
                Ok(Proof::Kubernetes)
            }
            None => {
                let caller = self.caller(peer)?;
                if caller.id != *id {
                    return Err(Refusal::another(&caller.id, id));
                }
                // In Kubernetes a new token is always at hand, and says that the pod still is.
                if self.registry.proof_of(id, &caller.key) == Some(Proof::Kubernetes) {
                    return Err(Refusal::proof("a node of Kubernetes renews by its service-account token"));
                }
                Ok(Proof::Certificate)
            }
        }
    }
}

static NOTHING: Given = Given::BootstrapToken(String::new());
