//! Hashes for what must not be read, and still be told apart.

/// SHA-256 (FIPS 180-4).
pub(super) fn sha2_256(data: &[u8]) -> Vec<u8> {
    ring::digest::digest(&ring::digest::SHA256, data).as_ref().to_vec()
}

/// Bytes that one round of SHA3-256 takes in.
const RATE: usize = 136;

/// SHA3-256 (FIPS 202).
pub(super) fn sha3_256(data: &[u8]) -> Vec<u8> {
    let mut state = [0_u64; 25];
    let mut blocks = data.chunks_exact(RATE);
    for block in &mut blocks {
        absorb(&mut state, block);
    }
    let mut last = [0; RATE];
    let rest = blocks.remainder();
    last[..rest.len()].copy_from_slice(rest);
    last[rest.len()] = 0x06;
    last[RATE - 1] |= 0x80;
    absorb(&mut state, &last);
    state[..4].iter().flat_map(|lane| lane.to_le_bytes()).collect()
}

fn absorb(state: &mut [u64; 25], block: &[u8]) {
    for (lane, bytes) in state.iter_mut().zip(block.chunks_exact(8)) {
        *lane ^= bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    }
    keccak(state);
}

/// Keccak-f\[1600\], lanes by x + 5 y.
fn keccak(a: &mut [u64; 25]) {
    let mut constants = 1_u8;
    for _ in 0..24 {
        // theta
        let column: [u64; 5] = std::array::from_fn(|x| (0..5).fold(0, |sum, y| sum ^ a[x + 5 * y]));
        for (i, lane) in a.iter_mut().enumerate() {
            *lane ^= column[(i + 4) % 5] ^ column[(i + 1) % 5].rotate_left(1);
        }
        // rho and pi
        let (mut x, mut y, mut carried) = (1, 0, a[1]);
        for t in 0..24_u32 {
            (x, y) = (y, (2 * x + 3 * y) % 5);
            carried = std::mem::replace(&mut a[x + 5 * y], carried.rotate_left((t + 1) * (t + 2) / 2 % 64));
        }
        // chi
        for row in a.chunks_exact_mut(5) {
            let before: [u64; 5] = std::array::from_fn(|x| row[x]);
            for x in 0..5 {
                row[x] = before[x] ^ (!before[(x + 1) % 5] & before[(x + 2) % 5]);
            }
        }
        // iota: the bits of a linear feedback shift register
        for j in 0..7 {
            if constants & 1 == 1 {
                a[0] ^= 1 << ((1_u32 << j) - 1);
            }
            constants = constants << 1 ^ if constants & 0x80 == 0 { 0 } else { 0x71 };
        }
    }
}

/// In lower case.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: texts of no bytes, of few, and of more than a block.
    /// Guarantees: what sha256sum and openssl's sha3-256 say.
    #[test]
    fn known() {
        let long = "a".repeat(200);
        for (text, sha2, sha3) in [
            (
                "",
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a",
            ),
            (
                "abc",
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532",
            ),
            (
                &*long,
                "c2a908d98f5df987ade41b5fce213067efbcc21ef2240212a41e54b5e7c28ae5",
                "cce34485baf2bf2aca99b94833892a4f52896d3d153f7b840cc4f9fe695f1387",
            ),
            (
                &long[..135],
                "dfa58dfd72f3c7080d0249a7758fd3636872f63fa24b18473ed36f031e248347",
                "8094bb53c44cfb1e67b7c30447f9a1c33696d2463ecc1d9c92538913392843c9",
            ),
            (
                &long[..136],
                "6f0e44b9ce4ea61d52a3479c10f60ef916937f799f11964b7f1c7771063905c4",
                "3fc5559f14db8e453a0a3091edbd2bc25e11528d81c66fa570a4efdcc2695ee1",
            ),
        ] {
            assert_eq!(hex(&sha2_256(text.as_bytes())), sha2, "{text}");
            assert_eq!(hex(&sha3_256(text.as_bytes())), sha3, "{text}");
        }
    }
}
