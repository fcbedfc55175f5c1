//! What was measured, as a Markdown table and a plot.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use plotters::prelude::*;

use super::tools::Tools;

/// Many packs by one peer.
#[derive(Debug)]
pub struct Fleet {
    pub name: &'static str,
    pub cold: Duration,
    pub again: Duration,
    pub bytes: u64,
    pub gone: Duration,
}

/// All that was measured so far.
#[derive(Debug)]
pub struct Report {
    /// The first is the interpreter started directly.
    pub starts: Vec<(&'static str, Duration)>,
    pub starts_after_kill: Vec<(&'static str, Duration)>,
    pub first: Vec<(&'static str, Duration, Duration)>,
    /// How many packs, and how many of them share.
    pub packs: (usize, usize),
    pub fleet: Vec<Fleet>,
    machine: String,
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The kernel, the processors, the memory, the load and the day.
fn machine(tools: &Tools) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let model = read("/proc/cpuinfo");
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([':', ' ', '\t']).trim();
    let load = read("/proc/loadavg");
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    let day = jiff::Timestamp::now().to_string();
    let day = day.split('T').next().unwrap_or_default();
    let versions = tools.versions.join(", ");
    format!("{day}; {cores} cores ({model}), Linux {}; load {}; {versions}", kernel.trim(), load.join(" "))
}

impl Report {
    pub fn new(tools: &Tools) -> Self {
        Self {
            starts: Vec::new(),
            starts_after_kill: Vec::new(),
            first: Vec::new(),
            packs: (0, 0),
            fleet: Vec::new(),
            machine: machine(tools),
        }
    }

    /// Writes `peers.md` and `peers.svg` of what there is.
    pub fn write(&self, dir: &Path) {
        let text = self.markdown();
        print!("{text}");
        fs::write(dir.join("peers.md"), text).expect("writes");
        self.plot(&dir.join("peers.svg")).expect("draws");
    }

    fn markdown(&self) -> String {
        let mut text = format!("{}.\n\n", self.machine);
        let added = |direct: Duration, took: Duration| ms(took) - ms(direct);
        for (title, starts) in [
            ("action start on a hit (`python -c pass`)", &self.starts),
            ("the same after a writer was killed", &self.starts_after_kill),
        ] {
            let Some((_, direct)) = starts.first() else { continue };
            let _ = writeln!(text, "| {title} | median | adds |\n|---|---:|---:|");
            for (name, took) in starts {
                let _ = writeln!(text, "| {name} | {:.1} ms | {:+.1} ms |", ms(*took), added(*direct, *took));
            }
            text.push('\n');
        }
        if let Some((_, cold, warm)) = self.first.first() {
            let _ = writeln!(text, "| first environment | cold | | warm | |\n|---|---:|---:|---:|---:|");
            for (name, own_cold, own_warm) in &self.first {
                let ratio = |own: &Duration, ours: &Duration| own.as_secs_f64() / ours.as_secs_f64();
                let _ = writeln!(
                    text,
                    "| {name} | {:.0} ms | × {:.1} | {:.0} ms | × {:.1} |",
                    ms(*own_cold),
                    ratio(own_cold, cold),
                    ms(*own_warm),
                    ratio(own_warm, warm)
                );
            }
            text.push('\n');
        }
        if !self.fleet.is_empty() {
            let (packs, sharing) = self.packs;
            let _ = writeln!(
                text,
                "| {packs} packs, {sharing} of them like another | made | asked again | on disk | gone |\n|---|---:|---:|---:|---:|"
            );
            for fleet in &self.fleet {
                let _ = writeln!(
                    text,
                    "| {} | {:.1} s | {:.2} s | {:.0} MB | {:.2} s |",
                    fleet.name,
                    fleet.cold.as_secs_f64(),
                    fleet.again.as_secs_f64(),
                    fleet.bytes as f64 / 1e6,
                    fleet.gone.as_secs_f64()
                );
            }
        }
        text
    }

    /// Bars: the start of an action by each way.
    fn plot(&self, path: &Path) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
        let (rows, width) = (self.starts.len() as u32, 760);
        let root = SVGBackend::new(path, (width, 60 + 34 * rows)).into_drawing_area();
        root.fill(&WHITE)?;
        let longest = self.starts.iter().map(|(_, took)| ms(*took)).fold(1.0, f64::max);
        let label = ("sans-serif", 14).into_font();
        root.draw(&Text::new("starting an action on a hit, median, ms", (20, 14), ("sans-serif", 17).into_font()))?;
        for (row, (name, took)) in self.starts.iter().enumerate() {
            let top = 44 + 34 * row as i32;
            let end = 280 + (ms(*took) / longest * 400.0) as i32;
            let ours = name.starts_with("envstore");
            let color = if ours { RGBColor(30, 110, 80) } else { RGBColor(150, 160, 170) };
            root.draw(&Text::new(*name, (20, top + 5), label.clone()))?;
            root.draw(&Rectangle::new([(280, top), (end, top + 22)], color.filled()))?;
            root.draw(&Text::new(format!("{:.1}", ms(*took)), (end + 6, top + 5), label.clone()))?;
        }
        root.present()
    }
}
