//! Calls of the kernel's NFS client, from /proc/net/rpc/nfs.

use ao_proto::model::MetricType::Counter;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use super::netfile;
use super::rpc::{self, V2, V3};
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `nfs` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Nfs::default()))
}

/// Calls of NFS 4 in the client's own order (fs/nfs/nfs4xdr.c, `nfs4_procedures`), under node_exporter's names.
const V4: [&str; 59] = [
    "Null",
    "Read",
    "Write",
    "Commit",
    "Open",
    "OpenConfirm",
    "OpenNoattr",
    "OpenDowngrade",
    "Close",
    "Setattr",
    "FsInfo",
    "Renew",
    "SetClientID",
    "SetClientIDConfirm",
    "Lock",
    "Lockt",
    "Locku",
    "Access",
    "Getattr",
    "Lookup",
    "LookupRoot",
    "Remove",
    "Rename",
    "Link",
    "Symlink",
    "Create",
    "Pathconf",
    "StatFs",
    "ReadLink",
    "ReadDir",
    "ServerCaps",
    "DelegReturn",
    "GetACL",
    "SetACL",
    "FsLocations",
    "ReleaseLockowner",
    "Secinfo",
    "FsidPresent",
    "ExchangeID",
    "CreateSession",
    "DestroySession",
    "Sequence",
    "GetLeaseTime",
    "ReclaimComplete",
    "GetDeviceInfo",
    "LayoutGet",
    "LayoutCommit",
    "LayoutReturn",
    "SecinfoNoName",
    "TestStateID",
    "FreeStateID",
    "GetDeviceList",
    "BindConnToSession",
    "DestroyClientID",
    "Seek",
    "Allocate",
    "DeAllocate",
    "LayoutStats",
    "Clone",
];

#[derive(Default)]
struct Nfs {
    file: TextFile,
}

impl Collector for Nfs {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let found = netfile::read(&mut self.file, roots, "rpc/nfs");
        let (path, text) = found.map_err(|e| e.absent_means_no("NFS client"))?;
        emit(text, out).map_err(|(i, line)| CollectError::line(&path, i, line))
    }
}

/// The lines of net/sunrpc/stats.c, `rpc_proc_show`. The error is a line with its number from 0.
fn emit<'a>(text: &'a str, out: &mut MetricSet) -> Result<(), (usize, &'a str)> {
    if let Some(net) = rpc::numbers(text, "net")? {
        let packets = out.family("node_nfs_packets_total", Counter, "Packets of the NFS client.");
        out.push(packets, &[("protocol", "udp")], net.get(1)?);
        out.push(packets, &[("protocol", "tcp")], net.get(2)?);
        out.one(
            "node_nfs_connections_total",
            Counter,
            "TCP connections that the NFS client made.",
            net.get(3)?,
        );
    }
    if let Some(calls) = rpc::numbers(text, "rpc")? {
        out.one("node_nfs_rpcs_total", Counter, "Calls that the NFS client made.", calls.get(0)?);
        let help = "Calls that had to be sent again.";
        out.one("node_nfs_rpc_retransmissions_total", Counter, help, calls.get(1)?);
        let help = "Times that credentials were renewed.";
        out.one("node_nfs_rpc_authentication_refreshes_total", Counter, help, calls.get(2)?);
    }
    let requests = out.family("node_nfs_requests_total", Counter, "Calls of the NFS client by their kind.");
    for (key, names, proto) in [("proc2", &V2[..], "2"), ("proc3", &V3, "3"), ("proc4", &V4, "4")] {
        rpc::emit_calls(rpc::numbers(text, key)?.as_ref(), names, proto, requests, out)?;
    }
    Ok(())
}
