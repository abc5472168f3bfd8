//! The one task behind a [`Prober`](super::Prober): sends what clients ask for, reads what comes, times out the rest.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::api::{Counted, Mode, Outcome, Probe, Report, SendError, Way};
use super::crafted;
use super::slots::{Incoming, Moment, Sent, Slots, Verdict};
use super::socket::{Kind, Look, Queue, Received, Socket};
use super::tcp::{self, Ports};

/// Requests taken before the sockets are looked at again.
const BATCH: usize = 64;

/// Packets read from a queue before the others have their turn: what comes faster than it is read must not keep this task
/// from sending, timing out and ending.
const PACKETS: usize = 4096;

/// The same before probes are timed out: all that the receive buffer holds by default.
const BUFFER: usize = 32_768;

/// Failed receive calls in a row of reading after which a socket is left alone for the moment.
const FAILURES: u32 = 64;

/// TCP connects under way at most; each holds a file descriptor.
const CONNECTS: usize = 256;

/// A probe and the place in its client's queue that is kept for its end.
pub(super) struct Request {
    pub(super) probe: Probe,
    pub(super) permit: mpsc::OwnedPermit<Report>,
}

enum Owner {
    Waiting(mpsc::OwnedPermit<Report>, u64),
    Done(mpsc::Sender<Report>, u64),
    /// Only while an owner changes from one to the other.
    Gone,
}

pub(super) struct Driver {
    pub(super) v4: Option<Socket>,
    pub(super) v6: Option<Socket>,
    /// For UDP and TCP probes, once there is one.
    pub(super) crafting: Crafting,
    /// Ports for TCP connects; `None` where ICMP is allowed.
    pub(super) tcp_ports: Option<Arc<[u16]>>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) counted: Arc<Counted>,
    pub(super) shutdown: CancellationToken,
}

impl Driver {
    pub(super) async fn run(mut self) {
        let mut table = Table { slots: Slots::default(), counted: Arc::clone(&self.counted) };
        let mut connects = Connects::default();
        let shutdown = self.shutdown.clone();
        let mut shutdown = std::pin::pin!(shutdown.cancelled());
        loop {
            let deadline = table.slots.next();
            // In no order: a socket that always has more comes before nobody else each time.
            tokio::select! {
                () = &mut shutdown => return,
                Some(socket) = readable(self.v4.as_ref()) => table.drain(socket, Look::Ready, PACKETS),
                Some(socket) = readable(self.v6.as_ref()) => table.drain(socket, Look::Ready, PACKETS),
                Some(socket) = readable(self.crafting.heard[0].as_ref()) => table.drain(socket, Look::Ready, PACKETS),
                Some(socket) = readable(self.crafting.heard[1].as_ref()) => table.drain(socket, Look::Ready, PACKETS),
                () = until(deadline) => self.expire(&mut table),
                Some(done) = connects.running.join_next() => connects.done(done),
                request = self.requests.recv() => {
                    let Some(request) = request else { return };
                    self.accept(request, &mut table, &mut connects);
                    for _ in 1..BATCH {
                        let Ok(request) = self.requests.try_recv() else { break };
                        self.accept(request, &mut table, &mut connects);
                    }
                    let own = [&mut self.v4, &mut self.v6].into_iter();
                    for socket in own.chain(&mut self.crafting.sent).flatten() {
                        // Their stamps are there before the send call returns, but for slow devices: looking whether
                        // there are more would be one call more for each ping.
                        let sent = socket.take_sent();
                        table.drain_queue(socket, Queue::Errors, Look::Now, sent);
                    }
                }
            }
        }
    }

    fn accept(&mut self, request: Request, table: &mut Table, connects: &mut Connects) {
        let plain =
            matches!(request.probe.way, Way::Echo { flow } if flow == 0 || self.crafting.mode == Mode::Raw);
        if !plain {
            let dest = request.probe.dest;
            match self.crafting.open(dest.is_ipv6(), matches!(request.probe.way, Way::Tcp { .. })) {
                Some(socket) => table.send(request, Some(socket)),
                None => table.refuse(request, SendError::NeedsRaw(dest)),
            }
            return;
        }
        if let (Some(ports), None) = (&self.tcp_ports, request.probe.ttl) {
            connects.start(request, ports);
            return;
        }
        let socket = if request.probe.dest.is_ipv4() { &mut self.v4 } else { &mut self.v6 };
        table.send(request, socket.as_mut());
    }

