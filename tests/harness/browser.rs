//! Pages in a headless browser, where the machine has one.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

/// Names under which Chromium is installed.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// It must not talk to anybody but the page, nor ask anything.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1400,900",
];
/// Time that the page's own clock runs before it is looked at, milliseconds.
const PAGE_MS: u32 = 4_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser.
#[derive(Debug)]
pub struct Browser {
    program: PathBuf,
}

impl Browser {
    /// The first one in PATH; `None` where there is none: then skip, and say why.
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH")?;
        let all: Vec<PathBuf> = std::env::split_paths(&path).collect();
        let found =
            NAMES.iter().find_map(|name| all.iter().map(|dir| dir.join(name)).find(|p| p.is_file()))?;
        Some(Self { program: found })
    }

    /// The page's elements after its scripts have run, as HTML.
    ///
    /// # Errors
    /// A sentence, where the browser does not come to an end.
    pub async fn elements(&self, url: &str) -> Result<String, String> {
        self.run(url, "--dump-dom").await
    }

    /// The page as a picture.
    ///
    /// # Errors
    /// See [`Self::elements`].
    pub async fn picture(&self, url: &str, file: &Path) -> Result<(), String> {
        self.run(url, &format!("--screenshot={}", file.display())).await.map(|_| ())
    }

    async fn run(&self, url: &str, what: &str) -> Result<String, String> {
        let profile = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.program);
        command
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("--virtual-time-budget={PAGE_MS}"))
            .args([what, url])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = timeout(PATIENCE, command.output())
            .await
            .map_err(|_| format!("the browser did not end within {PATIENCE:?} at {url}"))?
            .map_err(|error| format!("cannot start {}: {error}", self.program.display()))?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
