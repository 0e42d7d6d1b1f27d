//! Why an address is not announced although it should be: the closed list, one spelling in events, log and status.

/// What stands between an order to BIRD and a route at the neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// No BIRD listens on the socket, or it has just gone.
    Absent(String),
    /// This process may not use the socket, or not give orders on it.
    Denied(String),
    /// Something else than BIRD listens there.
    NotBird(String),
    /// No reply in time.
    Silent,
    /// BIRD has no protocol of this name.
    NoProtocol,
    /// BIRD refused a command for another reason.
    Refused(String),
    /// The protocol is enabled, but no BGP session is Established.
    NoSession,
    /// A session is Established, but the route does not pass its export filter.
    NotExported,
    /// The session that exports the route is Established too short to be counted on.
    Settling,
}

impl Obstacle {
    /// The spelling everywhere.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Absent(_) => "bird_absent",
            Self::Denied(_) => "bird_denied",
            Self::NotBird(_) => "not_bird",
            Self::Silent => "bird_silent",
            Self::NoProtocol => "no_protocol",
            Self::Refused(_) => "bird_refused",
            Self::NoSession => "no_session",
            Self::NotExported => "not_exported",
            Self::Settling => "settling",
        }
    }

    /// The same for people.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Absent(text) => format!("no BIRD at the control socket: {text}"),
            Self::Denied(text) => format!("not permitted: {text} (the edge's user must be in BIRD's group)"),
            Self::NotBird(text) => format!("what listens at the control socket is not BIRD: {text}"),
            Self::Silent => "BIRD does not reply".into(),
            Self::NoProtocol => "BIRD has no protocol of this name".into(),
            Self::Refused(text) => format!("BIRD refused: {text}"),
            Self::NoSession => "no BGP session is Established".into(),
            Self::NotExported => "no Established BGP session exports the route: see its export filter".into(),
            Self::Settling => "the BGP session is Established for less than 10 s".into(),
        }
    }
}
