//! File systems of our own on loop devices: one that can be filled, one whose power can be cut.

use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process;

/// An ext4 image in a file, mounted on a folder. Dropping it unmounts it.
#[derive(Debug)]
pub struct Ext4 {
    folder: TempDir,
    mounted: bool,
}

/// A process that waits for the word to cut the power of a file system.
#[derive(Debug)]
pub struct PowerSwitch {
    child: Child,
    word: Option<ChildStdin>,
}

/// Says what is missing to make file systems here, or nothing if they can be made.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("mounting needs root".to_owned());
    }
    let tried = Ext4::new(16).and_then(Ext4::unmount);
    tried
        .err()
        .map(|error| format!("no ext4 on a loop device: {error:#}"))
}

impl Ext4 {
    /// Makes a file system of so many MiB and mounts it.
    pub fn new(size_mib: u64) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("roentgen-disk-")
            .tempdir()?;
        let mut disk = Self {
            folder,
            mounted: false,
        };
        let image = disk.image();
        std::fs::File::create(&image)?.set_len(size_mib * 1024 * 1024)?;
        process::run(
            "mkfs.ext4",
            &["-q", "-F", "-m", "0", &image.display().to_string()],
        )?;
        std::fs::create_dir(disk.path())?;
        disk.mount()?;
        Ok(disk)
    }

    /// Returns the folder the file system is mounted on.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Mounts the file system again, as after a start: its journal is replayed.
    pub fn mount(&mut self) -> Result<()> {
        let (image, path) = (self.image(), self.path());
        process::run(
            "mount",
            &[
                "-o",
                "loop",
                &image.display().to_string(),
                &path.display().to_string(),
            ],
        )?;
        self.mounted = true;
        Ok(())
    }

    /// Unmounts the file system; the image stays.
    pub fn detach(&mut self) -> Result<()> {
        process::run("umount", &[&self.path().display().to_string()])?;
        self.mounted = false;
        Ok(())
    }

    /// Returns the bytes that can still be written.
    pub fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(self.path())?;
        Ok(stat.f_bavail * stat.f_frsize)
    }

    /// Makes a process ready to cut the power of this file system at once when told to.
    pub fn power_switch(&self) -> Result<PowerSwitch> {
        let mut command = Command::new("python3");
        command
            .args(["-c", CUT_POWER])
            .arg(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().context("start python3")?;
        let word = child.stdin.take();
        // It prints one line when it waits for the word.
        let stdout = child.stdout.take().context("stdout of the power switch")?;
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)?;
        anyhow::ensure!(line == "ready\n", "the power switch does not work");
        Ok(PowerSwitch { child, word })
    }

    fn unmount(mut self) -> Result<()> {
        self.detach()
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }
}

impl PowerSwitch {
    /// Cuts the power: what the file system has not been told to make durable is gone, its journal included.
    pub fn cut(mut self) -> Result<()> {
        drop(self.word.take());
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the power could not be cut: {status}");
        Ok(())
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        if self.mounted && self.detach().is_err() {
            let _ = lazy_unmount(&self.path());
        }
    }
}

fn lazy_unmount(path: &Path) -> Result<()> {
    process::run("umount", &["--lazy", &path.display().to_string()])?;
    Ok(())
}

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH` when its input ends.
const CUT_POWER: &str = r#"
import fcntl, os, struct, sys
folder = os.open(sys.argv[1], os.O_RDONLY)
print("ready", flush=True)
sys.stdin.read()
fcntl.ioctl(folder, 0x8004587D, struct.pack("I", 2))
"#;
