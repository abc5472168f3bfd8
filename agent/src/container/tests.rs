//! Rounds over the fixture trees, and over trees that change or are damaged while they are read.

use std::fs;
use std::path::{Path, PathBuf};

use ao_proto::v1::{Container, Pod};
use serde_yaml_ng::from_str;

use super::*;
use crate::context::Roots;
use crate::event::MetricSet;

mod bad_input;

const MACHINES: [&str; 4] = ["docker-cgroupfs", "k8s-containerd-v2", "k8s-crio-v1", "systemd-host"];
const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn machine(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn roots(machine: &Path) -> Roots {
    Roots { proc: machine.join("proc"), sys: machine.join("sys"), root: machine.join("root") }
}

fn one_set(machine: &Path) -> Containers {
    Containers::new(Config::default(), roots(machine)).in_one_group()
}

/// Samples as text without families' headings.
fn lines(sets: &[MetricSet]) -> Vec<String> {
    let text: String = sets.iter().map(MetricSet::exposition).collect();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A v2 tree with these cgroups, each with a little CPU and memory.
fn tree(dir: &Path, cgroups: &[&str]) {
    write(&dir.join("sys/fs/cgroup/cgroup.controllers"), "cpu memory\n");
    for cgroup in cgroups {
        let dir = dir.join("sys/fs/cgroup").join(cgroup);
        write(&dir.join("cpu.stat"), "usage_usec 5\n");
        write(&dir.join("memory.current"), "7\n");
    }
}

fn cpu(sets: &[MetricSet]) -> Vec<String> {
    let of = |line: String| line.split('"').nth(1).map(str::to_owned);
    let wanted = lines(sets).into_iter().filter(|line| line.starts_with("container_cpu_usage"));
    wanted.filter_map(of).collect()
}

/// The agent's own figures of these.
fn own_figures(containers: &Containers) -> impl Fn() -> String + use<> {
    let registry = SharedRegistry::default();
    containers.register(&registry);
    move || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry.lock().unwrap()).unwrap();
        text
    }
}

/// Scenario: each machine of the fixtures, as of its second round.
/// Guarantees: exactly the series of snapshots/MACHINE.snap, with cAdvisor's names, labels, types and units.
#[test]
fn golden() {
    for name in MACHINES {
        let mut containers = one_set(&machine(name));
        drop(containers.round(&Arc::default(), 0));
        drop(containers.round(&Arc::default(), 15_000));
        let sets = containers.round(&Arc::default(), 30_000);
        let text: String = sets.iter().map(MetricSet::exposition).collect();
        // What the file system of the fixtures tells.
        let still = |line: &str| match line.rsplit_once(' ') {
            Some((start, _)) if start.starts_with("container_start_time_seconds") => format!("{start} ?"),
            _ => line.to_owned(),
        };
        let text = text.lines().map(still).collect::<Vec<_>>().join("\n");
        insta::with_settings!({ snapshot_path => "snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(name, text);
        });
    }
}

/// Scenario: cgroups come and go from round to round, one of them while another comes, so that their number stays.
/// Guarantees: each round reports those that are there; a group that is empty says so once.
#[test]
fn comings_and_goings() {
    let dir = tempfile::tempdir().unwrap();
    tree(dir.path(), &["a.service", "b.service"]);
    let mut containers = one_set(dir.path());
    let mut round = |at| containers.round(&Arc::default(), at);
    assert_eq!(cpu(&round(1)), ["/a.service", "/b.service"]);
    tree(dir.path(), &["c.service"]);
    fs::remove_dir_all(dir.path().join("sys/fs/cgroup/a.service")).unwrap();
    assert_eq!(cpu(&round(2)), ["/b.service", "/c.service"]);
    tree(dir.path(), &["x.slice/d.service"]);
    assert_eq!(cpu(&round(3)), ["/b.service", "/c.service", "/x.slice/d.service"]);
    fs::remove_dir_all(dir.path().join("sys/fs/cgroup/x.slice")).unwrap();
    assert_eq!(cpu(&round(4)), ["/b.service", "/c.service"]);
}

