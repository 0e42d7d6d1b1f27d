//! One attempt: a message, and the two requests that the tests look for.

/// The path of every smuggled request. No reader may see it as a request's target.
pub const HIDDEN: &str = "/hidden";

/// The path of the request that follows on the same connection.
pub const AFTER: &str = "/after";

/// One attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Template, spelling and position.
    pub name: String,
    /// The bytes of the connection: the message, and a request for [`AFTER`].
    pub bytes: Vec<u8>,
    /// Two readers could understand the message differently.
    pub must_be_refused: bool,
}

/// The smuggled request.
pub(super) fn hidden(host: &str) -> String {
    format!("GET {HIDDEN} HTTP/1.1\r\nHost: {host}\r\nX-Smuggled: yes\r\n\r\n")
}

/// The usual `Host`.
pub(super) fn host_line(host: &str) -> Vec<u8> {
    format!("Host: {host}\r\n").into_bytes()
}

/// Books a message of these parts, with the request that follows it.
pub(super) fn push(made: &mut Vec<Attempt>, host: &str, name: String, parts: &[&[u8]], good: bool) {
    let after = format!("GET {AFTER} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let bytes = [parts.concat(), after.into_bytes()].concat();
    made.push(Attempt { name, bytes, must_be_refused: !good });
}
