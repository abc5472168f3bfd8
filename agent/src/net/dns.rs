//! A query to a name server by UDP (RFC 1035), and whether what comes is its answer.

use std::io;
use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use super::datagram::connect_udp;

/// Types of records that can be asked for, with their numbers.
const RECORDS: [(&str, u16); 10] = [
    ("A", 1),
    ("NS", 2),
    ("CNAME", 5),
    ("SOA", 6),
    ("PTR", 12),
    ("MX", 15),
    ("TXT", 16),
    ("AAAA", 28),
    ("SRV", 33),
    ("ANY", 255),
];

/// Behind the header's twelve bytes.
const HEADER: usize = 12;
/// The longest answer by UDP without extensions (RFC 1035 section 2.3.4), and some more.
const ANSWER: usize = 4096;

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dns {
    /// Name.
    pub query: String,
    /// Type of record.
    #[serde(default = "a")]
    pub record: String,
    /// Port of the name server.
    #[serde(default = "port")]
    pub port: u16,
    /// An error of the server (a name that is not there, a refusal) is a loss; without, any answer is one.
    #[serde(default)]
    pub require_noerror: bool,
}

fn a() -> String {
    "A".to_owned()
}

fn port() -> u16 {
    53
}

impl Dns {
    /// # Errors
    /// What cannot be asked.
    pub fn check(&self) -> Result<(), String> {
        self.question(0).map(|_| ())
    }

    /// The message that asks.
    fn question(&self, id: u16) -> Result<Vec<u8>, String> {
        let record = RECORDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.record));
        let (_, record) =
            record.ok_or_else(|| format!("{:?} is no type of record that can be asked for", self.record))?;
        let [high, low] = id.to_be_bytes();
        // Recursion desired; one question.
        let mut message = vec![high, low, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in self.query.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
            let len = u8::try_from(label.len()).ok().filter(|len| *len < 64);
            message.push(len.ok_or_else(|| format!("{label:?} is too long for a part of a name"))?);
            message.extend_from_slice(label.as_bytes());
        }
        if message.len() > HEADER + 254 {
            return Err(format!("{:?} is too long for a name", self.query));
        }
        message.push(0);
        message.extend_from_slice(&record.to_be_bytes());
        message.extend_from_slice(&1_u16.to_be_bytes());
        Ok(message)
    }

    /// Asks, and waits for the answer's response code (RFC 1035 section 4.1.1).
    ///
    /// # Errors
    /// What the network says, such as that nobody listens there.
    pub async fn ask(&self, to: SocketAddr, source: Option<IpAddr>) -> io::Result<u8> {
        let question = self.question(rand::random()).map_err(io::Error::other)?;
        let socket = connect_udp(to, source).await?;
        socket.send(&question).await?;
        let mut answer = [0; ANSWER];
        loop {
            let len = socket.recv(&mut answer).await?;
            if let Some(code) = code(&question, &answer[..len]) {
                return Ok(code);
            }
        }
    }
}

/// The response code of the answer to a question; `None` where it answers something else.
pub(crate) fn code(question: &[u8], answer: &[u8]) -> Option<u8> {
    let header = answer.first_chunk::<HEADER>()?;
    let is_response = header[2] & 0x80 != 0;
    let (asked, repeated) = (question.get(HEADER..)?, answer.get(HEADER..)?);
    // A server that understands nothing repeats no question.
    let same = header[4..6] == [0, 0] || repeated.get(..asked.len())?.eq_ignore_ascii_case(asked);
    (is_response && header[..2] == question[..2] && same).then_some(header[3] & 15)
}
