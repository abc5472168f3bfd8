//! Whether a process is well when everything is over: it is ready, its beating tasks beat, and all its tasks run.

use std::net::SocketAddr;

use ao_tests::prometheus::get;

/// What is wrong with it, as sentences.
pub(crate) async fn wrong(name: &str, address: SocketAddr) -> Vec<String> {
    let mut wrong = Vec::new();
    for door in ["readyz", "healthz"] {
        match get(&format!("http://{address}/{door}")).await {
            Ok((200, _)) => {}
            Ok((status, text)) => wrong.push(format!("the {name}'s {door}: {status} {text}")),
            Err(error) => wrong.push(format!("the {name} does not answer: {error}")),
        }
    }
    match get(&format!("http://{address}/metrics")).await {
        Ok((_, text)) => wrong.extend(ended(name, &text)),
        Err(error) => wrong.push(format!("the {name} does not answer: {error}")),
    }
    wrong
}

/// Tasks that have ended; or that none is named.
fn ended(name: &str, metrics: &str) -> Vec<String> {
    let mut tasks = metrics.lines().filter(|line| line.starts_with("ao_task_up{")).peekable();
    if tasks.peek().is_none() {
        return vec![format!("the {name} names none of its tasks")];
    }
    let down = tasks.filter(|line| !line.ends_with(" 1"));
    down.map(|line| format!("a task of the {name} has ended: {line}")).collect()
}
