//! The mount table, /proc/PID/mountinfo (proc_pid_mountinfo(5)).

use std::borrow::Cow;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// Device number.
    pub(super) major: u32,
    /// See `major`.
    pub(super) minor: u32,
    /// Where it is mounted: bytes, since a path need not be UTF-8.
    pub(super) point: Vec<u8>,
    /// `ext4`, `nfs4`, `fuse.sshfs`.
    pub(super) fs_type: String,
    /// `/dev/sda1`, `server:/export`, `tmpfs`.
    pub(super) device: String,
    /// The mount or the file system under it is read-only, or the file system was made so by an error.
    pub(super) read_only: bool,
}

impl Mount {
    /// The mount point as a label.
    pub(super) fn point_text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.point)
    }

    /// The same mount as seen from `root`: a container sees the host's /data as /host/data, where its table is its own.
    pub(super) fn below(mut self, root: &Path) -> Self {
        if root != Path::new("/")
            && let Ok(below) = Path::new(OsStr::from_bytes(&self.point)).strip_prefix(root)
        {
            self.point = [b"/", below.as_os_str().as_bytes()].concat();
        }
        self
    }
}

/// All mounts; of several in one place with the same device only the last, which is the one on top. Also the first
/// line (counted from 0) that is none.
pub(super) fn parse(table: &[u8]) -> (Vec<Mount>, Option<(usize, String)>) {
    let (mut mounts, mut bad) = (Vec::<Mount>::new(), None);
    for (i, line) in table.split(|&b| b == b'\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        match parse_line(line) {
            Some(mount) => mounts.push(mount),
            None => bad = bad.or_else(|| Some((i, String::from_utf8_lossy(line).into_owned()))),
        }
    }
    let mut seen = HashSet::new();
    let mut on_top: Vec<bool> =
        mounts.iter().rev().map(|m| seen.insert((&*m.point, &*m.device, &*m.fs_type))).collect();
    mounts.retain(|_| on_top.pop().unwrap_or(true));
    (mounts, bad)
}

/// `36 35 98:0 /root /mnt rw,noatime master:1 - ext4 /dev/sda1 rw,errors=continue`: the fields before the dash are six
/// and any number of optional ones.
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&b| b == b' ');
    let device = str::from_utf8(fields.nth(2)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let point = unescape(fields.nth(1)?);
    let options = fields.next()?;
    let mut behind = fields.skip_while(|field| *field != b"-").skip(1);
    let (fs_type, device) = (unescape(behind.next()?), unescape(behind.next()?));
    // Empty for a file system without options.
    let super_options = behind.next().unwrap_or_default();
    let has = |options: &[u8], option: &[u8]| options.split(|&b| b == b',').any(|o| o == option);
    let read_only = has(options, b"ro") || has(super_options, b"ro") || has(super_options, b"emergency_ro");
    Some(Mount {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        point,
        fs_type: String::from_utf8_lossy(&fs_type).into_owned(),
        device: String::from_utf8_lossy(&device).into_owned(),
        read_only,
    })
}

/// The kernel writes blanks, line ends, backslashes and `#` as `\` and three octal digits (fs/seq_file.c).
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, behind)) = rest.split_first() {
        match *rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = &rest[4..];
            }
            _ => {
                out.push(first);
                rest = behind;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &[u8]) -> Mount {
        parse_line(line).unwrap()
    }

    /// Scenario: optional fields, blanks and bytes that are no UTF-8 in a mount point, read-only in each place.
    /// Guarantees: all are read; the bytes of a path stay what they are.
    #[test]
    fn lines() {
        let mount =
            one(br"36 35 98:0 /m /mnt\040x\134 rw,noatime master:1 shared:2 - ext4 /dev/sd\011a rw,x=1");
        assert_eq!((mount.major, mount.minor, &*mount.point), (98, 0, &b"/mnt x\\"[..]));
        assert_eq!((&*mount.fs_type, &*mount.device, mount.read_only), ("ext4", "/dev/sd\ta", false));
        let mount = one(b"1 1 0:5 / /a\xff\xfeb ro - tmpfs none rw");
        assert_eq!((&*mount.point, mount.read_only), (&b"/a\xff\xfeb"[..], true));
        assert_eq!(mount.point_text(), "/a\u{fffd}\u{fffd}b");
        assert!(one(b"1 1 0:5 / /a rw - ext4 x rw,emergency_ro").read_only);
        assert!(!one(b"1 1 0:5 / /a rw - ext4 x errors=remount-ro").read_only);
        assert_eq!(parse_line(b"1 1 0:5 / /a rw shared:1"), None);
    }

    /// Scenario: a mount over another of the same name, a broken line, a table seen from a container.
    /// Guarantees: one of the two; the line is told; the host's own path.
    #[test]
    fn tables() {
        let (mounts, bad) = parse(b"1 1 0:5 / /a rw - tmpfs t rw\n2 1 0:6 / /a ro - tmpfs t rw\n\nbroken\n");
        assert_eq!((mounts.len(), mounts[0].minor), (1, 6));
        assert_eq!(bad, Some((3, "broken".to_owned())));
        let host = one(b"1 1 0:5 / /host/data rw - tmpfs t rw");
        assert_eq!(host.clone().below(Path::new("/host")).point, b"/data");
        assert_eq!(host.clone().below(Path::new("/host/data")).point, b"/");
        assert_eq!(host.below(Path::new("/")).point, b"/host/data");
    }

    proptest! {
        /// Scenario: any bytes.
        /// Guarantees: no panic.
        #[test]
        fn never_panics(table in proptest::collection::vec(prop_oneof![Just(b' '), Just(b'-'), Just(b'\\'),
                        Just(b'\n'), Just(b':'), b'0'..=b'9', any::<u8>()], 0..200)) {
            let _any = parse(&table);
        }
    }
}
