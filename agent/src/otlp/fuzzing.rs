//! What the fuzz targets reach of this room.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::identify::identify;
use super::split::split;
use crate::context::Node;

/// A request, said whose it is and cut into small parts.
pub(crate) fn spans(data: &[u8]) {
    const LIMIT: usize = 400;
    let Ok(mut request) = ExportTraceServiceRequest::decode(data) else { return };
    let count = |request: &ExportTraceServiceRequest| -> u64 {
        let scopes = request.resource_spans.iter().flat_map(|resource| &resource.scope_spans);
        scopes.map(|scope| scope.spans.len() as u64).sum()
    };
    let all = count(&request);
    identify(&mut request, &Node { name: "node".into(), ..Node::default() });
    let split = split(request, LIMIT, 1);
    assert!(split.parts.iter().all(|part| part.request.len() <= LIMIT && part.spans > 0));
    assert_eq!(
        split.parts.iter().map(|part| part.spans).sum::<u64>() + split.refused,
        all,
        "no span is lost"
    );
    for part in &split.parts {
        let part_request = ExportTraceServiceRequest::decode(&*part.request);
        assert_eq!(part_request.as_ref().map(count), Ok(part.spans));
    }
}
