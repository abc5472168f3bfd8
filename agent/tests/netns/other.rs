//! The agent at the other end, in a process and a namespace of its own, and the name server beside it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ao_agent::event::Event;
use ao_agent::net::{Dns, Mode};
use ao_proto::v1::Directives;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use crate::incident::{self, CLIENT};
use crate::lab::{Lab, RESOLVER};
use crate::world::{self, SERVER};
use crate::{Source, scenarios};

/// Tells a process that it is the other agent.
const OTHER: &str = "AO_NETNS_OTHER";
/// Where the name server is told how to answer.
const CONTROL: u16 = 5353;
const DNS: u16 = 53;

/// How the name server answers.
const MOODS: [&str; 4] = ["well", "slow", "silent", "failing"];
const SLOW: Duration = Duration::from_millis(1500);

/// What it says when it knows all that it needs.
const WELL: &str = "all is well";

/// The other agent's process.
pub(crate) struct Other {
    child: Child,
    /// Kept open: what it says of itself must go somewhere.
    said: Option<BufReader<ChildStdout>>,
}

impl Other {
    /// Starts it in the namespace of `s`.
    pub(crate) fn start(lab: &Lab) -> Self {
        let child = Command::new("ip")
            .args(["netns", "exec", &lab.namespace("s")])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "other::inside", "--nocapture"])
            .env(OTHER, "1")
            .env_remove(scenarios::SCENARIO)
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let said = child.stdout.take().map(BufReader::new);
        Self { child, said }
    }

    /// Waits until it has measured for long enough.
    pub(crate) async fn is_well(&mut self) {
        let mut said = self.said.take().unwrap();
        let reading = tokio::task::spawn_blocking(move || {
            let well = said.by_ref().lines().map_while(Result::ok).any(|line| line.contains(WELL));
            (well, said)
        });
        let (well, said) = reading.await.unwrap();
        self.said = Some(said);
        assert!(well, "the other agent has ended");
    }

    /// Stops it for so many of every two seconds from now on, for as long as the future lives.
    pub(crate) async fn stop_for(&self, seconds: f64) {
        let process = Pid::from_child(&self.child);
        // No program is started for it: that would hold up the agent of this process, too.
        let signal = |signal| kill_process(process, signal).expect("the other agent is gone");
        loop {
            signal(Signal::STOP);
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            signal(Signal::CONT);
            tokio::time::sleep(Duration::from_secs_f64(2.0 - seconds)).await;
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _gone = (self.child.kill(), self.child.wait());
    }
}

/// Waits until the name server answers.
pub(crate) async fn names_are_found() {
    let dns = Dns { query: "peer.lab".into(), record: "A".into(), port: DNS, require_noerror: false };
    let server = SocketAddr::new(RESOLVER.parse().unwrap(), DNS);
    let deadline = Instant::now() + Duration::from_secs(20);
    while !matches!(timeout(Duration::from_millis(300), dns.ask(server, None)).await, Ok(Ok(0))) {
        assert!(Instant::now() < deadline, "the name server does not answer");
        tokio::task::yield_now().await;
    }
}

/// Tells the name server how to answer.
pub(crate) fn mood(mood: &str) {
    assert!(MOODS.contains(&mood), "{mood}: a name server is one of {MOODS:?}");
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.send_to(mood.as_bytes(), (RESOLVER, CONTROL)).unwrap();
}

/// Scenario: started by [`Other::start`] inside the namespace of `s`.
/// Guarantees: the agent of that end, until it is killed; nothing where nobody wants it.
#[test]
fn inside() {
    if std::env::var_os(OTHER).is_none() {
        return;
    }
    world::runtime().block_on(async {
        tokio::spawn(serve_names());
        let (ctx, prober, mut source) = Source::start(Mode::Raw);
        let directives = incident::directives((SERVER, "server"), (CLIENT, "client"));
        source.direct(Directives { latency: Vec::new(), ..directives });
        incident::measure(ctx, &prober, &incident::alarms());
        let mut well = false;
        while let Some(event) = source.events.recv().await {
            if let Event::Metrics(set) = event
                && set.exposition().contains("netmesh_delay_change_seconds")
                && !std::mem::replace(&mut well, true)
            {
                // The walk of the times when all is well takes less than what that needs.
                std::io::stdout().write_all(format!("{WELL}\n").as_bytes()).unwrap();
            }
        }
    });
}

/// Answers every question for an address with that of the server, in the mood that it is told.
async fn serve_names() {
    let [names, control] = [DNS, CONTROL].map(|port| UdpSocket::bind((RESOLVER, port)));
    let (names, control) = (Arc::new(names.await.unwrap()), control.await.unwrap());
    let (mut mood, mut buffer, mut told) = ("well".to_owned(), [0; 1500], [0; 16]);
    loop {
        tokio::select! {
            Ok(length) = control.recv(&mut told) => mood = String::from_utf8_lossy(&told[..length]).into_owned(),
            Ok((length, from)) = names.recv_from(&mut buffer) => {
                let (answer, names) = (answer(&buffer[..length], &mood), Arc::clone(&names));
                let later = if mood == "slow" { SLOW } else { Duration::ZERO };
                if mood != "silent" {
                    tokio::spawn(async move {
                        tokio::time::sleep(later).await;
                        let _lost = names.send_to(&answer, from).await;
                    });
                }
            }
        }
    }
}

/// RFC 1035 section 4: the question again, as an answer; behind it the address where one of IPv4 is asked for.
fn answer(question: &[u8], mood: &str) -> Vec<u8> {
    let mut answer = question.to_vec();
    answer[2] |= 0x80;
    answer[3] = if mood == "failing" { 2 } else { 0 };
    // Name, type A, class: the name ends with a zero, the type's low byte is the third behind it.
    let end = 12 + question[12..].iter().position(|byte| *byte == 0).unwrap_or(0);
    let is_a = question.get(end + 2) == Some(&1);
    // Extensions (RFC 6891) are not understood, and not repeated.
    answer.truncate(end + 5);
    answer[6..12].fill(0);
    if is_a && mood != "failing" {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(SERVER.parse::<std::net::Ipv4Addr>().unwrap().octets());
    }
    answer
}
