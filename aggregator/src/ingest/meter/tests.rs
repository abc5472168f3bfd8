//! Messages that come cut anywhere, and memory that is not there.

use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use proptest::prelude::*;

use super::*;

fn message(size: usize) -> Vec<u8> {
    let mut out = vec![0];
    out.extend((size as u32).to_be_bytes());
    out.extend(vec![7; size]);
    out
}

fn incoming(chunks: Vec<Vec<u8>>, room: &Room) -> (Incoming, Meter) {
    let frames = chunks.into_iter().map(|chunk| Ok::<_, Status>(Frame::data(Bytes::from(chunk))));
    let body = StreamBody::new(stream::iter(frames).chain(stream::pending()));
    let meter = Meter::default();
    meter.greeted();
    (Incoming::new(tonic::body::Body::new(body), room.clone(), meter.clone(), None), meter)
}

use futures_util::StreamExt as _;

fn room(bytes: usize) -> Room {
    Room { bytes: Arc::new(Semaphore::new(bytes)), metrics: Arc::default() }
}

/// What passes before nothing more comes.
async fn passed(incoming: &mut Incoming) -> Vec<u8> {
    let mut all = Vec::new();
    while let Ok(Some(frame)) = tokio::time::timeout(Duration::from_millis(1), incoming.frame()).await {
        all.extend(frame.expect("no error").into_data().expect("data"));
    }
    all
}

proptest! {
    /// Scenario: messages of any sizes, cut anywhere.
    /// Guarantees: the bytes pass unchanged, and each message holds its own size and its head's.
    #[test]
    fn bytes_pass_unchanged(sizes in prop::collection::vec(0..300_usize, 0..8), cut in 1..400_usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let bytes: Vec<u8> = sizes.iter().flat_map(|&size| message(size)).collect();
            let room = room(10_000);
            let (mut body, meter) = incoming(bytes.chunks(cut).map(<[u8]>::to_vec).collect(), &room);
            assert_eq!(passed(&mut body).await, bytes);
            for size in sizes {
                assert_eq!(meter.next().expect("held").num_permits(), size + HEAD);
            }
            assert!(meter.next().is_none() && room.bytes.available_permits() == 10_000);
        });
    }
}

/// Scenario: a second message comes while the first holds all the memory.
/// Guarantees: not even its head passes whole before the first is given back; then it goes on.
#[tokio::test(start_paused = true)]
async fn a_message_waits_for_memory() {
    let room = room(105);
    let both = [message(100), message(60)].concat();
    let (mut body, meter) = incoming(vec![both.clone()], &room);
    assert_eq!(passed(&mut body).await, both[..105 + HEAD - 1]);
    assert_eq!(room.metrics.waited_for_memory.get(), 1);
    drop(meter.next());
    assert_eq!(passed(&mut body).await, both[105 + HEAD - 1..]);
}

/// Scenario: a message is begun and its rest does not come; between messages nothing comes for an hour.
/// Guarantees: the first ends with a reason after its time, the second is well.
#[tokio::test(start_paused = true)]
async fn a_slow_message_ends() {
    let room = room(1 << 20);
    let (mut body, _meter) = incoming(vec![message(1 << 19)[..1_000].to_vec()], &room);
    passed(&mut body).await;
    let begin = Instant::now();
    let error = body.frame().await.expect("an end").expect_err("too slow");
    assert_eq!(error.code(), tonic::Code::DeadlineExceeded);
    assert!(begin.elapsed().as_secs().abs_diff(PATIENCE.as_secs() + 2) <= 1);
    let (mut body, _meter) = incoming(vec![message(5)], &room);
    passed(&mut body).await;
    assert!(tokio::time::timeout(Duration::from_secs(3_600), body.frame()).await.is_err());
}

/// Scenario: five bytes say that 4 GiB follow; and, before the hello, that 100 kB do.
/// Guarantees: both are refused with a reason, and no memory is taken.
#[tokio::test]
async fn sizes_are_limits() {
    let room = room(1 << 20);
    for (size, greeted) in [(u32::MAX, true), (100_000, false)] {
        let mut head = vec![0];
        head.extend(size.to_be_bytes());
        let (mut body, meter) = incoming(vec![head], &room);
        meter.0.greeted.store(greeted, Ordering::Relaxed);
        let first = body.frame().await.expect("an end");
        assert_eq!(first.expect_err("refused").code(), tonic::Code::ResourceExhausted);
        assert_eq!(room.bytes.available_permits(), 1 << 20);
    }
}
