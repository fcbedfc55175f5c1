//! The first environment: with nothing in any cache, and another one of the same artifacts.

use std::fs;

use super::report::Report;
use super::tools::{Peer, Tools};
use super::turns::{median, run};

const ROUNDS: usize = 3;
const COLD: &str = "requests==2.32.3\nPyYAML==6.0.2\nJinja2==3.1.4\nboto3==1.35.0\n";
const WARM: &str = "requests==2.32.3\nPyYAML==6.0.2\nJinja2==3.1.4\n";

pub fn measure(tools: &Tools, report: &mut Report) {
    let mut times = vec![(Vec::new(), Vec::new()); Peer::ALL.len()];
    for _ in 0..ROUNDS {
        for (peer, (cold, warm)) in Peer::ALL.into_iter().zip(&mut times) {
            let home = tools.scratch("first");
            for (name, text, times) in [("cold", COLD, cold), ("warm", WARM, warm)] {
                let declared = home.join(format!("{name}.txt"));
                fs::write(&declared, text).expect("writes");
                let requirements = home.join(format!("{name}.locked.txt"));
                tools.lock(&declared, &requirements);
                times.push(tools.make(peer, &home, name, &requirements).iter_mut().map(run).sum());
            }
        }
    }
    report.first = Peer::ALL
        .into_iter()
        .zip(times)
        .map(|(peer, (cold, warm))| (peer.name(), median(cold), median(warm)))
        .collect();
}
