//! Patterns and matchers, against what Smokeping's manual says of its own examples.

use proptest::prelude::*;

use super::*;

/// A history of losses in percent or medians in milliseconds; `U` for neither.
fn history(text: &str, loss: bool) -> History {
    let mut history = History::new(2_000);
    for word in text.split_whitespace() {
        match word.parse::<f64>() {
            Ok(value) if loss => history.push(value, Some(0.001)),
            Ok(value) => history.push(0.0, Some(value / 1000.0)),
            Err(_) => history.push(100.0, None),
        }
    }
    history
}

/// Scenario: the patterns of Smokeping's manual and of configurations in the field, each on rounds that fit and on rounds
/// that do not.
/// Guarantees: each holds just where it should.
#[test]
fn patterns() {
    let someloss = ">0%,*12*,>0%,*12*,>0%";
    let zeros = |n: usize| "0 ".repeat(n);
    let cases = [
        ("loss", someloss, "5 5 5".to_owned(), true),
        ("loss", someloss, format!("5 {}5 {}5", zeros(12), zeros(12)), true),
        ("loss", someloss, format!("5 {}5 {}5", zeros(13), zeros(12)), false),
        ("loss", someloss, "5 5 5 0".to_owned(), false),
        ("loss", someloss, "5 5".to_owned(), false),
        ("loss", "==0%,==0%,==0%,==0%,>20%,>20%,>20%", "0 0 0 0 25 25 25".to_owned(), true),
        ("loss", "==0%,==0%,==0%,==0%,>20%,>20%,>20%", "0 0 0 5 25 25 25".to_owned(), false),
        ("loss", "==0%,==0%,==0%,==0%,>20%,>20%,>20%", "0 0 0 0 25 20 25".to_owned(), false),
        ("loss", ">45%<=55%", "50".to_owned(), true),
        ("loss", ">45%<=55%", "55".to_owned(), true),
        ("loss", ">45%<=55%", "45".to_owned(), false),
        ("loss", ">20%<100%,*20*,>20%<100%", "30 100 40".to_owned(), true),
        ("rtt", "<10,<10,<10,<10,<10,>10,>100,>100,>100", "9 9 9 9 9 50 101 101 101".to_owned(), true),
        ("rtt", "<10,<10,<10,<10,<10,>10,>100,>100,>100", "9 9 9 9 11 50 101 101 101".to_owned(), false),
        ("rtt", "==S,==U", "U".to_owned(), true),
        ("rtt", "==S,==U", "5 U".to_owned(), false),
        ("rtt", "==S,>20", "21".to_owned(), true),
        ("rtt", "==U", "5 U".to_owned(), true),
        ("rtt", "==U", "5".to_owned(), false),
        ("rtt", "!=U", "5".to_owned(), true),
        ("rtt", "!=U, ==U", "5 U".to_owned(), true),
        ("rtt", ">100", "U".to_owned(), false),
        ("rtt", "<100", "U".to_owned(), false),
        ("loss", "==S,>0%,>0%", "5 5".to_owned(), true),
        ("loss", "*3*,>0%", "5".to_owned(), true),
        ("loss", ">0%,*3*", "5 0 0 0".to_owned(), true),
        ("loss", ">0%,*3*", "5 0 0 0 0".to_owned(), false),
    ];
    for (kind, pattern, rounds, holds) in cases {
        let alert = Alert::new(kind, pattern, false).unwrap();
        assert_eq!(alert.holds(&history(&rounds, kind == "loss"), false), holds, "{pattern} on {rounds}");
    }
}

/// Scenario: each matcher over a row of rounds.
/// Guarantees: it begins and ends to hold where its description says.
#[test]
fn matchers() {
    let cases = [
        // Three rounds at 50 or above raise it, three below clear it; one good round in between starts neither.
        ("CheckLoss(l => 50,x => 3)", "50 60 0 50 50 50 0 0 50 0 0 0 0", "00000 11111100"),
        ("CheckLatency(l=>10,x=>2)", "9 10 11 9 11 9 9 U 12 12", "00111 10001"),
        (
            "ConsecutiveLoss(pctlossraise=>50,stepsraise=>1,pctlossclear=>10,stepsclear=>3)",
            "0 49 50 0 0 10 0 9 0 0",
            "00111 11100",
        ),
        // Half a millisecond, in seconds.
        ("Median(old=>3,new=>2,diff=>0.0005)", "1 1 1 1 1 2 2 2 2 2", "00000 01100"),
        (
            "Avgratio(historic=>3,current=>2,comparator=>'>',percentage=>150)",
            "2 2 2 2 2 3 4 4 4",
            "00000 0110",
        ),
        ("Medratio(historic=>3,current=>1,comparator=>'>=',percentage=>200)", "2 2 9 4 5 2", "00010 0"),
        ("ExpLoss(hist=>4,rising=>50,falling=>20)", "0 0 100 0 0 0 0 0 100", "00110 0001"),
        ("ExpLoss(hist=>100,rising=>50,fast=>2)", "0 0 0 0 100 100 100 0 0", "00000 1100"),
        ("ExpLoss(hist=>4,rising=>50,skip=>3)", "100 100 100 100", "0001"),
    ];
    for (pattern, rounds, expected) in cases {
        let alert = Alert::new("matcher", pattern, true).unwrap();
        let loss = pattern.contains("Loss");
        let words: Vec<&str> = rounds.split_whitespace().collect();
        let mut state = State::default();
        let found: String = (1..=words.len())
            .map(|n| {
                state.step(&alert, &history(&words[..n].join(" "), loss));
                if state.raised { '1' } else { '0' }
            })
            .collect();
        assert_eq!(found, expected.replace(' ', ""), "{pattern} on {rounds}");
    }
}

