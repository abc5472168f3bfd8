//! Lines of known, unknown and late pods.

use ao_proto::model::FileSpan;

use super::*;
use crate::event::Line;

fn chunk(uid: &str, text: &str) -> LogChunk {
    let pod = PodRef {
        uid: uid.to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        container: "c".to_owned(),
    };
    LogChunk {
        source: "logs",
        labels: Labels::from_pairs([("stream", "stdout")]),
        shared: <_>::default(),
        pod: Some(pod),
        file: None,
        bytes: text.len() as u64,
        lines: vec![Line { at_ns: 1, len: text.len() as u32, ..Line::default() }],
        text: text.to_owned(),
        dropped: Vec::new(),
    }
}

fn directives(uid: &str) -> Directives {
    let labels = [("app".to_owned(), "shop-web".to_owned()), ("tier".to_owned(), "front".to_owned())];
    let pod = Pod { uid: uid.to_owned(), labels: labels.into(), ..Pod::default() };
    Directives { version: 1, pods: vec![pod], ..Directives::default() }
}

fn enricher() -> Enricher {
    let node = Node { name: "n1".to_owned(), cluster: "c1".to_owned(), ..Node::default() };
    let config = Config { pod_labels: [("tier".to_owned(), "tier".to_owned())].into(), ..Config::default() };
    Enricher::new(config, Arc::new(node))
}

/// Scenario: lines of a pod that the directives name.
/// Guarantees: node, cluster, app and the chosen labels stand on the stream; the source's own stay.
#[tokio::test(start_paused = true)]
async fn known_pods_are_labelled() {
    let mut enricher = enricher();
    enricher.directives(&directives("u1"));
    let out = enricher.logs(chunk("u1", "hello"));
    let expected = r#"{app="shop-web", cluster="c1", job="shop/shop-web", node_name="n1", stream="stdout", tier="front"}"#;
    assert_eq!(out[0].labels.to_string(), expected);
    let again = enricher.logs(chunk("u1", "hello"));
    assert_eq!(again[0].labels, out[0].labels);
}

/// Scenario: pods with one, several and no labels that name their application, some owned by a workload.
/// Guarantees: `app` and `job` as Promtail's chart has them, whatever the source says of `job`.
#[test]
fn applications() {
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for (labels, owner, app) in [
        (vec![label("app", "b"), label("app.kubernetes.io/name", "a")], "web", "a"),
        (vec![label("app", "b"), label("k8s-app", "c")], "web", "b"),
        (vec![label("k8s-app", "c")], "web", "web"),
        (vec![label("app", "")], "web-7d9c5b8f64", "web"),
        (vec![], "web-7d9c5b8", "web-7d9c5b8"),
        (vec![], "backup-28900000", "backup"),
        (vec![], "", "web"),
    ] {
        let mut enricher = enricher();
        let pod = Pod {
            uid: "u1".to_owned(),
            labels: labels.into_iter().collect(),
            owner_name: owner.to_owned(),
            ..Pod::default()
        };
        enricher.directives(&Directives { version: 1, pods: vec![pod], ..Directives::default() });
        let mut line = chunk("u1", "x");
        line.labels = Labels::from_pairs([("job", "shop/c")]);
        let out = enricher.logs(line);
        assert_eq!(out[0].labels.get("app"), Some(app));
        assert_eq!(out[0].labels.get("job"), Some(&*format!("shop/{app}")));
    }
}

/// Scenario: chunks of one file, whose labels lie in one place, before and after directives change.
/// Guarantees: the labels made lie in one place too, and are made anew for the new directives.
#[tokio::test(start_paused = true)]
async fn labels_are_made_once() {
    let mut enricher = enricher();
    enricher.directives(&directives("u1"));
    let file = FileSpan { file: FileId([1; 16]), start: 0, end: 1 };
    let one = LogChunk { file: Some(file), ..chunk("u1", "a") };
    let made = |enricher: &mut Enricher| enricher.logs(one.clone()).remove(0).labels;
    let first = made(&mut enricher);
    assert!(std::ptr::eq(first.pairs(), made(&mut enricher).pairs()));
    let mut others = directives("u1");
    others.pods[0].labels.insert("app".to_owned(), "new".to_owned());
    enricher.directives(&others);
    assert_eq!(made(&mut enricher).get("app"), Some("new"));
}

/// Scenario: lines of an unknown pod; its directives come after two seconds.
/// Guarantees: the lines wait, in order, and go on labelled.
#[tokio::test(start_paused = true)]
async fn lines_wait_for_their_pod() {
    let mut enricher = enricher();
    enricher.directives(&directives("u1"));
    assert!(enricher.logs(chunk("u2", "one")).is_empty());
    assert!(enricher.logs(chunk("u2", "two")).is_empty());
    assert_eq!(enricher.logs(chunk("u1", "other")).len(), 1);
    let out = enricher.directives(&directives("u2"));
    assert_eq!(out.iter().map(|c| c.text.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(out[0].labels.get("app"), Some("shop-web"));
    assert_eq!(enricher.without, 0);
}

/// Scenario: the pod never becomes known.
/// Guarantees: its lines go on after the wait, counted; later ones do not wait again.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_ever() {
    let mut enricher = enricher();
    enricher.directives(&directives("u1"));
    assert!(enricher.logs(chunk("u2", "one")).is_empty());
    assert!(enricher.due(Instant::now()).is_empty());
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(enricher.due(Instant::now()).len(), 1);
    assert_eq!(enricher.logs(chunk("u2", "two")).len(), 1);
    assert_eq!(enricher.without, 2);
}

/// Scenario: more text waits than may be held.
/// Guarantees: the oldest pod's lines go on without labels; memory stays in bounds.
#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded() {
    let mut enricher = enricher();
    enricher.directives(&directives("u1"));
    let big = "x".repeat(HELD_BYTES / 2 + 1);
    assert!(enricher.logs(chunk("u2", &big)).is_empty());
    let out = enricher.logs(chunk("u3", &big));
    assert_eq!(out[0].pod.as_ref().map(|p| p.uid.as_str()), Some("u2"));
    assert!(enricher.held_bytes <= HELD_BYTES);
}
