//! Files of other formats than a pod's, as the default configuration finds them.

use super::rig::{Rig, append, cri};
use super::*;

fn docker(stream: &str, text: &str, nanos: u32) -> String {
    let log = serde_json::to_string(text).unwrap();
    format!("{{\"log\":{log},\"stream\":\"{stream}\",\"time\":\"2026-11-22T14:30:15.{nanos:09}Z\"}}\n")
}

/// Scenario: containers of a Docker host: one of Compose that writes a line in pieces, one made by the kubelet, whose
/// log a pod's log leads to; their logs are rotated.
/// Guarantees: every line once, whole, with the container's labels; the kubelet's by the pod's name alone.
#[tokio::test]
async fn docker_host() {
    let mut rig = Rig::new();
    let (web, kube) = ("docker/0123456789abcdef/0123456789abcdef-json.log", "docker/k/k-json.log");
    let config =
        |name: &str, labels: &str| format!("{{\"Name\":\"/{name}\",\"Config\":{{\"Labels\":{{{labels}}}}}}}");
    let compose = "\"com.docker.compose.project\":\"shop\",\"com.docker.compose.service\":\"web\"";
    append(&rig.path("docker/0123456789abcdef/config.v2.json"), config("shop-web-1", compose));
    append(&rig.path("docker/k/config.v2.json"), config("k8s_x", "\"io.kubernetes.pod.uid\":\"u\""));
    rig.append(web, docker("stdout", "one\n", 1) + &docker("stdout", "t", 2) + &docker("stderr", "e\n", 3));
    let target = rig.path(kube);
    append(&target, docker("stdout", "of a pod\n", 1));
    std::os::unix::fs::symlink(target, rig.path(POD)).unwrap();
    rig.start();
    rig.lines(2).await;
    rig.append(web, docker("stdout", "wo\n", 4));
    rig.lines(4).await;
    rig.rename(web, &format!("{web}.1"));
    rig.append(web, docker("stdout", "three\n", 5));
    let mut lines = rig.lines(5).await;
    lines.sort();
    assert_eq!(lines, ["e", "of a pod", "one", "three", "two"]);
    rig.stop().await;
    let filename = rig.path(web).display().to_string();
    for (labels, at, text) in rig.entries() {
        if text == "of a pod" {
            assert_eq!((labels.get("pod"), labels.get("job")), (Some("cart-7d"), Some("shop/app")));
            continue;
        }
        let stream = if text == "e" { "stderr" } else { "stdout" };
        let expect = Labels::from_pairs([
            ("job", "docker"),
            ("container", "shop-web-1"),
            ("container_id", "0123456789ab"),
            ("compose_project", "shop"),
            ("compose_service", "web"),
            ("filename", &*filename),
            ("stream", stream),
        ]);
        assert_eq!(labels, expect);
        assert_eq!(at / 1_000, 1_795_357_815_000_000);
    }
    assert_eq!(rig.stats.malformed.load(Relaxed), 0);
}

/// Scenario: files of the host's syslog daemon, one in each of its forms, with a line that has no head.
/// Guarantees: lines as they stand, with their own times, and what their heads say; other files are left alone.
#[tokio::test]
async fn host_files() {
    let mut rig = Rig::new();
    rig.append(
        "host/auth.log",
        "2026-11-22T14:30:15.5+01:00 web-1 sshd[17]: Failed password for root\n\tmore\n",
    );
    rig.append("host/syslog", "Nov 21 14:30:15 web-1 cron[9]: (root) CMD\n");
    rig.append("host/lastlog", "Nov 21 14:30:15 no log: x\n");
    rig.start();
    rig.lines(3).await;
    rig.stop().await;
    for (labels, at, text) in rig.entries() {
        assert_eq!(labels.get("job"), Some("varlogs"));
        if !text.contains("CMD") {
            assert_eq!(at, 1_795_354_215_500_000_000, "{text}");
        }
    }
    let lines = rig.chunks.iter().flat_map(|chunk| &chunk.lines);
    let fields: Vec<Vec<_>> = lines
        .map(|line| line.metadata.iter().map(|(name, value)| format!("{name}={value}")).collect())
        .collect();
    assert!(fields.contains(&vec!["hostname=web-1".to_owned(), "app=sshd".to_owned(), "pid=17".to_owned()]));
    assert!(fields.contains(&vec!["hostname=web-1".to_owned(), "app=cron".to_owned(), "pid=9".to_owned()]));
    assert_eq!(rig.stats.malformed.load(Relaxed), 1);
}

/// Scenario: configured files of every format, whose first lines say which; one that is told to be plain.
/// Guarantees: each is read as what it is.
#[tokio::test]
async fn told_by_the_first_line() {
    let mut rig = Rig::new();
    rig.append("files/a.log", cri(1, "stdout", "F", "of a runtime"));
    rig.append("files/b.log", docker("stdout", "of docker\n", 2));
    rig.append("files/c.log", "<38>Nov 22 14:30:15 h su: of syslog\n");
    rig.append("files/d.log", "{\"log\":\"of an application\"}\n");
    rig.start();
    let mut lines = rig.lines(4).await;
    lines.sort();
    let application = "{\"log\":\"of an application\"}";
    assert_eq!(lines, ["<38>Nov 22 14:30:15 h su: of syslog", "of a runtime", "of docker", application]);
    rig.stop().await;
    let mut rig = Rig::new();
    rig.config.files[0].format = Format::Plain;
    let line = cri(1, "stdout", "F", "x");
    rig.append("files/a.log", &line);
    rig.start();
    assert_eq!(rig.lines(1).await, [line.trim_end()]);
    rig.stop().await;
}
