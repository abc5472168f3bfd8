//! The keyframes that one stream has sent: each is looked at once, and kept until newer ones need its room. One that
//! cannot be read is kept as the reason why, so that each of its frames is refused with it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use ao_proto::frame::{self, Opened};
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::ingest::content::{Content, Reason};

/// Bytes and keyframes that one stream keeps; the oldest go first and are asked for again.
const MOST_BYTES: usize = 8 << 20;
/// See [`MOST_BYTES`].
const MOST: usize = 256;

/// See the module.
pub(crate) struct Keyframes {
    /// What all streams may keep together, in bytes.
    room: Arc<Semaphore>,
    by_id: HashMap<u64, Kept>,
    /// Oldest first.
    order: VecDeque<u64>,
    bytes: usize,
}

struct Kept {
    sealed: Bytes,
    /// The number of its series.
    series: Result<usize, Reason>,
    _room: OwnedSemaphorePermit,
}

impl Keyframes {
    pub(crate) fn new(room: Arc<Semaphore>) -> Self {
        Self { room, by_id: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn has(&self, id: u64) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Sealed, with the number of its series; or why its frames are refused. `None` where it is not here.
    pub(crate) fn get(&self, id: u64) -> Option<Result<(Bytes, usize), Reason>> {
        let kept = self.by_id.get(&id)?;
        Some(kept.series.clone().map(|series| (kept.sealed.clone(), series)))
    }

    /// Keeps one.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub(crate) async fn add(
        &mut self,
        sealed: &Bytes,
        opened: Opened,
        content: &Content,
    ) -> Result<(), Status> {
        let id = opened.header.keyframe;
        self.remove(id);
        while self.bytes + sealed.len() > MOST_BYTES || self.by_id.len() >= MOST {
            let Some(oldest) = self.order.front().copied() else { break };
            self.remove(oldest);
        }
        let n = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
        let room = loop {
            match Arc::clone(&self.room).try_acquire_many_owned(n) {
                Ok(room) => break room,
                Err(_) => match self.order.front().copied() {
                    Some(oldest) => self.remove(oldest),
                    None => {
                        let text = "the memory that ingest.keyframes allows for keyframes is used up";
                        return Err(Status::resource_exhausted(text));
                    }
                },
            }
        };
        let series = content.keyframe(opened).await.map_err(|why| format!("its keyframe is refused: {why}"));
        // A copy: what came shares its memory with the messages beside it.
        let sealed = if series.is_ok() { Bytes::copy_from_slice(sealed) } else { Bytes::new() };
        self.bytes += sealed.len();
        self.by_id.insert(id, Kept { sealed, series, _room: room });
        self.order.push_back(id);
        Ok(())
    }

    fn remove(&mut self, id: u64) {
        if let Some(kept) = self.by_id.remove(&id) {
            self.bytes -= kept.sealed.len();
            self.order.retain(|other| *other != id);
        }
    }
}

/// The id of a sealed keyframe's agent is its stream's.
pub(crate) fn open(sealed: &Bytes, agent: [u8; 16]) -> Result<Opened, Status> {
    match frame::open(sealed) {
        Ok(opened) if opened.header.agent == agent => Ok(opened),
        Ok(_) => Err(Status::permission_denied("the keyframe is another agent's")),
        Err(error) => Err(Status::data_loss(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use ao_proto::metrics::Keyframe;
    use ao_proto::v1::FrameHeader;

    use super::*;

    fn sealed(id: u64, raw: &[u8]) -> Bytes {
        let raw_bytes = raw.len() as u64;
        let header = FrameHeader { agent: vec![7; 16], keyframe: id, raw_bytes, ..FrameHeader::default() };
        frame::seal(&header, raw)
    }

    /// Scenario: more keyframes than one stream may keep, another stream that finds the memory taken, and a bad one.
    /// Guarantees: the oldest go; who has none to give up is told so; the bad one is known with its reason.
    #[tokio::test]
    async fn bounded() {
        let content = Content::new(10);
        let room = Arc::new(Semaphore::new(20_000));
        let mut keyframes = Keyframes::new(room.clone());
        for id in 1..=1_000 {
            let sealed = sealed(id, &Keyframe { id, ..Keyframe::default() }.encode());
            let opened = open(&sealed, [7; 16]).expect("opens");
            keyframes.add(&sealed, opened, &content).await.expect("room");
        }
        assert_eq!((keyframes.by_id.len(), keyframes.order.len()), (MOST, MOST));
        assert!(keyframes.has(1_000) && !keyframes.has(1));
        let bad = sealed(5, &[0xff; 19_000]);
        keyframes.add(&bad, open(&bad, [7; 16]).expect("opens"), &content).await.expect("room");
        assert!(keyframes.get(5).expect("known").is_err_and(|why| why.contains("refused")));
        let mut other = Keyframes::new(room.clone());
        let error =
            other.add(&bad, open(&bad, [7; 16]).expect("opens"), &content).await.expect_err("no room");
        assert_eq!(error.code(), tonic::Code::ResourceExhausted);
        drop(keyframes);
        assert_eq!(room.available_permits(), 20_000);
        assert!(open(&bad, [8; 16]).is_err());
    }
}
