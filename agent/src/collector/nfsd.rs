//! Calls to the kernel's NFS server, from /proc/net/rpc/nfsd.

use ao_proto::model::MetricType::{self, Counter, Gauge};
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::netfile;
use super::rpc::{self, V2, V3};
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `nfsd` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Nfsd::default()))
}

/// Operations of NFS 4 by their numbers (RFC 7530 section 16), under node_exporter's names; it leaves those without one
/// out.
const V4: [&str; 40] = [
    "",
    "",
    "",
    "Access",
    "Close",
    "Commit",
    "Create",
    "DelegPurge",
    "DelegReturn",
    "GetAttr",
    "GetFH",
    "Link",
    "Lock",
    "Lockt",
    "Locku",
    "Lookup",
    "LookupRoot",
    "Nverify",
    "Open",
    "OpenAttr",
    "OpenConfirm",
    "OpenDgrd",
    "PutFH",
    "",
    "",
    "Read",
    "ReadDir",
    "ReadLink",
    "Remove",
    "Rename",
    "Renew",
    "RestoreFH",
    "SaveFH",
    "SecInfo",
    "SetAttr",
    "SetClientID",
    "SetClientIDConfirm",
    "Verify",
    "Write",
    "RelLockOwner",
];

#[derive(Default)]
struct Nfsd {
    file: TextFile,
}

/// A line's first word, the place of a number in it from 0, and the metric that it is (fs/nfsd/stats.c,
/// `nfsd_show`; net/sunrpc/stats.c, `svc_seq_show`).
const NUMBERS: [(&str, usize, &str, MetricType, &str); 11] = [
    (
        "rc",
        0,
        "node_nfsd_reply_cache_hits_total",
        Counter,
        "Calls answered from the cache: the client had lost the answer.",
    ),
    ("rc", 1, "node_nfsd_reply_cache_misses_total", Counter, "Calls whose answers had to be kept."),
    ("rc", 2, "node_nfsd_reply_cache_nocache_total", Counter, "Calls whose answers need not be kept."),
    ("fh", 0, "node_nfsd_file_handles_stale_total", Counter, "Calls for files that are gone."),
    ("io", 0, "node_nfsd_disk_bytes_read_total", Counter, "Bytes that clients read."),
    ("io", 1, "node_nfsd_disk_bytes_written_total", Counter, "Bytes that clients wrote."),
    ("th", 0, "node_nfsd_server_threads", Gauge, "Threads of the NFS server."),
    (
        "ra",
        0,
        "node_nfsd_read_ahead_cache_size_blocks",
        Gauge,
        "Size of the cache for reading ahead (before Linux 5.4).",
    ),
    (
        "ra",
        11,
        "node_nfsd_read_ahead_cache_not_found_total",
        Counter,
        "Reads that found no place in that cache.",
    ),
    ("net", 3, "node_nfsd_connections_total", Counter, "TCP connections that clients made."),
    ("rpc", 0, "node_nfsd_server_rpcs_total", Counter, "Calls that clients made."),
];

impl Collector for Nfsd {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let found = netfile::read(&mut self.file, roots, "rpc/nfsd");
        let (path, text) = found.map_err(|e| e.absent_means_no("NFS server"))?;
        emit(text, out).map_err(|(i, line)| CollectError::line(&path, i, line))
    }
}

/// The error is a line with its number from 0. What a kernel does not count is 0, as from node_exporter.
fn emit<'a>(text: &'a str, out: &mut MetricSet) -> Result<(), (usize, &'a str)> {
    let number = |key: &str, index| match rpc::numbers(text, key)? {
        Some(numbers) => numbers.get(index),
        None => Ok(0.0),
    };
    for (key, index, name, kind, help) in NUMBERS {
        out.one(name, kind, help, number(key, index)?);
    }
    let packets = out.family("node_nfsd_packets_total", Counter, "Packets of the NFS server.");
    out.push(packets, &[("proto", "udp")], number("net", 1)?);
    out.push(packets, &[("proto", "tcp")], number("net", 2)?);
    let errors =
        out.family("node_nfsd_rpc_errors_total", Counter, "Calls that could not be understood, by reason.");
    for (reason, index) in [("fmt", 2), ("auth", 3), ("cInt", 4)] {
        out.push(errors, &[("error", reason)], number("rpc", index)?);
    }
    let requests = out.family("node_nfsd_requests_total", Counter, "Calls to the NFS server by their kind.");
    // The call that does nothing is the first of versions 2 and 3; node_exporter leaves it out here.
    let named = |names: &'static [&'static str]| -> Vec<&str> {
        names.iter().map(|name| if *name == "Null" { "" } else { *name }).collect()
    };
    for (key, names, proto) in
        [("proc2", named(&V2), "2"), ("proc3", named(&V3), "3"), ("proc4ops", V4.to_vec(), "4")]
    {
        rpc::emit_calls(rpc::numbers(text, key)?.as_ref(), &names, proto, requests, out)?;
    }
    out.push(requests, &[("proto", "4"), ("method", "WdelegGetattr")], number("wdeleg_getattr", 0)?);
    Ok(())
}
