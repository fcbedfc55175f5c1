//! Reading a declaration: a requirements file of 100 lines to its canonical digest.
//!
//! `cargo bench --bench spec`

use std::fmt::Write as _;

use criterion::{Criterion, criterion_group, criterion_main};
use envstore::settings::PackOptions;
use envstore::spec::requirements::Reader;

fn spec(c: &mut Criterion) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut text = String::new();
    for number in 0..100 {
        writeln!(text, "Dist_{number}[b,a] >= 1.{number}, <2 ; python_version >= '3.8'  # why").expect("a string");
    }
    let mut group = c.benchmark_group("spec");
    group.bench_function("canonical_100_lines", |b| {
        b.iter(|| {
            let mut reader = Reader::new(PackOptions::Ignore);
            reader.text("bench", dir.path(), &text).expect("reads");
            reader.finish().expect("a spec").0.digest()
        });
    });
    group.bench_function("baseline_hash_of_the_text", |b| b.iter(|| blake3::hash(text.as_bytes())));
    group.finish();
}

criterion_group!(benches, spec);
criterion_main!(benches);
