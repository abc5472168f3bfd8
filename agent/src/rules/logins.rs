//! Failed log-ins: what sshd, PAM, sudo, su and login say of one, and requests that a web server answered with 401.
//!
//! A log-in over PAM that fails speaks twice, as PAM's and as the program's: each is its own service, so that either
//! may be counted by itself.

use memchr::memmem::Finder;
use regex::Regex;

/// Bytes at a line's beginning that are looked at.
const LOOK: usize = 1_024;
/// Bytes of a name or an address at most.
const LONGEST: usize = 128;
/// Attempts that one line may stand for.
const ATTEMPTS: u64 = 1_000;

/// Who says so: the value of the label `failed_login` of the line, and of `service` of the metric.
pub(super) const SERVICES: [&str; 6] = ["sshd", "pam", "sudo", "su", "login", "http"];

/// One line's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login<'a> {
    /// Of [`SERVICES`].
    pub service: usize,
    /// How many attempts the line stands for.
    pub attempts: u64,
    /// The account that was wanted, as the line has it.
    pub user: Option<&'a str>,
    /// Where from.
    pub address: Option<&'a str>,
}

/// Finds them.
pub(super) struct Logins {
    /// Nothing but texts, so that it is a search for all of them at once.
    phrases: Regex,
    status: Finder<'static>,
}

/// OpenSSH auth.c `auth_log`; Linux-PAM modules/pam_unix/support.c; sudo logging.c `log_auth_failure`; util-linux
/// login-utils/su-common.c and login.c, shadow src/su.c; the common log format of Apache's mod_log_config.
const PHRASES: &str = r#"ailed password for |ailed keyboard-interactive/pam for | authentication failure| incorrect password attempt|FAILED SU \(to |FAILED su for |FAILED LOGIN |" 401 "#;

impl Logins {
    pub(super) fn new() -> Result<Self, regex::Error> {
        Ok(Self { phrases: Regex::new(PHRASES)?, status: Finder::new("401") })
    }

    /// What a line says of a failed log-in; none where nothing.
    pub(super) fn find<'a>(&self, line: &'a str) -> Option<Login<'a>> {
        let line = if line.len() > LOOK { &line[..line.floor_char_boundary(LOOK)] } else { line };
        if line.starts_with('{') {
            return self.of_json(line);
        }
        let found = self.phrases.find(line)?;
        let (before, behind) = (&line[..found.start()], &line[found.end()..]);
        match found.as_str() {
            "ailed password for " | "ailed keyboard-interactive/pam for " => {
                before.ends_with(['F', 'f']).then(|| sshd(before, behind))
            }
            " authentication failure" => pam(before, behind),
            " incorrect password attempt" => sudo(before),
            "FAILED SU (to " => Some(login(3, behind.split(')').next(), None)),
            "FAILED su for " => Some(login(3, behind.split(' ').next(), None)),
            "FAILED LOGIN " => Some(console(behind)),
            _ => access(before),
        }
    }

    /// An access log of JSON objects: a status of 401.
    fn of_json<'a>(&self, line: &'a str) -> Option<Login<'a>> {
        let is_status = |at: usize| {
            let ends = line.as_bytes().get(at + 3).is_none_or(|b| matches!(b, b',' | b'"' | b'}' | b' '));
            let before = line[..at].trim_end_matches(['"', ' ']);
            let Some(key) = before.strip_suffix(':') else { return false };
            let key = key.trim_end().trim_end_matches('"');
            let key = key.rsplit('"').next().unwrap_or_default();
            ends && ["status", "response_code"].iter().any(|name| contains(key, name))
        };
        self.status.find_iter(line.as_bytes()).find(|at| is_status(*at))?;
        let value = |names: &[&str]| names.iter().find_map(|name| text_of(line, name));
        let user = value(&["remote_user", "user", "ClientUsername", "user_id"]);
        let address = value(&["remote_addr", "client_ip", "clientip", "ClientHost", "remote_ip", "ip"]);
        Some(login(5, user, address))
    }
}

