//! What any bytes must do in this room.

use super::format::{Bad, Cursor, Entry, Head, Next};
use super::said::Fields;

/// Any bytes as a journal's file: positions grow, entries lie within it.
pub(crate) fn file(data: &[u8]) -> usize {
    let Ok(Some(head)) = Head::read(&data) else { return 0 };
    let (mut cursor, mut fields, mut at, mut entries) = (Cursor::default(), Fields::default(), 0, 0);
    loop {
        match cursor.next(&data, &head, at) {
            Ok(Next::End) | Err(Bad::Broken(_)) => return entries,
            Ok(Next::Entry(found)) => {
                assert!(found >= at);
                if let Ok(entry) = Entry::read(&data, &head, found) {
                    assert!(entry.end > found);
                    if fields.said(&data, &head, &entry).is_ok() {
                        at = entry.end;
                        entries += 1;
                    }
                }
            }
            Err(_) => {}
        }
        cursor.pass();
    }
}
