//! Measuring in turns: A B C A B C …, so that what else the machine does meets all alike.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Runs a command, which must succeed.
pub fn run(command: &mut Command) -> Duration {
    // Cargo's, for what it starts: each program's loader would look for each library in four more places.
    command.env_remove("LD_LIBRARY_PATH");
    let started = Instant::now();
    let done = command.stdin(Stdio::null()).output().expect("starts");
    let took = started.elapsed();
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
    took
}

pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// The median of each command over so many rounds; a first round is not counted.
pub fn in_turns(rounds: usize, commands: &mut [(&'static str, Command)]) -> Vec<(&'static str, Duration)> {
    let mut times = vec![Vec::new(); commands.len()];
    for round in 0..=rounds {
        for ((_, command), times) in commands.iter_mut().zip(&mut times) {
            let took = run(command);
            if round > 0 {
                times.push(took);
            }
        }
    }
    commands.iter().map(|(name, _)| *name).zip(times.into_iter().map(median)).collect()
}
