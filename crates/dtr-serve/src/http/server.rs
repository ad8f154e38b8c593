//! A server from its start to its end.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

use super::access_token::AccessToken;
use super::app::App;
use super::connections::serve_connections;
use super::router::router;
use super::served_model::ServedModel;
use dtr_core::error::{Error, ErrorKind, Result};

/// The number of threads that tokenize texts and render chats.
const BLOCKING_THREADS: usize = 8;
/// The time that blocking threads get to finish at the end.
const END_TIMEOUT: Duration = Duration::from_secs(5);

/// A server that has its address and waits to run.
pub struct Server {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    token: Option<AccessToken>,
}

impl Server {
    /// Reserves an address. Clients must send `token`, if there is one.
    ///
    /// # Errors
    /// Fails when the address cannot be used.
    pub fn bind(address: SocketAddr, token: Option<AccessToken>) -> Result<Self> {
        let cannot = |what: &str| Error::environment(format!("cannot {what}"));
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS)
            .build()
            .map_err(|cause| cannot("start the server's threads").with_source(cause))?;
        let (listener, address) = runtime
            .block_on(async {
                let listener = TcpListener::bind(address).await?;
                let address = listener.local_addr()?;
                Ok::<_, std::io::Error>((listener, address))
            })
            .map_err(|cause| cannot(&format!("listen at {address}")).with_source(cause))?;
        Ok(Self { runtime, listener, address, token })
    }

    /// Returns the address, with the port that the system chose if the given port was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `model` until Ctrl-C or SIGTERM. Then accepts no more clients, and finishes all texts. A second
    /// Ctrl-C ends the process at once.
    ///
    /// # Errors
    /// Fails when the signals cannot be handled.
    pub fn run(self, model: ServedModel) -> Result<()> {
        let app = App::new(Arc::new(model));
        let router = router(app, self.token);
        let outcome = self.runtime.block_on(async {
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut terminate = signal(SignalKind::terminate())?;
            let shutdown = async {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                // Nobody may read the message any more.
                let _ = writeln!(std::io::stderr(), "finishing the running texts; Ctrl-C ends at once");
                tokio::spawn(async move {
                    if interrupt.recv().await.is_some() {
                        std::process::exit(i32::from(ErrorKind::Interrupted.exit_code()));
                    }
                });
            };
            serve_connections(self.listener, router, shutdown).await;
            Ok::<_, std::io::Error>(())
        });
        self.runtime.shutdown_timeout(END_TIMEOUT);
        outcome.map_err(|cause| Error::environment("cannot handle signals").with_source(cause))
    }
}
