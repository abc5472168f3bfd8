//! The log format of Docker's `json-file` driver, and the containers of a plain Docker host.
//!
//! ```text
//! {"log":"the text\n","stream":"stdout","attrs":{"tag":"web"},"time":"2016-10-06T00:17:09.669794202Z"}
//! ```
//!
//! A text without a line end at its end is a piece (of 16 KiB) of a line that goes on. `attrs` are what the daemon was
//! told to say with every line; they are left out. Source: moby, daemon/logger/jsonfilelog and loggerutils.
//!
//! Folders are `ID/ID-json.log`, with the container's own configuration beside it in `config.v2.json`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;

use super::api::{Record, Stream};
use super::cri::Minute;
use super::lines::Piece;

/// The longest line: 16 KiB of text, of which each byte may be written as six, and what stands around them.
pub(super) const LINE: usize = 128 << 10;

/// Of a container's configuration, more is not read.
const MOST_CONFIG: u64 = 4 << 20;

/// Reads the lines of one file.
#[derive(Default)]
pub(super) struct Decoder {
    minute: Minute,
    text: Vec<u8>,
    /// Inside a line that is longer than the limit, and so none of this format.
    goes_on: bool,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow, default)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

impl Decoder {
    /// A line that is none of this format is given as it is, with the time `now`, and `false` beside it.
    pub(super) fn record<'a>(&'a mut self, piece: &Piece<'a>, now: i64) -> (Record<'a>, bool) {
        let was_inside = std::mem::replace(&mut self.goes_on, piece.cut);
        let as_it_is =
            Record { stream: Stream::Stdout, at_ns: now, text: piece.text, partial: false, fields: &[] };
        if was_inside || piece.cut {
            return (as_it_is, was_inside);
        }
        let Some((stream, at_ns)) = self.parse(piece.text) else { return (as_it_is, false) };
        let text = match &*self.text {
            [text @ .., b'\r', b'\n'] | [text @ .., b'\n'] => text,
            text => text,
        };
        let partial = text.len() == self.text.len();
        (Record { stream, at_ns, text, partial, fields: &[] }, true)
    }

    /// Stream and time; the text is in `self.text` then.
    fn parse(&mut self, line: &[u8]) -> Option<(Stream, i64)> {
        let line: Line<'_> = serde_json::from_slice(line).ok()?;
        let stream = match &*line.stream {
            "stdout" | "" => Stream::Stdout,
            "stderr" => Stream::Stderr,
            _ => return None,
        };
        let at_ns = self.minute.nanos(line.time.as_bytes())?;
        self.text.clear();
        self.text.extend_from_slice(line.log.as_bytes());
        Some((stream, at_ns))
    }
}

/// A line of this format.
pub(super) fn is_line(line: &[u8]) -> bool {
    line.first() == Some(&b'{') && Decoder::default().parse(line).is_some()
}

/// What a container's configuration says of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Container {
    /// The first twelve digits of its id, as Docker's own commands print it.
    pub id: String,
    /// Without the slash.
    pub name: Option<String>,
    /// The kubelet made it: its logs are read by their pod's name.
    pub of_kubelet: bool,
    /// Project and service, where Compose made it.
    pub compose: Option<(String, String)>,
}

#[derive(Deserialize)]
struct Written {
    #[serde(rename = "Name", default)]
    name: String,
    #[serde(rename = "Config", default)]
    config: WrittenConfig,
}

#[derive(Default, Deserialize)]
struct WrittenConfig {
    #[serde(rename = "Labels", default)]
    labels: Option<BTreeMap<String, String>>,
}

