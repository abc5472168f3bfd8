//! Tasks that the kernel found hung, from /proc/sys/kernel/hung_task_detect_count (Linux 6.14 on).

use ao_proto::model::MetricType::Counter;
use serde::Deserialize;
use serde_yaml_ng::Value;

use super::api::{self, Built, CollectError, Collector};
use super::file::TextFile;
use crate::context::Roots;
use crate::event::MetricSet;

/// The collector `kernel_hung` has no options.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {}

/// See the table in `collector.rs`.
pub fn build(section: Option<Value>) -> Built {
    let Config {} = api::section(section)?;
    Ok(Box::new(KernelHung::default()))
}

#[derive(Default)]
struct KernelHung {
    file: TextFile,
}

impl Collector for KernelHung {
    fn collect(&mut self, roots: &Roots, out: &mut MetricSet) -> Result<(), CollectError> {
        let path = roots.proc.join("sys/kernel/hung_task_detect_count");
        let tasks = self.file.value(&path)?.ok_or(CollectError::NoData("count of hung tasks"))?;
        let help = "Tasks that were found blocked for too long since the start of the host.";
        out.one("node_kernel_hung_tasks_total", Counter, help, tasks);
        Ok(())
    }
}
