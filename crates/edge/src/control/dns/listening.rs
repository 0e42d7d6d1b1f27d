//! What the control side knows of the addresses at which DNS is answered. Binds none.

use std::{cell::RefCell, net::SocketAddr};

use tokio::sync::Notify;

/// What the rest of the control side knows of it.
#[derive(Debug, Default)]
pub struct DnsListening {
    /// One for each address of the config, in its order.
    pub views: RefCell<Vec<DnsListenView>>,
    /// Every address of the config was tried once.
    pub tried: Notify,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsListenView {
    /// As configured.
    pub configured: SocketAddr,
    /// As bound, or why it is not.
    pub bound: Result<SocketAddr, String>,
}