/// Scenario: pods that come and go, in groups.
/// Guarantees: the pod that went is missing in a set of its group, which is sent once more, and no more after that.
#[test]
fn a_pod_ends() {
    let dir = tempfile::tempdir().unwrap();
    let pod = format!("kubepods/podu-1/{ID}");
    tree(dir.path(), &["kubepods", "kubepods/podu-1", &pod]);
    let mut containers = Containers::new(Config::default(), roots(dir.path()));
    let known = Pod {
        uid: "u-1".to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        containers: vec![Container { id: ID.to_owned(), name: "app".to_owned(), image: "web:1".to_owned() }],
        ..Pod::default()
    };
    let known = Arc::new(Directives { pods: vec![known], ..Directives::default() });
    let of_pods = |sets: Vec<MetricSet>| -> Vec<MetricSet> {
        sets.into_iter().filter(|set| set.group != "node").collect()
    };
    let first = of_pods(containers.round(&known, 1));
    let usage = format!(
        "container_cpu_usage_seconds_total{{id=\"/{pod}\",namespace=\"shop\",pod=\"web\",container=\"app\",\
         name=\"{ID}\",image=\"web:1\",cpu=\"total\"}} 0.000005"
    );
    assert!(first.len() == 1 && lines(&first).contains(&usage), "{:#?}", lines(&first));
    fs::remove_dir_all(dir.path().join("sys/fs/cgroup/kubepods/podu-1")).unwrap();
    let second = of_pods(containers.round(&known, 2));
    assert_eq!((second.len(), second[0].samples.len(), &second[0].group), (1, 0, &first[0].group));
    assert!(of_pods(containers.round(&known, 3)).is_empty());
}

/// Scenario: a container of which nobody knows the names, then directives that name it.
/// Guarantees: it waits for a round, goes on without names, and has them as soon as they are known.
#[test]
fn names_that_come_late() {
    let dir = tempfile::tempdir().unwrap();
    let path = format!("kubepods/podu-1/{ID}");
    tree(dir.path(), &[&path]);
    let mut containers = one_set(dir.path());
    let nobody = Arc::default();
    let of_container = |sets: Vec<MetricSet>| {
        lines(&sets).into_iter().find(|l| l.starts_with("container_memory_usage_bytes") && l.contains(ID))
    };
    assert_eq!(of_container(containers.round(&nobody, 1)), None);
    let nameless = of_container(containers.round(&nobody, 2)).unwrap();
    assert!(!nameless.contains("pod=") && nameless.contains("image=\"unknown\""), "{nameless}");
    let link = dir.path().join(format!("root/var/log/containers/web-0_shop_app-{ID}.log"));
    write(&link, "");
    let named = of_container(containers.round(&nobody, 3)).unwrap();
    assert!(named.contains("namespace=\"shop\",pod=\"web-0\",container=\"app\""), "{named}");
}

/// Scenario: v1 trees with a v2 tree beside them that has no controllers.
/// Guarantees: memory from v1, CPU time and pressure from v2; what is in either is reported once.
#[test]
fn hybrid() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("sys/fs/cgroup");
    write(&base.join("memory/a.service/memory.usage_in_bytes"), "4096\n");
    write(&base.join("memory/b.service/memory.usage_in_bytes"), "8192\n");
    write(&base.join("unified/a.service/cpu.stat"), "usage_usec 1000000\n");
    write(&base.join("unified/a.service/io.pressure"), "some avg10=0 total=2000000\n");
    let lines = lines(&one_set(dir.path()).round(&Arc::default(), 1));
    for line in [
        "container_memory_usage_bytes{id=\"/a.service\"} 4096",
        "container_memory_usage_bytes{id=\"/b.service\"} 8192",
        "container_cpu_usage_seconds_total{id=\"/a.service\",cpu=\"total\"} 1",
        "container_pressure_io_waiting_seconds_total{id=\"/a.service\"} 2",
    ] {
        assert!(lines.iter().any(|found| found == line), "{line} is not in {lines:#?}");
    }
    assert_eq!(lines.iter().filter(|line| line.starts_with("container_last_seen{id=\"/a.")).count(), 1);
}

/// Scenario: the section as people write it, good and bad.
/// Guarantees: each mistake is refused by name; the kubelet's labels where they are asked for.
#[test]
fn configuration() {
    for (yaml, message) in [
        ("intervall: 5s", "intervall"),
        ("job: docker", "docker"),
        ("interval: 10ms", "less than a second"),
        ("deadline: 0s", "more than nothing"),
    ] {
        let checked = from_str::<Config>(yaml).map_err(|e| e.to_string()).and_then(|c| c.check());
        assert!(checked.unwrap_err().contains(message), "{yaml}");
    }
    let config: Config = from_str("job: kubelet").unwrap();
    let sets = Containers::new(config, roots(&machine("systemd-host"))).round(&Arc::default(), 1);
    assert_eq!((sets.len(), sets[0].job), (1, "kubelet"));
    assert!(lines(&sets).iter().all(|line| line.contains("metrics_path=\"/metrics/cadvisor\"")));
}
