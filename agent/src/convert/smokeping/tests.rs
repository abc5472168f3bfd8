//! Whole configurations, as Debian's package and people in the field have them.

use proptest::prelude::*;

use super::*;
use crate::config::Config;

fn none(_: &Path) -> Option<String> {
    None
}

const WHOLE: &str = r#"
*** General ***
owner    = Peter Random
imgcache = /var/cache/smokeping/images

*** Alerts ***
to = alertee@address.somewhere
from = smokealert@company.xy

+someloss
type = loss
# in percent
pattern = >0%,*12*,>0%,*12*,>0%
comment = loss 3 times  in a row

+hostdown
type = matcher
edgetrigger = yes
pattern = CheckLoss(l=>90,x=>2)
priority = 1

+strange
type = matcher
pattern = Nothing(x=>1)

*** Database ***
step     = 60
pings    = 10
# consfn mrhb steps total
AVERAGE  0.5   1  1008

*** Presentation ***
+ charts
menu = Charts

*** Probes ***
+ FPing
binary = /usr/bin/fping
packetsize = 100
++ FPingSlow
step = 300
pings = 5
+ DNS
binary = /usr/bin/dig
lookup = example.org
+ Curl
urlformat = http://%host%:8080/healthz
+ Radius

*** Targets ***
probe = FPing
menu = Top
title = Network Latency Grapher

+ Europe
menu = Europe
alerts = someloss,hostdown

++ Berlin
title = a hub \
  in Berlin
host = 192.0.2.1

++ Hamburg
host = hamburg.example
alerts = someloss,nosuch

++ Slow
probe = FPingSlow
host = 192.0.2.3

+++ Inner
host = 192.0.2.4

++ All
host = /Europe/Berlin /Europe/Hamburg

+ Services
++ Names
probe = DNS
host = 192.0.2.53
lookup = www.example.org
++ Web
probe = Curl
host = www.example
++ Login
probe = Radius
host = 192.0.2.9
++ Roaming
host = DYNAMIC
"#;

/// Scenario: a whole configuration with groups, alerts, probes of their own, and parts that have no equivalent.
/// Guarantees: ours means the same; what is missing is named, each part once.
#[test]
fn whole() {
    let made = convert(WHOLE, &none).unwrap();
    let config: Config = serde_yaml_ng::from_str(&made.text).unwrap();
    config.latency.check().unwrap();
    let expected = r#"# NOT CONVERTED Alerts.strange: there is no matcher "Nothing": there are CheckLatency, CheckLoss, ConsecutiveLoss, Median, Avgratio, Medratio, ExpLoss
# Alerts.to: who is told is Alertmanager's; ao-agent alerts prints the rules
# General: not needed here
# NOT CONVERTED Targets/Europe/Hamburg.alerts: there is no alert "nosuch"
# NOT CONVERTED Targets/Services/Login.probe = Radius: there is no probe like Radius: icmp stands in its place
# NOT CONVERTED Targets/Services/Roaming.host: a host whose address it tells itself: give it a name that is kept up to date
# Presentation: not needed here
# Targets/Europe/All.host: a page of several targets: Grafana's boards show any of them together
latency:
  probe: icmp
  interval: 60s
  pings: 10
  size: 100
  groups:
  - name: Europe
    raise:
    - someloss
    - hostdown
    targets:
    - host: 192.0.2.1
      labels:
        name: Berlin
    groups:
    - name: Hamburg
      raise:
      - someloss
      targets:
      - host: hamburg.example
        labels:
          name: Hamburg
    - name: Slow
      interval: 300s
      pings: 5
      targets:
      - host: 192.0.2.3
        labels:
          name: Slow
      - host: 192.0.2.4
        labels:
          name: Inner
  - name: Services
    targets:
    - host: 192.0.2.9
      labels:
        name: Login
    groups:
    - name: Names
      probe:
        dns:
          query: www.example.org
          record: A
          port: 53
      targets:
      - host: 192.0.2.53
        labels:
          name: Names
    - name: Web
      probe:
        http:
          port: 8080
          path: /healthz
      targets:
      - host: www.example
        labels:
          name: Web
  alerts:
    someloss:
      type: loss
      pattern: '>0%,*12*,>0%,*12*,>0%'
      comment: loss 3 times  in a row
    hostdown:
      type: matcher
      pattern: CheckLoss(l=>90,x=>2)
      edgetrigger: true
      priority: 1
  targets: []
"#;
    let sorted = |text: &str| {
        let (mut notes, rest): (Vec<_>, Vec<_>) =
            text.lines().map(str::to_owned).partition(|l| l.starts_with('#'));
        notes.sort_unstable();
        (notes, rest)
    };
    assert_eq!(sorted(&made.text), sorted(expected));
    assert_eq!(made.missing, 4);
}

