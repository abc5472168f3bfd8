//! Our own log lines on stderr: short ones for people, JSON for machines, with a filter that can be changed while
//! running; and the brake for a failure that repeats.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Deserialize;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// How the lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// One short line, coloured on a terminal.
    #[default]
    Compact,
    /// One JSON object a line.
    Json,
}

/// Section `log` of both configurations.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Level, or levels by module: "info", "warn,ao_agent::logs=debug".
    pub level: String,
    /// compact or json.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Compact }
    }
}

/// Why logging is not as wanted.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Not a filter.
    #[error(
        "\"{text}\" is no log level: write error, warn, info, debug or trace, or levels by module such as \"info,ao_agent::logs=debug\""
    )]
    Filter {
        /// What was given.
        text: String,
    },
    /// There is a subscriber already, or none to change any more.
    #[error("cannot set up logging: {cause}")]
    SetUp {
        /// What the library said.
        cause: String,
    },
}

/// Changes the filter while running. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LogHandle {
    handle: reload::Handle<EnvFilter, Registry>,
}

impl LogHandle {
    /// The filter in force.
    pub fn get(&self) -> String {
        self.handle.with_current(ToString::to_string).unwrap_or_else(|err| err.to_string())
    }

    /// Another filter from now on.
    ///
    /// # Errors
    /// Where the text is no filter; the old one then stays.
    pub fn set(&self, text: &str) -> Result<(), TelemetryError> {
        let filter = filter(text)?;
        self.handle.reload(filter).map_err(|err| TelemetryError::SetUp { cause: err.to_string() })
    }
}

/// Sends the process's log lines to stderr. Once per process.
///
/// # Errors
/// Where the level is no filter, or logging was set up before.
pub fn init(config: &Config) -> Result<LogHandle, TelemetryError> {
    let (filter, handle) = reload::Layer::new(filter(&config.level)?);
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match config.format {
        Format::Compact => lines.compact().boxed(),
        Format::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(filter)
        .with(lines)
        .try_init()
        .map_err(|err| TelemetryError::SetUp { cause: err.to_string() })?;
    Ok(LogHandle { handle })
}

/// The library takes any word for a module's name and would then fall silent ("inof"): such a word is refused here.
fn filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    let bad = || TelemetryError::Filter { text: text.to_owned() };
    let is_level = |word: &str| {
        ["off", "error", "warn", "info", "debug", "trace"]
            .iter()
            .any(|level| word.eq_ignore_ascii_case(level))
    };
    let fits = |part: &str| match part.rsplit_once('=') {
        Some((_, level)) => is_level(level.trim()) || level.ends_with(['}', ']']),
        None => is_level(part),
    };
    if text.trim().is_empty() || !text.split(',').all(|part| fits(part.trim())) {
        return Err(bad());
    }
    EnvFilter::builder().parse(text.trim()).map_err(|_| bad())
}

/// How long a repeated failure stays silent after it was logged.
pub const WINDOW_MS: u64 = 10_000;

/// The brake of one call site: one line in 10 s, which says how many were left out before it. See
/// [`throttled!`](crate::throttled).
#[derive(Debug)]
pub struct Throttled {
    /// Milliseconds since the first use of any, plus one; 0 before the first line.
    last: AtomicU64,
    suppressed: AtomicU64,
}

impl Throttled {
    /// For a `static`.
    pub const fn new() -> Self {
        Self { last: AtomicU64::new(0), suppressed: AtomicU64::new(0) }
    }

    /// Whether to log now: the number of lines left out since the last one, or `None` to stay silent.
    pub fn permit(&self) -> Option<u64> {
        static FIRST: OnceLock<Instant> = OnceLock::new();
        let elapsed = FIRST.get_or_init(Instant::now).elapsed();
        self.permit_at(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    fn permit_at(&self, now_ms: u64) -> Option<u64> {
        let last = self.last.load(Ordering::Relaxed);
        let open = last == 0 || now_ms.saturating_sub(last - 1) >= WINDOW_MS;
        // Of several threads that see the window open, one wins.
        let won = open
            && self
                .last
                .compare_exchange(last, now_ms.saturating_add(1), Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if won {
            return Some(self.suppressed.swap(0, Ordering::Relaxed));
        }
        self.suppressed.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl Default for Throttled {
    fn default() -> Self {
        Self::new()
    }
}

/// A `tracing` line that appears at most once in 10 s for its call site, with `suppressed` saying how many were left
/// out: `throttled!(warn, error = %err, "cannot read the file")`.
#[macro_export]
macro_rules! throttled {
    ($level:ident, $($line:tt)+) => {{
        static BRAKE: $crate::telemetry::Throttled = $crate::telemetry::Throttled::new();
        if let Some(suppressed) = BRAKE.permit() {
            let suppressed = (suppressed > 0).then_some(suppressed);
            ::tracing::$level!(suppressed, $($line)+);
        }
    }};
}

/// A handle and what it changes, without a subscriber: for tests of those that hold one.
#[cfg(test)]
pub(crate) fn detached() -> (reload::Layer<EnvFilter, Registry>, LogHandle) {
    let (layer, handle) = reload::Layer::new(EnvFilter::new("info"));
    (layer, LogHandle { handle })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a hundred failures in one window, then the next window.
    /// Guarantees: one line each; the second says that 99 were left out.
    #[test]
    fn throttles() {
        let brake = Throttled::new();
        let permits: Vec<_> = (0..100).filter_map(|ms| brake.permit_at(ms)).collect();
        assert_eq!(permits, [0]);
        assert_eq!(brake.permit_at(WINDOW_MS), Some(99));
        assert_eq!(brake.permit_at(WINDOW_MS + 1), None);
        assert_eq!(brake.permit_at(2 * WINDOW_MS), Some(1));
    }

    /// Scenario: filters as people write them, and typing errors.
    /// Guarantees: a wrong word is refused instead of silencing everything.
    #[test]
    fn filters() {
        for good in ["info", "WARN", "info,ao_agent::logs=debug", "off", "ao_agent[span]=trace"] {
            assert!(filter(good).is_ok(), "{good}");
        }
        for bad in ["", "inof", "info,ao_agent", "ao_agent=loud", ",", "info;debug"] {
            assert!(filter(bad).is_err(), "{bad}");
        }
    }

    /// Scenario: logging is set up, the level is changed, then set to nonsense; then set up again.
    /// Guarantees: the handle shows what is in force; nonsense changes nothing; twice is an error, no panic.
    #[test]
    fn reload() {
        let handle = init(&Config::default()).unwrap();
        assert_eq!(handle.get(), "info");
        handle.set("warn,ao_common=debug").unwrap();
        assert!(handle.get().contains("ao_common=debug"), "{}", handle.get());
        assert!(handle.set("nonsense").is_err());
        assert!(handle.get().contains("ao_common=debug"));
        assert!(init(&Config::default()).is_err());
        handle.set("off").unwrap();
        crate::throttled!(warn, part = "test", "a line");
    }
}
