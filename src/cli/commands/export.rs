//! `export`: locks as files that other tools take.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::count;
use crate::cli::args::Export;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, Outcome};
use crate::cli::open::{self, Store};
use crate::cli::{exit, output};
use crate::error::Error;
use crate::pack::PackRef;
use crate::store::report::{Exported, Format};

/// Several locks.
#[derive(Debug, Serialize)]
struct All {
    exports: Vec<Exported>,
}

/// Runs `export`.
pub fn run(context: &Context, args: &Export) -> Outcome {
    let store = open::open(context, context.config()?.settings)?;
    let format = args.to.into();
    let export = |pack: &PackRef| store.export(pack, format).map_err(|error| Failure::from(error).about(pack));
    let Some(pack) = &args.pack else {
        let exports: Vec<Exported> = store.list()?.iter().map(|row| export(&row.pack)).collect::<Result<_, _>>()?;
        if let Some(dir) = &args.output {
            exports.iter().try_for_each(|exported| write_pack(&store, dir, exported))?;
            context.out.note(&format!("{} in {}", count(exports.len() as u64, "pack"), dir.display()));
        }
        if context.out.is_json() {
            context.out.result(&All { exports }, |_| ())?;
        }
        return Ok(exit::OK);
    };
    let exported = export(pack)?;
    match &args.output {
        Some(file) => {
            store.write_outside(file, exported.text.as_bytes())?;
            if context.out.is_json() {
                context.out.result(&exported, |_| ())?;
            }
        }
        None if context.out.is_json() => context.out.result(&exported, |_| ())?,
        None => output::write_stdout(exported.text.as_bytes())?,
    }
    Ok(exit::OK)
}

/// Writes a pack's directory: named as the pack is; for a lock, which `sync` reads, else with a `pack.yaml` that says its ref.
fn write_pack(store: &Store, dir: &Path, exported: &Exported) -> Result<(), Failure> {
    let pack = exported.pack.as_str();
    let name = file_name(pack);
    let dir = dir.join(&name);
    store.require_outside(&format!("write to `{}`", dir.display()), &dir)?;
    fs::create_dir_all(&dir).map_err(Error::io("create", &dir))?;
    let file = dir.join(match exported.format {
        Format::Pylock => "pylock.toml",
        Format::Requirements => "requirements.txt",
        Format::Cyclonedx => "bom.cdx.json",
    });
    store.write_outside(&file, exported.text.as_bytes())?;
    if name != pack && exported.format != Format::Cyclonedx {
        let file = dir.join("pack.yaml");
        // A JSON text is YAML.
        let text = serde_json::json!({ "ref": pack }).to_string();
        store.write_outside(&file, (text + "\n").as_bytes())?;
    }
    Ok(())
}

/// The pack's ref as the name of a directory that is neither hidden nor elsewhere: everything odd is `%` and its hex.
fn file_name(pack: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '@');
    let name: String = pack
        .char_indices()
        .map(|(at, c)| {
            if plain(c) && !(at == 0 && c == '.') {
                return c.to_string();
            }
            let mut buffer = [0; 4];
            c.encode_utf8(&mut buffer).bytes().map(|byte| format!("%{byte:02X}")).collect()
        })
        .collect();
    if name.len() <= 200 { name } else { blake3::hash(pack.as_bytes()).to_hex().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_ref_never_leads_elsewhere() {
        for (pack, name) in [
            ("aws.s3", "aws.s3"),
            ("../x", "%2E.%2Fx"),
            (".", "%2E"),
            ("a/b c", "a%2Fb%20c"),
            ("ümlaut", "ümlaut"),
            ("50%", "50%25"),
        ] {
            assert_eq!(file_name(pack), name);
        }
        assert_eq!(file_name(&"x/".repeat(127)).len(), 64);
    }
}
