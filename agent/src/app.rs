//! The wiring: starts every source, the batcher, the spool and the uplink; stops them in the order of the data's way.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ao_common::admin::{self, Admin, BindError};
use ao_common::clock::Kept;
use ao_common::health::Health;
use ao_common::shutdown::{Roll, Tasks};
use ao_common::telemetry::LogHandle;
use futures_util::future::BoxFuture;
use prometheus_client::registry::Registry;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::batch::{Batcher, Steps};
use crate::clock::{self, ClockCollector};
use crate::config::Config;
use crate::context::{Context, Node};
use crate::enrich::Enricher;
use crate::footprint::AsInFiles;
use crate::identity::{Identity, IdentityError};
use crate::logs::LogsStats;
use crate::logs::metrics::LogsCollector;
use crate::metrics::Metrics;
use crate::metrics::lines::LineMetrics;
use crate::net::{self, Prober};
use crate::pipeline::Pipeline;
use crate::rules::Rules;
use crate::spool::{self, LedgerCollector, Opened, SpoolCollector, SpoolError};
use crate::streams::Streams;
use crate::trouble::{ALARMS, Alarms};
use crate::uplink::Uplink;
use crate::{canary, collector, container, directives, latency, logs, mesh, otlp, own, path};

/// Events between the sources and the batcher.
const EVENTS: usize = 256;
/// How long each stage may take to end.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the uplink may go on after the last frame is in the spool; what is left stays there.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Why the agent cannot start.
#[derive(Debug, Error)]
pub enum AppError {
    /// A listener.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The node's key and certificate.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The prober's thread.
    #[error("cannot start a thread for the network: {0}")]
    Thread(io::Error),
    /// The prober.
    #[error("{0}; leave out net.mode for the best that the machine allows")]
    Prober(#[from] net::OpenError),
}

/// A source as the table names it: its text says why it ended early.
type Run = fn(&Config, &Start, Context) -> BoxFuture<'static, Result<(), String>>;

/// What sources need beside their configuration and the context.
struct Start {
    log_memory: logs::Memory,
    log_stats: Arc<LogsStats>,
    prober: Arc<Prober>,
    registry: admin::SharedRegistry,
    canaries: broadcast::Sender<String>,
    line_metrics: Arc<LineMetrics>,
    alarms: Alarms,
}

/// Sources that use the prober: they run on its thread.
const PROBING: [(&str, Run); 3] = [
    ("latency", |c, s, ctx| {
        wait(ok(latency::run(c.latency.clone(), ctx, s.prober.clone(), s.alarms.clone())))
    }),
    ("path", |c, s, ctx| wait(ok(path::run(c.path.clone(), ctx, s.prober.clone(), s.alarms.clone())))),
    ("mesh", |c, s, ctx| wait(mesh::run(c.mesh.clone(), ctx, s.prober.clone(), s.alarms.subscribe()))),
];

/// All others. Each ends when the shutdown begins, or with a reason that `/readyz` then shows.
const SOURCES: [(&str, Run); 7] = [
    ("collector", |c, s, ctx| wait(collector::run(c.collectors.clone(), ctx, s.registry.clone()))),
    (container::NAME, |c, s, ctx| wait(container::run(c.containers.clone(), ctx, s.registry.clone()))),
    ("logs", |c, s, ctx| wait(logs::run(c.logs.clone(), ctx, s.log_memory.clone(), s.log_stats.clone()))),
    ("journald", |c, s, ctx| {
        wait(logs::run_journal(c.logs.clone(), ctx, s.log_memory.clone(), s.log_stats.clone()))
    }),
    ("otlp", |c, s, ctx| wait(otlp::run(c.otlp.clone(), ctx, s.registry.clone()))),
    ("canary", |_, s, ctx| wait(canary::run(ctx, s.canaries.subscribe()))),
    ("own", |_, s, ctx| wait(own::run(ctx, s.registry.clone(), s.prober.clone(), s.line_metrics.clone()))),
];

/// A source that cannot fail.
async fn ok(run: impl Future<Output = ()>) -> Result<(), Infallible> {
    run.await;
    Ok(())
}

fn wait<E: std::fmt::Display>(
    run: impl Future<Output = Result<(), E>> + Send + 'static,
) -> BoxFuture<'static, Result<(), String>> {
    Box::pin(async { run.await.map_err(|error| error.to_string()) })
}

