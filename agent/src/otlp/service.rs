//! The gRPC service `TraceService`, with the one difference to the generated one that a request comes as bytes: what
//! it would take in memory is looked at before it is decoded.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures_util::future::BoxFuture;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder};
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};

use super::receiver::Receiver;

/// Where clients find it (opentelemetry-proto, collector/trace/v1/trace_service.proto).
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Traces {
    pub(super) receiver: Arc<Receiver>,
    /// Largest request, once decompressed.
    pub(super) max_message: usize,
}

impl NamedService for Traces {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

impl Service<http::Request<tonic::body::Body>> for Traces {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        if request.uri().path() != EXPORT {
            return Box::pin(ready(Ok(
                Status::unimplemented("there is Export, and nothing else").into_http()
            )));
        }
        let this = self.clone();
        Box::pin(async move {
            let mut grpc = Grpc::new(Raw)
                // What collectors in between send by default.
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(this.max_message);
            Ok(grpc.unary(Export(this.receiver), request).await)
        })
    }
}

struct Export(Arc<Receiver>);

impl UnaryService<Bytes> for Export {
    type Response = ExportTraceServiceResponse;
    type Future = BoxFuture<'static, Result<Response<Self::Response>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let receiver = Arc::clone(&self.0);
        Box::pin(async move { receiver.export(request).await })
    }
}

/// Requests as they come, answers as protobuf.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = ExportTraceServiceResponse;
    type Decode = Bytes;
    type Encoder = tonic_prost::ProstEncoder<ExportTraceServiceResponse>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        tonic_prost::ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
