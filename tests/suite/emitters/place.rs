//! A place where a client and a server meet as they would on a machine of their own: a loopback address that belongs to one
//! test, with the server on its usual ports and the client at its usual settings.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use roentgen_tests::wait::until;
use roentgen_tests::{Home, Server, process};

use super::recipe::{Recipe, folder};

/// A loopback address, and a folder in which the programs of the recipes lie, made for that address.
pub(super) struct Place {
    home: Home,
    address: Ipv4Addr,
}

/// A client that runs. Dropping it kills it, and no other process.
pub(super) struct Client {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Place {
    pub(super) fn new() -> Result<Self> {
        let place = Self {
            home: Home::new()?,
            address: address_of_ours()?,
        };
        for entry in std::fs::read_dir(folder())? {
            let path = entry?.path();
            let name = path.file_name().context("a name")?;
            if path.is_file() {
                let text = std::fs::read_to_string(&path)?;
                std::fs::write(place.folder().join(name), place.moved_here(&text))?;
            }
        }
        std::os::unix::fs::symlink(
            folder().join("node_modules"),
            place.folder().join("node_modules"),
        )?;
        Ok(place)
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        self.address
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    pub(super) fn folder(&self) -> &Path {
        self.home.folder()
    }

    /// Returns the text with this address for `127.0.0.1`.
    pub(super) fn moved_here(&self, text: &str) -> String {
        text.replace("127.0.0.1", &self.address.to_string())
    }

    /// Starts the server with all doors at their usual ports.
    pub(super) fn serve(&self) -> Result<Server> {
        self.serve_with(&[])
    }

    /// The same, with further arguments.
    pub(super) fn serve_with(&self, arguments: &[String]) -> Result<Server> {
        let doors = [
            ("--listen", 2000),
            ("--udp", 2000),
            ("--otlp-grpc", 4317),
            ("--otlp-http", 4318),
        ];
        let doors = doors
            .iter()
            .flat_map(|(flag, port)| [(*flag).to_owned(), format!("{}:{port}", self.address)]);
        let arguments: Vec<String> = doors.chain(arguments.iter().cloned()).collect();
        self.home.start_with(&arguments)
    }

    /// Follows a recipe, with further variables in the environment.
    pub(super) fn follow(&self, recipe: &str, environment: &[(&str, &str)]) -> Result<Client> {
        let (recipe, name) = (Recipe::named(recipe)?, recipe);
        let script = self.moved_here(&recipe.script()?);
        let stdout = self.folder().join(format!("{name}.out"));
        let stderr = self.folder().join(format!("{name}.log"));
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", &script])
            .env_clear()
            .current_dir(self.folder());
        let programs = recipe.programs()?;
        command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        self.alone(&mut command);
        for (name, value) in environment {
            command.env(name, self.moved_here(value));
        }
        command
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?);
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Client {
            child,
            stdout,
            stderr,
        })
    }

    /// Takes everything from a client that could lead it elsewhere: the network beyond this address is a proxy that
    /// nobody is.
    fn alone(&self, command: &mut Command) {
        let nobody = format!("http://{}:9", self.address);
        for name in ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"] {
            command.env(name, &nobody);
        }
        let ours = self.address.to_string();
        command.env("no_proxy", &ours).env("NO_PROXY", &ours);
        command
            .env("HOME", self.folder())
            .env("TMPDIR", self.folder())
            .env("PYTHONUNBUFFERED", "1")
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
            .env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_PAGER", "");
    }
}

/// Shows what clients and the server said; of a test that passes nobody sees it.
impl Drop for Place {
    fn drop(&mut self) {
        let Ok(entries) = std::fs::read_dir(self.folder()) else {
            return;
        };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            let is_log = path
                .extension()
                .is_some_and(|kind| kind == "log" || kind == "out");
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            if is_log && !text.is_empty() {
                eprintln!("-- {}\n{text}", path.display());
            }
        }
    }
}

impl Client {
    /// Waits until the client has ended by itself and well, and returns what it printed.
    pub(super) fn finish(mut self) -> Result<String> {
        let status = until("the client has ended", || Ok(self.child.try_wait()?))?;
        anyhow::ensure!(status.success(), "the client ended with {status}");
        Ok(std::fs::read_to_string(&self.stdout)?)
    }

    /// The same, and fails if the client complained: exporters say on standard error that a server did not take spans.
    pub(super) fn finish_quietly(self) -> Result<String> {
        let stderr = self.stderr.clone();
        let printed = self.finish()?;
        let complaints = std::fs::read_to_string(stderr)?;
        anyhow::ensure!(complaints.is_empty(), "the client complained: {complaints}");
        Ok(printed)
    }

    /// Fails if the client has ended.
    pub(super) fn assert_running(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => anyhow::bail!("the client ended with {status}"),
            None => Ok(()),
        }
    }

    /// Asks the client to stop and waits until it is gone.
    pub(super) fn stop(mut self) -> Result<()> {
        process::terminate(self.child.id())?;
        until("the client has stopped", || Ok(self.child.try_wait()?))?;
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a loopback address that no other process uses: it is made of our process id.
fn address_of_ours() -> Result<Ipv4Addr> {
    let number = N_TAKEN.fetch_add(1, Ordering::Relaxed);
    anyhow::ensure!(number < 4, "a process has four addresses");
    let [_, second, third, fourth] = (std::process::id() << 2 | number).to_be_bytes();
    Ok(Ipv4Addr::new(127, second, third, fourth))
}

static N_TAKEN: AtomicU32 = AtomicU32::new(0);
