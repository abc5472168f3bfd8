//! The prober as a whole on this machine's loopback, beside somebody who hears its packets and answers as he should not.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use ao_common::units::Size;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, ipproto, recvfrom, sendto,
    socket_with,
};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::*;

/// Whom each test pings: an address of its own, since raw sockets hear everybody's packets.
const HOSTILE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const WISHED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);
const DOUBLED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const FAILING: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 12);

/// A raw socket of somebody else: `None`, and a word, where this machine allows none.
fn somebody(address: Ipv4Addr) -> Option<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let opened = socket_with(AddressFamily::INET, SocketType::RAW, flags, Some(ipproto::ICMP));
    match opened {
        Ok(fd) => {
            bind(&fd, &SocketAddr::new(address.into(), 0)).unwrap();
            Some(fd)
        }
        Err(error) => {
            eprintln!("SKIP: no raw sockets: {error}");
            None
        }
    }
}

/// The next echo request to an address, with its IP header.
async fn request(ear: &OwnedFd, dest: Ipv4Addr) -> Vec<u8> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut packet = [0; 4096];
        match recvfrom(ear, &mut packet, RecvFlags::empty()) {
            Ok((len, _, _)) if packet[20] == 8 && packet[16..20] == dest.octets() => {
                return packet[..len].to_vec();
            }
            Ok(_) => {}
            Err(_) => {
                assert!(Instant::now() < deadline, "no request");
                tokio::task::yield_now().await;
            }
        }
    }
}

/// With a right checksum.
fn sealed(mut message: Vec<u8>) -> Vec<u8> {
    if message.len() >= 4 {
        message[2..4].fill(0);
        let sum = packet::sum(&message);
        message[2..4].copy_from_slice(&(!sum).to_be_bytes());
    }
    message
}

fn prober(mode: Mode) -> Option<std::sync::Arc<Prober>> {
    let config = Config { mode: Some(mode), receive_buffer: Size::mib(1), ..Config::default() };
    match Prober::start(&config, CancellationToken::new()) {
        Ok(prober) => Some(prober),
        Err(error) => {
            eprintln!("SKIP: {error}");
            None
        }
    }
}

fn count(prober: &Prober, name: &str) -> u64 {
    prober.counted().snapshot().into_iter().find(|(kind, _)| *kind == name).unwrap().1
}

/// Waits until a count of the prober is as expected, or more: other programs of this machine may be heard, too.
async fn counted(prober: &Prober, name: &str, expected: u64) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while count(prober, name) < expected {
        assert!(Instant::now() < deadline, "{name}: {} instead of {expected}", count(prober, name));
        tokio::task::yield_now().await;
    }
}

