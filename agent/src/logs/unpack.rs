//! What a compressed file holds, read as if it were not compressed, from the position reached to its end. Nothing is
//! kept of it but what was read and not yet taken in, so that it may hold as much as it likes.
//!
//! A .gz may be of several members, one behind the other (RFC 1952, section 2.2). One that is cut off or damaged ends
//! where that is found out: what stands before it is read, and the damage counted.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use flate2::bufread::MultiGzDecoder;

/// Bytes unpacked at a time to get to a position.
const STEP: usize = 64 << 10;

/// Compressed bytes read at a time.
const BUFFER: usize = 32 << 10;

/// Deflate makes of a byte at most so many (zlib's technical details, "maximum compression factor").
const MOST_OF_A_BYTE: u64 = 1_032;

/// How much a file says that it holds: its last four bytes (RFC 1952, section 2.3.1, ISIZE), so that it need not be unpacked
/// to know. `None` where that cannot be. It is too little for what is larger than 4 GiB, or has several members.
pub(super) fn told(file: &File) -> Option<u64> {
    let packed = file.metadata().ok()?.len();
    let mut size = [0; 4];
    file.read_exact_at(&mut size, packed.checked_sub(4)?).ok()?;
    Some(u64::from(u32::from_le_bytes(size))).filter(|size| *size <= packed.saturating_mul(MOST_OF_A_BYTE))
}

/// A file that is being unpacked.
pub(super) struct Unpack {
    decoder: MultiGzDecoder<BufReader<File>>,
    /// Unpacked and not taken in, from this position on.
    held: Vec<u8>,
    at: u64,
    /// There is no more.
    ended: bool,
    /// Why it ended before its end.
    damage: Option<io::Error>,
}

impl Unpack {
    /// # Errors
    /// The file cannot be read.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        let decoder = MultiGzDecoder::new(BufReader::with_capacity(BUFFER, file));
        Ok(Self { decoder, held: Vec::new(), at: 0, ended: false, damage: None })
    }

    /// Copies what stands at `at` into `buffer`; less than that holds only where there is no more.
    ///
    /// # Errors
    /// The file cannot be read. Damage is no error but an end, see [`Unpack::damage`].
    pub(super) fn read_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        if at < self.at {
            *self = Self::new(self.decoder.get_ref().get_ref())?;
        }
        while at > self.at + self.held.len() as u64 && !self.ended {
            self.at += self.held.len() as u64;
            self.held.clear();
            self.more((at - self.at).min(STEP as u64) as usize)?;
        }
        let before = (at - self.at).min(self.held.len() as u64) as usize;
        self.held.drain(..before);
        self.at += before as u64;
        while self.held.len() < buffer.len() && !self.ended {
            self.more(buffer.len() - self.held.len())?;
        }
        let have = if self.at == at { self.held.len().min(buffer.len()) } else { 0 };
        buffer[..have].copy_from_slice(&self.held[..have]);
        Ok(have)
    }

    /// How much there is, once that is known.
    pub(super) fn size(&self) -> Option<u64> {
        self.ended.then(|| self.at + self.held.len() as u64)
    }

    /// Why it ended early; said once.
    pub(super) fn damage(&mut self) -> Option<io::Error> {
        self.damage.take()
    }

    /// Unpacks up to `most` bytes more.
    fn more(&mut self, most: usize) -> io::Result<()> {
        let before = self.held.len();
        self.held.resize(before + most, 0);
        let read = loop {
            match self.decoder.read(&mut self.held[before..]) {
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.held.truncate(before + read.as_ref().map_or(0, |read| *read));
        match read {
            Ok(0) => self.ended = true,
            Ok(_) => {}
            // What the decoder says of the bytes, not the system of the file.
            Err(err) if err.raw_os_error().is_none() => {
                self.ended = true;
                self.damage = Some(err);
            }
            Err(err) => return Err(err),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn pack(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn all(unpack: &mut Unpack, from: u64, portion: usize) -> Vec<u8> {
        let mut read = Vec::new();
        let mut buffer = vec![0; portion];
        loop {
            match unpack.read_at(&mut buffer, from + read.len() as u64).unwrap() {
                0 => return read,
                n => read.extend_from_slice(&buffer[..n]),
            }
        }
    }

    /// Scenario: files of several members, cut off, damaged, with something else behind, of nothing, of no gzip.
    /// Guarantees: what can be unpacked is; damage is said once; nothing is asked for in vain. A file tells its size.
    #[test]
    fn good_and_bad() {
        let two = [pack(b"one\n"), pack(b"two\n")].concat();
        let mut damaged = pack(&[7; 9_000]);
        let half = damaged.len() / 2;
        damaged[half] ^= 0xff;
        for (bytes, expect, damage) in [
            (two.clone(), &b"one\ntwo\n"[..], false),
            (two[..two.len() - 9].to_vec(), b"one\ntwo\n", true),
            ([&two[..], b"behind"].concat(), b"one\ntwo\n", true),
            (b"no gzip at all".to_vec(), b"", true),
        ] {
            let mut unpack = Unpack::new(&file(&bytes)).unwrap();
            assert_eq!(all(&mut unpack, 0, 3), expect);
            assert_eq!(unpack.size(), Some(expect.len() as u64));
            assert_eq!(unpack.damage().is_some(), damage);
            assert!(unpack.damage().is_none());
        }
        let mut unpack = Unpack::new(&file(&damaged)).unwrap();
        assert!(all(&mut unpack, 0, 100).len() <= 9_000);
        assert!(unpack.damage().is_some());
        assert!(all(&mut Unpack::new(&file(b"")).unwrap(), 0, 10).is_empty());
        for (bytes, expect) in [(pack(&[7; 9_000]), Some(9_000)), (vec![0xff; 99], None), (vec![0; 3], None)]
        {
            assert_eq!(told(&file(&bytes)), expect);
        }
    }

    /// Scenario: 32 MiB of zeros in 32 KiB, in several members.
    /// Guarantees: what is held of it is what was asked for.
    #[test]
    fn bomb() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        let zeros = vec![0; 1 << 20];
        for _ in 0..2 {
            encoder.write_all(&zeros).unwrap();
        }
        let member = encoder.finish().unwrap();
        let mut unpack = Unpack::new(&file(&member.repeat(16))).unwrap();
        let mut buffer = vec![1; 1000];
        assert_eq!(unpack.read_at(&mut buffer, (32 << 20) - 500).unwrap(), 500);
        assert!(unpack.held.capacity() < 1 << 20);
        assert_eq!((unpack.size(), unpack.damage().is_none()), (Some(32 << 20), true));
    }

    proptest! {
        /// Scenario: any bytes in any members, read from anywhere in any portions, once more from an earlier place.
        /// Guarantees: the same bytes.
        #[test]
        fn any_chunking(
            members in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 1..5),
            from in 0..400_usize,
            again in 0..400_usize,
            portion in 1..50_usize,
        ) {
            let packed: Vec<u8> = members.iter().flat_map(|member| pack(member)).collect();
            let whole = members.concat();
            let mut unpack = Unpack::new(&file(&packed)).unwrap();
            for from in [from, again] {
                prop_assert_eq!(&all(&mut unpack, from as u64, portion), &whole[from.min(whole.len())..]);
            }
        }
    }
}
