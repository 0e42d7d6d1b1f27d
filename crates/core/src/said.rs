//! What an endpoint says about itself in the body of a good probe answer. Plain values; the shell reads the body.

/// The part of its share that an endpoint asks for (`[probe.X] weight_from_body`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaidWeight {
    /// Percent of its share, 0–100; 0 = no new clients.
    pub percent: u8,
    /// The body says `"status": "degraded"`.
    pub degraded: bool,
    /// What is wrong with the body, if its weight could not be read: the share is 100 then.
    pub trouble: Option<Box<str>>,
}

impl Default for SaidWeight {
    fn default() -> Self {
        Self { percent: 100, degraded: false, trouble: None }
    }
}
