//! What the tests need beside Rust: said when it is missing, and installed where that is possible.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::run::{cargo, program, root, run, tools_folder, works};

/// Makes sure that everything `cargo xtask test` starts is there.
pub(crate) fn install() -> Result<()> {
    cargo_tool("cargo-nextest", NEXTEST_VERSION)?;
    cargo_tool("cargo-deny", DENY_VERSION)?;
    debian_packages()?;
    python_clients()?;
    node_clients()
}

/// Installs a subcommand of cargo below `target/tools`, unless there is one already. Built without
/// optimisation: that halves the wait, and neither tool is busy for long.
fn cargo_tool(name: &str, version: &str) -> Result<()> {
    if works(&mut program(name, &["--version"])) {
        return Ok(());
    }
    eprintln!(
        "{name} is missing: building {version} from its source, below target/tools (some minutes)"
    );
    let folder = tools_folder();
    let mut install = cargo(&[
        "install",
        "--locked",
        "--debug",
        "--version",
        version,
        name,
        "--root",
    ]);
    run(install.arg(&folder))
        .with_context(|| format!("install {name} with cargo install --locked {name}"))
}

/// Installs Debian's packages for programs that are missing. Without root it says what stays untested.
fn debian_packages() -> Result<()> {
    let mut missing: Vec<&Need> = NEEDS
        .iter()
        .filter(|need| !works(&mut program("sh", &["-c", need.test])))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    eprintln!("missing on this machine: {}", packages.join(", "));
    if works(&mut program(
        "sh",
        &["-c", "test \"$(id -u)\" = 0 && command -v apt-get"],
    )) {
        run(&mut program("apt-get", &["update", "--quiet", "--quiet"]))?;
        let mut install = program(
            "apt-get",
            &[
                "install",
                "--yes",
                "--quiet",
                "--quiet",
                "--no-install-recommends",
            ],
        );
        run(install
            .args(&packages)
            .env("DEBIAN_FRONTEND", "noninteractive"))?;
        missing.retain(|need| !works(&mut program("sh", &["-c", need.test])));
    }
    for need in &missing {
        eprintln!("without {}: {}", need.package, need.without);
    }
    if missing.iter().any(|need| need.is_required) {
        bail!(
            "install python3 with its venv module and Node.js 20 with npm (on Debian, as root: apt-get install python3-venv nodejs npm)"
        );
    }
    Ok(())
}

/// Makes the environments of the Python clients, each anew whenever its pins change.
fn python_clients() -> Result<()> {
    for environment in PYTHON {
        environment.install()?;
    }
    Ok(())
}

impl PythonEnvironment {
    fn install(&self) -> Result<()> {
        let folder = root().join(self.folder);
        let pins = root().join("tests/clients").join(self.pins);
        let wanted =
            std::fs::read_to_string(&pins).with_context(|| format!("read {}", pins.display()))?;
        let marker = folder.join("installed-requirements.txt");
        let python = folder.join("bin/python");
        let is_current =
            std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted);
        if is_current && works(Command::new(&python).args(["-c", self.test])) {
            return Ok(());
        }
        eprintln!(
            "missing: {}; installing into {} ({} MB)",
            self.what, self.folder, self.size_mb
        );
        run(program("python3", &["-m", "venv", "--clear"]).arg(&folder))?;
        pip_install(&python, &pins)?;
        std::fs::write(&marker, wanted)?;
        Ok(())
    }
}

fn pip_install(python: &Path, pins: &Path) -> Result<()> {
    let mut install = Command::new(python);
    // Wheels alone: nothing of a package runs while it is installed.
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--only-binary=:all:",
        "--requirement",
    ]);
    run(install.arg(pins)).context("install the Python clients")
}

/// Installs the pinned packages of `tests/clients` beside their lock file, anew whenever that changes.
fn node_clients() -> Result<()> {
    let folder = root().join("tests/clients");
    let packages = folder.join("node_modules");
    let lock = folder.join("package-lock.json");
    let wanted = std::fs::read_to_string(lock).context("read tests/clients/package-lock.json")?;
    let marker = packages.join("installed-package-lock.json");
    if std::fs::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    eprintln!(
        "missing: the clients in JavaScript; installing into tests/clients/node_modules (72 MB)"
    );
    // Nothing of a package runs while it is installed.
    let mut install = program(
        "npm",
        &["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
    );
    run(install.current_dir(&folder)).context("install the JavaScript clients")?;
    std::fs::write(&marker, wanted)?;
    Ok(())
}

/// A program tests need, how to see that it is there, and the Debian package that has it.
struct Need {
    package: &'static str,
    test: &'static str,
    without: &'static str,
    is_required: bool,
}

/// An environment of Python clients that can be pinned together.
struct PythonEnvironment {
    what: &'static str,
    folder: &'static str,
    pins: &'static str,
    test: &'static str,
    size_mb: u32,
}

/// The second one lies in the first, which takes it along when it is made anew.
const PYTHON: &[PythonEnvironment] = &[
    PythonEnvironment {
        what: "boto3, the AWS CLI, the X-Ray SDK, OpenTelemetry, Envoy and rotel",
        folder: ".venv",
        pins: "requirements.txt",
        test: "import boto3, awscli, aws_xray_sdk, opentelemetry.sdk, envoy, rotel",
        size_mb: 400,
    },
    PythonEnvironment {
        what: "AWS's distribution of OpenTelemetry",
        folder: ".venv/adot",
        pins: "requirements-adot.txt",
        test: "import amazon.opentelemetry.distro, flask, requests",
        size_mb: 85,
    },
];
const NEXTEST_VERSION: &str = "0.9.151";
const DENY_VERSION: &str = "0.20.2";
const NEEDS: &[Need] = &[
    Need {
        package: "python3-venv",
        test: "python3 -c 'import ensurepip, venv'",
        without: "the clients in Python cannot be tried",
        is_required: true,
    },
    Need {
        package: "nodejs",
        test: "node --eval 'process.exit(process.versions.node.split(\".\")[0] >= 20 ? 0 : 1)'",
        without: "the clients in JavaScript cannot be tried",
        is_required: true,
    },
    Need {
        package: "npm",
        test: "npm --version",
        without: "the clients in JavaScript cannot be installed",
        is_required: true,
    },
    Need {
        package: "e2fsprogs",
        test: "command -v mkfs.ext4",
        without: "loss of power and a full disk cannot be tried",
        is_required: false,
    },
    Need {
        package: "mount",
        test: "command -v mount && command -v umount && command -v losetup",
        without: "loss of power and a full disk cannot be tried",
        is_required: false,
    },
];
