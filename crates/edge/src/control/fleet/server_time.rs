//! The clock of the server: the one clock that all edges of a fleet can ask. Clocks of machines differ by minutes; what is
//! left of an order must not. Decides nothing.

use async_nats::jetstream::{Context, kv::Store};
use serde_json::{Value, json};

use crate::shared::calendar::day_of_date;

/// Milliseconds since 1970 by the clock of the bucket's leader; `None` = it does not say.
pub async fn now_ms(context: &Context, store: &Store) -> Option<u64> {
    let subject = format!("STREAM.INFO.{}", store.stream_name);
    let answer: Value = context.request(subject, &json!({})).await.ok()?;
    unix_ms(answer.get("ts")?.as_str()?)
}

/// Milliseconds since 1970 of a time in UTC as servers write it: `2026-01-02T03:04:05.678901234Z`.
fn unix_ms(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let whole = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let date: Vec<u64> = date.split('-').map(whole).collect::<Option<_>>()?;
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let time: Vec<u64> = time.split(':').map(whole).collect::<Option<_>>()?;
    let ms = whole(format!("{fraction:0<3}").get(..3)?)?;
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), time.as_slice()) else {
        return None;
    };
    let days = day_of_date(*year, *month, *day)?;
    let good = *hour < 24 && *minute < 60 && *second < 61;
    good.then(|| (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + ms)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::unix_ms;
    use crate::control::wall_clock::rfc3339;

    #[test]
    fn a_time_is_read_as_it_is_shown() {
        for ms in [0, 951_782_400_000, 1_709_251_199_999, 1_798_761_599_001, 4_107_542_400_000] {
            assert_eq!(unix_ms(&rfc3339(UNIX_EPOCH + Duration::from_millis(ms))), Some(ms));
        }
        assert_eq!(unix_ms("1970-01-02T00:00:00Z"), Some(86_400_000));
        assert_eq!(unix_ms("1970-01-01T00:00:01.5Z"), Some(1500));
        assert_eq!(unix_ms("1970-01-01T00:00:01.123456789Z"), Some(1123));
        for bad in
            ["", "Z", "soon", "1970-01-01", "1970-13-01T00:00:00Z", "1970-01-01T25:00:00Z", "-1-1-1T0:0:0Z"]
        {
            assert_eq!(unix_ms(bad), None, "{bad}");
        }
    }
}