fn login<'a>(service: usize, user: Option<&'a str>, address: Option<&'a str>) -> Login<'a> {
    let kept = |text: Option<&'a str>| {
        let text = text?.trim();
        let text = &text[..text.floor_char_boundary(LONGEST)];
        (!text.is_empty() && text != "-").then_some(text)
    };
    Login { service, attempts: 1, user: kept(user), address: kept(address) }
}

/// `[invalid user ]USER from ADDRESS port N ssh2`. Whoever tries chooses the name, spaces and `from` in it as well.
fn sshd<'a>(before: &str, behind: &'a str) -> Login<'a> {
    let (user, rest) = behind.rsplit_once(" from ").unwrap_or((behind, ""));
    let user = user.strip_prefix("invalid user ").unwrap_or(user);
    // rsyslog: `message repeated 3 times: [ Failed password ...]`.
    let times = before.rsplit_once("message repeated ").and_then(|(_, rest)| rest.split(' ').next());
    Login { attempts: attempts(times), ..login(0, Some(user), rest.split(' ').next()) }
}

/// `pam_unix(sshd:auth): authentication failure; ... rhost=ADDRESS  user=USER`, `PAM 2 more authentication failures; ...`.
fn pam<'a>(before: &str, behind: &'a str) -> Option<Login<'a>> {
    let more = before.strip_suffix(" more").and_then(|rest| rest.rsplit(' ').next());
    if more.is_none() && !(before.ends_with("):") && before.contains("pam_")) {
        return None;
    }
    let value = |name: &str| {
        let (_, value) = behind.split_once(name)?;
        value.split(' ').next()
    };
    Some(Login { attempts: attempts(more), ..login(1, value(" user="), value(" rhost=")) })
}

/// `USER : 3 incorrect password attempts`.
fn sudo(before: &str) -> Option<Login<'_>> {
    let (before, count) = before.rsplit_once(" : ")?;
    let user = before.trim_end().rsplit([' ', ':']).next();
    Some(Login { attempts: attempts(Some(count)), ..login(2, user, None) })
}

/// `(1) on '/dev/tty1' FOR 'root', Authentication failure`, `1 FROM ADDRESS FOR root, ...`.
fn console(behind: &str) -> Login<'_> {
    let part = |name: &str| {
        let (_, rest) = behind.split_once(name)?;
        Some(rest.split([',', ' ']).next()?.trim_matches('\''))
    };
    login(4, part(" FOR "), part("FROM "))
}

/// `ADDRESS - USER [date] "GET / HTTP/1.1`, a host perhaps before it.
fn access(before: &str) -> Option<Login<'_>> {
    let (head, _) = before.split_once(" [")?;
    let mut names = head.rsplit(' ');
    let (user, _ident, address) = (names.next(), names.next()?, names.next()?);
    Some(login(5, user, Some(address)))
}

fn attempts(text: Option<&str>) -> u64 {
    text.and_then(|text| text.parse().ok()).unwrap_or(1).clamp(1, ATTEMPTS)
}

/// In any case of its letters.
fn contains(text: &str, name: &str) -> bool {
    text.as_bytes().windows(name.len()).any(|part| part.eq_ignore_ascii_case(name.as_bytes()))
}