impl Container {
    /// The one whose log this is. What cannot be read is left out.
    pub(super) fn of(log: &Path) -> Self {
        let dir = log.parent().unwrap_or(log);
        let id: String =
            dir.file_name().map(|n| n.to_string_lossy().chars().take(12).collect()).unwrap_or_default();
        let mut text = Vec::new();
        let read =
            File::open(dir.join("config.v2.json")).and_then(|f| f.take(MOST_CONFIG).read_to_end(&mut text));
        let written: Option<Written> = read.ok().and_then(|_| serde_json::from_slice(&text).ok());
        let Some(written) = written else { return Self { id, ..Self::default() } };
        let name = written.name.trim_start_matches('/').to_owned();
        let labels = written.config.labels.unwrap_or_default();
        let label = |name: &str| labels.get(name).cloned();
        Self {
            id,
            name: Some(name).filter(|name| !name.is_empty()),
            of_kubelet: labels.contains_key("io.kubernetes.pod.uid"),
            compose: label("com.docker.compose.project").zip(label("com.docker.compose.service")),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(line: &str) -> (i64, Stream, bool, String, bool) {
        let mut decoder = Decoder::default();
        let piece = Piece { text: line.as_bytes(), raw: line.len() + 1, cut: false };
        let (r, good) = decoder.record(&piece, 7);
        (r.at_ns, r.stream, r.partial, String::from_utf8_lossy(r.text).into_owned(), good)
    }

    /// Scenario: lines as the daemon writes them: with escapes, attributes, pieces, and an end as Windows has it.
    /// Guarantees: text without its end, stream, time; a text without an end goes on.
    #[test]
    fn good_lines() {
        let at = 1_475_713_029_669_794_202;
        for (line, stream, partial, text) in [
            (
                r#"{"log":"one\n","stream":"stdout","time":"2016-10-06T00:17:09.669794202Z"}"#,
                Stream::Stdout,
                false,
                "one",
            ),
            (
                r#"{"log":"\u001b[31m\"two\"\t\u00e9\r\n","stream":"stderr","attrs":{"tag":"x"},"time":"2016-10-06T00:17:09.669794202Z"}"#,
                Stream::Stderr,
                false,
                "\u{1b}[31m\"two\"\t\u{e9}",
            ),
            (
                r#"{"time":"2016-10-06T00:17:09.669794202Z","stream":"stdout","log":"half"}"#,
                Stream::Stdout,
                true,
                "half",
            ),
            (
                r#"{"log":"\n","stream":"stdout","time":"2016-10-06T02:17:09.669794202+02:00"}"#,
                Stream::Stdout,
                false,
                "",
            ),
        ] {
            assert_eq!(parse(line), (at, stream, partial, text.to_owned(), true), "{line}");
            assert!(is_line(line.as_bytes()));
        }
    }

    /// Scenario: what is none of this format.
    /// Guarantees: it is a line as it is, and counted.
    #[test]
    fn bad_lines() {
        for line in [
            "",
            "{",
            "{}",
            r#"{"log":"x\n","stream":"stdout"}"#,
            r#"{"log":"x\n","stream":"other","time":"2016-10-06T00:17:09Z"}"#,
            r#"{"log":1,"stream":"stdout","time":"2016-10-06T00:17:09Z"}"#,
            r#"{"log":"x\n","stream":"stdout","time":"yesterday"}"#,
        ] {
            assert_eq!(parse(line), (7, Stream::Stdout, false, line.to_owned(), false));
            assert!(!is_line(line.as_bytes()));
        }
    }

    /// Scenario: folders of containers: one of Compose, one of the kubelet, one whose configuration cannot be read.
    /// Guarantees: id, name and what it is of.
    #[test]
    fn containers() {
        let root = tempfile::tempdir().unwrap();
        let container = |id: &str, config: &str| {
            let dir = root.path().join(id);
            std::fs::create_dir(&dir).unwrap();
            std::fs::write(dir.join("config.v2.json"), config).unwrap();
            Container::of(&dir.join(format!("{id}-json.log")))
        };
        let labels = r#"{"com.docker.compose.project":"shop","com.docker.compose.service":"web"}"#;
        let made = container(
            "0123456789abcdef",
            &format!(r#"{{"Name":"/shop-web-1","Config":{{"Labels":{labels}}}}}"#),
        );
        let compose = Some(("shop".to_owned(), "web".to_owned()));
        let name = Some("shop-web-1".to_owned());
        assert_eq!(made, Container { id: "0123456789ab".to_owned(), name, of_kubelet: false, compose });
        assert!(
            container("b", r#"{"Name":"/k","Config":{"Labels":{"io.kubernetes.pod.uid":"u"}}}"#).of_kubelet
        );
        assert_eq!(container("c", "no json"), Container { id: "c".to_owned(), ..Container::default() });
        assert_eq!(container("d", r#"{"Config":{"Labels":null}}"#).name, None);
    }

    proptest! {
        /// Scenario: any text, written as JSON and read back; any bytes.
        /// Guarantees: the same text; no panic.
        #[test]
        fn round_trip(text in "[^\r\n]*", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let log = serde_json::to_string(&format!("{text}\n")).unwrap();
            let line = format!(r#"{{"log":{log},"stream":"stdout","time":"2016-10-06T00:17:09Z"}}"#);
            let (_, _, partial, read, good) = parse(&line);
            prop_assert!(good && !partial);
            prop_assert_eq!(read, text);
            let piece = Piece { text: &bytes, raw: bytes.len(), cut: false };
            prop_assert!(Decoder::default().record(&piece, 1).0.text.len() <= bytes.len());
        }
    }
}
