//! What enrolment counts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::identity::api::Refusal;
use crate::identity::registry::Proof;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProofLabel {
    proof: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// See the module.
pub(crate) struct Metrics {
    enrolled: Family<ProofLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
}

impl Metrics {
    /// Under the prefix `ao_identity`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let this = Self { enrolled: Family::default(), refused: Family::default() };
        let r = registry.sub_registry_with_prefix("ao_identity");
        r.register("enrolments", "Certificates signed for nodes, by proof", this.enrolled.clone());
        r.register("refused_enrolments", "Enrolments refused, by reason", this.refused.clone());
        for proof in [Proof::Bootstrap, Proof::Kubernetes, Proof::Certificate] {
            let _zero = this.enrolled.get_or_create(&ProofLabel { proof: proof.name() });
        }
        this
    }

    pub(crate) fn enrolled(&self, proof: Proof) {
        self.enrolled.get_or_create(&ProofLabel { proof: proof.name() }).inc();
    }

    pub(crate) fn refused(&self, refusal: &Refusal) {
        self.refused.get_or_create(&ReasonLabel { reason: refusal.reason }).inc();
    }
}