/// Scenario: the file of the targets alone, as Debian splits it, with an include that is there and one that is not.
/// Guarantees: Smokeping's own defaults, the included nodes, and the missing file's name.
#[test]
fn targets_alone() {
    let text = "*** Targets ***\nprobe = FPing\n@define PLACE attic\n@include more\n@include gone\n";
    let open =
        |path: &Path| (path == Path::new("more")).then(|| "+ Local\n++ PLACE\nhost = 127.0.0.1\n".to_owned());
    let made = convert(text, &open).unwrap();
    assert!(made.text.contains("NOT CONVERTED @include gone"), "{}", made.text);
    let config: Config = serde_yaml_ng::from_str(&made.text).unwrap();
    let latency = config.latency;
    assert_eq!((latency.interval.0.as_secs(), latency.pings, latency.targets.len()), (300, 20, 0));
    assert_eq!(latency.groups[0].targets[0].labels["name"], "attic");
}

/// Scenario: texts that are no such configuration.
/// Guarantees: refused, with the line.
#[test]
fn refused() {
    for (text, word) in [
        ("", "Targets"),
        ("a = b", "line 1"),
        ("*** Targets ***\n++ deep\n", "line 2"),
        ("*** Targets ***\nnonsense\n", "line 2"),
        ("*** Targets ***\n@define x\n", "line 2"),
    ] {
        let why = convert(text, &none).err().unwrap();
        assert!(why.contains(word), "{text:?}: {why}");
    }
    let includes_itself = |_: &Path| Some("@include again\n".to_owned());
    assert!(convert("*** Targets ***\n@include again\n", &includes_itself).err().unwrap().contains("deep"));
}

proptest! {
    /// Scenario: any text, and any text as targets.
    /// Guarantees: refused or converted; no panic.
    #[test]
    fn never_panics(text: String) {
        let _made = convert(&text, &none);
        let _made = convert(&format!("*** Targets ***\nprobe = FPing\n{text}"), &none);
    }
}

/// Scenario: probes that ping by IPv6 alone, by class and by protocol, or from another host; and plain ones.
/// Guarantees: the target is kept; that it is another graph now is said, once for all that inherit it.
#[test]
fn not_the_same_ping() {
    for (class, more, words) in [
        ("FPing6", "", "IPv6 addresses"),
        ("FPing", "protocol = 6", "IPv6 addresses"),
        ("RemoteFPing", "rhost = far.example", "run an agent there"),
        ("FPing", "protocol = 4", ""),
        ("FPingContinuous", "", ""),
    ] {
        let text = format!(
            "*** Probes ***\n+ {class}\n{more}\n*** Targets ***\nprobe = {class}\n+ A\nhost = a.example\n+ B\nhost = b.example\n"
        );
        let made = convert(&text, &none).unwrap();
        let config: Config = serde_yaml_ng::from_str(&made.text).unwrap();
        config.latency.check().unwrap();
        assert_eq!(made.missing, usize::from(!words.is_empty()), "{}", made.text);
        assert!(made.text.contains(words) && made.text.contains("probe: icmp"), "{}", made.text);
        assert!(
            made.text.contains("host: a.example") && made.text.contains("host: b.example"),
            "{}",
            made.text
        );
    }
}

/// Scenario: Curl probes with TLS, checked and unchecked, with and without a port, and one that asks for another host.
/// Guarantees: they become HTTP probes with TLS; the last one is named as missing.
#[test]
fn curl_with_tls() {
    let whole = |url: &str, more: &str| {
        format!(
            "*** Probes ***\n+ Curl\nurlformat = {url}\n{more}\n*** Targets ***\nprobe = Curl\n+ Web\nhost = www.example\n"
        )
    };
    for (url, more, expected) in [
        ("https://%host%/healthz", "", "port: 443 path: /healthz tls: {}"),
        ("https://%host%:8443/", "insecure_ssl = 1", "port: 8443 path: / tls: verify: false"),
        ("http://%host%", "", "port: 80 path: /"),
    ] {
        let made = convert(&whole(url, more), &none).unwrap();
        let config: Config = serde_yaml_ng::from_str(&made.text).unwrap();
        config.latency.check().unwrap();
        let words = made.text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(expected) && made.missing == 0, "{}", made.text);
    }
    let made = convert(&whole("https://other.example/%host%", ""), &none).unwrap();
    assert!(made.text.contains("other.example") && made.missing == 1, "{}", made.text);
}
