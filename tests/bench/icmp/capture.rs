//! What passes a device, by the kernel's stamps: a packet socket in a process of its own within the namespace, which
//! writes a record for each echo and its reply; read back here and put together.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufWriter, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::process::{Child, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use super::sys;
use super::world::World;

/// Stamp (8 bytes), target (4), id (2), sequence number (2), whether it is a reply (1).
const RECORD: usize = 17;

/// The socket is read so seldom that reading it does not disturb what is measured.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than that: what was captured last has been written.
const SETTLE: Duration = Duration::from_millis(400);

/// A running capture.
pub(crate) struct Capture {
    child: Child,
    records: JoinHandle<std::io::Result<Vec<u8>>>,
}

impl Capture {
    pub(crate) fn start(world: &World, host: &str, device: &str) -> Result<Self, Box<dyn Error>> {
        let mut child = world.spaces.role(host, "capture", device, Stdio::piped())?;
        let mut out = child.stdout.take().ok_or("no pipe")?;
        // It says when it listens.
        out.read_exact(&mut [0])?;
        let records = std::thread::spawn(move || {
            let mut records = Vec::new();
            out.read_to_end(&mut records).map(|_| records)
        });
        Ok(Self { child, records })
    }

    /// Ends it.
    pub(crate) fn end(mut self, targets: &[Ipv4Addr]) -> Result<Truth, Box<dyn Error>> {
        std::thread::park_timeout(SETTLE);
        self.child.kill()?;
        self.child.wait()?;
        let records = self.records.join().map_err(|_| "the reader has panicked")??;
        Ok(Truth::new(&records, targets))
    }
}

/// The round trips that were captured, microseconds, by target in the order of their requests.
pub(crate) struct Truth(HashMap<Ipv4Addr, Vec<Option<f64>>>);

impl Truth {
    fn new(records: &[u8], targets: &[Ipv4Addr]) -> Self {
        let mut round_trips: HashMap<Ipv4Addr, Vec<Option<f64>>> =
            targets.iter().map(|target| (*target, Vec::new())).collect();
        let mut open = HashMap::new();
        for record in records.chunks_exact(RECORD) {
            let [s0, s1, s2, s3, s4, s5, s6, s7, a, b, c, d, i0, i1, q0, q1, reply] = *record else {
                continue;
            };
            let at = i64::from_ne_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
            let target = Ipv4Addr::new(a, b, c, d);
            let Some(list) = round_trips.get_mut(&target) else { continue };
            let key = (target, [i0, i1, q0, q1]);
            if reply == 0 {
                open.insert(key, (at, list.len()));
                list.push(None);
            } else if let Some((sent, index)) = open.remove(&key) {
                list[index] = Some((at - sent) as f64 / 1_000.0);
            }
        }
        Self(round_trips)
    }

    pub(crate) fn of(&self, target: Ipv4Addr) -> impl Iterator<Item = Option<f64>> {
        self.0.get(&target).into_iter().flatten().copied()
    }

    pub(crate) fn mean_us(&self) -> Result<f64, Box<dyn Error>> {
        let all: Vec<f64> = self.0.values().flatten().flatten().copied().collect();
        if all.is_empty() {
            return Err("nothing was captured".into());
        }
        Ok(all.iter().sum::<f64>() / all.len() as f64)
    }
}

/// The capturing process: writes records until it is killed.
pub(super) fn capture(device: &str) -> Result<(), Box<dyn Error>> {
    let socket = sys::packet_socket(device)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    out.write_all(b"+")?;
    out.flush()?;
    let mut packet = [0; 128];
    loop {
        while let Some((len, stamp_ns)) = sys::receive(&socket, &mut packet)? {
            if let Some(record) = record(&packet[..len], stamp_ns) {
                out.write_all(&record)?;
            }
        }
        out.flush()?;
        std::thread::park_timeout(PAUSE);
    }
}

/// Of an IPv4 packet with an ICMP echo or its reply.
fn record(packet: &[u8], stamp_ns: i64) -> Option<[u8; RECORD]> {
    let header = usize::from(packet.first()? & 15) * 4;
    let icmp = packet.get(header..header + 8)?;
    let reply = match (packet[0] >> 4, packet[9], icmp[0]) {
        (4, 1, 8) => false,
        (4, 1, 0) => true,
        _ => return None,
    };
    let mut record = [0; RECORD];
    record[..8].copy_from_slice(&stamp_ns.to_ne_bytes());
    record[8..12].copy_from_slice(if reply { &packet[12..16] } else { &packet[16..20] });
    record[12..16].copy_from_slice(&icmp[4..8]);
    record[16] = reply.into();
    Some(record)
}
