//! The one place where the command line meets the readers of declarations.

use std::path::PathBuf;

use super::args;
use super::failure::Failure;
use crate::error::Error;
use crate::pack::PackRef;
use crate::settings::{InstallSettings, PackOptions};
use crate::spec::requirements::{Reader, each};
use crate::spec::{Declaration, InterpreterRange, Spec, source};

/// Reads what `ensure` was given; none if it was given no declaration.
pub fn from_args(args: &args::Ensure, install: &InstallSettings) -> Result<Option<(Spec, Vec<String>)>, Failure> {
    let seed = [each("install.seed", &install.seed)?, each("--seed", &args.seed)?].concat();
    let declared = declared(args, install.pack_options)?;
    Ok(declared.map(|(mut spec, warnings)| {
        spec.seed_with(&seed);
        (spec, warnings)
    }))
}

fn declared(args: &args::Ensure, options: PackOptions) -> Result<Option<(Spec, Vec<String>)>, Failure> {
    let range = args.python.as_deref().map(InterpreterRange::parse).transpose().map_err(Error::from)?;
    if let Some(path) = &args.from {
        let declaration = source::read(path, options, &args.extra)?;
        let mut spec = declaration.spec;
        if let Some(range) = range {
            spec.interpreter = range;
        }
        return Ok(Some((spec, declaration.warnings)));
    }
    if args.requirement.is_empty() && args.with.is_empty() {
        return Ok(None);
    }
    let here = std::env::current_dir().map_err(Error::io("find", "the working directory"))?;
    let mut reader = Reader::new(options);
    for file in &args.requirement {
        reader.file(file)?;
    }
    for line in &args.with {
        reader.requirement("--with", &here, line)?;
    }
    for file in &args.constraint {
        reader.constraint_file(file)?;
    }
    if args.no_deps {
        reader.no_deps();
    }
    if let Some(range) = range {
        reader.interpreter(range);
    }
    Ok(Some(reader.finish()?))
}

/// A pack that was found, and its declaration or why it cannot be read.
#[derive(Debug)]
pub struct Found {
    /// As it is told to people.
    pub name: String,
    /// Its ref, where it could be read.
    pub pack: Option<PackRef>,
    /// Where it stands.
    pub origin: PathBuf,
    /// What it declares.
    pub result: Result<Declaration, Failure>,
}

/// Finds the packs under some paths.
pub fn find(paths: &[PathBuf], install: &InstallSettings) -> Result<Vec<Found>, Failure> {
    let seed = each("install.seed", &install.seed)?;
    let found = source::find(paths, install.pack_options)?;
    Ok(found
        .into_iter()
        .map(|source::Found { name, pack, origin, result, .. }| {
            let seeded = result.map(|mut declaration| {
                declaration.spec.seed_with(&seed);
                declaration
            });
            let result = seeded.map_err(|error| match &pack {
                Some(pack) => Failure::from(error).about(pack),
                None => Failure::from(error),
            });
            Found { name, pack, origin, result }
        })
        .collect())
}