    /// Times probes out, after a look for their answers: those that wait in the buffers came before the deadlines did.
    fn expire(&self, table: &mut Table) {
        let due = table.slots.due(Instant::now());
        if due.is_empty() {
            return;
        }
        for socket in [&self.v4, &self.v6].into_iter().chain(&self.crafting.heard).flatten() {
            table.drain(socket, Look::Now, BUFFER);
        }
        for sequence in due {
            if table.slots.time_out(sequence) {
                table.finish(sequence, Outcome::Timeout);
            }
        }
    }
}

/// Sockets of mode `raw` for probes that are built whole, IPv4 first; opened for the first of them.
pub(super) struct Crafting {
    mode: Mode,
    buffer: usize,
    sent: [Option<Socket>; 2],
    /// TCP answers; those to UDP are ICMP errors.
    heard: [Option<Socket>; 2],
}

impl Crafting {
    pub(super) fn new(mode: Mode, buffer: usize) -> Self {
        Self { mode, buffer, sent: [None, None], heard: [None, None] }
    }

    fn open(&mut self, v6: bool, tcp: bool) -> Option<&mut Socket> {
        if self.mode != Mode::Raw {
            return None;
        }
        let at = usize::from(v6);
        let heard = if tcp { Some((&mut self.heard[at], Kind::Tcp)) } else { None };
        for (place, kind) in heard.into_iter().chain([(&mut self.sent[at], Kind::Crafted)]) {
            if place.is_none() {
                match Socket::open(kind, v6, self.buffer) {
                    Ok(socket) => *place = Some(socket),
                    Err(error) => {
                        tracing::warn!(%error, ?kind, "cannot open a socket for UDP and TCP probes");
                        return None;
                    }
                }
            }
        }
        self.sent[at].as_mut()
    }
}

/// Waits for a socket's packets. `None`, which no `select!` waits for, only where tokio itself is at its end.
async fn readable(socket: Option<&Socket>) -> Option<&Socket> {
    let Some(socket) = socket else { return std::future::pending().await };
    socket.readable().await.ok().map(|()| socket)
}

/// For ever where there is no such time.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Probes by ICMP or UDP that wait for their answers.
struct Table {
    slots: Slots<Owner>,
    counted: Arc<Counted>,
}

impl Table {
    fn refuse(&self, Request { probe, permit }: Request, error: SendError) {
        permit.send(Report { key: probe.key, outcome: Outcome::NotSent(error), gap: None });
    }

    fn send(&mut self, request: Request, socket: Option<&mut Socket>) {
        let Request { probe, permit } = request;
        let end = |permit: mpsc::OwnedPermit<Report>, error| {
            permit.send(Report { key: probe.key, outcome: Outcome::NotSent(error), gap: None });
        };
        let Some(socket) = socket else { return end(permit, SendError::NoSocket(probe.dest)) };
        // 0 is no number for a crafted packet.
        let taken = self.slots.take().and_then(|n| if n == 0 { self.slots.take() } else { Some(n) });
        let Some(sequence) = taken else { return end(permit, SendError::Full(probe.dest)) };
        let token = crafted::token(probe.way, rand::random());
        let mut attempt = || {
            let sent = Sent { by: Moment::now(), stamp_ns: None };
            socket.send(&probe, sequence, token).map(|()| sent).inspect_err(|_| {
                // On ping and UDP sockets an ICMP error about an earlier probe fails the next call, whatever it sends;
                // reading the error queue clears that. And the stamps of what was sent before are in it.
                self.drain_errors(socket, Look::Now);
                socket.renumber();
            })
        };
        let sent = attempt().or_else(|_| attempt());
        match sent {
            Ok(sent) => {
                let owner = Owner::Waiting(permit, probe.key);
                self.slots.insert(sequence, probe.dest, token, probe.timeout, sent, owner);
            }
            Err(source) => end(permit, SendError::Io { dest: probe.dest, source }),
        }
    }

