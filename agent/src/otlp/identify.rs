//! Says in each resource on which node of which cluster its spans were made, where the application did not.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};

use crate::context::Node;

/// Adds the attributes of OpenTelemetry's semantic conventions (resource/host, resource/k8s) that are absent. An
/// application's own always stay: in a pod, `host.name` is the pod.
pub(super) fn identify(request: &mut ExportTraceServiceRequest, node: &Node) {
    let known =
        [("host.name", &node.name), ("k8s.node.name", &node.name), ("k8s.cluster.name", &node.cluster)];
    // Without spans there is nothing to name.
    request.resource_spans.retain(|spans| spans.scope_spans.iter().any(|scope| !scope.spans.is_empty()));
    for spans in &mut request.resource_spans {
        let attributes = &mut spans.resource.get_or_insert_default().attributes;
        for (key, value) in known {
            if !value.is_empty() && !attributes.iter().any(|attribute| attribute.key == key) {
                let value = Some(AnyValue { value: Some(any_value::Value::StringValue(value.clone())) });
                attributes.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
            }
        }
    }
}
