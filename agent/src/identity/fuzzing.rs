//! What the fuzz targets reach of this room.

use std::path::Path;

use ao_common::tls::name::NodeId;

use super::store::Store;

/// Key and certificates below a data folder.
pub(crate) fn kept(data_dir: &Path) {
    let store = Store::new(data_dir);
    let id = NodeId { cluster: "lab".to_owned(), node: "n1".to_owned(), agent: [7; 16] };
    if store.prepare().is_ok() {
        let _held = store.load(&id);
    }
}
