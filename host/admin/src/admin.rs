//! The thread that answers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use crate::parts::Parts;
use crate::router::router;
use crate::serve::serve;
use crate::settings::AdminSettings;
use crate::shared::Shared;

/// The control surface, served by a thread of its own until dropped.
pub struct Admin {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Listens on the address of `settings`.
    ///
    /// # Errors
    /// When the address cannot be listened on, or when passwords would cross a network in
    /// clear text: without TLS the address must be a loopback one.
    pub fn start(settings: AdminSettings, parts: Parts) -> io::Result<Admin> {
        settings.check()?;
        let listener = std::net::TcpListener::bind(settings.address)?;
        listener.set_nonblocking(true)?;
        let shared = Shared::new(settings, listener.local_addr()?, parts)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let (serving, router) = (shared.clone(), router(&shared));
        let run = move || {
            runtime.block_on(async {
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => serve(listener, serving, router, stopped).await,
                    Err(error) => tracing::error!(%error, "the admin API has ended"),
                }
            });
        };
        let thread = std::thread::Builder::new().name("admin".into()).spawn(run)?;
        Ok(Admin { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens, with the port that was chosen.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// Puts new settings in force for the requests that follow: users, roles, issuers, TLS,
    /// the public URL. The address and the limits stay what they were at the start.
    ///
    /// # Errors
    /// When they would send passwords in clear text over a network; then the old ones stay.
    pub fn reload(&self, settings: AdminSettings) -> io::Result<()> {
        let before = self.shared.settings.load();
        let settings = AdminSettings { address: before.address, limits: before.limits, ..settings };
        settings.check()?;
        self.shared.settings.store(Arc::new(settings));
        Ok(())
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        // Dropping the sender ends the service as well as sending does.
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the admin API ended by a panic");
        }
    }
}
