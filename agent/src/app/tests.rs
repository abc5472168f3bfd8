//! What the sources cost that have nothing to do.

use super::*;

/// How often the runtime goes to sleep in an hour in which nothing but this source runs, by paused time: once for each of
/// its timers, whichever of its tasks that one is of.
async fn wakes(name: &str, config: &Config) -> u64 {
    let shutdown = CancellationToken::new();
    let (_directives, held) = watch::channel(Arc::default());
    let (events, mut arriving) = mpsc::channel(EVENTS);
    let ctx = Context { events, directives: held, node: Arc::default(), shutdown: shutdown.clone() };
    let start = Start {
        log_memory: logs::Memory::default(),
        log_stats: Arc::default(),
        prober: Prober::start(&config.net, shutdown.clone()).unwrap(),
        registry: Arc::default(),
        canaries: broadcast::Sender::new(canary::TOKENS),
        line_metrics: Arc::default(),
        alarms: Alarms::new(ALARMS),
    };
    let (_, run) = SOURCES.into_iter().chain(PROBING).find(|(source, _)| *source == name).unwrap();
    let source = tokio::spawn(run(config, &start, ctx));
    let before = Handle::current().metrics().worker_park_count(0);
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let wakes = Handle::current().metrics().worker_park_count(0) - before;
    assert!(!source.is_finished(), "{name} has ended");
    assert!(arriving.try_recv().is_err(), "{name} has something to say");
    shutdown.cancel();
    let _in_time = source.await;
    wakes
}

/// Scenario: an hour of each source without targets, peers, clients and journals.
/// Guarantees: none has a timer of its own; where a journal may appear, it is looked for once a minute.
#[tokio::test(start_paused = true)]
async fn sources_without_work_sleep() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("journal");
    let yaml = |folders: &str| -> Config {
        serde_yaml_ng::from_str(&format!(
            "otlp: {{grpc: \"127.0.0.1:0\"}}\ncontainers: {{enabled: false}}\n\
             latency: {{targets: []}}\npath: {{targets: []}}\nlogs: {{host: null, journal: {{folders: {folders}}}}}"
        ))
        .unwrap()
    };
    let (without, waiting) = (yaml("null"), yaml(&format!("[{absent:?}]")));
    // A timer that is far away is looked at some times on its way, and packets of others wake whoever has a raw socket.
    let few = 50;
    for (source, config, most) in [
        ("latency", &without, few),
        ("path", &without, few),
        ("mesh", &without, few),
        ("otlp", &without, few),
        ("canary", &without, few),
        (container::NAME, &without, few),
        ("journald", &without, few),
        ("journald", &waiting, 60 * 5 + few),
    ] {
        let wakes = wakes(source, config).await;
        assert!(wakes <= most, "{source} wakes {wakes} times an hour");
    }
}
