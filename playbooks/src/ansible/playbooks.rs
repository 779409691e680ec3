//! The shipped playbooks: compiled in, unpacked into a temporary folder, run by `ansible-playbook`.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::inventory::InventoryHost;
use crate::local::{Signals, set_apart};
use crate::tools::Tools;

/// A folder with the playbooks, and the inventory that they are for.
pub(super) struct Playbooks {
    folder: PathBuf,
    inventory: PathBuf,
    programs: PathBuf,
}

impl Playbooks {
    /// Unpacks them.
    pub(super) fn unpack(inventory: &Path, tools: &Tools) -> Result<Self> {
        let inventory = inventory.canonicalize().with_context(|| format!("inventory {}", inventory.display()))?;
        let folder = std::env::temp_dir().join(format!("playbook-ansible-{}", std::process::id()));
        // Nobody else may have made it, or look into it.
        let made = std::fs::DirBuilder::new().mode(0o700).create(&folder);
        made.with_context(|| format!("cannot create {}", folder.display()))?;
        // From here on it goes with this value.
        let unpacked = Self { folder, inventory, programs: PathBuf::from(tools.path("")) };
        for (name, text) in FILES {
            let path = unpacked.folder.join(name);
            let parent = path.parent().context("a file lies in a folder")?;
            std::fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        Ok(unpacked)
    }

    /// The hosts of the inventory, with every variable filled in.
    pub(super) fn hosts(&self, signals: &Signals) -> Result<Vec<InventoryHost>> {
        self.run("hosts.yml", signals)?;
        let path = self.hosts_file();
        let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("what Ansible says of the hosts: {text}"))
    }

    /// Installs, tunes, binds.
    pub(super) fn prepare(&self, signals: &Signals) -> Result<()> {
        self.run("prepare.yml", signals)
    }

    /// Undoes that.
    pub(super) fn restore(&self, signals: &Signals) -> Result<()> {
        self.run("restore.yml", signals)
    }

    fn hosts_file(&self) -> PathBuf {
        self.folder.join("hosts.json")
    }

    fn run(&self, playbook: &str, signals: &Signals) -> Result<()> {
        let variables = json!({"lab_hosts_file": self.hosts_file(), "lab_programs_from": self.programs});
        let mut command = Command::new("ansible-playbook");
        command.arg("-i").arg(&self.inventory).args(["-e", &variables.to_string()]).arg(self.folder.join(playbook));
        if std::env::var_os("ANSIBLE_CONFIG").is_none() {
            command.env("ANSIBLE_CONFIG", self.folder.join("ansible.cfg"));
        }
        command
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", self.folder.join("cp"))
            .env("ANSIBLE_LOCAL_TEMP", self.folder.join("tmp"))
            // It refuses any other.
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null())
            .stdout(std::io::stderr());
        set_apart(&mut command);
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("{HOW_TO_GET}"),
            Err(error) => return Err(error).context("cannot start ansible-playbook"),
        };
        let asked_before = signals.count();
        let mut status = None;
        let mut is_told = false;
        while status.is_none() {
            status = child.try_wait().context("cannot wait for ansible-playbook")?;
            if signals.count() > asked_before && !is_told {
                // It has a process group of its own, which no Ctrl-C reaches.
                let _ = kill(Pid::from_raw(-child.id().cast_signed()), Signal::SIGINT);
                is_told = true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        match status.and_then(|status| status.code()) {
            Some(0) => Ok(()),
            _ if is_told => bail!("ansible-playbook {playbook} was interrupted"),
            Some(4) => {
                bail!("ansible-playbook {playbook}: a host cannot be reached (its lines above say which, and why)")
            }
            Some(code) => {
                bail!("ansible-playbook {playbook} failed (exit code {code}); its lines above say where, and why")
            }
            None => bail!("ansible-playbook {playbook} was killed"),
        }
    }
}

impl Drop for Playbooks {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

const HOW_TO_GET: &str = "ansible-playbook is not in PATH; with Python 3.11 or newer: python3 -m venv ~/ansible && \
                          ~/ansible/bin/pip install ansible-core==2.18.7 && PATH=~/ansible/bin:$PATH";

/// (path, text) below `playbooks/ansible/`.
const FILES: &[(&str, &str)] = &[
    ("ansible.cfg", include_str!("../../ansible/ansible.cfg")),
    ("hosts.yml", include_str!("../../ansible/hosts.yml")),
    ("prepare.yml", include_str!("../../ansible/prepare.yml")),
    ("restore.yml", include_str!("../../ansible/restore.yml")),
    ("roles/host/defaults/main.yml", include_str!("../../ansible/roles/host/defaults/main.yml")),
    ("roles/host/files/lab-host", include_str!("../../ansible/roles/host/files/lab-host")),
    ("roles/host/tasks/install.yml", include_str!("../../ansible/roles/host/tasks/install.yml")),
    ("roles/host/tasks/main.yml", include_str!("../../ansible/roles/host/tasks/main.yml")),
    ("roles/host/tasks/restore.yml", include_str!("../../ansible/roles/host/tasks/restore.yml")),
    ("roles/prober/tasks/main.yml", include_str!("../../ansible/roles/prober/tasks/main.yml")),
    ("roles/sut/tasks/main.yml", include_str!("../../ansible/roles/sut/tasks/main.yml")),
    ("roles/tester/tasks/main.yml", include_str!("../../ansible/roles/tester/tasks/main.yml")),
    ("templates/hosts.json.j2", include_str!("../../ansible/templates/hosts.json.j2")),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(folder: &Path, root: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                found.push(path.strip_prefix(root).expect("below").display().to_string());
            }
        }
    }

    #[test]
    fn every_shipped_file_is_compiled_in_and_the_pinned_version_is_the_one_that_is_named() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("ansible");
        let mut found = Vec::new();
        walk(&root, &root, &mut found);
        found.retain(|name| !matches!(name.as_str(), "requirements.txt" | "inventory.example.yml"));
        found.sort();
        let listed: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        assert_eq!(found, listed);
        let pinned = include_str!("../../ansible/requirements.txt");
        let pinned = pinned.lines().find(|line| line.starts_with("ansible-core==")).expect("a pinned version");
        assert!(HOW_TO_GET.contains(pinned), "{pinned}");
    }
}
