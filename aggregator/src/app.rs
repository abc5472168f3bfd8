//! The wiring: journals, fan-out, ingest and console; stopped in the order of the data's way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ao_common::admin::{self, Admin, BindError};
use ao_common::clock::Kept;
use ao_common::health::Health;
use ao_common::journal::JournalError;
use ao_common::shutdown::{Roll, Tasks};
use ao_common::telemetry::LogHandle;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::api::{About, ApiState};
use crate::clock;
use crate::config::Config;
use crate::console;
use crate::control::{self, Plans};
use crate::fanout::{self, FanoutError, Ground};
use crate::identity::{Identity, IdentityError};
use crate::ingest::{self, Ingest};
use crate::journal;
use crate::ledger::Ledger;
use crate::metrics::{Inventory, Metrics};
use crate::nodes::Nodes;
use crate::sink::{self, embedded::Store};
use crate::up;
use crate::verify::{self, Parts, PlaceError, Verifier};

/// How long each stage may take to end.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the aggregator cannot start.
#[derive(Debug, Error)]
pub enum AppError {
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The journals.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A sink's section.
    #[error(transparent)]
    Sink(#[from] sink::OpenError),
    /// Where a sink is queried.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// Certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The fan-out.
    #[error(transparent)]
    Fanout(#[from] FanoutError),
}

/// Runs the aggregator until `shutdown`.
///
/// # Errors
/// Where it cannot start; what goes wrong later is retried, counted and shown in `/readyz`.
pub async fn run(
    config: Config,
    log: Option<LogHandle>,
    shutdown: CancellationToken,
) -> Result<(), AppError> {
    let health = Health::new();
    let doors = admin::bind(config.http.listen, "the aggregator's HTTP server", "http.listen").await?;
    let agents = admin::bind(config.ingest.listen, "the agents' streams", "ingest.listen").await?;
    let anchor = Kept::restore(&config.data_dir);
    let ledger = Ledger::default();
    let store = Store::new(&config.sinks.embedded);
    let places = verify::places(&config.sinks, &store)?;
    let mut sinks = sink::open(&config.sinks)?;
    sinks.push(Arc::new(store.clone()));
    for sink in &sinks {
        sink.classes().iter().for_each(|class| ledger.open(sink.name(), *class));
    }
    let names: Vec<_> = sinks.iter().map(|sink| sink.name()).collect();
    let (journal, memory) = journal::open(&config.data_dir, &config.journal, &ledger, &names)?;
    let (nodes, plans) = (Nodes::open(&config.data_dir), Plans::default());
    let metrics = Arc::new(Metrics::default());
    let mut registry = Registry::default();
    ao_common::process::register(&mut registry, "ao-aggregator", env!("CARGO_PKG_VERSION"));
    metrics.register(&mut registry);
    let inventory = Inventory { journal: journal.clone(), ledger: ledger.clone(), nodes: nodes.clone() };
    registry.register_collector(Box::new(inventory));
    let identity = identity(&config, &mut registry)?;

    let roll = Roll::default();
    registry.register_collector(Box::new(roll.clone()));
    let back_ends = CancellationToken::new();
    let mut back = Tasks::on(&roll);
    let ground = Ground {
        dir: &config.data_dir,
        journal: &journal,
        ledger: &ledger,
        health: &health,
        registry: &mut registry,
        tasks: &mut back,
        shutdown: back_ends.clone(),
    };
    let statuses = fanout::spawn(&config.fanout, &sinks, ground)?;

    let looked_at = clock::watch(nodes.clone(), health.part("clock"), anchor, back_ends.clone());
    back.spawn("clock", looked_at);
    let ingest_ends = CancellationToken::new();
    let ingest = Ingest::new(
        config.ingest.clone(),
        config.name.clone(),
        journal.clone(),
        memory,
        &ledger,
        nodes.clone(),
        plans.clone(),
        identity.clone(),
        metrics,
        ingest_ends.clone(),
    );
    let canaries = ingest.canaries.clone();
    let mut front = Tasks::on(&roll);
    front.spawn("pressure", ingest.pressure(&config.journal, &config.data_dir));
    back.spawn("nodes", nodes.clone().keep(back_ends.clone()));
    // Alone, this aggregator is the one author of what must have one.
    let (lease, author) = watch::channel(true);
    front
        .spawn("up", up::run(config.up.clone(), nodes.clone(), journal.clone(), author, ingest_ends.clone()));
    if let Some(identity) = identity {
        front.spawn("identity", identity.run(health.part("identity"), ingest_ends.clone()));
    }
    front.spawn("ingest", async move {
        if let Err(error) = ingest::serve(ingest, agents).await {
            error!(%error, "the agents' door has closed");
        }
    });
    let members =
        control::follow_nodes(config.control.mesh.clone(), nodes.clone(), plans.clone(), ingest_ends.clone());
    front.spawn("mesh", members);
    if let Some(path) = config.control.directives.clone() {
        front.spawn(
            "directives",
            control::follow(path, plans, health.part("directives"), ingest_ends.clone()),
        );
    }

    let registry = Arc::new(Mutex::new(registry));
    let console = ApiState {
        store,
        verifier: Verifier::new(Parts {
            places,
            nodes: nodes.clone(),
            ledger: ledger.clone(),
            statuses: statuses.clone(),
            canaries,
        }),
        ledger,
        nodes,
        fanout: Arc::new(statuses),
        about: Arc::new(About {
            aggregator: config.name.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: ao_common::clock::now_ms(),
        }),
    };
    let router = admin::router(Admin { registry, health, log }).merge(console::router("overview", console));
    let http_ends = back_ends.clone();
    back.spawn("http", async move {
        if let Err(error) = admin::serve(doors, router, http_ends).await {
            error!(%error, "the HTTP server has ended");
        }
    });

    watch_over(&mut front, &mut back, &shutdown).await;
    info!("stopping: agents keep what is not acknowledged, the journal goes on at the next start");
    ingest_ends.cancel();
    front.drain(DRAIN).await;
    drop(lease);
    back_ends.cancel();
    back.drain(DRAIN).await;
    journal.close().await;
    Ok(())
}

/// `None` where plaintext was asked for.
fn identity(config: &Config, registry: &mut Registry) -> Result<Option<Arc<Identity>>, IdentityError> {
    if config.ingest.plaintext {
        warn!("ingest.plaintext: streams are neither encrypted nor authenticated");
        return Ok(None);
    }
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.extend(Some(ao_common::process::host_name()).filter(|name| name.is_ascii()));
    let listen = config.ingest.listen.ip();
    names.extend((!listen.is_unspecified()).then(|| listen.to_string()));
    Identity::open(&config.data_dir, &config.identity, names, registry).map(Arc::new).map(Some)
}

/// Waits for the shutdown; a task that ends before it is an error of ours, said loudly.
async fn watch_over(front: &mut Tasks, back: &mut Tasks, shutdown: &CancellationToken) {
    loop {
        let ended = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(ended) = front.next_ended() => ended,
            Some(ended) = back.next_ended() => ended,
        };
        error!(task = ended.name, panic = ended.panic, "a part of the aggregator has ended");
    }
}