/// The text under a name of a JSON object, at any depth; none where it has escapes.
fn text_of<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = line;
    while let Some(at) = rest.find(name) {
        let behind = &rest[at + name.len()..];
        if rest[..at].ends_with('"')
            && let Some(value) = behind.strip_prefix("\":").and_then(|v| v.trim_start().strip_prefix('"'))
        {
            let text = value.split('"').next()?;
            return (!text.contains('\\')).then_some(text);
        }
        rest = behind;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Scenario: lines of each program, from files and journals; lines that are alike and are none.
    /// Guarantees: service, attempts, account and address; nothing where nobody was refused.
    #[test]
    fn lines() {
        let logins = Logins::new().unwrap();
        let some = |service: &str, attempts, user, address| {
            let service = SERVICES.iter().position(|name| *name == service).unwrap();
            Some(Login { service, attempts, user, address })
        };
        let (bob, root, four) = (Some("bob"), Some("root"), Some("192.0.2.4"));
        for (line, expect) in [
            (
                "Nov 22 10:00:01 h sshd[31]: Failed password for root from 192.0.2.4 port 40 ssh2",
                some("sshd", 1, root, four),
            ),
            (
                "Failed password for invalid user bob from 2001:db8::7 port 40 ssh2",
                some("sshd", 1, bob, Some("2001:db8::7")),
            ),
            (
                "sshd: Failed password for invalid user a from b from 192.0.2.4 port 9 ssh2",
                some("sshd", 1, Some("a from b"), four),
            ),
            (
                "sshd[1]: message repeated 4 times: [ Failed password for bob from 192.0.2.4 port 2 ssh2]",
                some("sshd", 4, bob, four),
            ),
            (
                "sshd[9]: error: PAM: Failed keyboard-interactive/pam for bob from 192.0.2.4 port 5 ssh2",
                some("sshd", 1, bob, four),
            ),
            (
                "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=192.0.2.4  user=root",
                some("pam", 1, root, four),
            ),
            (
                "su[7]: pam_unix(su-l:auth): authentication failure; logname=bob uid=1 euid=0 tty=pts/0 ruser=bob rhost=  user=root",
                some("pam", 1, root, None),
            ),
            (
                "sshd[9]: PAM 2 more authentication failures; logname= uid=0 tty=ssh ruser= rhost=192.0.2.4  user=bob",
                some("pam", 2, bob, four),
            ),
            ("the app says authentication failure; user=x", None),
            (
                "Nov 22 h sudo:      bob : 3 incorrect password attempts ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
                some("sudo", 3, bob, None),
            ),
            ("bob : 1 incorrect password attempt ; TTY=unknown", some("sudo", 1, bob, None)),
            ("su: FAILED SU (to root) bob on pts/0", some("su", 1, root, None)),
            ("su[4]: FAILED su for root by bob", some("su", 1, root, None)),
            (
                "login[1]: FAILED LOGIN (2) on '/dev/tty1' FOR 'root', Authentication failure",
                some("login", 1, root, None),
            ),
            ("FAILED LOGIN 1 FROM 192.0.2.4 FOR bob, Authentication failure", some("login", 1, bob, four)),
            (
                r#"192.0.2.4 - bob [22/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 401 12 "-" "curl/8""#,
                some("http", 1, bob, four),
            ),
            (
                r#"shop.example 192.0.2.4 - - [22/Nov/2026:10:00:00 +0000] "POST / HTTP/2.0" 401 0"#,
                some("http", 1, None, four),
            ),
            (r#"192.0.2.4 - - [22/Nov/2026:10:00:00 +0000] "GET /" 200 401"#, None),
            (r#"said " 401 " to x"#, None),
            (r#"{"remote_addr":"192.0.2.4","status": 401,"user":"bob"}"#, some("http", 1, bob, four)),
            (
                r#"{"DownstreamStatus":401,"ClientHost":"192.0.2.4","ClientUsername":"-"}"#,
                some("http", 1, None, four),
            ),
            (r#"{"response_code":"401","x":1}"#, some("http", 1, None, None)),
            (r#"{"status":4010,"took":401,"id":"401"}"#, None),
            ("Accepted password for bob from 192.0.2.4 port 4 ssh2", None),
            ("", None),
        ] {
            assert_eq!(logins.find(line), expect, "{line}");
        }
    }

    proptest! {
        /// Scenario: the phrases within any text.
        /// Guarantees: no panic; what is told of a line is of bounded length.
        #[test]
        fn any_text(
            before in r#"\PC{0,40}|[{}": a-z0-9(]{0,40}"#,
            at in 0..9_usize,
            behind in r#"\PC{0,200}|[{}": a-z0-9(,]{0,60}"#,
        ) {
            let phrases = PHRASES.replace('\\', "");
            let phrase = phrases.split('|').chain(["\"status\":401"]).nth(at).unwrap_or_default();
            let line = format!("{before}{phrase}{behind}");
            if let Some(login) = Logins::new().unwrap().find(&line) {
                for text in [login.user, login.address].into_iter().flatten() {
                    prop_assert!(!text.is_empty() && text.len() <= LONGEST);
                }
            }
        }
    }
}
