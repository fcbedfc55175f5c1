//! `-v`: what the library traces, on standard error.

use tracing::level_filters::LevelFilter;

/// Sets up logging: nothing without `-v`, what is done with one, every detail with two.
pub fn set_up(verbose: u8, color: bool) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        _ => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(color)
        .with_target(level > LevelFilter::INFO);
    // A second subscriber in one process (tests) is no failure of the command.
    let _ = subscriber.try_init();
}