    /// Reads what has come, up to `most` of each queue.
    fn drain(&mut self, socket: &Socket, look: Look, most: usize) {
        if look == Look::Now || socket.answers_by_errors() {
            self.drain_queue(socket, Queue::Errors, look, most);
        }
        self.drain_queue(socket, Queue::Data, look, most);
    }

    fn drain_errors(&mut self, socket: &Socket, look: Look) {
        self.drain_queue(socket, Queue::Errors, look, PACKETS);
    }

    /// Reads up to `most` of what has come.
    fn drain_queue(&mut self, socket: &Socket, queue: Queue, look: Look, most: usize) {
        let (mut failures, mut read) = (0, 0);
        while failures < FAILURES && read < most {
            read += 1;
            match socket.receive(queue, look) {
                Ok(Some((received, overflow))) => {
                    self.counted.overflow[usize::from(socket.is_v6())].fetch_add(overflow, Ordering::Relaxed);
                    match received {
                        Received::Stamp { sequence, stamp_ns } => self.slots.stamp(sequence, stamp_ns),
                        Received::Foreign => Counted::add(&self.counted.foreign),
                        Received::Incoming(incoming) => {
                            // An answer may be read before its probe's send stamp, which waits in the other queue.
                            if queue == Queue::Data && self.slots.lacks_stamp(&incoming) {
                                self.drain_errors(socket, Look::Now);
                            }
                            self.hear(&incoming);
                        }
                    }
                }
                Ok(None) => break,
                // Errors of earlier probes show up here, too; each call takes one away.
                Err(_) => {
                    Counted::add(&self.counted.receive_errors);
                    failures += 1;
                }
            }
        }
    }

    fn hear(&mut self, incoming: &Incoming) {
        let verdict = self.slots.hear(incoming, Moment::now());
        self.counted.clock_steps.fetch_add(self.slots.take_steps(), Ordering::Relaxed);
        match verdict {
            Verdict::Final(sequence, outcome) => self.finish(sequence, outcome),
            Verdict::Duplicate(sequence) => {
                Counted::add(&self.counted.duplicates);
                if let Some(Owner::Done(client, key)) = self.slots.owner(sequence) {
                    // A client that is behind misses the note, not the count above: the other half of its queue is
                    // kept for its probes.
                    if client.capacity() > client.max_capacity() / 2 {
                        let note = Report { key: *key, outcome: Outcome::Duplicate, gap: None };
                        let _gone = client.try_send(note);
                    }
                }
            }
            Verdict::Late => Counted::add(&self.counted.late),
            Verdict::Foreign => Counted::add(&self.counted.foreign),
        }
    }

    fn finish(&mut self, sequence: u16, outcome: Outcome) {
        let gap = self.slots.gap(sequence);
        let Some(owner) = self.slots.owner(sequence) else { return };
        if let Owner::Waiting(permit, key) = std::mem::replace(owner, Owner::Gone) {
            *owner = Owner::Done(permit.send(Report { key, outcome, gap }), key);
        }
    }
}

/// Round trips by TCP, where ICMP is denied.
#[derive(Default)]
struct Connects {
    running: JoinSet<(IpAddr, usize, Option<bool>)>,
    ports: Ports,
}

impl Connects {
    fn start(&mut self, request: Request, ports: &Arc<[u16]>) {
        let Request { probe, permit } = request;
        let index = self.ports.next(probe.dest);
        let port = (!ports.is_empty()).then(|| ports[index % ports.len()]);
        let (Some(port), true) = (port, self.running.len() < CONNECTS) else {
            let outcome = Outcome::NotSent(SendError::Full(probe.dest));
            permit.send(Report { key: probe.key, outcome, gap: None });
            return;
        };
        self.running.spawn(async move {
            let outcome =
                tcp::round_trip(SocketAddr::new(probe.dest, port), probe.source, probe.timeout).await;
            let answered = match outcome {
                Outcome::Reply { .. } => Some(true),
                Outcome::Timeout | Outcome::Unreachable { .. } => Some(false),
                _ => None,
            };
            permit.send(Report { key: probe.key, outcome, gap: None });
            (probe.dest, index, answered)
        });
    }

    fn done(&mut self, done: Result<(IpAddr, usize, Option<bool>), tokio::task::JoinError>) {
        if let Ok((dest, index, Some(answered))) = done {
            self.ports.tried(dest, index, answered);
        }
    }
}
