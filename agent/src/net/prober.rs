//! The handles to the prober, and the choice of the best mode that the machine allows.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ao_common::units::Size;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::api::{Capability, Counted, Mode, Probe, Report};
use super::budget::Budget;
use super::driver::{Crafting, Driver, Request};
use super::socket::{Kind, Socket};

/// Requests that wait for the driver.
const REQUESTS: usize = 1024;

/// How to probe.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `raw`, `ping` or `connect`; left out, the best that the machine allows.
    pub mode: Option<Mode>,
    /// Receive buffer of each socket, and send buffer. Answers beyond it are lost and look like loss on the network.
    pub receive_buffer: Size,
    /// Ports for TCP connects in mode `connect`. Closed ones answer, too; silent ones make way for the next.
    pub tcp_ports: Vec<u16>,
}

impl Default for Config {
    fn default() -> Self {
        Self { mode: None, receive_buffer: Size::mib(8), tcp_ports: vec![443, 80, 22, 7] }
    }
}

/// Why no prober could be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The mode is set in the configuration and the machine denies it.
    #[error("cannot probe the network in mode {mode}: {source}")]
    Denied {
        /// The configured mode.
        mode: Mode,
        /// The system's reason.
        source: io::Error,
    },
}

/// The prober is gone, because the agent stops.
#[derive(Debug, thiserror::Error)]
#[error("the prober has stopped")]
pub struct Stopped;

/// The one prober of the agent. Cheap to share.
#[derive(Debug)]
pub struct Prober {
    requests: mpsc::Sender<Request>,
    capability: Capability,
    counted: Arc<Counted>,
    budget: Mutex<Budget>,
}

impl Prober {
    /// Opens the sockets and starts the driver; it ends with `shutdown` or when all handles are dropped. To be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// When the configured mode is denied. Without one there is always a mode that works.
    pub fn start(config: &Config, shutdown: CancellationToken) -> Result<Arc<Self>, OpenError> {
        let (v4, v6, capability) = open(config)?;
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let counted = Arc::new(Counted::default());
        let tcp_ports = (capability.mode == Mode::Connect).then(|| config.tcp_ports.clone().into());
        let buffer = usize::try_from(config.receive_buffer.0).unwrap_or(usize::MAX);
        let crafting = Crafting::new(capability.mode, buffer);
        let counted_too = Arc::clone(&counted);
        let driver =
            Driver { v4, v6, crafting, tcp_ports, requests: receiver, counted: counted_too, shutdown };
        tokio::spawn(driver.run());
        tracing::info!(mode = %capability.mode, command = capability.command, "{}", capability.sentence);
        Ok(Arc::new(Self { requests, capability, counted, budget: Mutex::default() }))
    }

    /// How round trips are measured on this machine, and what would allow more.
    pub fn capability(&self) -> &Capability {
        &self.capability
    }

    /// The mode in use.
    pub fn mode(&self) -> Mode {
        self.capability.mode
    }

    /// Counts of what belongs to no report.
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// When each router may be made to answer again: one budget for all who ask.
    pub(crate) fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client that may have `capacity` probes without a report read. Its queue is twice as long: notes of duplicates,
    /// of which others decide how many come, take no more than half of it, so that they never keep back a probe.
    pub fn client(&self, capacity: usize) -> Client {
        let (own, reports) = mpsc::channel(2 * capacity.max(1));
        Client { requests: self.requests.clone(), own, reports }
    }
}

/// A source's own queue of reports.
#[derive(Debug)]
pub struct Client {
    requests: mpsc::Sender<Request>,
    own: mpsc::Sender<Report>,
    reports: mpsc::Receiver<Report>,
}

impl Client {
    /// Whether there is room for a probe in the client's and the driver's queue.
    pub fn has_room(&self) -> bool {
        self.own.capacity() > 0 && self.requests.capacity() > 0
    }

    /// Sends a probe, or gives it back (`Ok(false)`) when the client's or the driver's queue is full: then read reports
    /// and try again.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn try_send(&self, probe: Probe) -> Result<bool, Stopped> {
        let Ok(permit) = self.own.clone().try_reserve_owned() else { return Ok(false) };
        match self.requests.try_send(Request { probe, permit }) {
            Ok(()) => Ok(true),
            Err(mpsc::error::TrySendError::Full(_)) => Ok(false),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(Stopped),
        }
    }

    /// Sends a probe, waiting for the driver's queue. Never call it with the capacity's number of probes under way or
    /// unread: it would wait for itself.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn send(&self, probe: Probe) -> Result<(), Stopped> {
        let permit = self.own.clone().reserve_owned().await.map_err(|_| Stopped)?;
        self.requests.send(Request { probe, permit }).await.map_err(|_| Stopped)
    }

    /// A report that is there.
    pub fn try_recv(&mut self) -> Option<Report> {
        self.reports.try_recv().ok()
    }

    /// The next report. `None` is never given while the client lives; after [`Stopped`] it waits for ever.
    pub async fn recv(&mut self) -> Option<Report> {
        self.reports.recv().await
    }
}

type Opened = (Option<Socket>, Option<Socket>, Capability);

fn open(config: &Config) -> Result<Opened, OpenError> {
    let buffer = usize::try_from(config.receive_buffer.0).unwrap_or(usize::MAX);
    let pair = |kind| {
        // IPv6 may be switched off on the machine; IPv4 decides on the mode unless it is the one that is missing.
        let (v4, v6) = (Socket::open(kind, false, buffer), Socket::open(kind, true, buffer));
        match (v4, v6) {
            (Err(error), Err(_)) => Err(error),
            (v4, v6) => Ok((v4.ok(), v6.ok())),
        }
    };
    let all = [Mode::Raw, Mode::Ping, Mode::Connect];
    let wanted: &[Mode] = config.mode.as_ref().map_or(&all[..], std::slice::from_ref);
    let mut denied = None;
    for mode in wanted {
        let kind = match mode {
            Mode::Raw => Kind::Raw,
            Mode::Ping => Kind::Ping,
            Mode::Connect => Kind::Udp,
        };
        match pair(kind) {
            Ok((v4, v6)) => return Ok((v4, v6, capability(*mode, config.mode.is_some()))),
            Err(source) => denied = Some(OpenError::Denied { mode: *mode, source }),
        }
    }
    match denied {
        Some(error) if config.mode.is_some() => Err(error),
        // TCP connects need no socket of ours.
        _ => Ok((None, None, capability(Mode::Connect, false))),
    }
}

fn capability(mode: Mode, configured: bool) -> Capability {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("ao-agent"));
    let setcap = format!("sudo setcap cap_net_raw+ep {}", program.display());
    let why = if configured { "configured" } else { "raw sockets are denied" };
    let (sentence, command) = match mode {
        Mode::Raw => {
            ("Round trips and paths by ICMP on raw sockets, stamped by the kernel.".to_owned(), None)
        }
        Mode::Ping => (
            format!(
                "Round trips and paths by ICMP on unprivileged ping sockets, stamped by the kernel ({why})."
            ),
            (!configured).then_some(setcap),
        ),
        Mode::Connect => (
            format!("Round trips by TCP connect and paths by UDP; ICMP is not used ({why})."),
            (!configured).then_some(setcap),
        ),
    };
    Capability { mode, sentence, command }
}
