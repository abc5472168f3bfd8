//! Loki's `query_range` over what was accepted: a selector of equal labels, filters that a line must contain, a range of
//! time; answered in the shape of Loki's HTTP API ("Query logs within a range of time").

use serde_json::{Map, Value, json};

use super::Line;

/// Answers; a query in another form finds nothing.
pub(super) fn answer(lines: &[Line], query: &str) -> Value {
    let param = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.filter(|(key, _)| *key == name).map(|(_, value)| unescape(value)).next().unwrap_or_default()
    };
    let logql = param("query");
    let bound = |name: &str, default: i64| param(name).parse().unwrap_or(default);
    let (start, end) = (bound("start", i64::MIN), bound("end", i64::MAX));
    let (selector, filters) = logql.split_once('}').unwrap_or_default();
    let wanted = labels(selector);
    let texts: Vec<&str> =
        filters.split("|=").filter_map(|text| text.trim().strip_prefix('"')?.strip_suffix('"')).collect();
    let is_it = |line: &&Line| {
        let has = labels(&line.labels);
        (start..end).contains(&line.at_ns)
            && wanted.iter().all(|pair| has.contains(pair))
            && texts.iter().all(|text| line.text.contains(text))
    };
    let streams = lines.iter().filter(is_it).map(|line| {
        let of: Map<String, Value> = labels(&line.labels).into_iter().map(|(n, v)| (n, v.into())).collect();
        json!({ "stream": of, "values": [[line.at_ns.to_string(), line.text]] })
    });
    let data = json!({ "resultType": "streams", "result": streams.collect::<Vec<_>>(), "stats": {} });
    json!({ "status": "success", "data": data })
}

/// `{a="b", c="d"}`, for values without quotes in them.
fn labels(selector: &str) -> Vec<(String, String)> {
    let pairs = selector.trim_matches(['{', '}']).split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim().trim_matches('"').to_owned())).collect()
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        let hex = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (first, hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            (first, _) => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
