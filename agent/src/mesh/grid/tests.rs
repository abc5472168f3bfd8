//! Peers on a simulated clock and network.

use super::*;
use crate::mesh::packet::Times;

const PORTS: u16 = 4;

fn grid(peers: &[v1::Peer]) -> Grid {
    let mut grid = Grid::new(Config { ports: PORTS, ..Config::default() });
    grid.apply(peers, Instant::now());
    grid
}

fn peer(last: u8) -> v1::Peer {
    v1::Peer {
        node: format!("node-{last}"),
        zone: "z".to_owned(),
        address: format!("10.0.0.{last}"),
        port: 4418,
        synchronised: false,
    }
}

/// Runs for so long; `network` says of each question whether it is answered, or refused by this machine.
async fn run(grid: &mut Grid, secs: u64, network: impl Fn(&Question) -> Option<bool>) -> Vec<Event> {
    let end = Instant::now() + Duration::from_secs(secs);
    let mut events = Vec::new();
    while Instant::now() < end {
        grid.wait().await;
        match grid.due(Instant::now(), |place, _| 40_000 + place as u16) {
            Some(Due::Ask(question)) => match network(&question) {
                Some(true) => {
                    let at_ns = question.asked.sent_ns;
                    let times = Times { received_ns: at_ns, answered_ns: at_ns, anchor_ns: 0 };
                    grid.answered(&Answer { token: question.token, times, came_ns: at_ns + 1000 });
                }
                Some(false) => grid.unsent(&question, &io::Error::from_raw_os_error(libc::EMSGSIZE)),
                None => grid.expire(i64::MAX),
            },
            Some(Due::Export(cell, _)) => grid.export(cell, None),
            None => {}
        }
        events.extend(grid.events());
    }
    events
}

fn lines(events: &[Event]) -> Vec<&str> {
    let mut lines = Vec::new();
    for event in events {
        if let Event::Logs(chunk) = event {
            lines.push(chunk.text.as_str());
        }
    }
    lines
}

fn value(events: &[Event], node: &str, name: &str) -> Option<f64> {
    let of_node = |event: &&Event| matches!(event, Event::Metrics(set) if set.group == node);
    let Some(Event::Metrics(set)) = events.iter().rfind(of_node) else { return None };
    let family = set.families.iter().position(|family| set.text(&family.name) == name)?;
    set.samples.iter().find(|sample| sample.family as usize == family).map(|sample| sample.value)
}

/// Scenario: two peers for ten minutes, one of them away; the interface takes 1500 bytes, a tunnel on the way 1450; one
/// source port dies after five minutes.
/// Guarantees: echoes are counted for each; the path's MTU is found; the dead port is said once, by its number; a peer
/// that is away has loss and nothing else.
#[tokio::test(start_paused = true)]
async fn two_peers() {
    let mut grid = grid(&[peer(1), peer(2)]);
    let path = |question: &Question| {
        if question.bytes + usize::from(HEADERS_V4) > 1500 {
            return Some(false);
        }
        let away = question.to.ip() == IpAddr::from([10, 0, 0, 2]);
        (!away && question.bytes + usize::from(HEADERS_V4) <= 1450).then_some(true)
    };
    let events = run(&mut grid, 300, path).await;
    assert_eq!(lines(&events), Vec::<&str>::new());
    assert_eq!(value(&events, "node-1", "netmesh_path_mtu_bytes"), Some(1450.0));
    assert_eq!(value(&events, "node-1", "netmesh_echo_loss_ratio"), Some(0.0));
    assert_eq!(value(&events, "node-2", "netmesh_echo_loss_ratio"), Some(1.0));
    assert_eq!(value(&events, "node-2", "netmesh_path_mtu_bytes"), None);
    let requests = value(&events, "node-1", "netmesh_echo_requests_total").expect("counted");
    assert!((270.0..=300.0).contains(&requests), "{requests}");
    let events = run(&mut grid, 300, |question| path(question).filter(|_| question.port != 2)).await;
    let said = lines(&events);
    assert!(said.len() == 1 && said[0].contains("[40002]") && said[0].contains("node-1"), "{said:?}");
    assert_eq!(value(&events, "node-1", "netmesh_ports_dead"), Some(1.0));
    assert_eq!(value(&events, "node-2", "netmesh_ports_dead"), Some(0.0));
}

/// Scenario: this machine has no room to send for a minute, then no route.
/// Guarantees: what has not left for its own sake is counted apart and is no loss; without a route all is lost.
#[tokio::test(start_paused = true)]
async fn not_sent() {
    for (error, lost) in
        [(libc::EAGAIN, false), (libc::ENOBUFS, false), (libc::EMFILE, false), (libc::ENETUNREACH, true)]
    {
        let mut grid = grid(&[peer(1)]);
        let end = Instant::now() + Duration::from_secs(130);
        while Instant::now() < end {
            grid.wait().await;
            if let Some(Due::Ask(question)) = grid.due(Instant::now(), |_, _| 0) {
                grid.unsent(&question, &io::Error::from_raw_os_error(error));
            }
        }
        let cell = grid.cells.values().next().expect("a peer");
        assert_eq!((cell.asked > 100, cell.unsent > 100), (lost, !lost), "{error}");
        assert_eq!(cell.told.as_ref().map(|told| told.lost > 50), lost.then_some(true), "{error}");
        assert_eq!(grid.troubles().len(), 0);
    }
}

/// Scenario: peers come, go and make no sense.
/// Guarantees: those that stay keep their counts; the series of one that goes end; nonsense is left out.
#[tokio::test(start_paused = true)]
async fn peers_change() {
    let mut grid = grid(&[peer(1), peer(2), v1::Peer { address: "nowhere".to_owned(), ..peer(3) }]);
    assert_eq!(grid.addresses().len(), 2);
    run(&mut grid, 60, |_| Some(true)).await;
    grid.apply(&[peer(1)], Instant::now());
    let events = grid.events();
    assert!(matches!(&events[..], [Event::Metrics(set)] if set.group == "node-2" && set.samples.is_empty()));
    let events = run(&mut grid, 60, |_| Some(true)).await;
    assert!(value(&events, "node-1", "netmesh_echo_requests_total") > Some(90.0));
    assert_eq!(value(&events, "node-2", "netmesh_echo_requests_total"), None);
}
