//! The programs of this workspace that a plan starts: found beside the runner, or built there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The folder of the tools.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    folder: PathBuf,
    /// The workspace, when the runner was started from its build folder.
    checkout: Option<PathBuf>,
}

impl Tools {
    /// Looks where the runner itself lies.
    pub(crate) fn locate() -> Result<Self> {
        let exe = std::env::current_exe().context("cannot tell where this program lies")?;
        let folder = exe.parent().context("a program lies in a folder")?.to_path_buf();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in a workspace");
        let is_build_folder = folder.join("deps").is_dir() && workspace.join("Cargo.toml").is_file();
        Ok(Self { folder, checkout: is_build_folder.then(|| workspace.to_path_buf()) })
    }

    /// Path of a tool's program.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// Brings the tools up to date when this is a checkout: cargo knows what is stale.
    pub(crate) fn build(&self) -> Result<()> {
        self.checkout.as_ref().map_or(Ok(()), |workspace| self.build_in(workspace))
    }

    /// Every tool must be there.
    pub(crate) fn check(&self) -> Result<()> {
        let absent: Vec<&str> = PROGRAMS.iter().copied().filter(|name| !self.folder.join(name).is_file()).collect();
        if !absent.is_empty() {
            bail!(
                "{} not found in {}; build all with `cargo build --workspace` (and `--release`, if that is a release \
                 folder), or copy them beside this program",
                absent.join(", "),
                self.folder.display()
            );
        }
        Ok(())
    }

    /// What `git describe` says of the checkout, with `-dirty` when it differs from the commit.
    pub(crate) fn commit(&self) -> Option<String> {
        let output = Command::new("git")
            .args(["describe", "--always", "--dirty", "--abbrev=12"])
            .current_dir(self.checkout.as_ref()?)
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    }

    /// A folder for what is fetched and built for targets.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.parent().unwrap_or(&self.folder).join("targets")
    }

    fn build_in(&self, workspace: &Path) -> Result<()> {
        let profile = match self.folder.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        eprintln!("building {} ({profile} profile; the first time takes some minutes)", PROGRAMS.join(", "));
        let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(program);
        command.args(["build", "--profile", profile, "--target-dir"]).arg(self.folder.parent().unwrap_or(&self.folder));
        for name in PROGRAMS {
            command.args(["-p", name]);
        }
        let status = command.current_dir(workspace).stdin(Stdio::null()).status().context("cannot start cargo")?;
        if !status.success() {
            bail!(
                "building the tools failed ({status}); `cargo build --workspace` in {} shows why",
                workspace.display()
            );
        }
        Ok(())
    }
}

/// The programs, each of a package of the same name.
const PROGRAMS: &[&str] = &["analyze", "broker", "collector", "loadgen", "prober"];
