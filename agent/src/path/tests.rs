//! The source as a whole, against this machine's loopback.

use ao_proto::v1::{Directives, Target};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::net::{self, Mode};

/// Scenario: the loopback address as target of the configuration, another one by directive, in every mode that this
/// machine allows.
/// Guarantees: one hop, the target itself, without loss; mtr-exporter's labels; who it is, and how many flows met it.
#[tokio::test]
async fn loopback() {
    for mode in [Mode::Raw, Mode::Ping, Mode::Connect] {
        let (events, mut received) = mpsc::channel(64);
        let directives = Directives {
            paths: vec![Target { host: "127.0.0.2".into(), ..Default::default() }],
            ..Default::default()
        };
        let (_directed, directives) = watch::channel(Arc::new(directives));
        let node = crate::context::Node { name: "here".into(), ..Default::default() };
        let ctx = Context { events, directives, node: Arc::new(node), shutdown: CancellationToken::new() };
        let net_config = net::Config { mode: Some(mode), ..Default::default() };
        let prober = match Prober::start(&net_config, ctx.shutdown.clone()) {
            Ok(prober) => prober,
            Err(error) => {
                eprintln!("SKIP loopback {mode}: {error}");
                continue;
            }
        };
        let asn = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(asn.path(), "127.0.0.0/8 AS64500\n").unwrap();
        let asn_file = Some(asn.path().to_owned());
        let config = Config { targets: vec!["127.0.0.1".into()], queries: 1, asn_file, ..Config::default() };
        let source = tokio::spawn(run(config, ctx.clone(), prober, Alarms::new(1)));
        let deadline = Instant::now() + Duration::from_secs(20);
        for _ in 0..2 {
            let event = tokio::time::timeout_at(deadline, received.recv()).await.unwrap().unwrap();
            let Event::Metrics(set) = event else { panic!("{event:?}") };
            let host = set.group.clone();
            let labels = format!(
                "{{mtr_exporter_job=\"{host}\",src=\"here\",dst=\"{host}\",tos=\"0\",psize=\"64\",\
                 bitpattern=\"0x00\",tests=\"1\",host=\"{host}\",count=\"1\",hop=\"first_last\",last=\"true\",path_id="
            );
            let text = set.exposition();
            let hop = |name: &str| {
                let line = text.lines().find(|line| line.starts_with(&format!("{name}{labels}")));
                line.unwrap_or_else(|| panic!("{mode}: no {name}{labels} in {text}"))
                    .rsplit(' ')
                    .next()
                    .unwrap()
            };
            assert_eq!((hop("mtr_report_snt"), hop("mtr_report_loss")), ("1", "0"), "{mode}");
            let rtt: f64 = hop("mtr_report_last").parse().unwrap();
            assert!(rtt > 0.0 && rtt < 1000.0, "{mode}: {rtt}");
            for line in [
                format!("netpath_flows{{target=\"{host}\"}} 1\n"),
                format!("netpath_paths{{target=\"{host}\"}} 1\n"),
                format!("netpath_balancing{{target=\"{host}\",kind=\"none\"}} 1\n"),
                format!("netpath_hop_info{{target=\"{host}\",ttl=\"1\",ip=\"{host}\",asn=\"64500\",name=\""),
                format!("netpath_hop_flows{{target=\"{host}\",ttl=\"1\",ip=\"{host}\"}} 1\n"),
            ] {
                assert!(text.contains(&line), "{mode}: no {line} in {text}");
            }
        }
        ctx.shutdown.cancel();
        source.await.unwrap();
    }
}
