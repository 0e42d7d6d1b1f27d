//! Listeners that take connections which are not HTTP. Never looks at a connection.

/// How the connections of a listener that is not HTTP find their route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassThrough {
    /// The host that every connection counts as one for; `None` = the name that its ClientHello asks for.
    pub host: Option<Box<str>>,
}