/// Runs the agent until `shutdown`.
///
/// # Errors
/// Where it cannot start; what goes wrong later is retried, counted and shown in `/readyz`.
pub async fn run(
    config: Config,
    node: Node,
    log: Option<LogHandle>,
    shutdown: CancellationToken,
) -> Result<(), AppError> {
    // The command line and the configuration have been read, and will not be again.
    let files = AsInFiles::find();
    files.forget();
    let health = Health::new();
    let metrics = Arc::new(Metrics::default());
    let doors = admin::bind(config.admin.listen, "the agent's admin server", "admin.listen").await?;
    let node = Arc::new(node);
    let anchor = Kept::restore(&config.data_dir);
    let opened = spool::open(&config.data_dir, &config.spool, Arc::clone(&metrics))?;
    let log_stats = Arc::<LogsStats>::default();
    let roll = Roll::default();
    let registry = registry(&metrics, &opened, &log_stats, &roll);

    let kept = directives::load(&config.data_dir);
    let (directives, held) = watch::channel(Arc::new(kept));
    let directives = Arc::new(directives);
    let (events, arriving) = mpsc::channel(EVENTS);

    let mut sources = Tasks::on(&roll);
    let sources_end = CancellationToken::new();
    let thread = net::Thread::start().map_err(AppError::Thread)?;
    let prober = {
        let _there = thread.enter();
        Prober::start(&config.net, sources_end.clone())?
    };
    let canaries = broadcast::Sender::new(canary::TOKENS);
    let line_metrics = Arc::<LineMetrics>::default();
    let start = Start {
        log_memory: logs::Memory {
            checkpoints: opened.checkpoints,
            durable: opened.durable,
            folder: Some(config.data_dir.join("escrow")),
        },
        log_stats,
        prober,
        registry: Arc::clone(&registry),
        canaries: canaries.clone(),
        line_metrics: Arc::clone(&line_metrics),
        alarms: Alarms::new(ALARMS),
    };
    let (main, net) = (Handle::current(), thread.handle().clone());
    let all = SOURCES.map(|source| (source, &main)).into_iter().chain(PROBING.map(|source| (source, &net)));
    for ((name, run), runtime) in all {
        let context = Context {
            events: events.clone(),
            directives: held.clone(),
            node: Arc::clone(&node),
            shutdown: sources_end.clone(),
        };
        let part = health.part(name);
        part.ready();
        let source = run(&config, &start, context);
        sources.spawn_on(runtime, name, async move {
            if let Err(reason) = source.await {
                error!(source = name, reason, "a source has ended; the others go on");
                part.not_ready(reason);
            }
        });
    }
    drop(events);

    let connected = metrics.connected.clone();
    let mut middle = Tasks::on(&roll);
    let steps = Steps {
        enricher: Enricher::new(config.enrich.clone(), Arc::clone(&node)),
        pipeline: Pipeline::new(&config.pipeline, &line_metrics),
        rules: Rules::new(config.rules, &line_metrics),
        streams: Streams::new(config.streams.clone(), Arc::clone(&metrics)),
    };
    let batcher = Batcher::new(config.batch.clone(), opened.agent, steps, opened.spool, Arc::clone(&metrics));
    middle.spawn("batch", batcher.run(arriving, held.clone()));

    let mut out = Tasks::on(&roll);
    let out_ends = CancellationToken::new();
    let identity = Identity::open(
        &config.data_dir,
        &config.aggregator.tls,
        (&node.cluster, &node.name, opened.agent),
        config.aggregator.plaintext(),
        health.part("identity"),
    )?;
    let uplink = Uplink {
        identity,
        config: config.aggregator.clone(),
        journal: opened.journal.clone(),
        acks: Arc::clone(&opened.acks),
        agent: opened.agent,
        epochs: opened.epochs,
        node,
        directives,
        canaries,
        metrics,
        health: health.part("uplink"),
    };
    let uplink_ends = out_ends.clone();
    out.spawn("uplink", uplink.run(uplink_ends));
    out.spawn("clock", clock::watch(health.part("clock"), anchor, out_ends.clone()));
    out.spawn("directives", directives::keep(config.data_dir.clone(), held));
    out.spawn("admin", serve(doors, Admin { registry, health, log }, out_ends.clone()));

    files.forget();
    watch_over(&mut sources, &mut middle, &mut out, &shutdown).await;
    info!("stopping: what is read goes to the spool, the spool goes on at the next start");
    sources_end.cancel();
    sources.drain(DRAIN).await;
    middle.drain(DRAIN).await;
    if connected.get() == 1 {
        tokio::time::sleep(LAST_WORDS).await;
    }
    out_ends.cancel();
    out.drain(DRAIN).await;
    opened.acks.close().await;
    opened.journal.close().await;
    Ok(())
}

/// Waits for the shutdown; a task that ends before it is an error of ours, said loudly.
async fn watch_over(sources: &mut Tasks, middle: &mut Tasks, out: &mut Tasks, shutdown: &CancellationToken) {
    loop {
        let ended = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(ended) = sources.next_ended() => ended,
            Some(ended) = middle.next_ended() => ended,
            Some(ended) = out.next_ended() => ended,
        };
        match ended.panic {
            Some(panic) => error!(task = ended.name, panic, "a part of the agent has failed"),
            None => info!(task = ended.name, "a part of the agent has ended"),
        }
    }
}

fn registry(
    metrics: &Metrics,
    spool: &Opened,
    log_stats: &Arc<LogsStats>,
    roll: &Roll,
) -> admin::SharedRegistry {
    let mut registry = Registry::default();
    ao_common::process::register(&mut registry, "ao-agent", env!("CARGO_PKG_VERSION"));
    metrics.register(&mut registry);
    registry.register_collector(Box::new(SpoolCollector(spool.journal.clone())));
    registry.register_collector(Box::new(LedgerCollector(Arc::clone(&spool.ledger))));
    registry.register_collector(Box::new(ClockCollector));
    registry.register_collector(Box::new(roll.clone()));
    registry.register_collector(Box::new(LogsCollector(Arc::clone(log_stats))));
    Arc::new(Mutex::new(registry))
}

async fn serve(listener: TcpListener, doors: Admin, shutdown: CancellationToken) {
    if let Err(error) = admin::serve(listener, admin::router(doors), shutdown).await {
        error!(%error, "the admin server has ended");
    }
}

/// Folds the command line into the file's configuration.
pub fn resolve(mut config: Config, node: Option<String>, data_dir: Option<PathBuf>) -> (Config, Node) {
    if let Some(data_dir) = data_dir {
        config.data_dir = data_dir;
    }
    let node = Node {
        name: node.unwrap_or_else(ao_common::process::host_name),
        cluster: config.cluster.clone(),
        roots: config.host.clone(),
        reach: config.mesh.reach(),
    };
    (config, node)
}

#[cfg(test)]
mod tests;
