//! Asks the Kubernetes API server whose a service-account token is (TokenReview, authentication.k8s.io/v1). A token
//! that is bound to a pod names the pod's node in `authentication.kubernetes.io/node-name` (KEP-4193, from 1.30 on).
//! The aggregator's own account needs `create` on `tokenreviews` and nothing else for it.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Api, Client};
use thiserror::Error;
use tokio::sync::OnceCell;

use crate::identity::api::{KubernetesConfig, Refusal};

/// An API server that is slower cannot be waited for.
const PATIENCE: Duration = Duration::from_secs(10);
const NODE_NAME: &str = "authentication.kubernetes.io/node-name";

/// Why the API server cannot be asked.
#[derive(Debug, Error)]
pub enum ReviewerError {
    /// The configured file.
    #[error("identity.kubernetes.kubeconfig {path}: {cause}")]
    Kubeconfig {
        /// Which.
        path: String,
        /// What is wrong with it.
        cause: KubeconfigError,
    },
    /// Not in a pod.
    #[error("identity.kubernetes: no service account is mounted here ({0}); outside a pod name a kubeconfig")]
    InCluster(kube::config::InClusterError),
}

/// See the module.
pub(crate) struct Reviewer {
    config: KubernetesConfig,
    kubeconfig: Option<Kubeconfig>,
    /// Made at the first token: it needs the runtime.
    client: OnceCell<Client>,
}

impl Reviewer {
    /// Reads the kubeconfig, or checks that this is a pod.
    pub(crate) fn open(config: KubernetesConfig) -> Result<Self, ReviewerError> {
        let kubeconfig = match &config.kubeconfig {
            Some(path) => {
                let wrong = |cause| ReviewerError::Kubeconfig { path: path.display().to_string(), cause };
                Some(Kubeconfig::read_from(path).map_err(wrong)?)
            }
            None => {
                kube::Config::incluster().map_err(ReviewerError::InCluster)?;
                None
            }
        };
        Ok(Self { config, kubeconfig, client: OnceCell::new() })
    }

    /// The node that a token is bound to, and the cluster's name.
    pub(crate) async fn review(&self, token: &str) -> Result<(String, String), Refusal> {
        let away =
            |why: String| Refusal::unavailable(format!("the Kubernetes API cannot review the token: {why}"));
        let client =
            self.client.get_or_try_init(|| self.connect()).await.map_err(|error| away(error.to_string()))?;
        let spec =
            TokenReviewSpec { audiences: Some(vec![self.config.audience.clone()]), token: token.to_owned() };
        let review = TokenReview { spec, ..TokenReview::default() };
        let api = Api::<TokenReview>::all(client.clone());
        let answer =
            tokio::time::timeout(PATIENCE, async { api.create(&PostParams::default(), &review).await }).await;
        let answer = answer.map_err(|_| away(format!("no answer within {PATIENCE:?}")))?;
        let answer = answer.map_err(|error| away(error.to_string()))?;
        let node = judge(&self.config, answer.status.unwrap_or_default()).map_err(Refusal::proof)?;
        Ok((self.config.cluster.clone(), node))
    }

    async fn connect(&self) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
        let mut config = match &self.kubeconfig {
            Some(file) => {
                kube::Config::from_custom_kubeconfig(file.clone(), &KubeConfigOptions::default()).await?
            }
            None => kube::Config::incluster()?,
        };
        config.connect_timeout = Some(PATIENCE);
        config.read_timeout = Some(PATIENCE);
        Ok(Client::try_from(config)?)
    }
}

/// What the API server's answer proves: the node's name, or why it proves nothing.
fn judge(config: &KubernetesConfig, status: TokenReviewStatus) -> Result<String, String> {
    if status.authenticated != Some(true) {
        let why = status.error.unwrap_or_else(|| "it is unknown or has expired".to_owned());
        return Err(format!("Kubernetes does not know the service-account token: {why:.300}"));
    }
    // A server that knows no audiences names none: then the token may be meant for anybody.
    if !status.audiences.unwrap_or_default().contains(&config.audience) {
        return Err(format!("the service-account token is not for the audience {:?}", config.audience));
    }
    let user = status.user.unwrap_or_default();
    let wanted = format!("system:serviceaccount:{}:{}", config.namespace, config.service_account);
    let name = user.username.unwrap_or_default();
    if name != wanted {
        return Err(format!("the token is that of {name:.300}; agents are {wanted} (identity.kubernetes)"));
    }
    let extra: BTreeMap<String, Vec<String>> = user.extra.unwrap_or_default();
    match extra.get(NODE_NAME).map(Vec::as_slice) {
        Some([node]) if !node.is_empty() => Ok(node.clone()),
        _ => Err(format!(
            "the token names no node ({NODE_NAME}): it must be a projected token of a pod, from Kubernetes 1.30 on"
        )),
    }
}

#[cfg(test)]
mod tests;
