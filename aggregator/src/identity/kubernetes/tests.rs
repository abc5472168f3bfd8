//! What an API server may answer, and what it proves.

use serde_json::json;

use super::*;

fn config() -> KubernetesConfig {
    KubernetesConfig::default()
}

/// A real answer of Kubernetes 1.30 for a projected token, its fields replaced by those given.
fn answer(changed: &serde_json::Value) -> TokenReviewStatus {
    let mut status = json!({
        "authenticated": true,
        "audiences": ["ao-aggregator"],
        "user": {
            "username": "system:serviceaccount:ao-os:ao-agent",
            "uid": "d3f0e6c1-3f0b-4d0e-9d57-1d7f0d9a6f0e",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:ao-os", "system:authenticated"],
            "extra": {
                "authentication.kubernetes.io/credential-id": ["JTI=7ee52be0-9045-4653-aa5e-0da57b8dccdc"],
                "authentication.kubernetes.io/node-name": ["worker-1"],
                "authentication.kubernetes.io/node-uid": ["497e9d9a-47aa-4930-b0f6-9f2fb574c8c6"],
                "authentication.kubernetes.io/pod-name": ["ao-agent-x7k2p"],
                "authentication.kubernetes.io/pod-uid": ["e87dbbd6-3d7e-45db-aafb-72b24627dff5"]
            }
        }
    });
    for (key, value) in changed.as_object().into_iter().flatten() {
        status[key] = value.clone();
    }
    serde_json::from_value(status).unwrap()
}

/// Scenario: the answer for a token of an agent's pod.
/// Guarantees: it proves the pod's node.
#[test]
fn a_pod_proves_its_node() {
    assert_eq!(judge(&config(), answer(&json!({}))), Ok("worker-1".to_owned()));
}

/// Scenario: answers for tokens that are unknown, for another audience, of another account, not of a pod, on two nodes.
/// Guarantees: none proves anything, and each reason names what is wrong.
#[test]
fn nothing_else_does() {
    let user = |name: &str, extra: serde_json::Value| json!({"user": {"username": name, "extra": extra}});
    let agent = "system:serviceaccount:ao-os:ao-agent";
    let node = "authentication.kubernetes.io/node-name";
    for (changed, word) in [
        (json!({"authenticated": false, "error": "token has expired"}), "token has expired"),
        (json!({"authenticated": null}), "unknown"),
        (json!({"audiences": ["https://kubernetes.default.svc"]}), "audience"),
        (json!({"audiences": null}), "audience"),
        (user("system:serviceaccount:ao-os:default", json!({node: ["worker-1"]})), "ao-os:default"),
        (user("system:serviceaccount:other:ao-agent", json!({node: ["worker-1"]})), "other:ao-agent"),
        (user("worker-1", json!({node: ["worker-1"]})), "worker-1"),
        (user(agent, json!({})), "1.30"),
        (user(agent, json!({node: []})), "names no node"),
        (user(agent, json!({node: ["worker-1", "worker-2"]})), "names no node"),
        (user(agent, json!({node: [""]})), "names no node"),
        (json!({"user": null}), "the token is that of"),
    ] {
        let why = judge(&config(), answer(&changed)).unwrap_err();
        assert!(why.contains(word), "{changed}: {why}");
    }
}
