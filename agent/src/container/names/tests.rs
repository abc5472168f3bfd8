//! Names from each source.

use ao_proto::v1::{Container, Pod};

use super::super::path;
use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn label<'a>(named: &'a Named, name: &str) -> &'a str {
    named.labels.iter().find(|(n, _)| *n == name).map_or("", |(_, value)| value)
}

/// Scenario: directives that name a pod and its container, while a runtime's file says something else.
/// Guarantees: the directives win; what they leave open comes from the file.
#[test]
fn directives_win() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("var/lib/docker/containers").join(ID);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(
        folder.join("config.v2.json"),
        r#"{"Name": "/k8s_old", "Config": {"Image": "old:1", "Labels": {"io.kubernetes.container.name": "old"}}}"#,
    )
    .unwrap();
    let container = Container { id: ID.to_owned(), name: "app".to_owned(), image: String::new() };
    let pod = Pod {
        uid: "u-1".to_owned(),
        namespace: "shop".to_owned(),
        name: "web".to_owned(),
        containers: vec![container],
        ..Pod::default()
    };
    let mut names = Names::default();
    names.take(&Directives { pods: vec![pod], ..Directives::default() });
    let id = format!("/kubepods/podu-1/{ID}");
    let named = names.name(&id, &path::read(&id), root.path());
    let all = ["namespace", "pod", "container", "image", "name"].map(|name| label(&named, name));
    assert_eq!((all, named.complete), (["shop", "web", "app", "old:1", "k8s_old"], true));
    let named = names.name("/kubepods/podu-1", &path::read("/kubepods/podu-1"), root.path());
    let all = ["namespace", "pod", "container", "image"].map(|name| label(&named, name));
    assert_eq!((all, named.complete), (["shop", "web", "", ""], true));
}

/// Scenario: files of runtimes that are damaged, or of another shape.
/// Guarantees: they say nothing, without a panic.
#[test]
fn damaged_files() {
    for bytes in [&b""[..], b"{", b"[]", b"{\"annotations\": 5}", b"\xff", b"null", b"{}"] {
        assert_eq!(runtime::parse(bytes), None, "{bytes:?}");
    }
}
