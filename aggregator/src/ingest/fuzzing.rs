//! What the fuzz targets reach of this room.

use std::sync::LazyLock;

use ao_proto::frame::Opened;
use tokio::runtime::{Builder, Runtime};

use super::content::Content;

static RUNTIME: LazyLock<Option<Runtime>> = LazyLock::new(|| Builder::new_current_thread().build().ok());

/// As a keyframe where its class is 0, else as a frame of a keyframe with so many series.
pub(crate) fn look(opened: Opened, series: usize) {
    let Some(runtime) = &*RUNTIME else { return };
    runtime.block_on(async {
        let content = Content::new(1_000);
        if opened.header.class == 0 {
            let _looked = content.keyframe(opened).await.map(|series| assert!(series <= 1_000));
        } else {
            let _looked = content.frame(opened, series).await;
        }
    });
}