/// Scenario: a condition that begins, goes on and ends, with edge trigger and without.
/// Guarantees: with it the beginning and the end are told; without it each round of it.
#[test]
fn edges() {
    use Told::{Cleared, Raised};
    for (edge, expected) in [
        (true, [None, Some(Raised), None, Some(Cleared), None]),
        (false, [None, Some(Raised), Some(Raised), None, None]),
    ] {
        let alert = Alert::new("loss", ">0%", edge).unwrap();
        let (mut state, mut history) = (State::default(), History::new(alert.length() + 1));
        for (loss, told) in [0.0, 5.0, 5.0, 0.0, 0.0].into_iter().zip(expected) {
            history.push(loss, None);
            assert_eq!(state.step(&alert, &history), told);
        }
        assert_eq!(state.raises, 1);
    }
}

/// Scenario: patterns and matchers with mistakes.
/// Guarantees: each is refused with its words.
#[test]
fn refused() {
    for (kind, pattern) in [
        ("loss", ""),
        ("loss", ">0"),
        ("loss", "*12*"),
        ("loss", "=0%"),
        ("loss", ">0%<"),
        ("loss", ">0%==5%"),
        ("loss", ">U"),
        ("loss", "*x*"),
        ("loss", "*9999999*"),
        ("rtt", ">1e3"),
        ("rtt", ">inf"),
        ("matcher", "CheckLoss"),
        ("matcher", "CheckLoss(l=>5,x=>0)"),
        ("matcher", "CheckLoss(l=>five,x=>1)"),
        ("matcher", "CheckLoss(l=>5,x=>1,y=>2)"),
        ("matcher", "Avgratio(historic=>1,current=>1,comparator=>'~',percentage=>5)"),
    ] {
        assert!(Alert::new(kind, pattern, false).is_err(), "{kind} {pattern}");
    }
}

/// Scenario: two alerts, one with a name and a comment that have quotes, as rules for Prometheus.
/// Guarantees: YAML with one rule each, the selector's quotes escaped.
#[test]
fn as_rules() {
    let mut alert = Alert::new("loss", ">0%,*12*,>0%", true).unwrap();
    alert.comment = "the \"old\" line".to_owned();
    alert.priority = Some(1);
    let plain = Alert::new("rtt", ">100", false).unwrap();
    let text = rules(&[("loss>20 \"a\"".to_owned(), alert), ("slow".to_owned(), plain)].into());
    let read: serde_yaml_ng::Value = serde_yaml_ng::from_str(&text).unwrap();
    let all = read["groups"][0]["rules"].as_sequence().unwrap();
    assert_eq!(all.len(), 2);
    assert_eq!(all[0]["expr"].as_str(), Some(r#"ao_latency_alert{alert="loss>20 \"a\""} == 1"#));
    assert_eq!(all[0]["labels"]["severity"].as_str(), Some("critical"));
    assert_eq!(
        all[0]["annotations"]["summary"].as_str(),
        Some("the \"old\" line to {{ $labels.host }} from {{ $labels.node }}")
    );
    assert_eq!(all[1]["alert"].as_str(), Some("slow"));
    assert_eq!(rules(&Default::default()), "groups: []\n");
}

proptest! {
    /// Scenario: any text as pattern and as matcher, on any rounds.
    /// Guarantees: it is refused or evaluated; no panic.
    #[test]
    fn never_panics(text: String, rounds in proptest::collection::vec(proptest::option::of(0.0..100.0_f64), 0..40)) {
        let mut history = History::new(30);
        for round in rounds {
            history.push(round.unwrap_or(100.0), round);
        }
        for kind in ["loss", "rtt", "matcher"] {
            if let Ok(alert) = Alert::new(kind, &text, false) {
                alert.holds(&history, false);
            }
        }
    }

    /// Scenario: patterns of conditions and skips on rows of losses.
    /// Guarantees: the answer is that of trying every way to share the rounds out.
    #[test]
    fn like_trying_all(
        items in proptest::collection::vec((0_usize..4, any::<bool>()), 1..7),
        rounds in proptest::collection::vec(any::<bool>(), 0..9),
    ) {
        let text = items.iter().map(|(skip, lost)| match (skip, lost) {
            (0, true) => ">0%".to_owned(),
            (0, false) => "==0%".to_owned(),
            (n, _) => format!("*{n}*"),
        }).collect::<Vec<_>>().join(",");
        let mut history = History::new(100);
        for lost in &rounds {
            history.push(if *lost { 5.0 } else { 0.0 }, None);
        }
        let newest: Vec<Option<bool>> =
            rounds.iter().rev().map(|lost| Some(*lost)).chain([None]).collect();
        let back: Vec<(usize, bool)> = items.iter().rev().copied().collect();
        if let Ok(alert) = Alert::new("loss", &text, false) {
            prop_assert_eq!(alert.holds(&history, false), tried(&back, &newest), "{}", text);
        }
    }
}

fn tried(items: &[(usize, bool)], rounds: &[Option<bool>]) -> bool {
    match items.split_first() {
        None => true,
        Some(((0, lost), rest)) => rounds.first() == Some(&Some(*lost)) && tried(rest, &rounds[1..]),
        Some(((skip, _), rest)) => (0..=(*skip).min(rounds.len())).any(|n| tried(rest, &rounds[n..])),
    }
}
