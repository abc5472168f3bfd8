//! mtr's JSON (0.94 and later): the same members, and behind them what mtr leaves out: other routers at a distance, MPLS
//! labels, the remaining columns, and the ways of the flows.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::args::Args;
use super::head::Head;
use super::text::name;
use crate::path::{HopReport, Tracer};

/// One object, and a line end.
pub(super) fn write(out: &mut impl Write, head: &Head, tracer: &Tracer, args: &Args) -> io::Result<()> {
    let hubs: Vec<Value> = tracer.hops().iter().map(|hop| hub(hop, tracer, args)).collect();
    let ways: Vec<Value> =
        tracer.paths().into_iter().map(|(flows, hops)| json!({"flows": flows, "hops": hops})).collect();
    let report = json!({
        "report": {
            "mtr": {
                "src": head.source,
                "dst": head.target,
                "tos": head.tos,
                "tests": head.tests,
                "psize": head.size.to_string(),
                "bitpattern": "0x00",
            },
            "hubs": hubs,
            "address": head.address,
            "balancing": tracer.balancing(),
            "paths": ways,
        }
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)
}

fn hub(hop: &HopReport, tracer: &Tracer, args: &Args) -> Value {
    let figures = &hop.figures;
    let plain = Args { asn_file: None, ..args.clone() };
    let mut hub = Map::new();
    let mut put = |key: &str, value: Value| hub.insert(key.to_owned(), value);
    put("count", json!(hop.ttl));
    put("host", json!(name(tracer, &plain, hop.address)));
    if args.asn_file.is_some() {
        let number = hop.address.and_then(|address| tracer.asn(address));
        put("ASN", json!(number.map_or_else(|| "AS???".to_owned(), |number| format!("AS{number}"))));
    }
    put("Loss%", json!(figures.loss));
    put("Snt", json!(figures.sent));
    for (key, value) in [
        ("Last", figures.last),
        ("Avg", figures.avg),
        ("Best", figures.best),
        ("Wrst", figures.worst),
        ("StDev", figures.stdev),
        ("Gmean", figures.gmean),
        ("Jttr", figures.jitter),
        ("Javg", figures.jitter_avg),
        ("Jmax", figures.jitter_worst),
        ("Jint", figures.jitter_inter),
    ] {
        put(key, json!(value));
    }
    put("Rcv", json!(figures.received));
    put("Drop", json!(figures.sent - figures.received));
    put("address", json!(hop.address));
    put("alternates", json!(hop.others));
    let labels = hop.labels.iter().map(
        |label| json!({"label": label.label, "tc": label.tc, "s": u8::from(label.bottom), "ttl": label.ttl}),
    );
    put("mpls", labels.collect());
    Value::Object(hub)
}