/// Scenario: behind a good answer somebody sends the same answer again, one with another token, one from another address,
/// ones that are cut off, one with another id, errors that quote nothing, too little, and a packet of somebody else.
/// Guarantees: one answer; the same ones are duplicates, all else is foreign, and none becomes a figure.
#[tokio::test]
async fn hostile() {
    let (Some(ear), Some(other)) = (somebody(HOSTILE), somebody(Ipv4Addr::new(127, 0, 0, 8))) else { return };
    let Some(prober) = prober(Mode::Raw) else { return };
    let mut client = prober.client(16);
    let probe = Probe { key: 5, timeout: Duration::from_secs(20), ..Probe::to(HOSTILE.into()) };
    client.send(probe).await.unwrap();
    let asked = request(&ear, HOSTILE).await;
    let report = client.recv().await.unwrap();
    assert!(matches!(report.outcome, Outcome::Reply { ttl: Some(64), .. }) && report.key == 5, "{report:?}");

    let mut reply = asked[20..].to_vec();
    reply[0] = 0;
    let with = |at: usize| {
        let mut changed = reply.clone();
        changed[at] ^= 1;
        sealed(changed)
    };
    let us = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 0);
    let send = |from: &OwnedFd, message: &[u8]| {
        sendto(from, message, SendFlags::empty(), &us).unwrap();
    };
    for _ in 0..3 {
        send(&ear, &sealed(reply.clone()));
    }
    counted(&prober, "duplicate", 3).await;
    for _ in 0..3 {
        let report = client.recv().await.unwrap();
        assert!(matches!(report.outcome, Outcome::Duplicate) && report.key == 5, "{report:?}");
    }
    let before = count(&prober, "foreign");
    // Another token, another sequence number; the right one from another address; cut off behind the id.
    send(&ear, &with(8));
    send(&ear, &with(7));
    send(&other, &sealed(reply.clone()));
    send(&ear, &sealed(reply[..12].to_vec()));
    send(&ear, &sealed(reply[..8].to_vec()));
    // Time exceeded about nothing, about a part of a header, about somebody else's packet; unreachable with our id but
    // another token.
    let error = |kind: u8, quoted: &[u8]| sealed([&[kind, 0, 0, 0, 0, 0, 0, 0], quoted].concat());
    send(&other, &error(11, &[]));
    send(&other, &error(11, &asked[..12]));
    let mut foreign = asked.clone();
    foreign[24] ^= 1;
    send(&other, &error(11, &foreign));
    let mut token = asked.clone();
    token[29] ^= 1;
    send(&other, &error(3, &token));
    counted(&prober, "foreign", before + 9).await;
    // With another id: kept away by the filter, counted nowhere.
    send(&ear, &with(5));
    // An error about a probe that has been answered is no second answer of the target, but one more to it.
    send(&other, &error(11, &asked));
    counted(&prober, "duplicate", 4).await;
    assert_eq!(count(&prober, "duplicate"), 4);
    assert!(matches!(client.recv().await.unwrap().outcome, Outcome::Duplicate));
    let silent = timeout(Duration::from_millis(50), client.recv()).await;
    assert!(silent.is_err(), "{silent:?}");
}

