//! The output of the command line: data on stdout, messages on stderr, and the exit codes.

use std::io::Write;

use thalweg_config::ConfigErrors;

/// The exit codes.
pub(crate) mod exit {
    pub(crate) const FINE: u8 = 0;
    pub(crate) const FAILURE: u8 = 1;
    pub(crate) const CONFIG: u8 = 2;
    pub(crate) const BIND: u8 = 3;
    pub(crate) const WARNING: u8 = 4;
    pub(crate) const UNKNOWN: u8 = 5;

    /// Their meanings for the manual.
    pub(crate) const MEANINGS: [(u8, &str); 6] = [
        (FINE, "Fine. A refusal is an answer, too"),
        (FAILURE, "A failure at run time"),
        (CONFIG, "Usage, an invalid config, or a file it names that is missing or unreadable"),
        (BIND, "An address cannot be bound: taken, or not permitted"),
        (WARNING, "A plan against which a warning stands"),
        (UNKNOWN, "The fleet's engine has not answered: what was asked for may be in force or not"),
    ];
}

/// Prints data to stdout. A reader that went away (`| head`) is no failure.
pub(super) fn print(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => exit::FAILURE,
        _ => exit::FINE,
    }
}

/// Prints a message to stderr.
pub(super) fn say(text: &str) {
    note(&format!("thalweg: {text}"));
}

/// Prints the errors of a config, each with its place; returns the exit code.
pub(super) fn refuse(errors: &ConfigErrors) -> u8 {
    for error in &errors.0 {
        note(&error.to_string());
    }
    exit::CONFIG
}

/// Prints a line that begins with its place, so that editors find it, to stderr.
pub(super) fn note(text: &str) {
    // stderr is gone: there is nothing to report to.
    let _ = writeln!(std::io::stderr(), "{text}");
}
