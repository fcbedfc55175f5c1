//! Durations (`30m`, `12h`, `14d`) and sizes (`20G` = 10^9 bytes, `20GiB` = 2^30), read and written.

use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer};

use crate::settings::MinFree;

/// Reads a day (then its end counts, UTC) or a time in RFC 3339.
pub fn parse_until(text: &str) -> Result<jiff::Timestamp, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at);
    }
    let day: jiff::civil::Date =
        text.parse().map_err(|_| format!("`{text}` is neither a day such as `2027-03-31` nor a time in RFC 3339"))?;
    let next = day.tomorrow().map_err(|error| error.to_string())?;
    let midnight = next.to_datetime(jiff::civil::Time::midnight());
    jiff::tz::Offset::UTC.to_timestamp(midnight).map_err(|error| error.to_string())
}

/// Reads a duration: numbers with the units `s`, `m`, `h`, `d`, `w`, also several (`1h30m`). A bare `0` is no time.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: write a number and a unit, such as `30m`, `12h` or `14d`");
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = trimmed;
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let letters = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(letters);
        let secs = match unit {
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            "w" => 7 * 86_400,
            _ => return Err(wrong()),
        };
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(secs)).ok_or_else(wrong)?;
        total = total.checked_add(part).ok_or_else(wrong)?;
        rest = tail.trim_start();
    }
    // A century: arithmetic with the clock stays far from its ends.
    if trimmed.is_empty() || total > 100 * 366 * 86_400 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(total))
}

/// Reads a size in bytes: `20G` and `20GB` are 20 * 10^9, `20GiB` and `20Gi` are 20 * 2^30, a bare number is bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: write a number and a unit, such as `500M`, `20G` or `20GiB`");
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = trimmed.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let (power, base) = match unit.as_str() {
        "" | "b" => (0, 1000_u64),
        other => {
            let mut letters = other.chars();
            let power = letters.next().and_then(|letter| "kmgtp".find(letter)).ok_or_else(wrong)?;
            let base = match letters.as_str() {
                "" | "b" => 1000,
                "i" | "ib" => 1024,
                _ => return Err(wrong()),
            };
            (u32::try_from(power + 1).map_err(|_| wrong())?, base)
        }
    };
    let factor = base.checked_pow(power).ok_or_else(wrong)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.parse::<u64>().ok().and_then(|n| n.checked_mul(factor)).ok_or_else(wrong)?;
    // Nine digits of a fraction are exact enough for any unit, and cannot overflow.
    if fraction.is_empty() || fraction.len() > 9 {
        return Err(wrong());
    }
    let digits = fraction.parse::<u64>().map_err(|_| wrong())?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
    let part = u64::try_from(u128::from(digits) * u128::from(factor) / scale).map_err(|_| wrong())?;
    whole.checked_add(part).ok_or_else(wrong)
}

/// Reads a floor for free space: a size, or percent of the filesystem such as `10%`.
pub fn parse_min_free(text: &str) -> Result<MinFree, String> {
    let Some(number) = text.trim().strip_suffix('%') else {
        return parse_size(text).map(MinFree::Bytes).map_err(|_| {
            format!("`{text}` is no amount of free space: write percent such as `10%`, or a size such as `20G`")
        });
    };
    match number.trim().parse::<f64>() {
        Ok(percent) if (0.0..100.0).contains(&percent) => Ok(MinFree::Percent(percent)),
        _ => Err(format!("`{text}` is no part of a filesystem: write percent from `0%` to below `100%`")),
    }
}

/// Writes bytes for people, in powers of 1000: `12.3 MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Writes a time span for people: `35 ms`, `3.2 s`, `4 min 10 s`, `2 h 5 min`.
pub fn span(millis: u64) -> String {
    let secs = millis / 1000;
    match millis {
        0..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{}.{} s", secs, millis % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3600, secs % 3600 / 60),
    }
}

/// Writes a duration in the form that [`parse_duration`] reads, in the largest unit that is exact.
pub fn duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    for (unit, size) in [("d", 86_400), ("h", 3600), ("m", 60)] {
        if secs >= size && secs.is_multiple_of(size) {
            return format!("{}{unit}", secs / size);
        }
    }
    format!("{secs}s")
}

/// Writes a size in the form that [`parse_size`] reads, in the largest unit that is exact.
pub fn size(bytes: u64) -> String {
    let units = [
        ("TiB", 1 << 40),
        ("TB", 1_000_000_000_000),
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
    ];
    let exact = units.iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit));
    exact.map_or_else(|| format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// A duration in a configuration file.
#[derive(Debug, Clone, Copy)]
pub struct DurationText(pub Duration);

impl<'de> Deserialize<'de> for DurationText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_duration(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// A size in a configuration file; an empty text is none.
#[derive(Debug, Clone, Copy)]
pub struct SizeText(pub Option<u64>);

impl<'de> Deserialize<'de> for SizeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim().is_empty() {
            return Ok(Self(None));
        }
        parse_size(&text).map(|size| Self(Some(size))).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations() {
        for (text, secs) in [
            ("0", 0),
            ("90s", 90),
            ("30m", 1800),
            ("12h", 43_200),
            ("14d", 1_209_600),
            ("2w", 1_209_600),
            ("1h30m", 5400),
            (" 1h 30m ", 5400),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for text in ["", " ", "5", "m", "5x", "-5m", "1.5h", "5M", "99999999999999999999d", "999999d", "1hü", "ü"] {
            let error = parse_duration(text).expect_err(text);
            assert!(error.contains("30m"), "{error}");
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("500", 500),
            ("500B", 500),
            ("1K", 1000),
            ("20G", 20_000_000_000),
            ("20GB", 20_000_000_000),
            ("20g", 20_000_000_000),
            ("20 GiB", 20 << 30),
            ("20Gi", 20 << 30),
            ("1.5GiB", 3 << 29),
            ("0.5M", 500_000),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "20X", "20Gx", "-1G", "1.G", ".5G", "1.2.3G", "99999999P", "20 000", "20é", "é"] {
            let error = parse_size(text).expect_err(text);
            assert!(error.contains("20GiB"), "{error}");
        }
    }

    #[test]
    fn floors_of_free_space() {
        assert_eq!(parse_min_free("10%"), Ok(MinFree::Percent(10.0)));
        assert_eq!(parse_min_free("2.5 %"), Ok(MinFree::Percent(2.5)));
        assert_eq!(parse_min_free("5G"), Ok(MinFree::Bytes(5_000_000_000)));
        for text in ["", "%", "100%", "-1%", "NaN%", "inf%", "ten"] {
            assert!(parse_min_free(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_for_people() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(999_999), "1.0 MB");
        assert_eq!(bytes(12_345_678), "12.3 MB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        assert_eq!(span(35), "35 ms");
        assert_eq!(span(3_270), "3.2 s");
        assert_eq!(span(250_000), "4 min 10 s");
        assert_eq!(span(7_500_000), "2 h 5 min");
    }

    proptest! {
        #[test]
        fn a_written_size_reads_back(bytes: u64) {
            prop_assert_eq!(parse_size(&size(bytes)), Ok(bytes));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,12}") {
            let _ = parse_duration(&text);
            let _ = parse_size(&text);
            let _ = parse_min_free(&text);
        }

        #[test]
        fn a_written_duration_reads_back(secs in 0_u64..3_000_000_000) {
            let expected = Duration::from_secs(secs);
            prop_assert_eq!(parse_duration(&duration(expected)), Ok(expected));
        }
    }
}
