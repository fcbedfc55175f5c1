//! Whether the clock can be believed when it says how old things are.
//!
//! Each build and each collection notes the time, the boot and how long the machine was up. Within one boot both clocks must have gone on alike; across
//! boots the time must not have gone back, nor on by more than a month. Where they did not, a collection only marks: what was wrong about
//! the clock is then known to the next.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Store;
use crate::error::Result;

/// The name in `meta` of the last reading.
pub(super) const CLOCK: &str = "clock";

/// What clocks of one boot may differ by.
const DRIFT: SignedDuration = SignedDuration::from_hours(24);
/// How long a store may stand still over a boot.
const STILL: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What the clocks said at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    at: Timestamp,
    boot: String,
    uptime: Duration,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.at, self.uptime.as_secs(), self.boot)
    }
}

impl FromStr for Reading {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.splitn(3, ' ');
        let mut word = || words.next().ok_or(());
        let at = word()?.parse().map_err(drop)?;
        let uptime = Duration::from_secs(word()?.parse().map_err(drop)?);
        Ok(Self { at, boot: word()?.to_owned(), uptime })
    }
}

impl Reading {
    /// Whether the clock went another way than the time since an earlier reading.
    fn is_jump_since(&self, before: &Self) -> bool {
        let went = self.at.duration_since(before.at);
        if self.boot == before.boot && !self.boot.is_empty() {
            let passed = SignedDuration::try_from(self.uptime.saturating_sub(before.uptime)).unwrap_or_default();
            return (went - passed).abs() > DRIFT;
        }
        went < -DRIFT || went > STILL
    }
}

impl Store {
    /// What the clocks say now.
    pub(super) fn reading(&self) -> Reading {
        let clock = &self.0.clock;
        Reading { at: clock.now(), boot: clock.boot().unwrap_or_default(), uptime: clock.uptime().unwrap_or_default() }
    }

    /// Whether the clock jumped since a build or collection noted it.
    pub(super) fn has_clock_jumped(&self) -> Result<bool> {
        let before = self.0.index.meta(CLOCK)?.and_then(|text| text.parse::<Reading>().ok());
        Ok(before.is_some_and(|before| self.reading().is_jump_since(&before)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(day: i64, boot: &str, up: u64) -> Reading {
        let at = Timestamp::from_second(1_800_000_000 + day * 86_400).expect("a time");
        Reading { at, boot: boot.into(), uptime: Duration::from_secs(up * 86_400) }
    }

    #[test]
    fn what_goes_with_the_uptime_is_no_jump_and_years_are_one() {
        let before = reading(0, "a", 1);
        for (after, jumped) in [
            (reading(0, "a", 1), false),
            (reading(400, "a", 401), false),
            (reading(3650, "a", 1), true),
            (reading(-3650, "a", 1), true),
            (reading(0, "a", 9), true),
            (reading(20, "b", 0), false),
            (reading(3650, "b", 0), true),
            (reading(-3650, "b", 0), true),
        ] {
            assert_eq!(after.is_jump_since(&before), jumped, "{after}");
        }
    }

    #[test]
    fn a_reading_is_read_back() {
        let one = reading(3, "0f3c", 2);
        assert_eq!(one.to_string().parse(), Ok(one));
        assert_eq!("nonsense".parse::<Reading>(), Err(()));
    }
}
