//! A server in this process that can die: each of its lives has its listener and its connections on a runtime of its
//! own, which ends with all of them at once, in the middle of whatever they do. The port stays its own between two.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::link::socket;
use crate::script::{Reply, Script};

/// How long a death may wait for its moment.
const MOMENT: Duration = Duration::from_millis(400);

/// When a server dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Whatever it does.
    Now,
    /// With no request in hand, if such a moment comes.
    Idle,
    /// With a request that it has not taken yet.
    BeforeTaking,
    /// With a request that it has taken, and not answered.
    AfterTaking,
}

/// See the module.
pub(crate) struct Lives {
    pub(crate) address: SocketAddr,
    /// Refuses connections while nobody listens.
    _port: TcpSocket,
    now: Mutex<Option<Runtime>>,
}

impl Lives {
    /// None yet; on a port of its own.
    ///
    /// # Panics
    /// Where loopback gives none.
    pub(crate) fn new() -> Self {
        let port = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("loopback has a free port");
        let address = port.local_addr().expect("a bound socket has an address");
        Self { address, _port: port, now: Mutex::default() }
    }

    /// Begins one, after the end of any other.
    ///
    /// # Panics
    /// Where no thread can be started.
    pub(crate) fn begin<S: Future<Output = ()> + Send + 'static>(
        &self,
        serve: impl FnOnce(TcpListener) -> S + Send + 'static,
    ) {
        self.end();
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a thread can be started");
        let listener = {
            let _reactor = runtime.enter();
            socket(self.address).and_then(|socket| socket.listen(128)).expect("the port is ours")
        };
        runtime.spawn(serve(listener));
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime);
    }

    /// Dies at a moment that the script can bring about.
    pub(crate) async fn die(&self, script: &Script, moment: Moment) {
        // Where no such moment comes, any will do.
        match moment {
            Moment::Now => {}
            Moment::Idle => drop(timeout(MOMENT, script.idle()).await),
            Moment::BeforeTaking => drop(timeout(MOMENT, script.hangs(Reply::Hang)).await),
            Moment::AfterTaking => drop(timeout(MOMENT, script.hangs(Reply::AcceptAndHang)).await),
        }
        self.end();
        script.always(None);
    }

    fn end(&self) {
        let was = self.now.lock().unwrap_or_else(PoisonError::into_inner).take();
        was.into_iter().for_each(Runtime::shutdown_background);
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        self.end();
    }
}
