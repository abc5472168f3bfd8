//! Kernel, machine and host name, as uname(2) gives them.

use ao_proto::model::MetricType::Gauge;
use rustix::system;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `uname` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(Uname))
}

struct Uname;

impl Collector for Uname {
    fn collect(&mut self, _roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let uname = system::uname();
        let labels = [
            ("sysname", uname.sysname().to_string_lossy()),
            ("release", uname.release().to_string_lossy()),
            ("version", uname.version().to_string_lossy()),
            ("machine", uname.machine().to_string_lossy()),
            ("nodename", uname.nodename().to_string_lossy()),
            ("domainname", uname.domainname().to_string_lossy()),
        ];
        let labels = labels.each_ref().map(|(name, value)| (*name, &**value));
        let family = out.family("node_uname_info", Gauge, "What the host calls itself (uname).");
        out.push(family, &labels, 1.0);
        Ok(())
    }
}
