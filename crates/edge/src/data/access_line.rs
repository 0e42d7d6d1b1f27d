//! One request as one line of the access log, written into the worker's buffer without allocation and without a
//! serialiser. Authorization, cookies and query strings are not part of it.

use std::{
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use thalweg_config::AccessLog;
use thalweg_core::micros;
use thalweg_wire::Version;

use crate::shared::{calendar::date_of_day, client_certificate::ClientCertificate};

/// What a line says about one request. Absent values are `None`; host and path are as steering saw them.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each field is the key of the same name in docs/operations.md")]
pub struct AccessRecord<'a> {
    pub request_id: &'a str,
    pub client: &'a [u8],
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    /// 0: the client left before an answer.
    pub status: u16,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub duration: Duration,
    pub first_byte: Option<Duration>,
    pub route: &'a str,
    pub pool: Option<&'a str>,
    pub endpoint: Option<&'a str>,
    pub attempts: u32,
    pub reason: Option<&'static str>,
    pub generation: u64,
    pub revision: u64,
    pub roll: u64,
    pub version: Version,
    /// The connection is not HTTP.
    pub tcp: bool,
    pub tls: Option<&'static str>,
    pub client_cert: Option<&'a ClientCertificate>,
    pub refusal: Option<&'static str>,
    pub error: Option<&'static str>,
    pub rule: Option<&'static str>,
    /// A JSON object.
    pub proxy: Option<&'a str>,
}

/// Appends the line of `record` in `format`.
pub fn write(out: &mut Vec<u8>, format: AccessLog, record: &AccessRecord<'_>) {
    match format {
        AccessLog::Off => {}
        AccessLog::Json => json(out, record),
        AccessLog::Common => common(out, record),
    }
}

fn json(out: &mut Vec<u8>, record: &AccessRecord<'_>) {
    out.extend_from_slice(b"{\"ts\":\"");
    timestamp(out, now());
    out.extend_from_slice(b"\",\"request_id\":");
    string(out, record.request_id);
    out.extend_from_slice(b",\"client\":\"");
    out.extend_from_slice(record.client);
    out.extend_from_slice(b"\",\"method\":");
    string(out, record.method);
    out.extend_from_slice(b",\"host\":");
    string(out, record.host);
    out.extend_from_slice(b",\"path\":");
    string(out, record.path);
    // Writing to a Vec cannot fail.
    let _ = write!(
        out,
        ",\"status\":{},\"bytes_in\":{},\"bytes_out\":{},\"duration_us\":{}",
        record.status,
        record.bytes_in,
        record.bytes_out,
        micros(record.duration)
    );
    match record.first_byte {
        Some(span) => {
            let _ = write!(out, ",\"first_byte_us\":{}", micros(span));
        }
        None => out.extend_from_slice(b",\"first_byte_us\":null"),
    }
    out.extend_from_slice(b",\"route\":");
    string(out, record.route);
    for (name, value) in [
        (&b",\"pool\":"[..], record.pool),
        (b",\"endpoint\":", record.endpoint),
        (b",\"reason\":", record.reason),
    ] {
        out.extend_from_slice(name);
        optional(out, value);
    }
    let _ = write!(
        out,
        ",\"attempts\":{},\"generation\":{},\"revision\":{},\"roll\":{},\"protocol\":\"{}\",\"tls\":",
        record.attempts,
        record.generation,
        record.revision,
        record.roll,
        protocol(record)
    );
    optional(out, record.tls);
    json_of_some(out, record);
    out.extend_from_slice(b"}\n");
}

/// What only some lines have.
fn json_of_some(out: &mut Vec<u8>, record: &AccessRecord<'_>) {
    if let Some(ClientCertificate { subject, serial, sha256, .. }) = record.client_cert {
        for (name, value) in [
            (&b",\"client_cert_subject\":"[..], subject),
            (b",\"client_cert_serial\":", serial),
            (b",\"client_cert_sha256\":", sha256),
        ] {
            out.extend_from_slice(name);
            string(out, value);
        }
    }
    for (name, value) in [
        (&b",\"refusal\":"[..], record.refusal),
        (b",\"error\":", record.error),
        (b",\"rule\":", record.rule),
    ] {
        if value.is_some() {
            out.extend_from_slice(name);
            optional(out, value);
        }
    }
    if let Some(proxy) = record.proxy {
        out.extend_from_slice(b",\"proxy\":");
        out.extend_from_slice(proxy.as_bytes());
    }
    if record.status == 0 {
        out.extend_from_slice(b",\"client_gone\":true");
    }
}

/// NCSA common log: host ident user [time] "request" status bytes.
fn common(out: &mut Vec<u8>, record: &AccessRecord<'_>) {
    out.extend_from_slice(record.client);
    out.extend_from_slice(b" - - [");
    common_time(out, now());
    out.extend_from_slice(b"] \"");
    escaped(out, record.method);
    out.push(b' ');
    escaped(out, record.path);
    let _ = writeln!(out, " {}\" {} {}", protocol(record), record.status, record.bytes_out);
}

fn protocol(record: &AccessRecord<'_>) -> &'static str {
    match record.version {
        _ if record.tcp => "tcp",
        Version::Http10 => "HTTP/1.0",
        Version::Http2 => "HTTP/2",
        Version::Http3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn optional(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        Some(value) => string(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

/// Appends a JSON string.
pub fn string(out: &mut Vec<u8>, value: &str) {
    out.push(b'"');
    escaped(out, value);
    out.push(b'"');
}

fn escaped(out: &mut Vec<u8>, value: &str) {
    if value.bytes().all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\' && byte != 0x7f) {
        return out.extend_from_slice(value.as_bytes());
    }
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 | 0x7f => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Hour, minute and second in UTC.
fn clock(seconds: u64) -> (u64, u64, u64) {
    (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

/// As in `21/Nov/2026:10:17:19 +0000`.
fn common_time(out: &mut Vec<u8>, since_epoch: Duration) {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let seconds = since_epoch.as_secs();
    let ((year, month, day), (hour, minute, second)) = (date_of_day(seconds / 86_400), clock(seconds));
    let start = usize::try_from(month - 1).unwrap_or_default() * 3;
    let month = MONTHS.get(start..start + 3).unwrap_or_default();
    let _ = write!(out, "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000");
}

/// RFC 3339 in UTC with microseconds.
pub fn timestamp(out: &mut Vec<u8>, since_epoch: Duration) {
    let seconds = since_epoch.as_secs();
    let ((year, month, day), (hour, minute, second)) = (date_of_day(seconds / 86_400), clock(seconds));
    let micros = since_epoch.subsec_micros();
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_rfc_3339() {
        for (micros, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_001, "2000-02-29T00:00:00.000001Z"),
            (1_767_225_599_999_999, "2025-12-31T23:59:59.999999Z"),
        ] {
            let mut out = Vec::new();
            timestamp(&mut out, Duration::from_micros(micros));
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn common_times_are_those_of_the_common_log() {
        for (seconds, expected) in [
            (0, "01/Jan/1970:00:00:00 +0000"),
            (951_782_400, "29/Feb/2000:00:00:00 +0000"),
            (1_795_256_239, "21/Nov/2026:10:17:19 +0000"),
            (1_798_761_599, "31/Dec/2026:23:59:59 +0000"),
        ] {
            let mut out = Vec::new();
            common_time(&mut out, Duration::from_secs(seconds));
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn client_input_cannot_break_a_log_line() {
        let mut out = Vec::new();
        string(&mut out, "a\"b\\c\nd");
        assert_eq!(String::from_utf8_lossy(&out), r#""a\"b\\c\u000ad""#);
    }
}