/// Scenario: probes with a size, a class, a TTL and a source address of their own.
/// Guarantees: the packets have them; a source that this machine has not, or of the other family, is told and never sent.
#[tokio::test]
async fn as_wished() {
    let Some(ear) = somebody(WISHED) else { return };
    for mode in [Mode::Raw, Mode::Ping] {
        let Some(prober) = prober(mode) else { continue };
        let mut client = prober.client(4);
        let source = Ipv4Addr::new(127, 0, 0, 77);
        for (size, tos, ttl) in [(10, 0, 64), (56, 0xb8, 7), (1400, 0x20, 255), (9000, 0, 64)] {
            let probe =
                Probe { size, tos, ttl: Some(ttl), source: Some(source.into()), ..Probe::to(WISHED.into()) };
            client.send(probe).await.unwrap();
            let asked = request(&ear, WISHED).await;
            let length = u16::from_be_bytes([asked[2], asked[3]]);
            assert_eq!((asked[1], asked[8], length), (tos, ttl, size + 28), "{mode}");
            assert_eq!(asked[12..16], source.octets(), "{mode}");
            let report = client.recv().await.unwrap();
            assert!(matches!(report.outcome, Outcome::Reply { .. }), "{mode} {report:?}");
        }
        for (source, word) in [("192.0.2.1", "192.0.2"), ("::1", "family")] {
            let probe = Probe { source: Some(source.parse().unwrap()), ..Probe::to(WISHED.into()) };
            client.send(probe).await.unwrap();
            match client.recv().await.unwrap().outcome {
                Outcome::NotSent(why) => {
                    assert!(word == "192.0.2" || why.to_string().contains(word), "{why}")
                }
                other => panic!("{mode} {source}: {other:?}"),
            }
        }
        // And goes on: the kernel's count of send calls was begun again. It may take a moment to begin with its stamps.
        let mut stamped = false;
        for _ in 0..100 {
            client.send(Probe::to(WISHED.into())).await.unwrap();
            let report = client.recv().await.unwrap();
            assert!(matches!(report.outcome, Outcome::Reply { .. }), "{mode} {report:?}");
            stamped = report.gap.is_some();
            if stamped {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(stamped, "{mode}");
    }
}

/// Scenario: thirty pings handed over at once, one from an address that is not ours between any two others.
/// Guarantees: those that fail say so; the others have both stamps.
#[tokio::test]
async fn failures_between() {
    for mode in [Mode::Raw, Mode::Ping] {
        let Some(prober) = prober(mode) else { continue };
        let mut client = prober.client(30);
        // The kernel begins to stamp a moment after it is asked to.
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut warm = false;
        while !warm {
            assert!(Instant::now() < deadline, "{mode}: no stamps");
            client.send(Probe::to(FAILING.into())).await.unwrap();
            warm = client.recv().await.unwrap().gap.is_some();
        }
        for key in 0..30 {
            let source = (key % 2 == 1).then(|| "192.0.2.1".parse().unwrap());
            assert!(client.try_send(Probe { key, source, ..Probe::to(FAILING.into()) }).unwrap());
        }
        let mut stamped = 0;
        for _ in 0..30 {
            let report = client.recv().await.unwrap();
            match report.outcome {
                Outcome::Reply { .. } if report.key % 2 == 0 => stamped += u32::from(report.gap.is_some()),
                Outcome::NotSent(_) if report.key % 2 == 1 => {}
                other => panic!("{mode} {}: {other:?}", report.key),
            }
        }
        // A machine under load may have no stamp for one.
        assert!(stamped >= 12, "{mode} {stamped}");
    }
}

/// Scenario: a client that may have eight probes unread is answered a hundred times for its first one, and reads nothing.
/// Guarantees: it can send all eight; notes of duplicates take the room that is left, all are counted.
#[tokio::test]
async fn duplicates_leave_room() {
    let Some(ear) = somebody(DOUBLED) else { return };
    let Some(prober) = prober(Mode::Raw) else { return };
    let mut client = prober.client(8);
    let probe = Probe { timeout: Duration::from_secs(20), ..Probe::to(DOUBLED.into()) };
    client.send(probe).await.unwrap();
    let mut reply = request(&ear, DOUBLED).await[20..].to_vec();
    reply[0] = 0;
    let us = SocketAddr::new(IpAddr::from([127, 0, 0, 1]), 0);
    for _ in 0..100 {
        sendto(&ear, &sealed(reply.clone()), SendFlags::empty(), &us).unwrap();
    }
    counted(&prober, "duplicate", 100).await;
    for _ in 1..8 {
        timeout(Duration::from_secs(10), client.send(probe)).await.expect("there is room").unwrap();
    }
    let (mut replies, mut notes) = (0, 0);
    while replies < 8 {
        match timeout(Duration::from_secs(10), client.recv()).await.unwrap().unwrap().outcome {
            Outcome::Reply { .. } => replies += 1,
            Outcome::Duplicate => notes += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=8).contains(&notes), "{notes}");
}

/// Scenario: a thousand probes at once, by each kind of socket.
/// Guarantees: each is answered; none is lost by this machine.
#[tokio::test]
async fn burst() {
    for mode in [Mode::Raw, Mode::Ping] {
        let Some(prober) = prober(mode) else { continue };
        let mut client = prober.client(1000);
        for n in 0..1000_u16 {
            let [high, low] = n.to_be_bytes();
            let probe = Probe {
                key: n.into(),
                timeout: Duration::from_secs(20),
                ..Probe::to([127, 1, high, low].into())
            };
            client.send(probe).await.unwrap();
        }
        for _ in 0..1000 {
            let report = client.recv().await.unwrap();
            assert!(matches!(report.outcome, Outcome::Reply { .. }), "{mode} {report:?}");
        }
        assert_eq!(count(&prober, "overflow"), 0);
    }
}
