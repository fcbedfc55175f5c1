//! [`PythonRuntime`]: runs packs' actions in their environments.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::action::{Action, Entry};
use super::config::WorkerConfig;
use super::error::RunError;
use super::result::ActionResult;
use super::supervise::{Running, Start, run};
use super::{clean, reference};
use crate::error::Error;
use crate::process::child;
use crate::runtime::PythonVenvManager;
use crate::store::EnvHandle;

/// Runs actions. Clones share one store and count together.
///
/// # Performance
/// Where the pack was resolved before and nothing changed since, an action costs its process and nothing more.
#[derive(Debug, Clone)]
pub struct PythonRuntime {
    manager: Arc<PythonVenvManager>,
    python: PathBuf,
    running: Running,
}

/// Which pack an action is of, and what it is bound to.
struct Chosen {
    pack: String,
    action: String,
    handle: Option<EnvHandle>,
}

impl PythonRuntime {
    /// A runtime on a manager's store. `python` runs the actions of packs that are not bound.
    pub fn new(manager: Arc<PythonVenvManager>, python: impl Into<PathBuf>) -> Self {
        Self { manager, python: python.into(), running: Running::default() }
    }

    /// A runtime as a worker is configured.
    pub fn from_config(config: &WorkerConfig) -> Self {
        let manager = PythonVenvManager::with_python_path(config.venv_base_dir.clone(), config.python_path.clone());
        Self::new(Arc::new(manager), config.python_path.clone())
    }

    /// Whose environments it uses.
    pub fn manager(&self) -> &Arc<PythonVenvManager> {
        &self.manager
    }

    /// How many actions run now.
    pub fn running(&self) -> u64 {
        self.running.count()
    }

    /// Runs an action to its end. If the future is dropped the action's process group gets TERM, then KILL.
    ///
    /// # Errors
    /// If it was not run; one that fails is a result.
    pub async fn run(&self, action: &Action) -> Result<ActionResult, RunError> {
        let chosen = match &action.pack {
            Some(pack) => {
                Chosen { handle: self.resolve(pack).await?, pack: pack.clone(), action: action.action.clone() }
            }
            None => self.choose(&action.action).await?,
        };
        let program = chosen.handle.as_ref().map_or_else(|| self.python.clone(), EnvHandle::interpreter);
        let start = Start {
            command: command(action, &program, chosen.handle.as_ref())?,
            program: program.clone(),
            parameters: format!("{}\n", action.parameters).into_bytes(),
            handle: chosen.handle.clone(),
            limits: action.limits(),
            running: self.running.clone(),
        };
        let ended = run(start).await?;
        Ok(ActionResult {
            pack: chosen.pack,
            action: chosen.action,
            exit_code: ended.exit_code,
            signal: ended.signal,
            timed_out: ended.timed_out,
            cancelled: ended.cancelled,
            stdout_dropped_bytes: ended.stdout.dropped_bytes,
            stdout: ended.stdout,
            stderr_dropped_bytes: ended.stderr.dropped_bytes,
            stderr: ended.stderr,
            duration: ended.duration,
            env: chosen.handle.as_ref().map(EnvHandle::key),
            generation: chosen.handle.as_ref().map(EnvHandle::generation),
            interpreter: program,
        })
    }

    /// The environment a pack is bound to; none: it is not bound.
    async fn resolve(&self, pack_ref: &str) -> Result<Option<EnvHandle>, RunError> {
        let pack = PythonVenvManager::pack(pack_ref)?;
        match self.manager.store().await?.resolve(pack).await {
            Ok(handle) => Ok(Some(handle)),
            Err(Error::NoPack(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The one bound pack that a combined reference fits.
    async fn choose(&self, combined: &str) -> Result<Chosen, RunError> {
        let candidates = reference::candidates(combined);
        let mut fitting = Vec::new();
        for (pack, action) in &candidates {
            if let Some(handle) = self.resolve(pack).await? {
                fitting.push(Chosen { pack: (*pack).into(), action: (*action).into(), handle: Some(handle) });
            }
        }
        let reference = combined.to_owned();
        match fitting.len() {
            0 => {
                let candidates = candidates.iter().map(|(pack, _)| (*pack).to_owned()).collect();
                Err(RunError::NoPackFits { reference, candidates })
            }
            1 => Ok(fitting.remove(0)),
            _ => {
                let candidates = fitting.into_iter().map(|chosen| chosen.pack).collect();
                Err(RunError::Ambiguous { reference, candidates })
            }
        }
    }
}

/// The action's process, but for what it reads and writes.
fn command(action: &Action, program: &Path, handle: Option<&EnvHandle>) -> Result<Command, RunError> {
    let mut command = Command::new(program);
    match &action.entry {
        Entry::Script(path) => command.arg(path),
        Entry::Module(name) => command.arg("-m").arg(name),
        Entry::Code(text) => command.arg("-c").arg(text),
    };
    command.args(&action.args);
    for (name, _) in std::env::vars_os().filter(|(name, _)| clean::is_dropped(name)) {
        command.env_remove(name);
    }
    let virtual_env = std::env::var_os("VIRTUAL_ENV");
    let path = std::env::var_os("PATH").map(|path| clean::path(&path, virtual_env.as_deref()));
    child::close_others(&mut command);
    match handle {
        Some(handle) => {
            handle.activate(&mut command, path.as_deref());
            handle.lease_to(&mut command)?;
        }
        None => {
            command.envs(path.map(|path| ("PATH", path)));
        }
    }
    command.envs(&action.env);
    if let Some(dir) = &action.working_dir {
        command.current_dir(dir);
    }
    Ok(command)
}
