//! The time, asked for in one place so that tests can move it.

use std::fs::File;
use std::io::Read;
use std::time::Duration;

use jiff::Timestamp;

/// Tells the time. The library asks no other source.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time now, UTC.
    fn now(&self) -> Timestamp;

    /// How long the machine has been up, sleep included: what nobody sets. None: it cannot be told.
    fn uptime(&self) -> Option<Duration> {
        let text = std::fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = text.split_whitespace().next()?.parse().ok()?;
        Duration::try_from_secs_f64(seconds).ok()
    }

    /// What the kernel calls this boot. None: it cannot be told.
    fn boot(&self) -> Option<String> {
        // A UUID, in one read.
        let mut text = [0; 64];
        let length = File::open(BOOT).and_then(|mut file| file.read(&mut text)).ok()?;
        let boot = str::from_utf8(&text[..length]).ok()?.trim();
        (!boot.is_empty()).then(|| boot.to_owned())
    }
}

/// What the kernel calls this boot (random(4)).
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        // Whole seconds: what the index and the JSON say is the same text.
        let now = Timestamp::now();
        Timestamp::from_second(now.as_second()).unwrap_or(now)
    }
}
