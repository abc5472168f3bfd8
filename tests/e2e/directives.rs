//! What the aggregator tells the node: targets and pods, from a file.

use std::time::Duration;

use ao_tests::eventually::eventually;
use ao_tests::loki::Loki;
use ao_tests::stack::{NODE, Stack};

use crate::writer::{CriFile, container};

/// Scenario: the aggregator's file names a pod and a target for this node; later the target changes while the
/// aggregator runs, then the aggregator is gone and the agent starts again.
/// Guarantees: the pod's lines carry its labels; both targets are probed; the agent keeps its directives.
#[tokio::test(flavor = "multi_thread")]
async fn directives_reach_the_sources() {
    let mut stack = Stack::new();
    let loki = Loki::start().await;
    let file = stack.folder().join("directives.yaml");
    let pod = format!("{{uid: uid-7, namespace: shop, name: web-7, node: {NODE}, labels: {{app: web}}}}");
    let plan = |target: &str| format!("nodes: {{\"*\": {{latency: [{target}]}}}}\npods: [{pod}]\n");
    std::fs::write(&file, plan("127.0.0.2")).unwrap();
    let control = format!("control: {{directives: {file:?}}}");
    stack.start_aggregator(&format!("{{loki: {{url: \"{}/loki/api/v1/push\"}}}}", loki.url), &control).await;
    stack.start_agent("latency: {targets: [], interval: 4s}").await;
    let http = stack.http;
    let probed = async |host: &str| {
        eventually(&format!("{host} is probed"), Duration::from_secs(30), async || {
            let url = format!("http://{http}/api/v1/latency");
            let (_, text) = ao_tests::prometheus::get(&url).await?;
            if text.contains(host) { Ok(()) } else { Err(text) }
        })
        .await;
    };
    probed("127.0.0.2").await;
    std::fs::write(&file, plan("127.0.0.3")).unwrap();
    probed("127.0.0.3").await;

    CriFile::create(&container(&stack.pods(), "shop", "web-7", "uid-7", "app").join("0.log"))
        .number("x", 0..10);
    let lines = eventually("lines of web-7", Duration::from_secs(20), async || {
        let lines = loki.lines("web-7");
        if lines.len() == 10 { Ok(lines) } else { Err(format!("{} lines", lines.len())) }
    })
    .await;
    assert!(lines[0].labels.contains(r#"app="web""#), "{}", lines[0].labels);

    stack.aggregator().kill();
    assert!(stack.agent().stop().await.success());
    let kept = std::fs::read(stack.folder().join("ao-agent-data/directives.pb")).unwrap();
    let kept = <ao_proto::v1::Directives as prost::Message>::decode(kept.as_slice()).unwrap();
    assert_eq!((kept.latency[0].host.as_str(), kept.pods[0].name.as_str()), ("127.0.0.3", "web-7"));
}
