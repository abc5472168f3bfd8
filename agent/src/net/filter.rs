//! Programs of classic BPF (Documentation/networking/filter.rst) that keep away from a raw socket what it has no use for:
//! it is given the packets of every program of the machine, and being woken for each is what costs.

/// One instruction as the kernel takes it (linux/filter.h, `struct sock_filter`): the operation, how far to jump where a
/// comparison holds and where it does not, the operand.
pub(super) fn step(code: u16, yes: u8, no: u8, k: u32) -> [u8; 8] {
    let ([c0, c1], [k0, k1, k2, k3]) = (code.to_ne_bytes(), k.to_ne_bytes());
    [c0, c1, yes, no, k0, k1, k2, k3]
}

/// Lets through errors, and of the echo replies those with our id. IPv4 sockets see a packet from its IP header on, IPv6
/// ones behind it.
pub(super) fn echoes(v6: bool, id: u16) -> Vec<[u8; 8]> {
    // Loads of a byte and of a half word: at a place, or at one behind the IPv4 header.
    let (byte, half, reply) = if v6 { (0x30, 0x28, 129) } else { (0x50, 0x48, 0) };
    let mut program = Vec::new();
    if !v6 {
        // How long that header is.
        program.push(step(0xb1, 0, 0, 0));
    }
    program.push(step(byte, 0, 0, 0));
    program.push(step(0x15, 0, 2, reply));
    program.push(step(half, 0, 0, 4));
    program.push(step(0x15, 0, 1, id.into()));
    program.push(step(0x06, 0, 0, u32::MAX));
    program.push(step(0x06, 0, 0, 0));
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program on a packet; true where it lets it through.
    fn run(program: &[[u8; 8]], packet: &[u8]) -> bool {
        let (mut a, mut x, mut at) = (0_u32, 0_usize, 0);
        loop {
            let [c0, c1, yes, no, k0, k1, k2, k3] = program[at];
            let k = u32::from_ne_bytes([k0, k1, k2, k3]);
            let half = |at: usize| u32::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
            at += 1;
            match u16::from_ne_bytes([c0, c1]) {
                0xb1 => x = usize::from(packet[k as usize] & 15) * 4,
                0x30 => a = packet[k as usize].into(),
                0x50 => a = packet[x + k as usize].into(),
                0x28 => a = half(k as usize),
                0x48 => a = half(x + k as usize),
                0x15 => at += usize::from(if a == k { yes } else { no }),
                0x06 => return k > 0,
                other => panic!("{other:#x}"),
            }
        }
    }

    /// Scenario: replies with our id and another one, an error and a request, by IPv4 with and without options and IPv6.
    /// Guarantees: only a reply to somebody else is kept away.
    #[test]
    fn only_ours() {
        for (v6, header, reply, error) in [(false, 20, 0, 11), (false, 28, 0, 3), (true, 0, 129, 1)] {
            let program = echoes(v6, 0x1234);
            for (kind, id, through) in [(reply, 0x1234, true), (reply, 0x1235, false), (error, 0, true)] {
                let mut packet = vec![0; header + 8];
                packet[0] = if v6 { 0 } else { 0x40 | (header / 4) as u8 };
                packet[header] = kind;
                packet[header + 4..header + 6].copy_from_slice(&u16::to_be_bytes(id));
                assert_eq!(run(&program, &packet), through, "{v6} {header} {kind} {id:#x}");
            }
        }
    }
}
